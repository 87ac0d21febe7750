"""The end of a run's process tree: both signals are sent in time, whatever the search for further members does."""

from __future__ import annotations

import signal
import subprocess
import threading
import time

import pytest

from jobscheduler.runner import Runner
from jobscheduler.tasks import search_issues
from jobscheduler.tasks.command import process_tree, task, tree_killer, tree_search, tree_signals
from jobscheduler.tasks.command.processes import Process, iter_processes
from jobscheduler.tasks.command.run_markers import MARKERS, NO_MARKERS, MarkerReader, Markers, read_markers
from jobscheduler.tasks.command.tree_killer import SCAN_DELAY_S, TreeKiller
from jobscheduler.tasks.command.tree_search import TreeSearch
from jobscheduler.tasks.stop_signals import StopSignals
from tests.support.tasks import (
    Log,
    Pipe,
    as_root,
    context,
    eventually,
    execute,
    failure,
    has_marker,
    in_thread,
    is_gone,
    job,
    no_strangers,
)

__all__ = ["no_strangers"]

IGNORES_TERM = "trap '' TERM; while :; do sleep 0.01; done"


class Spy:
    """A main process that only lists the signals that it gets."""

    pid = 2**22 + 1  # above every pid

    def __init__(self, *, is_permitted: bool = True, ends_of: signal.Signals | None = None) -> None:
        self.got: list[tuple[signal.Signals, bool]] = []
        self._is_permitted = is_permitted
        self._ends_of = ends_of

    def send(self, *signals: signal.Signals, group: bool) -> bool:
        """Note the signals."""
        self.got += [(number, group) for number in signals]
        return self._is_permitted

    def has_ended(self) -> bool:
        """Return whether the signal came that ends it."""
        return self._ends_of in [number for number, _ in self.got]


@pytest.fixture
def never():
    """An event that is set at the end of the test only."""
    event = threading.Event()
    yield event
    event.set()


def make_search(adopted=tuple) -> TreeSearch:
    return TreeSearch(adopted, MarkerReader())


def wait_for_end(tree: TreeKiller):
    return tree.wait(time.sleep)


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch):
    monkeypatch.setattr(tree_killer, "TERM_GRACE_S", 0.4)
    monkeypatch.setattr(tree_killer, "KILL_TIMEOUT_S", 0.4)


def test_a_scan_that_never_returns_delays_neither_term_nor_kill_nor_the_end(never):
    """TERM goes to the group then, because no other member is known."""
    main, signals = Spy(ends_of=signal.SIGKILL), StopSignals()
    search = make_search(lambda: never.wait() and ())
    search._round = lambda _: never.wait()  # not even the main process's own descendants are found
    began = time.monotonic()
    tree = TreeKiller(main, ("7", 1), signals, search=search)
    assert wait_for_end(tree) == ()
    assert main.got == [(signal.SIGTERM, True), (signal.SIGCONT, True), (signal.SIGKILL, True)]
    assert signals.term_sent - began < SCAN_DELAY_S + 1
    assert signals.kill_sent - signals.term_sent < 0.4 + 1


def test_a_lock_that_is_held_for_ever_delays_neither_term_nor_kill_nor_the_end():
    """Neither the lock of the search nor that of the marker reader."""
    main, signals, search = Spy(ends_of=signal.SIGKILL), StopSignals(), make_search()
    with search._lock, MARKERS._lock:
        wait_for_end(TreeKiller(main, ("7", 1), signals, search=search))
    assert [number for number, _ in main.got] == [signal.SIGTERM, signal.SIGCONT, signal.SIGKILL]
    assert signals.term_sent is not None
    assert signals.kill_sent is not None


def test_the_signals_are_sent_although_no_thread_waits_for_the_end():
    """The thread that would wait may be started by one that hangs."""
    main, signals = Spy(ends_of=signal.SIGKILL), StopSignals()
    TreeKiller(main, ("7", 1), signals, search=make_search()).begin()
    eventually(lambda: signals.kill_sent is not None)
    assert [number for number, _ in main.got] == [signal.SIGTERM, signal.SIGCONT, signal.SIGKILL]


def test_the_signals_are_sent_on_a_host_without_a_thread_left(monkeypatch):
    """The thread that waits for the end sends them."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    main, signals = Spy(ends_of=signal.SIGKILL), StopSignals()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        wait_for_end(TreeKiller(main, ("7", 1), signals, search=make_search()))
    assert [number for number, _ in main.got] == [signal.SIGTERM, signal.SIGCONT, signal.SIGKILL]


def test_a_process_that_survives_kill_is_named():
    signals = StopSignals()
    (left,) = wait_for_end(TreeKiller(Spy(is_permitted=False), ("7", 1), signals, search=make_search()))
    assert (left.pid, left.reason) == (Spy.pid, "not permitted")
    assert signals.unkillable == (left,)


def test_a_record_names_the_processes_that_could_not_be_ended(monkeypatch, tmp_path):
    """Such as a setuid program that has become root: the kernel refuses the signals of an ordinary user."""
    monkeypatch.setattr(task.ChildProcess, "send", lambda *_, **__: False)
    monkeypatch.setattr(tree_signals, "send_signals", lambda *_: False)
    pipe, run_context = Pipe(tmp_path), context()
    with in_thread(lambda: (pipe.pids(), run_context.stop("timeout"))):
        failed = failure(f"echo $$ > {pipe.path}; exec sleep 3", run_context)
    (left,) = run_context.signals.unkillable
    assert str(failed) == f"1 of its processes could not be ended: {left.pid} (sleep, not permitted)"
    eventually(lambda: is_gone(left.pid))


def test_a_time_limit_is_kept_while_scans_hang(monkeypatch, never):
    """A command that ignores TERM is dead, and its record is written, in time."""
    monkeypatch.setattr(process_tree, "descendants", lambda *_: never.wait() and [])
    log = Log()
    runner = Runner(log.record, log.emit)
    run = runner.new_run(job(own={"command": IGNORES_TERM}, timeout=0.2), None)
    began = time.monotonic()
    record = run.attempt()
    runner.close()
    assert record.reason == "timeout"
    assert dict(record.details)["signal"] == "SIGKILL"
    assert time.monotonic() - began < 0.2 + SCAN_DELAY_S + 0.8 + 2


@pytest.mark.parametrize("hangs", [False, True])
def test_no_process_gets_term_twice(monkeypatch, tmp_path, never, hangs):
    """Some programs skip their cleanup at a second one. A child that is found late is no exception."""
    if hangs:
        monkeypatch.setattr(process_tree, "descendants", lambda *_: never.wait() and [])
    monkeypatch.setattr(tree_killer, "TERM_GRACE_S", 3.0)
    monkeypatch.setattr(tree_killer, "KILL_TIMEOUT_S", 0.1)
    pipe, heard, run_context, ready = Pipe(tmp_path), tmp_path / "heard", context(), tmp_path / "ready"
    trap = f"n=0; trap 'echo x >> {heard}; n=1' TERM; "
    wait_a_while = "while [ $n = 0 ]; do sleep 0.01; done; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.05; done"
    child = tmp_path / "child"
    child.write_text(f"{trap} touch {ready}; {wait_a_while}")
    start = f"sh {child} & while [ ! -e {ready} ]; do sleep 0.01; done; echo $$ > {pipe.path}"
    command = f"{trap} {start}; {wait_a_while}; exit 3"
    with in_thread(lambda: (pipe.pids(), run_context.stop("timeout"))):
        failure(command, run_context)
    assert heard.read_text() == "x\nx\n"


def test_a_job_with_a_large_environment_is_found_by_its_marker(tmp_path):
    """Its markers come first in its environment, and are found behind the rest when a shell has sorted it."""
    pipe, run_context = Pipe(tmp_path), context()
    env = {f"BIG_{number}": "x" * 10_000 for number in range(5)}
    pids = []
    with in_thread(lambda: (pids.extend(pipe.pids()), run_context.stop("timeout"))):
        failure(f"setsid -f sh -c 'echo $$ > {pipe.path}; exec sleep 1000'; sleep 1000", run_context, env=env)
    eventually(lambda: is_gone(pids[0]))


@as_root
def test_a_process_of_another_user_does_not_belong_to_a_run_whose_marker_it_carries(alice, mallory):
    """It would be signalled, and as an unkillable process it would keep the job from its next run."""
    run_context = context()
    variables = {"JOB_RUN_ID": run_context.run_id, "JOB_ATTEMPT": "1"}
    with mallory.popen(["/bin/sleep", "1000"], env=variables) as stranger:
        try:
            eventually(lambda: read_markers(stranger.pid) not in (None, NO_MARKERS))
            with in_thread(
                lambda: (eventually(lambda: run_context.signals.has_processes), run_context.stop("timeout"))
            ):
                failed = failure("exec sleep 1000", run_context, user=alice.name)
            assert run_context.signals.unkillable == ()
            assert "could not be ended" not in str(failed)
            assert stranger.poll() is None
        finally:
            stranger.kill()


@pytest.mark.parametrize(("uid", "belongs"), [(1, True), (0, True), (2, False), (None, False)])
def test_the_marker_of_a_run_counts_on_processes_of_its_user_and_of_root(uid, belongs):
    tree = TreeKiller(Spy(), ("7", 1), StopSignals(), search=make_search(), owner=1).tree
    marks = Markers(frozenset({b"7"}), frozenset({b"1"}), uid)
    assert tree.owns(Process(5, 5, 1, 5, "S"), marks) == belongs


def test_many_trees_share_a_list_of_adopted_processes():
    """Hundreds of runs that end together would scan the same processes hundreds of times."""
    scans = []
    search = make_search(lambda: scans.append(1) or ())
    trees = tuple(TreeKiller(Spy(), (str(number), 1), StopSignals(), search=search).tree for number in range(50))
    search._round(trees)
    assert all(tree.first_scan.is_set() for tree in trees)
    assert scans == [1]


def test_a_search_that_hangs_is_replaced(monkeypatch, never):
    """The next run that has to end replaces it."""
    monkeypatch.setattr(tree_search, "ROUND_TIMEOUT_S", 0.1)
    hangs = iter([True])
    search = make_search(lambda: (next(hangs, False) and never.wait() and ()) or ())
    search.add(TreeKiller(Spy(), ("7", 1), StopSignals(), search=search).tree)
    eventually(lambda: search._since is not None and time.monotonic() - search._since > 0.1)
    second = TreeKiller(Spy(ends_of=signal.SIGTERM), ("8", 1), StopSignals(), search=search)
    assert wait_for_end(second) == ()


class Large:
    """A tree of so many processes that each scan of it is cut short."""

    main_has_ended = True

    def __init__(self, release: threading.Event) -> None:
        self.first_scan = threading.Event()
        self.scans: list[float] = []
        self._release = release

    def owns(self, _process, _marks):
        return False

    def scan(self, within, _adopted=()):
        self.scans.append(within)
        if within > tree_search.BRIEF_SCAN_S:
            self._release.wait(60)
        else:
            time.sleep(within)

    def settle(self, *, has_ended):
        return self._release.is_set()


def test_a_large_tree_does_not_delay_the_end_of_others(never):
    """A user may have thousands of processes in a run. The run of another user ends in time."""
    search = TreeSearch(tuple, MarkerReader(), TreeSearch(tuple, MarkerReader()))
    large = Large(never)
    search.add(large)
    eventually(lambda: large.scans)
    for number in range(3):
        small = TreeKiller(Spy(ends_of=signal.SIGTERM), (str(number), 1), StopSignals(), search=search)
        assert wait_for_end(small) == ()
    eventually(lambda: len(large.scans) == 2)
    assert not large.first_scan.is_set(), "the rest of it is not found yet"
    never.set()
    eventually(large.first_scan.is_set)
    eventually(lambda: search._trees == search._large_trees._trees == ())


def test_the_end_of_a_large_tree_is_noticed(monkeypatch):
    """By the search for large trees, also when the adopted processes make a tree large."""
    monkeypatch.setattr(tree_search, "BRIEF_SCAN_S", 0.0)
    search = TreeSearch(tuple, MarkerReader(), TreeSearch(tuple, MarkerReader()))
    assert wait_for_end(TreeKiller(Spy(ends_of=signal.SIGTERM), ("7", 1), StopSignals(), search=search)) == ()


def test_a_search_that_returns_no_longer_counts_as_hung(monkeypatch, never):
    """Otherwise a slow host would have no search any more, for the life of the service."""
    monkeypatch.setattr(tree_search, "ROUND_TIMEOUT_S", 0.01)
    started = threading.Semaphore(0)
    search = make_search(lambda: started.release() or (never.wait(60) and ()))
    trees = [TreeKiller(Spy(), (str(number), 1), StopSignals(), search=search).tree for number in range(10)]
    for tree in trees:
        search.add(tree)
        time.sleep(0.02)
    eventually(lambda: search.add(trees[0]) and search.is_blind)
    assert "are not ended" in "".join(search_issues(search=search))
    never.set()
    eventually(lambda: not search._hung)
    assert wait_for_end(TreeKiller(Spy(ends_of=signal.SIGTERM), ("8", 1), StopSignals(), search=search)) == ()


def test_a_search_that_fails_is_replaced(monkeypatch):
    """Otherwise it would count as running."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    faults = iter([True])

    def adopted():
        if next(faults, False):
            raise ValueError("a line of /proc that cannot be read")
        return ()

    search = make_search(adopted)
    assert wait_for_end(TreeKiller(Spy(ends_of=signal.SIGTERM), ("7", 1), StopSignals(), search=search)) == ()


def test_a_reused_pid_is_not_part_of_the_tree(monkeypatch):
    """Once the main process is reaped, its pid may be that of another process."""
    main, signalled = Spy(), []
    stranger = Process(main.pid, 5, 1, main.pid, "S")
    monkeypatch.setattr(process_tree, "descendants", lambda roots, _: [stranger] if dict(roots) else [])
    monkeypatch.setattr(tree_signals, "send_signals", lambda process, *_: signalled.append(process))
    killer = TreeKiller(main, ("7", 1), StopSignals(), search=make_search())
    tree = killer.tree
    tree.abandon()
    assert not tree.owns(stranger, None)
    tree.scan(1.0)
    killer._terminate()
    assert signalled == []


def test_a_run_that_is_not_stopped_sends_no_signal():
    run_context = context()
    execute("true", run_context)
    run_context.stop("shutdown")
    assert run_context.signals.term_sent is None


HOP = """
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
    signal(SIGTERM, count > 2 ? SIG_DFL : SIG_IGN);
    close(0); close(1); close(2);
    for (int left = 30000000 / atoi(words[1]); left > 0; left--) {
        if (fork() > 0) _exit(0);
        setsid();
        usleep(atoi(words[1]));
    }
    return 0;
}
"""


@pytest.fixture
def hop(tmp_path) -> str:
    """A program that replaces itself by a child in a session of its own, again and again, for 30 seconds."""
    source, program = tmp_path / "hop.c", tmp_path / "hop"
    source.write_text(HOP)
    subprocess.run(["cc", "-o", str(program), str(source)], check=True)
    return str(program)


def living_processes(run_id: str) -> set[int]:
    """Return the living processes of a run."""
    return {process.pid for process in iter_processes() if not process.is_zombie and has_marker(process.pid, [run_id])}


@pytest.mark.parametrize("pause", [300_000, 50_000])
@pytest.mark.parametrize("ends_at_term", ["", " ends_at_term"])
def test_no_process_that_replaces_itself_by_fork_survives_its_run(tmp_path, hop, pause, ends_at_term):
    """Each scan finds another process, so KILL goes also to those found after the grace."""
    pipe, run_context = Pipe(tmp_path), context()
    command = f"{hop} {pause}{ends_at_term}; echo $$ > {pipe.path}; exec sleep 100"
    with in_thread(lambda: (pipe.pids(), run_context.stop("timeout"))):
        failure(command, run_context)
    assert living_processes(run_context.run_id) == set()
    assert run_context.signals.unkillable == ()
    assert bool(ends_at_term) or run_context.signals.kill_sent is not None


def test_a_process_that_replaces_itself_too_fast_is_killed_or_named(tmp_path, hop):
    """No run is recorded as ended without a note while a process of it goes on."""
    pipe, run_context = Pipe(tmp_path), context()
    with in_thread(lambda: (pipe.pids(), run_context.stop("timeout"))):
        failure(f"{hop} 1000; echo $$ > {pipe.path}; exec sleep 100", run_context)
    is_named = bool(run_context.signals.unkillable)
    until = time.monotonic() + 1
    goes_on = any(living_processes(run_context.run_id) for _ in iter(lambda: time.monotonic() < until, False))
    try:
        assert is_named or not goes_on
    finally:
        (tmp_path / "hop").unlink()


def test_a_tree_has_ended_only_when_two_rounds_in_a_row_found_nothing(monkeypatch):
    """A member that dies during a round may have forked another one, which the next round finds."""
    main = Spy(ends_of=signal.SIGTERM)
    member = Process(main.pid - 1, 5, 1, main.pid - 1, "S")
    monkeypatch.setattr(process_tree, "descendants", lambda *_: [])
    killer = TreeKiller(main, ("7", 1), StopSignals(), search=make_search())
    tree = killer.tree
    killer._terminate()
    tree.scan(1.0, [member])  # dead by now
    assert not tree.settle(has_ended=True)
    tree.scan(1.0, [member])  # not reaped yet
    assert not tree.settle(has_ended=True)
    assert not tree.settle(has_ended=False)
    assert not tree.settle(has_ended=True)
    assert tree.settle(has_ended=True)


def test_adopted_processes_are_listed_again_after_their_markers_are_read():
    """A process that was forked while the markers of its parent were read is in the second list only."""
    lists = iter([[Process(1, 1, 1, 1, "S")], [Process(2, 2, 1, 2, "S")]])
    search = TreeSearch(lambda: next(lists, [Process(2, 2, 1, 2, "S")]), MarkerReader(lambda *_: NO_MARKERS))
    adopted, is_whole = search._list_adopted()
    assert [process.pid for process in adopted] == [1, 2]
    assert is_whole
