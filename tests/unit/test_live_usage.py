"""What a command uses while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobscheduler.control.live_runs import live_runs
from jobscheduler.model import KeptOutput
from jobscheduler.tasks.command import live_usage as module
from jobscheduler.tasks.command.live_usage import live_usage


def test_a_process_counts_with_its_descendants() -> None:
    """The shell of a script uses next to nothing itself."""
    child = "import sys; data = b'x' * 50_000_000; print(flush=True); sys.stdin.read()"
    words = ["sh", "-c", '"$0" -c "$1"; exit 0', sys.executable, child]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        usage = live_usage(shell.pid)
        shell.communicate()
    assert usage is not None
    assert usage.memory > 50_000_000
    assert usage.cpu >= 0.0


def test_a_process_that_has_ended_uses_nothing() -> None:
    """And is no error."""
    with subprocess.Popen(["true"]) as done:
        pass
    assert live_usage(done.pid) is None


def test_so_many_processes_are_looked_at_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many a run has started."""
    stat = b"1 (a b) c) S " + b" ".join(b"%d" % number for number in range(1, 40))
    read: list[str] = []

    def fake(path: str) -> bytes:
        read.append(path)
        return stat if path.endswith("stat") else b"7 8 9"

    monkeypatch.setattr(module, "_read", fake)
    assert live_usage(1) is not None
    assert len(read) == 2 * module.MAX_PROCESSES


def test_runs_at_work_tell_their_last_line() -> None:
    """Those that have ended, or print nothing, tell none."""

    def run(text: bytes, **fields: Any) -> Any:
        output = SimpleNamespace(kept=KeptOutput(text, b"", len(text))) if text else None
        attempt = SimpleNamespace(live_output=lambda: output)
        return SimpleNamespace(record=None, running_attempt=attempt, pid=None, **fields)

    runs = {"a": run(b"one\ntwo\n\n"), "b": run(b""), "c": SimpleNamespace(record=1)}
    found = live_runs(["a", "b", "c", "d"], cast("Any", runs.get))
    assert {run_id: live.last_line for run_id, live in found.items()} == {"a": "two", "b": None}


def test_the_use_of_this_very_process_is_plausible() -> None:
    """In seconds and bytes."""
    usage, times = live_usage(os.getpid()), os.times()
    assert usage is not None
    assert 0 < usage.cpu < times.user + times.system + times.children_user + times.children_system + 60
    assert usage.memory > 1_000_000
