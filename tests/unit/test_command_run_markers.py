"""Reading the markers of processes: bounded in bytes and in time, each process once."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from jobscheduler.tasks import search_issues
from jobscheduler.tasks.command import run_markers
from jobscheduler.tasks.command.processes import read_process
from jobscheduler.tasks.command.run_markers import (
    HEAD_BYTES,
    MAX_ENVIRONMENT_BYTES,
    MAX_HUNG,
    NO_MARKERS,
    READ_TIMEOUT_S,
    MarkerReader,
    Markers,
    matches,
    read_markers,
)
from tests.support.tasks import as_root, eventually

RUN_7 = Markers(frozenset({b"7"}), frozenset({b"1"}), os.getuid())


@contextmanager
def sleeper(environment: Mapping[str, str]) -> Iterator[int]:
    """Start a process with this environment and no other variable."""
    with subprocess.Popen(["/bin/sleep", "1000"], env=environment) as process:
        try:
            eventually(lambda: read_markers(process.pid) is not None)
            yield process.pid
        finally:
            process.kill()


def test_markers_at_the_head_of_a_long_environment_are_read() -> None:
    with sleeper({"JOB_RUN_ID": "7", "JOB_ATTEMPT": "1", **{f"V{n}": "x" * 100_000 for n in range(10)}}) as pid:
        assert read_markers(pid, HEAD_BYTES) == RUN_7


def test_no_more_bytes_are_read_than_requested() -> None:
    with sleeper({"V": "x" * HEAD_BYTES, "JOB_RUN_ID": "7", "JOB_ATTEMPT": "1"}) as pid:
        found = read_markers(pid, HEAD_BYTES)
        assert found == NO_MARKERS
        assert found is not NO_MARKERS, "it has to be known that there is more"
        assert read_markers(pid, MAX_ENVIRONMENT_BYTES) == RUN_7


def test_a_truncated_marker_does_not_count() -> None:
    """Its rest might make it the marker of another attempt."""
    rest = HEAD_BYTES - len("JOB_RUN_ID=7\0") - len("V=\0") - len("JOB_ATTEMPT=1")
    with sleeper({"JOB_RUN_ID": "7", "V": "x" * rest, "JOB_ATTEMPT": "12"}) as pid:
        found = read_markers(pid, HEAD_BYTES)
        assert found is not None
        assert matches(found, {b"7"})
        assert not matches(found, {b"7"}, 1)


@as_root
def test_a_marker_counts_by_the_real_user_of_its_process(mallory) -> None:
    """A setuid program belongs to the user who started it, also while it is root."""
    variables = {"JOB_RUN_ID": "7", "JOB_ATTEMPT": "1", "PATH": "/usr/bin:/bin"}
    command = ["setpriv", f"--ruid={mallory.uid}", "--euid=0", "--keep-groups", "/bin/sleep", "1000"]
    with subprocess.Popen(command, env=variables) as process:
        try:
            eventually(lambda: (found := read_process(process.pid)) and found.name == "sleep")
            eventually(lambda: read_markers(process.pid) is not None)
            assert read_markers(process.pid) == RUN_7._replace(uid=mallory.uid)
        finally:
            process.kill()


def test_a_marker_behind_many_variables_is_found() -> None:
    """A shell may reorder its variables."""
    reader = MarkerReader()
    with sleeper({"V": "x" * 3 * HEAD_BYTES, "JOB_RUN_ID": "7", "JOB_ATTEMPT": "1"}) as pid:
        process = read_process(pid)
        assert process is not None
        reader.known(process.identity)
        assert reader.wait(10)
        assert reader.known(process.identity) == RUN_7


def test_long_environments_take_a_small_share_of_the_time(monkeypatch) -> None:
    """When a user has thousands of them, only their heads are read."""
    monkeypatch.setattr(run_markers, "_BURST_S", 0.05)
    whole = []

    def read(pid: int, size: int) -> run_markers.Markers:
        if size == MAX_ENVIRONMENT_BYTES:
            whole.append(pid)
            time.sleep(0.01)
        return run_markers._TRUNCATED

    reader = MarkerReader(read)
    for pid in range(500):
        reader.known((pid, 1))
    assert reader.wait(20)
    assert 0 < len(whole) < 50


def test_each_process_is_read_once() -> None:
    """Also one without a marker."""
    read = []
    reader = MarkerReader(lambda pid, size: read.append((pid, size)) or NO_MARKERS)
    for _ in range(3):
        reader.known((1, 1))
        reader.known((2, 1))
        assert reader.wait(10)
    assert read == [(1, HEAD_BYTES), (2, HEAD_BYTES)]


def test_an_environment_that_is_still_empty_is_read_again(monkeypatch) -> None:
    """A process has none for a moment while it starts. One that stays empty is read no more."""
    answers = iter([None, None, RUN_7])
    starting, empty = MarkerReader(lambda _pid, _most: next(answers)), MarkerReader(lambda _pid, _most: None)
    monkeypatch.setattr(run_markers, "_START_WINDOW_S", 60.0)
    eventually(lambda: starting.known((1, 1)) == RUN_7)
    monkeypatch.setattr(run_markers, "_START_WINDOW_S", 0.05)
    eventually(lambda: empty.known((1, 1)) is NO_MARKERS)


def test_a_read_that_hangs_is_given_up_and_the_others_go_on() -> None:
    never = threading.Event()

    def read(pid: int, _most: int) -> run_markers.Markers:
        if pid == 1:
            never.wait()
        return RUN_7

    reader = MarkerReader(read)
    try:
        for pid in (1, 2, 3):
            reader.known((pid, 1))
        assert reader.wait(READ_TIMEOUT_S + 10)
        assert [reader.known((pid, 1)) for pid in (1, 2, 3)] == [NO_MARKERS, RUN_7, RUN_7]
    finally:
        never.set()


def test_a_read_that_returns_no_longer_counts_as_hung(monkeypatch) -> None:
    """Otherwise a slow host would lose all markers for the life of the service."""
    monkeypatch.setattr(run_markers, "READ_TIMEOUT_S", 0.01)
    slow = threading.Event()

    def read(pid: int, _most: int) -> Markers:
        slow.wait(60)
        return RUN_7._replace(uid=pid)

    reader = MarkerReader(read)
    for pid in range(2 * MAX_HUNG):
        reader.known((pid, 1))
    reader.wait(60)
    assert reader.is_blind
    assert reader.known((500, 1)) is NO_MARKERS
    assert "not known by `JOB_RUN_ID`" in "".join(search_issues(reader))
    slow.set()
    eventually(lambda: reader._hung == 0)
    assert not reader.is_blind
    assert search_issues(reader) == ()
    for pid in (0, 2 * MAX_HUNG - 1, 500):  # one that was late, one that was not read, one that was not asked for
        eventually(lambda pid=pid: reader.known((pid, 1)) == RUN_7._replace(uid=pid))


def test_a_host_on_which_every_read_is_late_knows_its_markers(monkeypatch) -> None:
    monkeypatch.setattr(run_markers, "READ_TIMEOUT_S", 0.005)
    reader = MarkerReader(lambda pid, _most: (time.sleep(0.03), RUN_7)[1])
    for pid in range(3 * MAX_HUNG):
        reader.known((pid, 1))
        reader.wait(10)
    eventually(lambda: reader._hung == 0)
    assert all(reader.known((pid, 1)) == RUN_7 for pid in range(3 * MAX_HUNG))


def test_while_too_many_reads_hang_no_other_is_made(monkeypatch) -> None:
    """Each hung read holds a thread."""
    monkeypatch.setattr(run_markers, "READ_TIMEOUT_S", 0.01)
    never = threading.Event()
    reader = MarkerReader(lambda _pid, _most: never.wait() and None)
    try:
        before = threading.active_count()
        for pid in range(10 * MAX_HUNG):
            reader.known((pid, 1))
        assert reader.wait(30)
        reader.known((100_000, 1))
        assert reader.known((100_000, 1)) is NO_MARKERS
        assert threading.active_count() - before <= MAX_HUNG
    finally:
        never.set()
