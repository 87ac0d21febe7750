"""What the control socket says about outputs: which run, which part, and what a client may cost."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobscheduler.control import output_api
from jobscheduler.control.logged_runs import LoggedRuns, place_of
from jobscheduler.control.output_api import MAX_FOLLOWERS_OF_USER, MAX_PART_BYTES, OutputService
from jobscheduler.control.outputs import StoredOutputs
from jobscheduler.control.requested_runs import RequestedRuns
from jobscheduler.control.run_finder import RunFinder
from jobscheduler.model import AttemptOutput, Record, Status
from jobscheduler.output import OutputReader, OutputThread, RecentOutputs, RunPlace
from jobscheduler.output.retention import OutputLimits
from jobscheduler.runlog.filter import LogLine
from jobscheduler.status.run_stats import RunStats
from jobscheduler.status.snapshot import Conflict, NotFound
from jobscheduler.tasks.command.output_buffer import HeadTailBuffer
from jobscheduler.util.hang_guard import CallHung
from tests.support.service import wait_until

AT = datetime(2026, 11, 30, 1, 0, tzinfo=UTC)
RUN = "5f3c2a9d0b1e"


class FakeAttempt:
    """An attempt that runs, and what it has printed."""

    def __init__(self, run: FakeRun, number: int) -> None:
        self.run, self.number = run, number
        self.buffer = HeadTailBuffer()

    @property
    def printed(self) -> int:
        return self.buffer.total

    def live_output(self) -> AttemptOutput:
        return AttemptOutput(RUN, self.number, AT, None, self.buffer.kept(), "a", AT)


class FakeRun:
    """A run, as far as outputs are concerned."""

    def __init__(self, recent: RecentOutputs) -> None:
        self.run_id, self.job, self.started_at = RUN, SimpleNamespace(id="a"), AT
        self.record: Record | None = None
        self.is_cancelled = self.waits_for_attempt = False
        self.attempts = 0
        self.running_attempt: FakeAttempt | None = None
        self._recent = recent

    def begin(self) -> HeadTailBuffer:
        """Begin the next attempt; return what it prints to."""
        self.attempts += 1
        self.waits_for_attempt = False
        self.running_attempt = FakeAttempt(self, self.attempts)
        return self.running_attempt.buffer

    def fail(self) -> None:
        """End the attempt; another one follows."""
        assert self.running_attempt is not None
        if self.running_attempt.printed:
            self._recent.keep(self.running_attempt.live_output())
        self.running_attempt, self.waits_for_attempt = None, True

    def end(self) -> None:
        """End the run."""
        self.fail()
        self.waits_for_attempt = False
        self.record = Record(AT, Status.SUCCESS, "a", RUN, None, AT, 1.0)


class World:
    """The answers about one run of the job `a`."""

    def __init__(self, **of_files: Any) -> None:
        self.recent = RecentOutputs()
        self.run = FakeRun(self.recent)
        runtime = SimpleNamespace(active_runs=[SimpleNamespace(run_id=RUN, started=AT)])
        scheduler = SimpleNamespace(runtimes=lambda ids: [runtime] if self.run.record is None and ids == ["a"] else [])
        requested = RequestedRuns(cast("Any", lambda run_id: self.run if run_id == RUN else None))
        self.lines: list[LogLine] = []
        logged = SimpleNamespace(last_run=lambda job_id, failed: None, lines_of=lambda run_id: self.lines)
        stored = StoredOutputs(self.recent, of_files.get("reader"), of_files.get("ask", lambda question: question()))
        self.results = RunStats()
        finder = RunFinder(cast("Any", scheduler), self.results, requested, cast("LoggedRuns", logged), stored)
        self.service = OutputService(finder, stored, lambda: ["a", "mute"])

    def part(self, attempt: int = 1, offset: int = 0, wait: float = 0.0, by: str = "0") -> dict[str, Any]:
        """Ask for a part of the output."""
        return dict(self.service.part(RUN, attempt, offset, wait, by))

    def follow(self, attempt: int = 1) -> list[tuple[int, str]]:
        """Follow the output as it is now: each part with its attempt."""
        found, offset = [], 0
        while True:
            part = self.part(attempt, offset)
            if part["text"]:
                found.append((attempt, part["text"]))
            elif part["next_attempt"] is None:
                return found
            attempt, offset = (part["next_attempt"], 0) if part["next_attempt"] else (attempt, part["next"])


@pytest.fixture
def world() -> World:
    """A run that has not begun."""
    return World()


def test_a_client_gets_what_comes_and_waits_for_more(world: World) -> None:
    """Attempt after attempt, until the run has ended."""
    output = world.run.begin()
    assert (world.part()["text"], world.part()["is_over"], world.part()["state"]) == ("", False, "running")
    output.add(b"one\n")
    assert (world.part()["text"], world.part()["next"]) == ("one\n", 4)
    world.run.fail()
    assert world.follow() == [(1, "one\n")]
    assert (world.part(1, 4)["is_over"], world.part(1, 4)["next_attempt"], world.part()["state"]) == (
        False,
        None,
        "retrying",
    )
    world.run.begin().add(b"two\n")
    assert world.follow() == [(1, "one\n"), (2, "two\n")]
    world.run.end()
    last = world.part(2, 4)
    assert (last["is_over"], last["record"]["status"], last["state"]) == (True, "SUCCESS", "ended")
    assert world.follow() == [(1, "one\n"), (2, "two\n")]


def test_an_attempt_that_printed_nothing_is_stepped_over(world: World) -> None:
    """While the run goes on, and after its end."""
    world.run.begin()
    world.run.fail()
    world.run.begin().add(b"two\n")
    assert world.follow() == [(2, "two\n")]
    world.run.end()
    assert world.follow() == [(2, "two\n")]


def test_one_answer_is_bounded_and_cuts_no_character(world: World) -> None:
    """A character that has come in half waits for its rest; a byte that is none is kept."""
    output = world.run.begin()
    output.add("€".encode() * 10_000)
    part = world.part()
    assert 0 < len(part["text"].encode()) <= MAX_PART_BYTES
    assert set(part["text"]) == {"€"}
    assert "".join(text for _, text in world.follow()) == "€" * 10_000
    output.add(b"\xe2\x82")
    assert world.part(1, 30_000)["text"] == ""
    output.add(b"\xac\xff")
    assert world.part(1, 30_000)["text"] == "€"
    world.run.end()
    assert world.part(1, 30_003)["text"].encode("utf-8", "surrogateescape") == b"\xff"


def test_what_a_slow_client_misses_is_counted(world: World) -> None:
    """The service keeps no more for it than for other clients."""
    output = world.run.begin()
    output.add(b"y" * 1000)
    first = world.part()
    output.add(b"y" * 1_000_000)
    parts = [first]
    while parts[-1]["text"]:
        parts.append(world.part(1, parts[-1]["next"]))
    assert sum(len(part["text"]) + part["missing"] for part in parts) == 1_001_000
    assert sum(len(part["text"]) for part in parts) <= 64 * 1024


def test_a_request_ends_when_output_comes(world: World) -> None:
    """Long before the seconds that it would wait."""
    output = world.run.begin()
    found: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: found.append(world.part(wait=25)))
    waiting.start()
    output.add(b"at last\n")
    waiting.join(10)
    assert [part["text"] for part in found] == ["at last\n"]


def test_further_followers_of_one_user_do_not_wait(world: World) -> None:
    """Others still may."""
    world.run.begin()
    threads = [threading.Thread(target=world.part, kwargs={"wait": 25}) for _ in range(MAX_FOLLOWERS_OF_USER)]
    for thread in threads:
        thread.start()
    wait_until(lambda: world.service._followers._counts["0"] == MAX_FOLLOWERS_OF_USER)
    refused = threading.Thread(target=world.part, kwargs={"wait": 25})
    refused.start()
    refused.join(5)
    assert not refused.is_alive()
    other = threading.Thread(target=world.part, kwargs={"wait": 25, "by": "1000"})
    other.start()
    wait_until(lambda: world.service._followers._counts["1000"] == 1)
    world.run.end()
    for thread in (*threads, other):
        thread.join(10)
    assert not world.service._followers._counts


def test_a_run_is_described(world: World) -> None:
    """By its job or by its id; with what is missing of each attempt."""
    world.run.begin().add(b"x" * 100_000)
    world.run.fail()
    world.run.begin().add(b"two\n")
    described = world.service.output("a", failed=False)
    assert described == world.service.output(RUN, failed=False)
    assert (described["run_id"], described["state"], described["running_attempt"]) == (RUN, "running", 2)
    first, second = described["attempts"]
    assert (first["total"], first["missing"] > 30_000, first["is_running"]) == (100_000, True, False)
    assert (second["total"], second["missing"], second["is_running"]) == (4, 0, True)


@pytest.mark.parametrize(
    ("name", "failed", "message"),
    [
        ("mute", False, "`mute` has not run, as far back as the log goes"),
        ("mute", True, "`mute` has not failed, as far back as the log goes"),
        ("mu7e", False, "there is no job or run `mu7e`"),
        ("../x", False, "there is no job or run `../x`"),
        ("", True, "no run has failed, as far back as the log goes"),
    ],
)
def test_what_is_not_there_is_said(world: World, name: str, failed: bool, message: str) -> None:
    """With what helps."""
    with pytest.raises(NotFound, match=re.escape(message)) as none:
        world.service.output(name, failed=failed)
    assert none.value.problem.help


@pytest.mark.parametrize("reason", ["stopped", "replaced", "shutdown"])
def test_a_run_that_was_ended_on_purpose_is_not_the_last_failure(world: World, reason: str) -> None:
    """Its job did not fail; the run before it is looked for in the log."""
    world.results.observe(Record(AT, Status.FAILURE, "a", RUN, None, AT, 1.0, reason))
    with pytest.raises(NotFound, match="`a` has not failed"):
        world.service.output("a", failed=True)
    world.results.observe(Record(AT, Status.FAILURE, "a", RUN, None, AT, 1.0, "exit"))
    assert world.service.output("a", failed=True)["record"]["reason"] == "exit"


def test_a_directory_that_does_not_answer_is_said(tmp_path: Any) -> None:
    """The client is not left waiting; what memory has is shown."""

    def hung(question: Callable[[], Any]) -> Any:
        raise CallHung("the output directory `/x`")

    world = World(reader=OutputReader(tmp_path), ask=hung)
    world.lines = [
        LogLine({"word": "SUCCESS", "job_id": "a", "run_id": "0b1e", "started": "2026-11-30T01:00:00Z"}, b"{}")
    ]
    with pytest.raises(Conflict, match="does not answer"):
        world.service.output("0b1e", failed=False)
    with pytest.raises(Conflict, match="does not answer"):
        world.service.part("0b1e", 1, 0, 0.0, "0")
    world.run.begin().add(b"here\n")
    world.run.end()
    assert world.follow() == [(1, "here\n")]


def test_a_former_run_is_read_from_its_file(tmp_path: Any) -> None:
    """Found by its lines in the log, or by its id in the files alone."""
    world = World(reader=OutputReader(tmp_path / "output"))
    world.run.begin().add(b"one\n")
    world.run.end()
    world.recent.keep(AttemptOutput("0b1e", 1, AT, AT, world.recent.of(RUN)[0].kept, "gone", AT))
    OutputThread(tmp_path / "output", OutputLimits(), world.recent, lambda: (), lambda *_, **__: None).step(0.0)
    assert world.recent.of(RUN) == []
    assert world.follow() == [(1, "one\n")]
    assert world.service.output("0b1e", failed=False)["job_id"] == "gone"


def test_a_search_of_all_files_is_bounded(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that guesses ids cannot keep the service reading."""
    world = World(reader=OutputReader(tmp_path / "output"))
    world.recent.keep(AttemptOutput("0b1e", 1, AT, AT, HeadTailBuffer().kept(), "gone", AT))
    OutputThread(tmp_path / "output", OutputLimits(), world.recent, lambda: (), lambda *_, **__: None).step(0.0)
    monkeypatch.setattr("jobscheduler.control.outputs.SEARCH_S", -1.0)
    with pytest.raises(NotFound, match="no job or run"):
        world.service.output("0b1e", failed=False)


def test_the_place_of_an_output_is_the_day_on_which_its_run_began() -> None:
    """By its record, else by the line that announced it."""
    started = {"word": "run.started", "time": "2026-11-30T23:59:59.999Z", "job_id": "a", "run_id": RUN, "attempt": "1"}
    record = {"word": "FAILURE", "time": "2026-12-01T08:00:00.000Z", "job_id": "a", "run_id": RUN}
    began = {**record, "started": "2026-11-30T23:59:59.999Z"}
    lines = [[LogLine(pairs, b"") for pairs in found] for found in ([began], [record, started], [record], [])]
    place = RunPlace("a", RUN, "2026-11-30")
    assert [place_of(of_run) for of_run in lines] == [place, place, None, None]
    assert output_api.MAX_FOLLOWERS > MAX_FOLLOWERS_OF_USER
