"""The waker hands out many due jobs in batches, and lets other threads change jobs in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.triggers.base import BaseTrigger

from jobscheduler.scheduler.apscheduler_classes import MAX_BATCH, POLL_S, WAKE_EARLY_S, JobStore, Wakeup
from jobscheduler.scheduler.waker import Waker

DUE = datetime.now(UTC) - timedelta(seconds=1)


class Never(BaseTrigger):  # type: ignore[misc]
    """A trigger without a further time."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> None:
        """Return none."""


class Woken:
    """Takes due jobs, as slowly as a busy machine would."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.first = threading.Event()

    def __call__(self, job_id: str, at: datetime) -> None:
        """Take a due job."""
        self.ids.append(job_id)
        self.first.set()
        time.sleep(0.0002)


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def waker(woken: Woken) -> Iterator[Waker]:
    made = Waker(1, woken)
    yield made
    made.stop()
    made.close()


def test_every_due_job_is_handed_out(waker: Waker, woken: Woken) -> None:
    """However many batches it takes."""
    names = [f"job-{number}" for number in range(3 * MAX_BATCH + 1)]
    for name in names:
        waker.put(name, Never(), DUE)
    waker.start()
    while len(woken.ids) < len(names):
        time.sleep(0.005)
    assert sorted(woken.ids) == sorted(names)


def test_a_change_does_not_wait_for_all_due_jobs(waker: Waker, woken: Woken) -> None:
    """The store's lock is free between two batches, long enough for a waiting thread to get it."""
    many = 20 * MAX_BATCH
    for number in range(many):
        waker.put(f"job-{number}", Never(), DUE)
    waker.start()
    assert woken.first.wait(10)
    waker.drop("unknown")
    assert len(woken.ids) <= 2 * MAX_BATCH


def test_a_waker_whose_thread_did_not_start_can_be_stopped(woken: Woken, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the reason of the failed start is shown, and not what its end runs into."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    waker = Waker(1, woken)
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="start new thread"):
        waker.start()
    waker.stop()


def test_the_first_batch_is_small_and_further_ones_grow() -> None:
    """The first runs of many begin at once; after a pause the first batch is small again."""
    store, sizes = JobStore(), []
    for _ in range(2):
        for number in range(100):
            store.put(Wakeup(None, f"job-{number:03}", Never(), DUE))
        while due := store.get_due_jobs(datetime.now(UTC)):
            sizes.append(len(due))
            for job in due:
                store.remove_job(job.id)
    assert sizes == 2 * [3, 6, 12, 24, MAX_BATCH, MAX_BATCH, 5]


def test_the_thread_wakes_shortly_before_a_job_is_due(woken: Woken) -> None:
    """A long sleep ends late, so it is interrupted once and followed by short steps."""
    approached: list[str] = []
    waker = Waker(1, woken, approached.append)
    waker.put("next", Never(), datetime.now(UTC) + timedelta(seconds=60))
    sleep_time, near = waker._scheduler._sleep_time, WAKE_EARLY_S / 2
    assert [sleep_time(None), sleep_time(60.0)] == [None, 60.0 - WAKE_EARLY_S]
    assert [sleep_time(near), sleep_time(near), sleep_time(POLL_S / 2)] == [0.0, POLL_S, POLL_S / 2]
    assert approached == ["next"]
    assert [sleep_time(0), sleep_time(near)] == [0, POLL_S], "in a busy time nobody has to be approached"
    assert [sleep_time(60.0), sleep_time(near)] == [60.0 - WAKE_EARLY_S, 0.0]
    assert approached == ["next", "next"]


def test_an_error_in_the_warm_up_ends_nothing(woken: Woken) -> None:
    """The job is handed out all the same."""
    approached: list[bool] = []

    def ready(_: str) -> None:
        approached.append(woken.first.is_set())
        raise RuntimeError("a fault of ours")

    waker = Waker(1, woken, ready)
    waker.put("next", Never(), datetime.now(UTC) + timedelta(seconds=4 * WAKE_EARLY_S))
    waker.start()
    try:
        assert woken.first.wait(10)
        assert approached == [False]
    finally:
        waker.stop()
        waker.close()


def test_stopping_while_jobs_are_handed_out_raises_nothing(
    waker: Waker, woken: Woken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread ends by itself; nothing is raised on it, which would show as a traceback."""
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    for number in range(MAX_BATCH):
        waker.put(f"job-{number}", Never(), DUE)
    waker.start()
    assert woken.first.wait(10)
    waker.stop()
    assert not raised
