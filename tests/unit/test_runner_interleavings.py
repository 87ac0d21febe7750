"""The wakeup and the takeover of the process loop, in every order in which their threads can move.

The real code of `poller.py`, `loop_ownership.py`, `start_queue.py`, `process_watch.py` and `process_loop.py` is played,
statement by statement. Only the kernel, the threads and the tasks are replaced. No timeout ever ends a wait: a run that
would only begin after one counts as lost. A start may take any time, and any check may find that it hangs.
"""

from __future__ import annotations

import inspect
import math
import threading as real_threading
from collections.abc import Callable, Hashable
from types import SimpleNamespace
from typing import Any

import pytest

from jobscheduler.runner import loop_ownership, poller, preparation, process_loop, process_watch, start_queue
from jobscheduler.runner.process_start import StartedAttempt, Unprepared
from jobscheduler.tasks import Outcome
from tests.support.interleavings import Lock, Play, Steps, explore, plain, stepped

pytestmark = pytest.mark.timeout(300)

WAKE_UP = {"has_owner", "_submitted", "_calls", "_is_asleep"}
"""The state that the callers share with the owner."""

TAKEOVER = WAKE_UP | {"term", "start_began_at"}
"""With the state that a check for a hung start shares with them."""

END = WAKE_UP | {"_is_closed", "_wakeup_fd"}
"""With the state that the end of the loop shares with them."""

PREPARED = {"has_owner", "_calls", "_is_closed", "_is_asleep", "_under_way"}
"""With the state that a task which is prepared shares with them."""

FORMER_STATE = WAKE_UP | {"_generation", "_is_alive", "_start_began_at"}

PAUSING = {
    *("ensure_owner", "_begin_term", "_start_thread", "_begin", "end_start", "begin_start"),
    *("replace_if_hung", "retire", "leave", "open"),
    *("submit", "take_back", "warm_up", "_replace_retired", "close", "wake", "_call_soon", "_allow_start"),
    *("_work", "_is_idle", "is_idle", "_run_once", "_start_some", "announce_submitted", "_start", "start_process"),
    *("announce", "log_then", "_prepare", "_end"),
    *("_poll", "poll", "_timeout", "seconds", "start"),
    *("_ensure_thread",),
}


class World:
    """The kernel, the threads and the runs of one play."""

    def __init__(self) -> None:
        self.play = Play()
        self.wakeups: dict[int, int] = {}
        self.ended: set[int] = set()
        self.begun: list[str] = []
        self.done: list[str] = []
        self.faults: list[str] = []
        self.threads_left = 99
        self.announced: list[Any] | None = None
        self.loop: Any = None

    def assert_owner(self) -> None:
        """Check that the moving thread is the owner of the loop."""
        if hasattr(self.loop, "_generation"):  # in the former loop, the search is to find the lost run
            return
        assert self.play.now == f"term {self.loop._ownership.term}", f"{self.play.now} is not the owner"

    def state(self) -> Hashable:
        """Return a value that is equal for plays in which everything stands alike."""
        loop, wakeups = self.loop, tuple(self.wakeups.items())
        ownership = tuple(plain(getattr(loop._ownership, name)) for name in ("term", "has_owner", "start_began_at"))
        former = tuple(plain(getattr(loop, name, None)) for name in ("_generation", "_is_alive", "_start_began_at"))
        queue = loop._queue
        waits = tuple(
            (tuple(attempt.run.name for attempt in batch.attempts), batch.may_begin) for batch in queue._awaiting_log
        )
        queues = (
            tuple(map(plain, queue._submitted)),
            tuple(attempt.run.name for attempt in queue._ready),
            len(loop._calls),
        )
        listening = (
            loop._poller._is_asleep,
            loop._poller._wakeup_fd,
            tuple(sorted(loop._poller._epoll.registered)) if loop._poller._wakeup_fd >= 0 else (),
        )
        items = (
            tuple(sorted(loop._watch._watched)),
            tuple(sorted(self.ended)),
            self.threads_left,
            loop._is_closed,
            loop._preparations._under_way,
        )
        results = tuple(self.begun), tuple(self.done), tuple(self.faults), len(self.announced or ())
        return ownership, former, wakeups, waits, queues, listening, items, results

    # -- what runs are made of

    def run(self, name: str, *, hangs: bool = False, is_slow: bool = False) -> Any:
        """Make a run. Its start may hang for ever, or have to be prepared."""
        made = SimpleNamespace(name=name, hangs=hangs, is_slow=is_slow, record=None, job=SimpleNamespace(task=name))
        context = SimpleNamespace(on_stop=lambda _: None, attempt=1, made=made)
        attempt = SimpleNamespace(run=made, context=context, event=lambda: name, end=lambda _: name, name=name)
        attempt.prepared_task = None
        attempt.begin = lambda: attempt.prepared_task or self._begin(name)
        made.next_attempt = lambda: self.assert_owner() or attempt
        return made

    def _begin(self, name: str) -> None:
        self.assert_owner()
        assert name not in self.begun, f"{name} began twice"
        self.begun.append(name)

    def running_process(self, made: Any) -> Any:
        """Return a process that ends at once."""
        number = 100 + len(self.ended)
        self.ended.add(number)
        return SimpleNamespace(exit_fd=number, output_fd=None, collect=Outcome, wait=Outcome, name=made.name)

    def run_ended(self, run: Any, end: Any) -> None:
        """Take the end of a run."""
        assert run.name not in self.done, f"{run.name} ended twice"
        self.done.append(run.name)

    def start_process(self, attempt: Any) -> Steps:
        """Start the process of an attempt, in any time."""
        yield None if not attempt.run.hangs else (lambda: False)
        if attempt.run.is_slow and attempt.prepared_task is None:
            return Unprepared(SimpleNamespace(name=f"task of {attempt.name}", prepare=lambda _: None))  # type: ignore[arg-type]
        return StartedAttempt(attempt, None, self.running_process(attempt.run))

    def announce(self, events: Any, then: Callable[[], Any]) -> Steps:
        """Write lines at once, or leave them to the writer."""
        if self.announced is None:
            step = then()
            yield None
            if step is not None:
                yield from step
        else:
            self.announced.append(then)

    def writer(self) -> Steps:
        """Write the announced lines, for ever."""
        assert self.announced is not None
        while True:
            yield lambda: bool(self.announced)
            step = self.announced.pop(0)()
            if step is not None:
                yield from step

    # -- the system

    def run_in_pool(self, work: Callable[[], Any]) -> None:
        """Do some work on another thread."""
        self.play.begin(f"pool {len(self.play.threads)}", work())

    def thread(self, target: Any, args: Any, name: str, daemon: bool) -> Any:
        """Make a thread."""
        del daemon

        def start() -> Steps | None:
            if self.threads_left == 0:
                raise RuntimeError("can't start new thread")
            self.threads_left -= 1
            if name != "commands":
                target(*args)
                return None
            self.play.begin(f"term {args[0]}", target(*args))
            return _get_thread()

        return SimpleNamespace(start=start)

    def eventfd(self, *_: int) -> int:
        """Make a wakeup descriptor."""
        number = len(self.wakeups) + 1
        self.wakeups[number] = 0
        return number

    def eventfd_write(self, number: int, value: int) -> None:
        """Make it readable."""
        self.wakeups[number] += value

    def eventfd_read(self, number: int) -> None:
        """Read it."""
        if not self.wakeups[number]:
            raise BlockingIOError
        self.wakeups[number] = 0

    def close(self, number: int) -> None:
        """Close it."""
        self.wakeups[number] = 0


def _get_thread() -> Steps:
    """Take some time for a new thread."""
    yield None


class Epoll:
    """The readable descriptors. To wait takes until there is one."""

    def __init__(self) -> None:
        self.registered: set[int] = set()

    def register(self, number: int, _: int) -> None:
        self.registered.add(number)

    def unregister(self, number: int) -> None:
        NOW.world.assert_owner()
        self.registered.discard(number)

    def poll(self, seconds: float | None) -> Steps:
        NOW.world.assert_owner()
        yield None if seconds == 0 else self._ready
        return [(number, 1) for number in self._ready()]

    def _ready(self) -> list[int]:
        world = NOW.world
        return [one for one in sorted(self.registered) if world.wakeups.get(one) or one in world.ended]

    def close(self) -> None:
        self.registered.clear()


class Now(SimpleNamespace):
    """The world of the present play."""

    world: World

    def __getattr__(self, name: str) -> Any:
        """Give what the present world has."""
        return getattr(self.world, name)


NOW = Now()


def by_world(name: str) -> Callable[..., Any]:
    """Return a function that calls the world of the present play."""

    def ask(*given: Any, **named: Any) -> Any:
        return getattr(NOW.world, name)(*given, **named)

    return ask


THREADS = SimpleNamespace(Lock=Lock, Thread=by_world("thread"), Event=real_threading.Event)
CALLS = ("eventfd", "eventfd_write", "eventfd_read", "close")
SYSTEM = SimpleNamespace(EFD_CLOEXEC=0, EFD_NONBLOCK=0, **{name: by_world(name) for name in CALLS})


def code(shared: set[str], change: Callable[[str], str] = lambda text: text) -> dict[str, Any]:
    """Return the names of the module of the loop, with threads that pause where they touch shared state."""

    def played(module: Any, **others: Any) -> dict[str, Any]:
        return stepped(change(inspect.getsource(module)), PAUSING, shared, threading=THREADS, **others)

    clock = SimpleNamespace(monotonic=lambda: 1.0)
    select = SimpleNamespace(epoll=Epoll, EPOLLIN=1)
    return played(
        process_loop,
        time=clock,
        Poller=played(poller, os=SYSTEM, select=select)["Poller"],
        LoopOwnership=played(loop_ownership)["LoopOwnership"],
        StartQueue=played(start_queue, time=clock)["StartQueue"],
        ProcessWatch=played(process_watch, time=clock)["ProcessWatch"],
        Preparations=played(preparation)["Preparations"],
        execute_task=lambda task, context: None,
        start_process=by_world("start_process"),
    )


FORMER = '''
class Former(ProcessLoop):
    """The wake-up and the takeover as they were: a new thread is there before its term counts."""

    def __init__(self, log, done, aside):
        super().__init__(log, done, aside)
        self._lock = threading.Lock()
        self._generation = 0
        self._is_alive = False
        self._start_began_at = 0.0

    def submit(self, run):
        if self._is_closed:
            raise RuntimeError("closed")
        if not self._is_alive:
            self._ensure_thread()
        self._queue.submit(run)
        self._poller.wake()
        self.replace_if_hung(1.0)

    def replace_if_hung(self, now):
        if not self._is_hung(now):
            return
        with self._lock, suppress(RuntimeError):
            if self._is_hung(now):
                self._start_thread()

    def _is_hung(self, now):
        since = self._start_began_at
        return since > 0 and now - since > 0.25

    def close(self):
        self._is_closed = True
        self._call_soon(lambda: None)

    def _ensure_thread(self):
        with self._lock:
            if self._is_alive:
                return
            self._poller.open()
            self._start_thread()

    def _start_thread(self):
        threading.Thread(target=self._work, args=(self._generation + 1,), name="commands", daemon=True).start()
        self._generation += 1
        self._start_began_at = 0.0
        self._is_alive = True

    def _work(self, term):
        with self._lock:
            pass
        while self._generation == term and not (self._is_closed and self._is_idle()):
            try:
                self._run_once(term)
            except Exception as error:
                self._log.report_error(error)
        with self._lock:
            if self._generation == term:
                self._poller.close()
                self._is_alive = False

    def _run_once(self, term):
        while self._calls:
            self._calls.popleft()()
        self._queue.announce_submitted()
        self._start_some(term)
        if self._generation == term:
            self._poll()

    def _start_some(self, term):
        for _ in range(16):
            attempt = self._queue.pop_ready()
            if attempt is None:
                return
            self._start(attempt, term)
            if self._generation != term:
                return

    def _timeout(self):
        return 0.0 if self._calls or self._queue.has_work() else None

    def _start(self, attempt, term):
        attempt.begin()
        self._start_began_at = 1.0
        item = start_process(attempt)
        if self._generation == term:
            self._watch.watch(item)
        else:
            self._call_soon(lambda: self._watch.watch(item))
        if self._generation == term:
            self._start_began_at = 0.0
'''


def former_loop() -> Any:
    """Return the loop with the former order of its steps."""
    names = {name: value for name, value in code(FORMER_STATE).items() if name != "__name__"}
    return stepped(FORMER, PAUSING, FORMER_STATE, **names)["Former"]


Scene = Callable[[World], None]


def scene_maker(kind: Any, scene: Scene) -> Callable[[], Any]:
    """Return a function that begins a scene anew."""

    def fresh() -> Any:
        world = NOW.world = World()
        report_error = world.faults.append if kind.__name__ == "ProcessLoop" else lambda _: None
        log = SimpleNamespace(log_then=world.announce, report_error=report_error)
        world.loop = kind(log, world.run_ended, world.run_in_pool)
        scene(world)
        return world.play, world.state, lambda: wrong_end(world)

    return fresh


def wrong_end(world: World) -> str | None:
    """Say what is wrong when no thread can move: each run has ended, unless it hangs in its start."""
    lost = [one for one in world.expected if one not in world.done]  # type: ignore[attr-defined]
    if lost:
        return f"{lost} have not ended; begun: {world.begun}; threads: {sorted(world.play.threads)}"
    if world.loop._is_closed and world.play.threads:
        return f"threads have not ended: {sorted(world.play.threads)}"
    return f"faults: {world.faults}" if world.faults else None


def checking(world: World, times: int = 1) -> Steps:
    """Call `replace_if_hung` so often, at moments at which any start seems to hang."""
    for _ in range(times):
        yield None
        yield from world.loop.replace_if_hung(math.inf)


def submitting(world: World, *runs: Any) -> Steps:
    """Submit some runs, one after the other."""
    for run in runs:
        try:
            yield from world.loop.submit(run)
        except RuntimeError:  # it was refused, so the caller finds another way
            world.done.append(run.name)


def two_submit(world: World) -> None:
    """Two threads submit a run each."""
    world.expected = ["a", "b"]  # type: ignore[attr-defined]
    world.play.begin("submit a", submitting(world, world.run("a")))
    world.play.begin("submit b", submitting(world, world.run("b")))


def a_run_during_a_check(world: World) -> None:
    """One thread submits a run while another one finds that a start hangs. The start may return at any moment."""
    world.expected = ["a"]  # type: ignore[attr-defined]
    world.play.begin("submit", submitting(world, world.run("a")))
    world.play.begin("check", checking(world))


def two_runs_during_a_check(world: World) -> None:
    """As before, with a second run."""
    world.expected = ["a", "b"]  # type: ignore[attr-defined]
    world.play.begin("submit", submitting(world, world.run("a"), world.run("b")))
    world.play.begin("check", checking(world))


def two_runs_during_two_checks(world: World) -> None:
    """As before, with a second takeover."""
    world.expected = ["a", "b"]  # type: ignore[attr-defined]
    world.play.begin("submit", submitting(world, world.run("a"), world.run("b")))
    world.play.begin("check", checking(world, 2))


def a_start_that_never_returns(world: World) -> None:
    """The run submitted after it is begun all the same."""
    world.expected = ["b"]  # type: ignore[attr-defined]
    world.play.begin("submit", submitting(world, world.run("a", hangs=True), world.run("b")))
    world.play.begin("check", _check_for_ever(world))


def _check_for_ever(world: World) -> Steps:
    """Call `replace_if_hung` during each start, as the service does each second."""
    while True:
        yield lambda: world.loop._ownership.start_began_at > 0
        yield from world.loop.replace_if_hung(math.inf)


def a_host_without_a_thread(world: World) -> None:
    """There is one thread, and none for the first takeover."""
    world.expected = ["a", "b"]  # type: ignore[attr-defined]
    world.threads_left = 1
    world.play.begin("submit", submitting(world, world.run("a"), world.run("b")))
    world.play.begin("check", checking(world, 2))


def an_end_while_a_run_is_submitted(world: World) -> None:
    """The run is refused or carried out, and the thread ends."""
    world.expected = ["a"]  # type: ignore[attr-defined]
    world.play.begin("submit", submitting(world, world.run("a")))
    world.play.begin("close", world.loop.close())


def an_end_while_two_runs_are_submitted(world: World) -> None:
    """The second run may come when the first one has ended and the thread retires."""
    world.expected = ["a", "b"]  # type: ignore[attr-defined]
    world.play.begin("submit", submitting(world, world.run("a"), world.run("b")))
    world.play.begin("close", world.loop.close())


def an_end_while_a_task_is_prepared(world: World) -> None:
    """The run is refused, or started when its task is prepared, and then the thread ends."""
    world.expected = ["a"]  # type: ignore[attr-defined]
    world.play.begin("submit", submitting(world, world.run("a", is_slow=True)))
    world.play.begin("close", world.loop.close())


def a_task_that_is_prepared_during_a_check(world: World) -> None:
    """Another thread may take over before the preparation begins, and while the prepared task starts."""
    world.expected = ["a"]  # type: ignore[attr-defined]
    world.play.begin("submit", submitting(world, world.run("a", is_slow=True)))
    world.play.begin("check", checking(world))


def a_task_that_is_prepared_beside_another_run(world: World) -> None:
    """As before, with a second run."""
    world.expected = ["a", "b"]  # type: ignore[attr-defined]
    world.play.begin("submit", submitting(world, world.run("a", is_slow=True), world.run("b")))
    world.play.begin("check", checking(world))


def lines_that_another_thread_writes(world: World) -> None:
    """A run begins when its line is written, and the writer says when."""
    world.expected = ["a", "b"]  # type: ignore[attr-defined]
    world.announced = []
    world.play.begin("submit", submitting(world, world.run("a"), world.run("b")))
    world.play.begin("writer", world.writer())


def a_run_during_warm_up(world: World) -> None:
    """The run may come at any moment of the warm-up."""
    world.expected = ["a"]  # type: ignore[attr-defined]
    world.play.begin("warm up", world.loop.warm_up())
    world.play.begin("submit", submitting(world, world.run("a")))


DEEP = [pytest.mark.deep, pytest.mark.timeout(3600)]

SCENES = [
    (two_submit, WAKE_UP),
    (a_run_during_warm_up, WAKE_UP),
    (lines_that_another_thread_writes, WAKE_UP),
    (a_run_during_a_check, TAKEOVER),
    (a_start_that_never_returns, TAKEOVER),
    (a_host_without_a_thread, TAKEOVER),
    (an_end_while_a_run_is_submitted, END),
    pytest.param(two_runs_during_a_check, TAKEOVER, marks=DEEP),
    pytest.param(an_end_while_a_task_is_prepared, PREPARED, marks=DEEP),
    pytest.param(a_task_that_is_prepared_during_a_check, TAKEOVER, marks=DEEP),
    pytest.param(an_end_while_two_runs_are_submitted, END, marks=DEEP),
    pytest.param(a_task_that_is_prepared_beside_another_run, TAKEOVER, marks=DEEP),
    pytest.param(two_runs_during_two_checks, TAKEOVER, marks=DEEP),
]


@pytest.mark.parametrize(("scene", "shared"), SCENES)
def test_no_order_of_the_threads_loses_or_doubles_a_run(scene: Scene, shared: set[str]) -> None:
    """Each run begins once and ends once, whichever thread moves when, and only the owner acts."""
    found = explore(scene_maker(code(shared)["ProcessLoop"], scene))
    assert found.wrong == []
    assert found.states > 100


@pytest.mark.deep
def test_the_search_finds_the_wakeup_that_the_former_order_lost() -> None:
    """Two threads waited for one descriptor: the old one read the wakeup and ended, the new one slept on."""
    found = explore(
        scene_maker(former_loop(), two_runs_during_a_check), first=["term 2", "term 1", "submit", "check"].index
    )
    ((_, why),) = found.wrong
    assert "have not ended" in why


ORDERS = {
    "a run is submitted after the wakeup": (
        two_submit,
        WAKE_UP,
        "        self._queue.submit(run)\n",
        "        self._poller.wake()\n        self._queue.submit(run)\n        return\n",
    ),
    "the timeout is computed before the thread can be woken": (
        two_submit,
        WAKE_UP,
        "        self._is_asleep = True\n        heard = self._epoll.poll(seconds())\n",
        "        wait = seconds()\n        self._is_asleep = True\n        heard = self._epoll.poll(wait)\n",
    ),
    "the thread retires after its check for work": (
        an_end_while_a_run_is_submitted,
        END,
        "            self.has_owner = False\n            if not is_idle():\n",
        "            idle = is_idle()\n            self.has_owner = False\n            if not idle:\n",
    ),
    "the thread sleeps after `close`": (
        an_end_while_a_run_is_submitted,
        END,
        " or (self._is_closed and self._is_idle())",
        "",
    ),
    "the thread retires while a task is prepared": (
        an_end_while_a_task_is_prepared,
        PREPARED,
        " and self._preparations.is_idle()",
        "",
    ),
    "a thread takes the loop back without a check of its term": (
        two_runs_during_a_check,
        TAKEOVER,
        "            if self.term != term:\n                return False\n",
        "",
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_search_finds_each_step_that_is_out_of_order(order: str) -> None:
    """So an order that it does not find in the code is not there."""
    scene, shared, step, other = ORDERS[order]
    changed = []

    def change(text: str) -> str:
        changed.append(text.count(step))
        return text.replace(step, other)

    found = explore(scene_maker(code(shared, change)["ProcessLoop"], scene))
    assert sum(changed) == 1
    assert found.wrong
