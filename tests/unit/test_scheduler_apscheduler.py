"""The members of APScheduler that the scheduler overrides or uses, as listed in `apscheduler_classes`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from apscheduler.executors.pool import BasePoolExecutor, ThreadPoolExecutor
from apscheduler.job import Job
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger

from jobscheduler.scheduler import apscheduler_classes, triggers, waker

OURS = {
    BackgroundScheduler: apscheduler_classes.WakingScheduler,
    MemoryJobStore: apscheduler_classes.JobStore,
    BasePoolExecutor: apscheduler_classes.Executor,
    Job: apscheduler_classes.Wakeup,
    CronTrigger: triggers.CronTrigger,
    DateTrigger: triggers.DateTrigger,
}
"""Our subclass of each class of APScheduler."""

CLASSES = {parent.__name__: parent for parent in OURS}


def rows(part: int) -> list[tuple[str, str]]:
    """Return class and member of each row of a table: 0 is what is overridden, 1 what is used besides."""
    tables = (apscheduler_classes.__doc__ or "").split("Private members that we use besides")
    return re.findall(r"^\| `(\w+)` +\| `(\w+)`", tables[part], re.MULTILINE)


OVERRIDDEN, USED = rows(0), rows(1)


@pytest.fixture
def instances() -> Iterator[dict[str, object]]:
    """An untouched object of each class, with a running scheduler and a job in its store."""
    scheduler, store, executor = BackgroundScheduler(timezone=UTC), MemoryJobStore(), ThreadPoolExecutor(1)
    scheduler.add_executor(executor)
    scheduler.add_jobstore(store)
    scheduler.start()
    job = scheduler.add_job(print, "date", run_date=datetime(2096, 1, 1, tzinfo=UTC))
    yield {
        "BackgroundScheduler": scheduler,
        "MemoryJobStore": store,
        "Job": job,
    }
    scheduler.shutdown()


@pytest.mark.parametrize(("name", "member"), OVERRIDDEN)
def test_an_overridden_method_exists_and_takes_the_same_arguments(name: str, member: str) -> None:
    """A release that renames a method would call its own instead of ours; one that adds an argument would fail."""
    parent = getattr(CLASSES[name], member)
    ours = inspect.signature(getattr(OURS[CLASSES[name]], member))
    if member != "__init__":  # ours is called by us only
        assert len(ours.parameters) == len(inspect.signature(parent).parameters)


@pytest.mark.parametrize(("name", "member"), USED)
def test_a_private_member_that_is_used_exists(instances: dict[str, object], name: str, member: str) -> None:
    """On an object that APScheduler has made."""
    assert hasattr(instances[name], member)


def test_the_private_members_are_of_the_expected_kind(instances: dict[str, object]) -> None:
    """The store is a sorted list of pairs."""
    store, job = instances["MemoryJobStore"], instances["Job"]
    scheduler = instances["BackgroundScheduler"]
    assert store._jobs == [(job, job.next_run_time.timestamp())]  # type: ignore[attr-defined]
    assert list(store._jobs_index) == [job.id]  # type: ignore[attr-defined]
    assert scheduler._jobstores["default"] is store  # type: ignore[attr-defined]
    assert scheduler._thread.is_alive()  # type: ignore[attr-defined]
    with scheduler._jobstores_lock:  # type: ignore[attr-defined]
        assert isinstance(scheduler._process_jobs(), float)  # type: ignore[attr-defined]


def test_our_job_has_every_attribute_of_apschedulers(instances: dict[str, object]) -> None:
    """`Wakeup.__init__` replaces APScheduler's; a new attribute would be missing."""
    ours = apscheduler_classes.Wakeup(None, "x", DateTrigger(), datetime.now(UTC))  # type: ignore[arg-type]
    slots = [name for name in Job.__slots__ if name != "__weakref__" and hasattr(instances["Job"], name)]
    assert [name for name in slots if not hasattr(ours, name)] == []


def test_every_override_is_listed() -> None:
    """Each method of our subclasses that hides one of APScheduler's is in the first table."""
    hidden = {
        (parent.__name__, name)
        for parent, ours in OURS.items()
        for name, value in {**vars(ours.__mro__[1]), **vars(ours)}.items()
        if inspect.isfunction(value) and hasattr(parent, name) and ours.__module__.startswith("jobscheduler")
        if value.__module__.startswith("jobscheduler")
    }
    not_listed = {(name, member) for name, member in hidden - set(OVERRIDDEN) if not member.startswith("__")}
    assert not_listed == set()


@pytest.mark.parametrize("module", [waker, apscheduler_classes, triggers])
def test_every_private_member_that_is_used_is_listed(module: object) -> None:
    """Each private attribute in the source that our own classes do not set on `self` is in a table."""
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))  # type: ignore[attr-defined]
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr)]
    stored = [node for node in nodes if isinstance(node.ctx, ast.Store)]
    ours = {node.attr for node in stored if isinstance(node.value, ast.Name) and node.value.id == "self"}
    ours |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)} | {"_never_set"}
    assert {node.attr for node in nodes} - ours <= {member for _, member in OVERRIDDEN + USED}
