"""What runs print, with a real service: followed while it comes, kept across crashes, and never in the way of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, Service, job, wait_until

MAIN = [sys.executable, str(ROOT / "main.py")]


def command(service: Service, *words: str) -> list[str]:
    """The command line of a user."""
    return [*MAIN, *words, "--socket", str(service.socket), "--log-file", str(service.log)]


def ask(service: Service, *words: str, constants: dict[str, float] | None = None) -> subprocess.CompletedProcess[str]:
    """Ask for output as a user would."""
    env = {**os.environ, "TZ": "UTC"}
    return run_program(command(service, "output", *words), env=env, text=True, timeout=60, constants=constants)


def objects(service: Service, *words: str) -> list[dict[str, Any]]:
    """Ask for output with `--json`."""
    return [json.loads(line) for line in ask(service, *words, "--json").stdout.splitlines()]


def run(service: Service, job_id: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a job by hand."""
    words = ("run", job_id, *words, "--socket", str(service.socket))
    return run_program([*MAIN, *words], env={**os.environ}, text=True, timeout=60)


def printing(base: Path, lines: int) -> str:
    """A command that prints a line and waits for a file, so many times."""
    steps = (f"echo line {n}; until [ -e {base}/go{n} ]; do sleep 0.02; done;" for n in range(1, lines + 1))
    return "".join(steps) + " echo end"


def files(service: Service) -> list[str]:
    """All files of outputs."""
    return sorted(file.name for file in (service.log.parent / "output").glob("*/*"))


def is_run_file(name: str, job_id: str) -> bool:
    """Whether a file has the output of a run at work; it has another name until it is complete."""
    return name.startswith(f"{job_id}@") and name.endswith(".txt")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the service."""
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def service(base: Path) -> Iterator[Service]:
    """A service with jobs that print."""
    made = Service(base)
    made.write("steps.json", job("steps", "@yearly", printing(base, 3)))
    made.write("again.json", job("again", "@yearly", f"echo try $JOB_ATTEMPT; [ -e {base}/good ]", retry=RETRY))
    made.write("fails.json", job("fails", "@yearly", "echo why; exit 3"))
    made.write("mute.json", job("mute", "@yearly", "true"))
    made.write("flood.json", job("flood", "@yearly", f"yes & until [ -e {base}/dry ]; do sleep 0.02; done; kill $!"))
    made.write("bytes.json", job("bytes", "@yearly", r"printf '\033[31mred\033[0m \033[2J \377 end'"))
    made.start()
    yield made
    made.stop(signal.SIGTERM)


RETRY = {"attempts": 2, "delay": 0.1}


def test_a_running_job_is_followed_to_its_end(service: Service, base: Path) -> None:
    """Each line comes before the next one is printed; then the result."""
    assert run(service, "steps").returncode == 0
    with subprocess.Popen(
        command(service, "output", "steps", "-f"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        for number in range(1, 4):
            assert following.stdout.readline() == f"line {number}\n"
            (base / f"go{number}").touch()
        rest, about = following.communicate(timeout=30)
    assert (rest, following.returncode) == ("end\n", 0)
    assert "== steps, run " in about
    assert "SUCCESS after" in about


def test_all_attempts_are_kept_and_shown(service: Service) -> None:
    """Each by itself, with how the run ended."""
    assert run(service, "again").returncode == 0
    service.wait_for("FAILURE", job_id="again")
    shown = ask(service, "again")
    assert shown.stdout == "try 1\ntry 2\n"
    assert [line[:6] for line in shown.stderr.splitlines()] == ["== aga", "== aga", "FAILUR"]
    assert [(one["attempt"], one["output"], one["missing"]) for one in objects(service, "again")] == [
        (1, "try 1\n", 0),
        (2, "try 2\n", 0),
    ]


def test_a_run_is_followed_across_its_attempts(service: Service) -> None:
    """`run --wait` shows what all of them print, in order."""
    waited = run(service, "again", "--wait")
    assert (waited.stdout, waited.returncode) == ("try 1\ntry 2\n", 1)
    assert "reason=exit exit_code=1" in waited.stderr


def test_the_last_failure_is_shown_of_a_job_or_of_all(service: Service) -> None:
    """Without its run id."""
    assert run(service, "fails", "--wait").returncode == 1
    assert (ask(service, "--failed").stdout, ask(service, "fails", "--failed").stdout) == ("why\n", "why\n")
    none = ask(service, "mute", "--failed")
    assert (none.returncode, "`mute` has not failed" in none.stderr) == (1, True)


def test_a_run_is_found_by_its_id(service: Service) -> None:
    """A former one, too."""
    run(service, "fails", "--wait")
    record = service.words("FAILURE", job_id="fails")[-1]
    wait_until(lambda: "fails.txt" in files(service))
    assert objects(service, record["run_id"])[0]["output"] == "why\n"
    unknown = ask(service, "0123456789ab")
    assert (unknown.returncode, "there is no job or run `0123456789ab`" in unknown.stderr) == (1, True)
    assert "did you mean `steps`?" in ask(service, "stepz").stderr


def test_a_run_that_prints_nothing_has_no_file(service: Service) -> None:
    """And that is said."""
    assert run(service, "mute", "--wait").returncode == 0
    shown = ask(service, "mute")
    assert (shown.returncode, shown.stdout) == (0, "")
    assert "nothing is kept of an output" in shown.stderr
    assert not [name for name in files(service) if name.startswith("mute")]


def test_nothing_in_an_output_is_obeyed_by_a_terminal(service: Service) -> None:
    """A pipe gets it without colours; `--raw` gives the bytes."""
    waited = run(service, "bytes", "--wait")
    assert waited.stdout == "red \\x1b[2J \\xff end\n"
    assert ask(service, "bytes").stdout == waited.stdout
    raw = subprocess.run(command(service, "output", "bytes", "--raw"), capture_output=True, check=True, timeout=30)
    assert raw.stdout == b"\x1b[31mred\x1b[0m \x1b[2J \xff end"


def test_a_flood_is_followed_in_bounded_memory_and_disk(service: Service, base: Path) -> None:
    """What a reader is too slow for is counted."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status")
    assert run(service, "flood").returncode == 0
    wait_until(lambda: any(is_run_file(name, "flood") for name in files(service)))
    before = _memory(status)
    with subprocess.Popen(
        command(service, "output", "flood", "-f"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as following:
        assert following.stdout is not None
        assert following.stdout.read(100_000).startswith(b"y\ny\n")
        wait_until(
            lambda: objects(service, "flood")[-1]["total"] > 5_000_000, why="it printed more than a reader takes"
        )
        assert _memory(status) - before < 20 * 1024
        (base / "dry").touch()
        rest, about = following.communicate(timeout=30)
    assert b"bytes left out ...]" in about
    assert b"left out" not in rest
    service.wait_for("SUCCESS", job_id="flood")
    (attempt,) = objects(service, "flood")
    assert attempt["missing"] > 1_000_000
    assert attempt["total"] - attempt["missing"] <= 64 * 1024
    assert max(file.stat().st_size for file in (base / "output").glob("*/flood*")) < 66_000


def _memory(status: Path) -> int:
    """The resident memory of a process, in KiB."""
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "needs JOB|RUN"),
        (("steps", "-f", "--failed"), "is about a former run"),
        (("steps", "--raw", "--json"), "exclude each other"),
    ],
)
def test_wrong_usage_is_said(service: Service, words: tuple[str, ...], message: str) -> None:
    """With the way out."""
    wrong = ask(service, *words)
    assert (wrong.returncode, message in wrong.stderr, "help: " in wrong.stderr) == (2, True, True)


def following(service: Service, *words: str) -> subprocess.Popen[str]:
    """A process that follows a run; its lines can be read as they come."""
    env = {**os.environ, "TZ": "UTC"}
    return subprocess.Popen(
        [*MAIN, *words, "--socket", str(service.socket)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )


def test_runs_are_followed_over_a_restart(tmp_path: Path) -> None:
    """The next service shows what a run has printed last, and how it ended."""
    service = Service(tmp_path, "--drain-timeout", "0")
    for job_id in ("seen", "waited", "asked"):
        last_words = "exec 2>/dev/null; trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.02; done"
        service.write(f"{job_id}.json", job(job_id, "@yearly", last_words))
    service.start()
    run(service, "seen")
    followers = [
        following(service, "output", "seen", "-f"),
        following(service, "run", "waited", "--wait"),
        following(service, "run", "asked", "--wait", "--json"),
    ]
    for follower in followers[:2]:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "hello\n"
    service.wait_for("run.started", 3)
    assert service.stop() == 0
    service.start()
    (seen, about), (waited, of_waited), (asked, _) = (follower.communicate(timeout=30) for follower in followers)

    assert (seen, waited) == ("bye\n", "bye\n")
    assert json.loads(asked)["record"]["reason"] == "shutdown"
    for told in (about, of_waited):
        notes = [line for line in told.splitlines()[:-1] if not line.startswith("== ")]
        # the first service may have said the end itself, in its last moment
        assert notes in ([], ["the service has ended; waiting up to 15 s for it to come back"])
        assert "FAILURE after " in told.splitlines()[-1]
        assert "reason=shutdown" in told.splitlines()[-1]
    assert [follower.returncode for follower in followers] == [0, 1, 1]
    assert ask(service, "seen").stdout == "hello\nbye\n"
    assert service.stop() == 0


@pytest.mark.deep
def test_a_minute_of_printing_is_followed_whole_and_in_bounded_memory(tmp_path: Path) -> None:
    """Every line is shown once and in order, also those that are not kept any more at the end."""
    service = Service(tmp_path)
    line = "print(n, 'x' * 90, flush=True)"
    code = f"import time\nfor n in range(6000):\n    {line}\n    time.sleep(0.01)"
    service.write("long.json", job("long", "@yearly", [sys.executable, "-c", code]))
    service.start()
    run(service, "long")
    assert service.process is not None
    with following(service, "output", "long", "-f") as follower:
        assert follower.stdout is not None
        processes = [Path(f"/proc/{pid}/status") for pid in (service.process.pid, follower.pid)]
        shown = [follower.stdout.readline() for _ in range(500)]
        before = [_memory(status) for status in processes]
        shown += [follower.stdout.readline() for _ in range(5400)]
        growth = [_memory(status) - former for status, former in zip(processes, before, strict=True)]
        shown += follower.stdout.readlines()
        assert follower.stderr is not None
        about = follower.stderr.read()
    assert shown == [f"{n} {'x' * 90}\n" for n in range(6000)]
    assert max(growth) < 2 * 1024
    assert "SUCCESS after 1m" in about
    (attempt,) = objects(service, "long")
    assert (attempt["total"], attempt["total"] - attempt["missing"] <= 64 * 1024) == (sum(map(len, shown)), True)
    assert service.stop() == 0


def test_output_survives_kill_9_and_is_read_without_a_service(tmp_path: Path) -> None:
    """That of ended runs, and what a run had printed in whose middle it came; the next service shows it, too."""
    service = Service(tmp_path)
    service.write("done.json", job("done", "@yearly", "echo finished"))
    service.write("cut.json", job("cut", "@yearly", "echo half way; sleep 600"))
    service.start()
    assert run(service, "done", "--wait").returncode == 0
    assert run(service, "cut").returncode == 0
    wait_until(lambda: any(is_run_file(name, "cut") for name in files(service)) and "done.txt" in files(service))
    service.close()

    (cut,) = service.words("run.started", job_id="cut")
    assert ask(service, "done").stdout == "finished\n"
    alone = ask(service, cut["run_id"])
    assert alone.stdout == "half way\n"
    assert "its end is not known" in alone.stderr
    assert ask(service, "done", "-f").returncode == 3

    service.start()
    service.wait_for("FAILURE", job_id="cut", reason="interrupted")
    assert (ask(service, "cut").stdout, ask(service, "done").stdout) == ("half way\n", "finished\n")
    assert service.stop() == 0
