"""The harness of the benchmarks: statistics, charts, the document; and each measurement once, as small as can be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE
from xml.etree import ElementTree

import pytest

from benchmarks import chart, fleet, processes
from benchmarks.figures import Goal, Row, Spread, merged, percentile
from benchmarks.flat import grown
from benchmarks.measures import MEASURES
from benchmarks.measures import herd as herd_of
from benchmarks.measures.sustained import gaps
from benchmarks.plan import Plan
from benchmarks.report import NOTES, ORDER, write
from benchmarks.results import Results, load, save
from benchmarks.service import Log, Ran, moment, ran, service
from benchmarks.soak import outcomes
from tests.support.service import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
RECORD = (
    "2026-11-22T01:00:00.512Z SUCCESS job_id=a run_id=5f3c2a9d scheduled=2026-11-22T01:00:00Z "
    "started=2026-11-22T01:00:00.012Z duration=0.500 exit_code=0"
)


def herd(*ours: float, goal: Goal | None = None) -> Row:
    """A row with a floor of one second and a peer."""
    return Row("herd", "1,000 jobs", "s", ours, (1.0,) * len(ours), {"plain": (3.0,)}, goal, 1_000, "2026-11-22")


# -- statistics


def test_a_spread_is_the_median_with_the_least_and_the_most() -> None:
    """One noisy round moves the extreme and not the median."""
    assert Spread.of([3.0, 1.0, 90.0]) == Spread(3.0, 1.0, 90.0)


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0.5, 1)], ids=["median", "p99", "most", "least"]
)
def test_a_percentile_is_a_figure_that_was_measured(percent: float, expected: float) -> None:
    """It is the smallest one that so many percent do not exceed, never something in between."""
    assert percentile([float(number) for number in range(100, 0, -1)], percent) == expected


def test_ratios_are_made_round_by_round() -> None:
    """A slow moment that met both sides of a round does not count."""
    row = Row("start", "start", "s", (1.0, 10.0), (2.0, 20.0))
    assert row.ratios == (0.5, 0.5)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal(2.0, "ratio"), True),
        (Goal(1.9, "ratio"), False),
        (Goal(2.0), True),
        (Goal(1.9), False),
        (Goal(2.0, "worst"), False),
        (Goal(9.0, "worst"), True),
        (None, None),
    ],
)
def test_a_goal_holds_for_the_median_or_for_the_worst_round(goal: Goal | None, met: bool | None) -> None:
    """What is bounded is the ratio to the floor or the figure; `worst` allows no round to exceed it."""
    assert herd(1.0, 2.0, 9.0, goal=goal).met is met


def test_a_goal_without_a_floor_is_neither_met_nor_missed() -> None:
    """A ratio that cannot be made proves nothing."""
    assert Row("herd", "", "s", (1.0,), goal=Goal(1.0, "ratio")).met is None


def test_a_row_that_is_measured_again_takes_the_place_of_the_former_one() -> None:
    """Rows are the same when key and size are; others stay, in their order."""
    other = Row("own", "", "µs", (1.0,))
    assert merged([herd(1.0), other], [herd(2.0)]) == (herd(2.0), other)


# -- reading the service's log


def test_the_record_of_a_run_tells_how_late_it_was() -> None:
    """Lateness is the start less the time at which it was due."""
    assert ran(RECORD).late == 0.012
    assert moment(RECORD) == datetime(2026, 11, 22, 1, 0, 0, 513_000, UTC).timestamp(), "its millisecond is over"


def test_a_line_that_is_not_whole_yet_is_read_when_it_is(tmp_path: Path) -> None:
    """The end of the file may be in the middle of a line."""
    path = tmp_path / "log"
    log = Log(path)
    assert log.lines() == []
    path.write_text(f"{RECORD}\n{RECORD[:40]}")
    assert log.lines() == [RECORD]
    path.write_text(f"{RECORD}\n{RECORD}\n")
    assert log.lines() == [RECORD]


def test_reading_that_takes_too_long_is_tried_again_with_more_time() -> None:
    """Jobs that were due before they had been read are no measurement."""
    slacks = []

    def attempt(slack: float) -> str:
        slacks.append(slack)
        if len(slacks) == 1:
            fleet.await_second(time.time())
        return "measured"

    assert fleet.patiently(attempt) == "measured"
    assert slacks == [1.0, 3.0]


def test_what_the_kernel_tells_of_a_process() -> None:
    """Processor time, memory, threads and descriptors of this very process are plausible."""
    before = processes.processor_time(os.getpid())
    sum(number for number in range(3_000_000))
    assert before < processes.processor_time(os.getpid()) < time.process_time() + 1
    assert 1 << 20 < processes.memory(os.getpid()) < 1 << 34
    assert processes.threads(os.getpid()) >= 1
    assert processes.descriptors(os.getpid()) >= 3


# -- charts


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0123456, "0.0123"), (2.5, "2.5"), (1234.6, "1,235"), (10_000, "10,000")]
)
def test_a_figure_has_three_digits_that_count(value: float, text: str) -> None:
    """More would pretend to be exact."""
    assert chart.figure(value) == text


def drawn(svg: str, tag: str) -> list[dict[str, str]]:
    """The elements of a drawing."""
    return [part.attrib for part in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}" + tag)]


def test_bars_are_as_long_as_their_figures() -> None:
    """Twice as much is twice as long, and everything stays on the sheet."""
    svg = chart.bars("last start", {"floor": Spread.of([1.0]), "<others>": Spread.of([2.0, 1.5, 4.0])}, "s")
    first, second = (float(bar["width"]) for bar in drawn(svg, "rect"))
    assert second == pytest.approx(2 * first, abs=0.2)
    assert max(float(line["x2"]) for line in drawn(svg, "line")) < chart.WIDTH
    assert "&lt;others&gt;" in svg


def test_what_grows_in_proportion_is_a_straight_line_on_logarithmic_axes() -> None:
    """The distance from a thousand to ten thousand is that from ten thousand to a hundred thousand, both ways."""
    svg = chart.growth("growth", {"memory": [(1e3, 1), (1e4, 10), (1e5, 100)]}, "jobs", "times")
    points = [tuple(map(float, pair.split(","))) for pair in drawn(svg, "polyline")[1]["points"].split()]
    (x1, y1), (x2, y2), (x3, y3) = points
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)


def test_a_chart_can_be_read_on_dark_ground() -> None:
    """Its words have another colour where dark is wanted."""
    assert "prefers-color-scheme: dark" in chart.bars("a", {"b": Spread.of([1.0])}, "s")


# -- the document


def test_results_are_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    """The document is made of the file alone."""
    results = Results((herd(1.5, goal=Goal(2.0)),), {"kernel": "Linux"}, {"cron": "3"}, (1.0, 2.0))
    save(results, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == results


def test_the_document_shows_figures_floors_goals_and_peers(tmp_path: Path) -> None:
    """One line a row; what was not measured is not there."""
    results = Results((herd(1.5, 1.5, 2.0, goal=Goal(1.25, "ratio")),), {"kernel": "Linux 6"}, {}, (10.0, 30.0))
    write(results, tmp_path / "BENCHMARKS.md")
    text = (tmp_path / "BENCHMARKS.md").read_text()
    assert "| 1,000 jobs | 1.5 (1.5-2) s | 1 s | 1.5 (1.5-2) | ≤ 1.25 x floor | **no** |" in text
    assert "| plain APScheduler | 3 | 3 |" in text
    assert "- kernel: Linux 6\n- rounds: 3\n- measured: 2026-11-22\n" in text
    assert "**not quiet**" in text
    assert "## Soak" not in text
    assert "## Growth" not in text
    assert "![Last start of 1,000 jobs](benchmarks/herd-1000.svg)" in text
    assert (tmp_path / "benchmarks" / "herd-1000.svg").exists()


def test_a_row_of_another_commit_is_named(tmp_path: Path) -> None:
    """Nobody is to take figures of an earlier service for those of this one."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    rows = [Row(key, key, "s", (1.0,)).stamped(now, "1234567") for key in ("start", "idle")]
    rows.append(Row("own", "own time", "s", (1.0,)).stamped(now, "abcdef0"))
    write(Results(tuple(rows)), tmp_path / "BENCHMARKS.md")
    assert "- code: 1234567; but abcdef0 for “own time”\n" in (tmp_path / "BENCHMARKS.md").read_text()


def test_a_row_that_was_measured_by_itself_says_where(tmp_path: Path) -> None:
    """It may be of another machine, or of an hour that was not quiet; the other figures keep theirs."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    apart = Row("own", "own time", "s", (1.0,)).stamped(now, "abcdef0", "`own` on another; the loop took 60 to 90 ms")
    with_others = Row("start", "start", "s", (1.0,)).stamped(now, "1234567")
    write(Results((with_others, apart), {"processor": "a fast one"}), tmp_path / "BENCHMARKS.md")
    text = (tmp_path / "BENCHMARKS.md").read_text()
    assert "- processor: a fast one\n- code: 1234567\n- ¹ measured by itself: `own` on another; the loop" in text
    assert "60 to 90 ms (abcdef0)\n" in text
    assert "| own time ¹ | 1 s |" in text


def test_every_picture_in_the_document_is_there(tmp_path: Path) -> None:
    """With everything measured there are charts of herds, growth and the soak."""
    soak = {name: [1.0, 2.0] for name in ("minutes", "memory", "threads", "descriptors", "processor", "runs")}
    sizes = (1_000, 10_000, 100_000)
    starts = tuple(Row("start", "start", "s", (size / 1e3,), size=size) for size in sizes)
    write(Results((herd(1.0), *starts), soak=soak), tmp_path / "BENCHMARKS.md")
    charts = {path.name for path in (tmp_path / "benchmarks").glob("*.svg")}
    assert charts == {"herd-1000.svg", "growth.svg", "soak.svg"}
    text = (tmp_path / "BENCHMARKS.md").read_text()
    assert all(f"(benchmarks/{name})" in text for name in charts)


@pytest.mark.parametrize(("last", "growing"), [(100.0, set()), (110.0, {"memory"})])
def test_a_soak_compares_the_last_quarter_with_the_second(last: float, growing: set[str]) -> None:
    """What a service needs for warming up does not count; what still grows at the end does."""
    memory = [50.0] * 10 + [100.0] * 20 + [last] * 10
    assert grown({"memory": memory, "threads": [9.0] * 40, "descriptors": [20.0] * 40}).keys() == growing


def test_a_soak_reports_why_slots_were_not_run(tmp_path: Path) -> None:
    """Of those after its beginning; the directory with the log is removed before the question."""
    for name, second, words in (
        ("scheduler.log.1", 1, "SKIPPED job_id=a reason=overlap"),
        ("scheduler.log.1", 3, "SKIPPED job_id=b reason=overlap"),
        ("scheduler.log", 4, "FAILURE job_id=c exit_code=1 reason=exit_code"),
        ("scheduler.log", 5, "SUCCESS job_id=d"),
    ):
        with (tmp_path / name).open("a") as file:
            file.write(f"2026-11-22T01:00:0{second}.000Z {words}\n")
    since = datetime(2026, 11, 22, 1, 0, 2, tzinfo=UTC).timestamp()
    assert outcomes(tmp_path, since) == {"FAILURE reason=exit_code": 1, "SKIPPED reason=overlap": 1, "SUCCESS": 1}


def test_a_soak_is_not_misled_by_runs_that_are_at_work() -> None:
    """Each has descriptors of its own; what is left when none is at work must not grow."""
    busy = [13.0, 14.0, 15.0, 13.0] * 5 + [14.0, 14.0, 15.0, 13.0] * 5
    flat = {"memory": [30.0] * 40, "threads": [9.0] * 40}
    assert not grown({**flat, "descriptors": busy})
    assert grown({**flat, "descriptors": [*busy[:30], *(one + 1 for one in busy[30:])]}).keys() == {"descriptors"}


# -- the measurements


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks as `make bench` does."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_is_measured_knows_nothing_of_the_callers_own_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its database would bring its real jobs with it."""
    monkeypatch.setenv("JOBSCHEDULER_DATABASE_URL", "sqlite:///real.db")
    assert not [name for name in processes.environment() if name.startswith("JOBSCHEDULER")]


def test_a_slot_without_any_record_is_counted() -> None:
    """Between the first and the last one of its job."""
    slots = [("a", 1.0), ("a", 2.0), ("a", 4.0), ("b", 3.0), ("b", 7.0)]
    assert gaps([Ran(job_id, slot, slot) for job_id, slot in slots]) == 1 + 3


def test_a_peer_that_fails_once_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its figures would be compared with the floors of other rounds."""
    tries = iter([(0.0, 2.0), TimeoutError("too slow"), (0.0, 2.0)])

    def limps(*_: object) -> tuple[float, float]:
        got = next(tries)
        if isinstance(got, Exception):
            raise got
        return got

    everybody = {"ours": lambda *_: (0.0, 1.5), "floor": lambda *_: (0.0, 1.0), "limping": limps}
    monkeypatch.setattr(herd_of, "candidates", lambda plan, size: everybody)
    rows = herd_of.of_size(Plan(rounds=3), 10)
    assert [(row.ours, row.peers) for row in rows if row.key == "herd"] == [((1.5, 1.5, 1.5), {})]


def test_a_harness_that_gets_a_signal_to_end_leaves_nothing_behind(tmp_path: Path) -> None:
    """No service that goes on with its jobs, and no files."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1", "--no-peers", "punctual"]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=PIPE) as harness:
        wait_until(lambda: list(tmp_path.glob("bench-*/scheduler.log")))
        harness.terminate()
        assert harness.wait(30) == 128 + signal.SIGTERM
        assert harness.stderr is not None
        assert b"Traceback" not in harness.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_does_not_start_is_reported_at_once(tmp_path: Path) -> None:
    """With its exit status, and what to run to see why."""
    with (
        pytest.raises(ChildProcessError, match=r"status 2; to see why: .*main\.py serve"),
        service(tmp_path, "--nonsense"),
    ):
        pass


def test_a_name_without_a_measurement_is_refused() -> None:
    """The message names those that there are."""
    done = bench("hurd")
    assert done.returncode == 2
    assert "hurd" in done.stderr
    assert all(name in done.stderr for name in MEASURES)


@pytest.mark.deep
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MEASURES)
def test_each_measurement_gives_its_rows(tmp_path: Path, name: str) -> None:
    """As small as can be, without peers: every row has a figure a round, and the document is written."""
    results, document = tmp_path / "benchmarks" / "results.json", tmp_path / "BENCHMARKS.md"
    files = ("--save", "--results", str(results), "--document", str(document))
    done = bench("--tiny", "--rounds", "2", "--no-peers", *files, name)
    assert done.returncode == 0, done.stderr
    rows = load(results).rows
    assert {key for key, _ in ORDER} >= {row.key for row in rows}
    assert all(len(row.ours) == 2 for row in rows)
    assert len(done.stdout.splitlines()) == len(rows)
    assert document.exists()


def test_every_note_on_limits_is_about_a_row_of_the_table() -> None:
    """A note on a row that does not exist would never be shown."""
    keys = tomllib.loads(NOTES.read_text())["limits"].keys()
    assert keys
    assert keys <= {key for key, _ in ORDER}
