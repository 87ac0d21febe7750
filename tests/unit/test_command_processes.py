"""`execute_command`: its process tree, when a run is stopped and when it is not."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jobscheduler.runner import kill_leftovers
from jobscheduler.tasks.command import tree_killer
from jobscheduler.tasks.command.leftover_killer import find_tree
from jobscheduler.tasks.command.processes import read_process, send_signals
from jobscheduler.tasks.command.reaper_thread import REAPER
from jobscheduler.tasks.command.run_markers import MARKERS, _MarkerCache
from tests.support.service import threads_since
from tests.support.tasks import (
    Pipe,
    as_root,
    children,
    context,
    descriptors,
    eventually,
    execute,
    failure,
    has_marker,
    in_thread,
    is_gone,
    no_strangers,
    nothing_to_look_after,
    open_to_all,
)

__all__ = ["no_strangers"]

FOREVER = "sleep 1000"


def stopped_when_ready(pipe, command, are_ready=lambda pids: True, **fields):
    """Run a command and stop it when it has written its pids to the pipe. Return its end and the pids."""
    run_context = context()
    pids = []

    def stop():
        pids.extend(pipe.pids())
        eventually(lambda: are_ready(pids))
        run_context.stop("timeout")

    with in_thread(stop):
        failed = failure(command, run_context, **fields)
    return failed, pids


def is_suspended(pid):
    """Return whether a process is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_stop_ends_the_whole_tree(tmp_path):
    """The shell, its child and its grandchild."""
    pipe = Pipe(tmp_path)
    failed, pids = stopped_when_ready(
        pipe,
        f"(sh -c 'sleep 1000 & echo $$ $! >> {pipe.path}.pids; wait') & "
        f"while ! [ -s {pipe.path}.pids ]; do sleep 0.01; done; cat {pipe.path}.pids > {pipe.path}; {FOREVER}",
    )
    assert failed.outcome.details == (("signal", "SIGTERM"),)
    assert len(pids) == 2
    eventually(lambda: all(map(is_gone, pids)))


def test_a_child_that_left_the_session_is_ended_too(tmp_path):
    """The marker in its environment identifies it, although its parent has died."""
    pipe = Pipe(tmp_path)
    _, pids = stopped_when_ready(pipe, f"setsid -f sh -c 'echo $$ > {pipe.path}; exec {FOREVER}'; {FOREVER}")
    assert len(pids) == 1
    eventually(lambda: is_gone(pids[0]))


def test_a_child_with_a_group_of_its_own_is_ended_too(tmp_path):
    """Interactive shells make such children."""
    pipe = Pipe(tmp_path)
    _, pids = stopped_when_ready(pipe, f"set -m; {FOREVER} & echo $! > {pipe.path}; wait", shell="/bin/bash")
    eventually(lambda: is_gone(pids[0]))


def test_a_child_with_another_environment_is_ended_as_long_as_its_parents_live(tmp_path):
    """Descendants of processes with the marker need none of their own."""
    pipe = Pipe(tmp_path)
    _, pids = stopped_when_ready(pipe, f"env -i setsid -w sh -c 'echo $$ > {pipe.path}; exec /bin/sleep 1000' & wait")
    eventually(lambda: is_gone(pids[0]))


def test_a_process_that_ignores_term_is_killed_although_its_parent_has_died(tmp_path, monkeypatch):
    """Without marker, session and parent, only an earlier scan says that it belongs to the tree."""
    monkeypatch.setattr(tree_killer, "TERM_GRACE_S", 0.3)
    pipe = Pipe(tmp_path)
    deaf = f'trap "" TERM; echo $$ > {pipe.path}; while :; do sleep 0.01; done'
    _, pids = stopped_when_ready(pipe, f"env -i /usr/bin/setsid /bin/sh -c '{deaf}' & wait")
    eventually(lambda: is_gone(pids[0]), 5)


def test_background_processes_of_an_earlier_attempt_are_spared(tmp_path):
    """They were allowed to stay, and do not belong to the stopped attempt. A crash ends both."""
    first, pipe = Pipe(tmp_path, "first"), Pipe(tmp_path)
    run_id = os.urandom(6).hex()
    with in_thread(lambda: execute(f"setsid -f sh -c 'echo $$ > {first.path}; exec {FOREVER}'", context(run_id))):
        (left,) = first.pids()
    run_context = context(run_id, attempt=2)
    with in_thread(lambda: failure(f"setsid -f sh -c 'echo $$ > {pipe.path}; exec {FOREVER}'; {FOREVER}", run_context)):
        (second,) = pipe.pids()
        run_context.stop("timeout")
    eventually(lambda: is_gone(second))
    assert not read_process(left).is_zombie
    assert kill_leftovers([run_id]) == 0
    eventually(lambda: is_gone(left))


def test_a_process_that_ignores_term_is_killed(tmp_path, monkeypatch):
    """After the grace, and not before. Both signals are recorded with their instants."""
    monkeypatch.setattr(tree_killer, "TERM_GRACE_S", 0.3)
    pipe, run_context = Pipe(tmp_path), context()
    with in_thread(lambda: (pipe.pids(), run_context.stop("timeout"))):
        failed = failure(f"trap '' TERM; echo $$ > {pipe.path}; while :; do sleep 0.01; done", run_context)
    assert failed.outcome.details == (("signal", "SIGKILL"),)
    assert run_context.signals.kill_sent - run_context.signals.term_sent >= 0.3
    assert run_context.missing_signal(time.monotonic()) is None


def test_a_command_may_clean_up_when_it_is_stopped(tmp_path):
    """TERM comes first, and output that follows it is kept."""
    pipe = Pipe(tmp_path)
    failed, _ = stopped_when_ready(
        pipe, f"trap 'echo cleaned; exit 7' TERM; echo $$ > {pipe.path}; while :; do sleep 0.01; done"
    )
    assert failed.outcome.details == (("exit_code", 7),)
    assert failed.outcome.output.endswith(b"cleaned\n")


def test_a_dying_command_that_prints_a_lot_is_read(tmp_path):
    """A full pipe would keep it from ending by itself."""
    pipe = Pipe(tmp_path)
    failed, _ = stopped_when_ready(
        pipe, f"trap 'head -c 1000000 /dev/zero; exit 7' TERM; echo $$ > {pipe.path}; while :; do sleep 0.01; done"
    )
    assert failed.outcome.details == (("exit_code", 7),)


def test_a_suspended_process_gets_term(tmp_path):
    """It is continued, so that it can clean up before KILL."""
    pipe, cleaned = Pipe(tmp_path), tmp_path / "cleaned"
    stopped = f"trap 'touch {cleaned}; exit' TERM; echo $$ > {pipe.path}; kill -STOP $$; while :; do sleep 0.01; done"
    failed, _ = stopped_when_ready(
        pipe, f'sh -c "{stopped.replace("$", chr(92) + "$")}" & {FOREVER}', are_ready=lambda pids: is_suspended(*pids)
    )
    assert failed.outcome.details == (("signal", "SIGTERM"),)
    assert cleaned.exists()
    eventually(lambda: not children())


def test_orphans_become_children_of_the_service(tmp_path):
    """Also one that has left its session, so it is reaped whatever the first process of the host does."""
    pipe, pid = Pipe(tmp_path), tmp_path / "pid"
    execute(f"setsid -f sh -c 'echo $$ > {pid}; read line < {pipe.path}' >/dev/null 2>&1")
    eventually(lambda: pid.exists() and pid.read_text() and read_process(int(pid.read_text())).parent == os.getpid())
    pipe.path.write_text("go\n")
    eventually(lambda: not children())


@as_root
def test_the_tree_of_another_user_is_ended(tmp_path):
    """Root may do so."""
    open_to_all(tmp_path)
    pipe = Pipe(tmp_path)
    _, pids = stopped_when_ready(
        pipe, f"setsid -f sh -c 'echo $$ > {pipe.path}; exec {FOREVER}'; {FOREVER}", user="nobody"
    )
    eventually(lambda: is_gone(pids[0]))


def test_a_stop_before_the_start_starts_nothing(tmp_path):
    """The request came while the run was on its way."""
    run_context = context()
    run_context.stop("replaced")
    assert failure(f"touch {tmp_path}/started", run_context).reason == "start"
    assert not (tmp_path / "started").exists()


def test_a_stop_after_the_end_does_nothing():
    """Callbacks of a run may come late, when its descriptors belong to others."""
    run_context = context()
    execute("true", run_context)
    before = descriptors()
    run_context.stop("shutdown")
    assert descriptors() == before


def test_the_run_ends_with_its_main_process(tmp_path):
    """Not with a background process that holds the output. That is neither signalled nor disturbed."""
    gate, word = Pipe(tmp_path, "gate"), Pipe(tmp_path, "word")
    background = f"(read line < {gate.path}; echo more && echo $line > {word.path}) &"
    outcome = execute(f"{background} echo done")
    assert outcome.output == b"done\n"
    gate.path.write_text("go\n")
    assert word.read() == "go"
    eventually(lambda: not children() and nothing_to_look_after())


def test_a_background_process_may_write_any_amount(tmp_path):
    """Its writes neither fail nor block, long after its run has ended."""
    gate, word = Pipe(tmp_path, "gate"), Pipe(tmp_path, "word")
    execute(f"(read line < {gate.path}; head -c 5000000 /dev/zero; echo $? > {word.path}) & true")
    gate.path.write_text("go\n")
    assert word.read() == "0"
    eventually(nothing_to_look_after)


def test_the_output_before_the_end_is_complete():
    """Also the part that the pipe still held when the main process ended."""
    assert len(execute("sleep 1000 & head -c 60000 /dev/zero; kill $!").output) == 60000


def test_a_process_that_never_stops_printing_does_not_keep_the_run(tmp_path):
    """The run takes the output that is there, and no more."""
    pid = int(execute(f"yes & echo $! > {tmp_path}/pid; sleep 0.01") and (tmp_path / "pid").read_text())
    send_signals(read_process(pid), signal.SIGKILL)
    eventually(lambda: is_gone(pid) and nothing_to_look_after())


def test_orphans_of_every_session_are_reaped():
    """Whether they stayed in the session of the run or made their own, before or after they were adopted."""
    execute("sleep 0.01 >/dev/null 2>&1 & setsid -f sleep 0.01 >/dev/null 2>&1; (sleep 0.02 & sleep 0.01) &")
    eventually(lambda: not children() and nothing_to_look_after())


def test_the_status_of_another_child_is_not_collected():
    """A child of a plug-in keeps its status until the plug-in waits for it, with or without its own session."""
    own = [
        subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"], start_new_session=alone)
        for alone in (False, True)
    ]
    execute("sleep 0.05 >/dev/null 2>&1 &")
    for process in own:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    REAPER.take_over(None)
    REAPER.take_over(None)
    assert [process.wait() for process in own] == [3, 3]
    eventually(lambda: not children())


def test_a_main_process_seen_before_its_registration_is_not_an_orphan():
    """Another thread may scan between its start and its registration, and again just before its end."""
    with REAPER.start() as register:
        main = subprocess.Popen(["sleep", "1000"], env={"JOB_RUN_ID": "5f3c2a9d0000"}, start_new_session=True)
        REAPER.take_over(None)
        register(main.pid)
    main.kill()
    os.waitid(os.P_PID, main.pid, os.WEXITED | os.WNOWAIT)
    REAPER.orphans.forget(main.pid)
    REAPER.take_over(None)
    assert main.wait() == -signal.SIGKILL


def test_concurrent_runs_do_not_collect_each_others_status():
    """Each of many threads gets the exit code of its own command while orphans come and go."""
    wrong = []

    def run(code):
        for _ in range(10):
            outcome = execute(f"sleep 0.001 & exit {code}", success_exit_codes=[code])
            if outcome.details[0] != ("exit_code", code):
                wrong.append(outcome)

    threads = [threading.Thread(target=run, args=(code,)) for code in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    eventually(lambda: not children() and nothing_to_look_after())


def test_plain_runs_leave_nothing():
    """No descriptor, no thread, no process."""
    execute("true")
    opened, threads = descriptors(), threading.enumerate()
    for _ in range(50):
        execute("echo hello", stdin="x")
    assert descriptors() <= opened
    assert not threads_since(threads)
    assert not children()


def test_leftovers_of_a_crash_are_found_by_their_marker():
    """The log of the dead service has their run ids. No other process is touched."""
    run_id, other_id = os.urandom(6).hex(), os.urandom(6).hex()
    stray, other = (
        subprocess.Popen(["sleep", "1000"], env={"JOB_RUN_ID": mark}, start_new_session=True)
        for mark in (run_id, f"{run_id}c")
    )
    try:
        assert kill_leftovers([run_id, other_id]) == 0
        assert stray.wait() == -signal.SIGTERM
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def bytes_read():
    """Return the number of bytes that this process has read so far."""
    with open("/proc/self/io") as file:
        return int(file.readline().removeprefix("rchar: "))


def test_a_search_for_leftovers_reads_a_small_part_of_large_environments():
    """A user may have thousands of processes with 6 MB each, and the start of the service waits for this search."""
    large = {f"V{number}": "x" * 100_000 for number in range(10)}
    strangers = [subprocess.Popen(["sleep", "1000"], env=large) for _ in range(60)]
    try:
        before = bytes_read()
        assert kill_leftovers([os.urandom(6).hex()]) == 0
        assert bytes_read() - before < 60 * 1_000_000 / 2
    finally:
        for process in strangers:
            process.kill()
            process.wait()


def test_the_end_of_a_run_scans_adopted_processes_only(tmp_path, monkeypatch):
    """So another user cannot make it slow by many processes."""
    pipe, run_context, read, real = Pipe(tmp_path), context(), [], MARKERS._read
    monkeypatch.setattr(MARKERS, "_cache", _MarkerCache())
    monkeypatch.setattr(MARKERS, "_read", lambda pid, size: read.append(pid) or real(pid, size))
    pids = []
    with in_thread(lambda: (pids.extend(pipe.pids()), run_context.stop("timeout"))):
        failure(f"setsid -f sh -c 'echo $$ > {pipe.path}; exec sleep 1000'; sleep 1000", run_context)
    assert set(pids) <= set(read), "it was found by its mark"
    assert os.getppid() not in read
    assert 1 not in read


def test_orphans_whose_environment_is_not_read_yet_delay_no_start(monkeypatch):
    """Environments are read beside the starts, without a lock that each start needs."""
    is_reading, goes_on = threading.Event(), threading.Event()
    monkeypatch.setattr(MARKERS, "wait", lambda _: is_reading.set() or goes_on.wait())
    execute("setsid -f sleep 1000")
    assert is_reading.wait(20)
    start = threading.Thread(target=execute, args=("true",), daemon=True)
    start.start()
    start.join(20)
    is_held_up = start.is_alive()
    goes_on.set()
    assert not is_held_up


def test_a_process_with_a_reused_pid_is_not_signalled():
    """Its start time differs."""
    process = subprocess.Popen(["sleep", "1000"])
    try:
        seen = read_process(process.pid)
        assert not send_signals(
            type(seen)(seen.pid, seen.start - 1, seen.parent, seen.session, seen.state), signal.SIGKILL
        )
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_the_service_is_never_part_of_a_tree(monkeypatch):
    """Even if a job started it, so that it has a marker."""
    mark = "5f3c2a9d0000"
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os; from jobscheduler.tasks.command.leftover_killer import find_tree; "
            "from tests.support.tasks import has_marker; "
            f"print(find_tree(['{mark}']), has_marker(os.getpid(), ['{mark}']))",
        ],
        env={"JOB_RUN_ID": mark},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["()", "True"]
    assert not has_marker(os.getpid(), [mark])
    assert os.getpid() not in {process.pid for process in find_tree([mark])}


@pytest.mark.deep
def test_two_hundred_runs_leave_two_hundred_grandchildren(tmp_path):
    """Every run ends at once, every grandchild lives to its end, and then none is left."""
    execute("true")
    before = descriptors(), threading.active_count()
    began = time.monotonic()
    for number in range(200):
        assert execute(f"(sleep 10; echo late; touch {tmp_path}/{number}) & echo done").output == b"done\n"
    assert time.monotonic() - began < 10, "a run waited for its grandchild"
    assert threading.active_count() <= before[1] + 1, "more than one thread looks after the pipes"
    eventually(lambda: len(list(tmp_path.iterdir())) == 200, 60)
    eventually(lambda: not children() and (descriptors(), threading.active_count()) == before)


def test_a_daemon_without_marker_session_and_parent_survives_its_run(tmp_path):
    """The documented way to keep a process that a time limit is not to end."""
    pipe = Pipe(tmp_path)
    daemon = f"env -i setsid -f sh -c 'echo $$ > {pipe.path}; exec /bin/sleep 1000'"
    _, pids = stopped_when_ready(pipe, f"{daemon}; {FOREVER}")
    try:
        assert not is_gone(pids[0])
    finally:
        os.kill(pids[0], signal.SIGKILL)
