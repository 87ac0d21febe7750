"""Alerts: when one is due, what its task gets, and how it is sent while no run waits for it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobscheduler import tasks
from jobscheduler.alerts import (
    AlertDispatcher,
    AlertKind,
    AlertSenderPool,
    DefaultAlerts,
    PendingAlert,
    ResultChange,
    sender_pool,
)
from jobscheduler.alerts import build_payload as build_payload_of
from jobscheduler.alerts.alert_queues import MAX_NAMED_JOBS, MAX_PER_RECEIVER
from jobscheduler.alerts.damping import BURST_SIZE, MIN_ALERT_INTERVAL_S
from jobscheduler.model import NO_TASK, AlertRule, Cron, Event, Job, Level, LogEntry, Record, Status, TaskSpec
from jobscheduler.status.standings import Standings
from jobscheduler.tasks import Alert, Context, Outcome, Task, TaskFailed
from tests.support.service import wait_until
from tests.support.tasks import as_root

AT = datetime(2026, 11, 22, 1, 0, 1, 500000, tzinfo=UTC)
S, F, K, M = Status.SUCCESS, Status.FAILURE, Status.SKIPPED, Status.MISSED


def record(job_id: str = "a", status: Status = F, **fields: Any) -> Record:
    given = {"run_id": "5f3c2a9d", "scheduled": AT, "started": AT, "duration": 1.2, **fields}
    return Record(AT, status, job_id, **given)


def build_payload(on: AlertKind, one: Record, *, description: str, host: str) -> Alert:
    """Return the payload of an alert about a record."""
    return build_payload_of(ResultChange(TaskSpec.from_params("note", {}), on, one, description), host=host)


# --- what it is told -------------------------------------------------------------------------------------


def test_an_alert_gets_the_record_in_variables() -> None:
    """Each variable always exists, empty if its value is unknown; the record is also there as a line of JSON."""
    one = record(reason="exit", details=(("exit_code", 3), ("error", "no luck")), output="first\nlast")
    alert = build_payload(AlertKind.FAILURE, one, description="Backs up.", host="db1")

    assert (alert.on, alert.record) == ("failure", one)
    assert json.loads(alert.text) == {
        "time": "2026-11-22T01:00:01.500Z",
        "status": "FAILURE",
        "job_id": "a",
        "run_id": "5f3c2a9d",
        "scheduled": "2026-11-22T01:00:01.500Z",
        "started": "2026-11-22T01:00:01.500Z",
        "duration": 1.2,
        "reason": "exit",
        "exit_code": 3,
        "error": "no luck",
        "output": "first\nlast",
    }
    assert alert.variables == {
        "JOB_ALERT": "failure",
        "JOB_CHANGES": "1",
        "JOB_DESCRIPTION": "Backs up.",
        "JOB_DURATION": "1.200",
        "JOB_ERROR": "no luck",
        "JOB_EXIT_CODE": "3",
        "JOB_FAILURES": "0",
        "JOB_HOST": "db1",
        "JOB_LAST_SUCCESS": "",
        "JOB_OUTPUT": "first\nlast",
        "JOB_REASON": "exit",
        "JOB_RECORD": alert.text,
        "JOB_RECORD_RUN_ID": "5f3c2a9d",
        "JOB_SINCE": "",
        "JOB_STARTED": "2026-11-22T01:00:01.500Z",
        "JOB_STATUS": "FAILURE",
    }
    bare = build_payload(AlertKind.RECOVERY, Record(AT, S, "a"), description="", host="")
    empty = {name for name, value in bare.variables.items() if not value}
    assert bare.variables.keys() == alert.variables.keys()
    assert bare.variables.keys() - empty == {*("JOB_ALERT", "JOB_CHANGES", "JOB_FAILURES", "JOB_STATUS", "JOB_RECORD")}


def test_no_variable_but_the_output_can_begin_another_line() -> None:
    """Nor can any hold bytes that no program accepts, or be longer than a bound, whatever a job prints."""
    nasty = "x\r\nBcc: all@example.org\0\u2028\x85\udc80" + "y" * 10000
    one = record(reason=nasty, details=(("error", nasty), ("exit_code", nasty)), output=nasty)
    alert = build_payload(AlertKind.FAILURE, one, description=nasty, host=nasty)

    for name, value in alert.variables.items():
        assert "\0" not in value
        assert len(value.encode()) <= 16384
        if name != "JOB_OUTPUT":
            assert len(value.splitlines()) <= 1, name


def test_a_command_gets_the_record_and_a_run_marker_of_its_own() -> None:
    """The run's id is not in the run marker, or the alert would count as a part of that run."""
    from jobscheduler.tasks.command.task import ExecuteCommand

    alert = build_payload(AlertKind.FAILURE, record(output="line\n\0end"), description="d", host="h")
    run_id = os.urandom(6).hex()
    context = Context("a", run_id, AT, alert=alert)
    fields = {"command": "env", "env": {"JOB_HOST": "mine"}}
    shown = dict(
        line.split("=", 1) for line in ExecuteCommand(fields).run(context).output.decode().splitlines() if "=" in line
    )

    assert (shown["JOB_ID"], shown["JOB_RUN_ID"], shown["JOB_RECORD_RUN_ID"]) == ("a", run_id, "5f3c2a9d")
    assert (shown["JOB_ALERT"], shown["JOB_HOST"], shown["JOB_RECORD"]) == ("failure", "mine", alert.text)
    assert shown["JOB_SCHEDULED_TIME"] == "2026-11-22T01:00:01.500Z"


@as_root
def test_a_command_of_another_user_gets_the_same() -> None:
    """Also values with quotes and line breaks."""
    from jobscheduler.tasks.command.task import ExecuteCommand

    text = 'it\'s "$HOME" `id` \\ ${x}\nend'
    alert = build_payload(AlertKind.FAILURE, record(output=text), description=text, host="h")
    fields = {"command": 'printf %s "$JOB_OUTPUT$JOB_RECORD"; id -un', "user": "nobody", "cwd": "/"}
    context = Context("a", os.urandom(6).hex(), AT, alert=alert)

    assert ExecuteCommand(fields).run(context).output.decode() == text + alert.text + "nobody\n"


# --- the room --------------------------------------------------------------------------------------------


class Given:
    """Tasks that note their alerts by name; `doing` is what they do then."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.doing: Callable[[Context], Outcome | None] = lambda _: None

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(context.job_id, context.alert.on) for context in self.contexts if context.alert]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    """The task type `note`."""
    noted = Given()

    class Note(Task):
        """Notes."""

        def secrets(self) -> Iterator[str]:
            yield from self.fields.values()

        def run(self, context: Context) -> Outcome | None:
            noted.contexts.append(context)
            return noted.doing(context)

    monkeypatch.setitem(tasks._loaded, "note", Note)
    return noted


NOTE = TaskSpec.from_params("note", {})


def note(receiver: str) -> TaskSpec:
    """Return a task with a receiver of its own."""
    return TaskSpec.from_params("note", {"url": f"http://{receiver}/"})


def job(job_id: str = "a", **fields: Any) -> Job:
    return Job(job_id, Cron("@daily", "UTC"), TaskSpec.from_params("note", {}), **fields)


class Room:
    """A dispatcher and a sender with fakes around them."""

    def __init__(self, *jobs: Job, **sender: Any) -> None:
        self.entries: list[LogEntry] = []
        self.jobs = {one.id: one for one in jobs}
        self.last_records: dict[str, Record] = {}
        self.uptime = 1000.0
        self.stands_by = False
        self.standings = Standings(lambda: self.uptime)
        self.sender = AlertSenderPool(self.entries.append, **sender)
        self.find_job: Callable[[str], Job | None] = self.jobs.get
        self.alerts = AlertDispatcher(
            self.write,
            self.standings,
            DefaultAlerts(),
            self._find_job,
            last_record=self._last_record,
            host="h",
            sender=self.sender,
            stands_by=lambda: self.stands_by,
        )

    def _last_record(self, job_id: str, statuses: Collection[Status]) -> Record | None:
        found = self.last_records.get(job_id)
        return found if found is not None and found.status in statuses else None

    def _find_job(self, job_id: str) -> Job | None:
        return self.find_job(job_id)

    def start(self) -> Room:
        self.alerts.start()
        return self

    def write(self, *entries: LogEntry) -> None:
        for one in entries:
            self.standings.observe(one)
            self.entries.append(one)
            self.alerts.observer.observe(one)

    def ends(self, job_id: str, *statuses: Status) -> None:
        self.write(*(record(job_id, status) for status in statuses))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [dict(one.values) for one in self.entries if isinstance(one, Event) and one.name == name]

    def stop(self, seconds: float = 10.0) -> None:
        self.alerts.stop(seconds)


def test_every_entry_reaches_the_log_and_a_change_is_one_alert(given: Given) -> None:
    """Failures in a row are one alert, and so is the success after them."""
    room = Room(job(on_failure=NOTE, on_recovery=NOTE)).start()
    room.ends("a", S, F, F, K, M, F, S, S, F)
    room.stop()

    assert given.told == [("a", "failure"), ("a", "recovery"), ("a", "failure")]
    assert [one.status for one in room.entries if isinstance(one, Record)] == [S, F, F, K, M, F, S, S, F]
    (first, *_) = room.events("alert.sent")
    assert (first["job_id"], first["on"], first["run_id"]) == ("a", "failure", "5f3c2a9d")
    assert all(one.alert and one.alert.record.run_id != one.run_id for one in given.contexts)
    assert len({one.run_id for one in given.contexts}) == 3


@pytest.mark.parametrize(
    ("own", "default", "told"),
    [
        (None, None, []),
        (None, TaskSpec.from_params("note", {"who": "default"}), ["default"]),
        (TaskSpec.from_params("note", {"who": "own"}), TaskSpec.from_params("note", {"who": "default"}), ["own"]),
        (NO_TASK, TaskSpec.from_params("note", {"who": "default"}), []),
    ],
)
def test_the_default_alert_is_for_jobs_without_their_own(
    given: Given, monkeypatch: pytest.MonkeyPatch, own: TaskSpec | None, default: TaskSpec | None, told: list[str]
) -> None:
    """A job's own task comes first, and null is no alert."""
    who: list[str] = []
    monkeypatch.setattr(tasks._loaded["note"], "run", lambda self, context: who.append(self.fields["who"]))
    room = Room(job(on_failure=own, on_recovery=NO_TASK)).start()
    room.alerts.replace_defaults(DefaultAlerts(on_failure=default, on_recovery=default))
    room.ends("a", F, S)
    room.stop()

    assert who == told


def test_records_from_before_the_files_were_read_wait(given: Given) -> None:
    """A run that a crash interrupted gets its record before any job is known."""
    room = Room(job(on_failure=NOTE))
    room.ends("a", F)
    assert given.told == []
    room.start()
    room.stop()

    assert given.told == [("a", "failure")]


def test_a_failing_alert_is_logged_without_its_secrets(given: Given) -> None:
    """Only in the log: it makes no record and no further alert."""

    def fail(_: Context) -> Outcome:
        raise TaskFailed(
            "the password hunter22 is wrong", reason="http", outcome=Outcome((("http_status", 401),), b"no\n")
        )

    given.doing = fail
    room = Room(job(on_failure=TaskSpec.from_params("note", {"password": "hunter22"}))).start()
    room.ends("a", F)
    room.stop()

    (told,) = room.events("alert.failed")
    assert told.pop("duration") >= 0
    assert told == {
        "job_id": "a",
        "on": "failure",
        "run_id": "5f3c2a9d",
        "reason": "http",
        "http_status": 401,
        "error": "the password [secret] is wrong",
        "output": "no",
    }
    assert len(room.entries) == 2


def test_a_crashing_alert_is_logged_with_its_traceback_and_the_next_is_sent(given: Given) -> None:
    """Whatever it raises, no thread ends."""
    given.doing = lambda _: 1 / 0  # type: ignore[return-value]
    room = Room(job(on_failure=NOTE, on_recovery=NOTE)).start()
    room.ends("a", F, S)
    room.stop()

    assert given.told == [("a", "failure"), ("a", "recovery")]
    assert "ZeroDivisionError" in room.events("task.crashed")[0]["traceback"]
    assert [one["error"] for one in room.events("alert.failed")] == ["ZeroDivisionError: division by zero"] * 2


# --- rules of a job --------------------------------------------------------------------------------------


def told_by(given: Given, *statuses: Status | tuple[Status, str], **fields: Any) -> list[str]:
    """Return the alerts of a job with these records, each with a reason if it has one."""
    room = Room(job(on_failure=NOTE, on_recovery=NOTE, **fields)).start()
    for one in statuses:
        status, reason = one if isinstance(one, tuple) else (one, "exit" if one is F else None)
        room.write(record("a", status, reason=reason))
    room.stop()
    return [on for _, on in given.told]


@pytest.mark.parametrize(
    ("rule", "statuses", "told"),
    [
        (AlertRule(), [F, F, S], ["failure", "recovery"]),
        (AlertRule(3), [F, F, S, F, F], []),
        (AlertRule(3), [F, F, F, F, S], ["failure", "recovery"]),
        (AlertRule(2), [F, K, M, F], ["failure"]),
        (AlertRule(2), [F, S, F, S], []),
        (AlertRule(), [M, M], []),
        (AlertRule(missed=True), [M, M, S], ["failure", "recovery"]),
        (AlertRule(3, missed=True), [F, M, F], ["failure"]),
        (AlertRule(), [(F, "shutdown"), (F, "stopped"), (F, "replaced")], []),
        (AlertRule(2), [F, (F, "stopped"), (K, "overlap"), F], ["failure"]),
        (AlertRule(missed=True), [(M, "deleted"), (M, "disabled"), (M, "shutdown")], []),
        (AlertRule(missed=True), [(M, "down")], ["failure"]),
        (AlertRule(), [(F, "interrupted")], ["failure"]),
    ],
)
def test_the_rule_of_a_job_says_which_failures_are_told(
    given: Given, rule: AlertRule, statuses: list[Status | tuple[Status, str]], told: list[str]
) -> None:
    """After so many in a row, with missed slots or without; what a person or a stop has ended changes nothing."""
    assert told_by(given, *statuses, alert=rule) == told


def test_an_alert_says_how_many_failures_there_were_and_since_when(given: Given) -> None:
    """As of the record that it is about, whatever has followed."""
    room = Room(job(on_failure=NOTE, alert=AlertRule(2))).start()
    room.write(record("a", S), record("a", F), record("a", F), record("a", F))
    room.stop()

    (alert,) = [one.alert for one in given.contexts if one.alert]
    assert alert.variables["JOB_FAILURES"] == "2"
    assert alert.variables["JOB_SINCE"] == alert.variables["JOB_LAST_SUCCESS"] == "2026-11-22T01:00:01.500Z"


def test_a_failure_that_goes_on_is_told_again(given: Given) -> None:
    """Each time that `remind` has passed since the last alert, until the next success; not while the job is held."""
    room = Room(job(on_failure=NOTE, on_recovery=NOTE, alert=AlertRule(remind=3600.0))).start()
    last = room.last_records["a"] = record("a", F, run_id="0123")
    room.write(last)
    for hours, count in ((0.9, 1), (1.0, 2), (1.5, 2), (2.0, 3)):
        room.uptime = 1000.0 + 3600 * hours
        room.alerts.observer.check_reminders(room.uptime)
        wait_until(lambda: len(room.events("alert.sent")) == count)  # noqa: B023 - is called at once
    room.ends("a", S)
    room.uptime += 7200
    room.alerts.observer.check_reminders(room.uptime)
    room.stop()

    assert [on for _, on in given.told] == ["failure", "reminder", "reminder", "recovery"]
    reminder = given.contexts[1].alert
    assert reminder is not None
    assert (reminder.variables["JOB_STATUS"], reminder.record.run_id) == ("FAILURE", "0123")
    assert json.loads(reminder.text)["alert"] == "reminder"


def test_reminders_of_many_jobs_are_one_summary(given: Given) -> None:
    """A thousand jobs that began to fail together are due for a reminder together."""
    names = [f"j{number}" for number in range(BURST_SIZE + 5)]
    room = Room(*(job(name, on_failure=NOTE, alert=AlertRule(remind=3600.0)) for name in names)).start()
    for name in names:
        room.ends(name, F)
    wait_until(lambda: len(given.told) == BURST_SIZE)
    room.uptime += 3600
    room.alerts.observer.check_reminders(room.uptime)
    room.stop()

    assert [on for _, on in given.told].count("summary") == 1


# --- overdue ---------------------------------------------------------------------------------------------


def overdue(job_id: str = "a") -> Event:
    return Event.of(AT, Level.WARNING, "job.overdue", job_id=job_id, since=AT)


@pytest.mark.parametrize("ran", [True, False], ids=["with a record", "without any"])
def test_an_overdue_job_is_told_with_its_last_record(given: Given, *, ran: bool) -> None:
    """And the next success is the recovery, told once."""
    room = Room(job(on_failure=NOTE, on_recovery=NOTE, success_within=60.0))
    room.standings.define(room.jobs["a"], AT, AT)
    room.start()
    if ran:
        room.last_records["a"] = record("a", S, run_id="0123")
    room.uptime += 61
    assert [one.job_id for one in room.standings.check(AT + timedelta(seconds=61), lambda _: False)] == ["a"]
    room.write(overdue())
    room.ends("a", S, S)
    room.stop()

    assert [on for _, on in given.told] == ["overdue", "recovery"]
    alert = given.contexts[0].alert
    assert alert is not None
    assert (alert.variables["JOB_STATUS"], alert.variables["JOB_RECORD_RUN_ID"]) == ("OVERDUE", "0123" if ran else "")
    assert alert.variables["JOB_SINCE"] == "2026-11-22T01:01:01.500Z"
    assert json.loads(alert.text)["overdue_since"] == "2026-11-22T01:01:01.500Z"


# --- the threads -----------------------------------------------------------------------------------------


def due(job_id: str = "a", on: AlertKind = AlertKind.FAILURE, task: TaskSpec = NOTE) -> PendingAlert:
    return PendingAlert(task, build_payload(on, record(job_id), description="", host=""))


class Gate:
    """A task that waits until it may go on, and counts how many wait at once."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.inside: list[str] = []
        self.most = 0
        self.doubled = False

    def __call__(self, context: Context) -> None:
        with self.lock:
            self.doubled |= context.job_id in self.inside
            self.inside.append(context.job_id)
            self.most = max(self.most, len(self.inside))
        while not self.open.wait(0.01) and not context.stopping.is_set():
            pass
        with self.lock:
            self.inside.remove(context.job_id)


def test_a_burst_makes_few_threads_and_no_record_waits(given: Given) -> None:
    """A thousand jobs fail at once while every alert hangs: writing takes no longer than before."""
    gate = Gate()
    given.doing = gate
    room = Room(*(job(f"j{number}", on_failure=NOTE) for number in range(1000))).start()
    before = threading.active_count()
    began = time.monotonic()
    for number in range(1000):
        room.ends(f"j{number}", F)
    took = time.monotonic() - began
    wait_until(lambda: len(gate.inside) == MAX_PER_RECEIVER and room.alerts._news.is_empty())

    assert took < 1
    assert threading.active_count() - before <= MAX_PER_RECEIVER + 1  # and the timer's
    gate.open.set()
    wait_until(lambda: len(room.events("alert.sent")) == BURST_SIZE)
    room.stop()
    assert gate.most == MAX_PER_RECEIVER
    (summary,) = [one.alert for one in given.contexts if one.alert and one.alert.on == "summary"]
    told = {one["job_id"] for one in room.events("alert.sent") if "job_id" in one}
    assert told | {line.split()[1] for line in summary.variables["JOB_OUTPUT"].splitlines()} == set(room.jobs)


def test_the_alerts_of_one_job_keep_their_order_and_never_overlap(given: Given) -> None:
    """While alerts of other jobs are sent; of the queued ones the first and the latest stay."""
    gate = Gate()
    given.doing = gate
    events: list[Event] = []
    sender = AlertSenderPool(events.append)
    for job_id in ("a", "b", "c"):
        sender.put(due(job_id))
    wait_until(lambda: len(gate.inside) == 3)
    for on in [AlertKind.RECOVERY, AlertKind.FAILURE] * 20:
        for job_id in ("a", "b", "c"):
            sender.put(due(job_id, on))
    gate.open.set()
    sender.stop(20)

    for job_id in ("a", "b", "c"):
        told = [one.alert for one in given.contexts if one.job_id == job_id and one.alert]
        assert [(one.on, one.variables["JOB_CHANGES"]) for one in told] == [
            ("failure", "1"),
            ("recovery", "1"),
            ("failure", "39"),
        ]
    assert not gate.doubled
    assert [one.name for one in events] == ["alert.sent"] * 9


def test_alerts_that_do_not_fit_into_the_queue_are_named(given: Given) -> None:
    """Afterwards, also if no further alert comes."""
    gate = Gate()
    given.doing = gate
    events: list[Event] = []
    sender = AlertSenderPool(events.append, waiting=10)
    sender.put(due("first"))
    wait_until(lambda: gate.inside)
    for number in range(3):
        sender.put(due(f"busy{number}"))
    wait_until(lambda: len(gate.inside) == 4)
    for number in range(15):
        sender.put(due(f"j{number}"))
    assert [event.name for event in events] == []
    gate.open.set()

    wait_until(lambda: len([one for one in events if one.name == "alert.sent"]) == 14)
    told = [dict(one.values) for one in events if one.name == "alert.dropped"]
    assert [one["reason"] for one in told] == ["full"] * len(told)
    assert sum(one["count"] for one in told) == 5
    assert {name for one in told for name in one["jobs"].split(",")} == {f"j{number}" for number in range(10, 15)}
    sender.stop(10)


def test_a_line_full_of_dropped_alerts_is_logged_while_the_queue_is_still_full(given: Given) -> None:
    """A service that is killed later leaves fewer than one line of names unlogged."""
    gate = Gate()
    given.doing = gate
    events: list[Event] = []
    sender = AlertSenderPool(events.append, waiting=1)
    for number in range(4):
        sender.put(due(f"busy{number}"))
        wait_until(lambda: len(gate.inside) == number + 1)  # noqa: B023 - is called at once
    for number in range(1 + MAX_NAMED_JOBS + 1):
        sender.put(due(f"j{number}"))
    (told,) = [dict(one.values) for one in events]
    assert (told["count"], told["reason"]) == (MAX_NAMED_JOBS, "full")
    assert told["jobs"] == ",".join(f"j{number}" for number in range(1, MAX_NAMED_JOBS + 1))
    gate.open.set()
    sender.stop(10)


def test_an_alert_that_hangs_is_stopped_at_its_limit(given: Given) -> None:
    """Then the next one of the job is sent."""
    given.doing = lambda context: context.stopping.wait(30) and None  # type: ignore[func-returns-value]
    events: list[Event] = []
    sender = AlertSenderPool(events.append, limit=0.1)
    sender.put(due("a"))
    sender.put(due("a", AlertKind.RECOVERY))
    sender.stop(10)

    assert [(one.name, dict(one.values)["reason"]) for one in events] == [("alert.failed", "timeout")] * 2
    assert all(one.deadline is not None for one in given.contexts)


def test_alerts_that_do_not_end_delay_no_others(given: Given) -> None:
    """Their threads are lost, each is logged, and other threads replace them."""
    over = threading.Event()
    given.doing = lambda context: over.wait(30) and None if context.job_id != "good" else None  # type: ignore[func-returns-value]
    events: list[Event] = []
    sender = AlertSenderPool(events.append, limit=0.1, grace=0.1)
    for number in range(6):
        sender.put(due(f"bad{number}"))
    sender.put(due("good"))

    wait_until(lambda: [one for one in events if one.name == "alert.sent"])
    wait_until(lambda: len([one for one in events if one.name == "alert.failed"]) == 6)
    (failed, *_) = [dict(one.values) for one in events if one.name == "alert.failed"]
    assert failed["reason"] == "timeout"
    assert "its thread is lost" in failed["error"]
    before = len(events)
    over.set()
    sender.stop(5)
    assert len(events) == before


def test_a_stop_lets_alerts_finish_then_ends_them(given: Given) -> None:
    """Active ones are asked to end, queued ones dropped and counted, and later ones not begun."""
    gate = Gate()
    given.doing = gate
    room = Room(*(job(f"j{number}", on_failure=NOTE) for number in range(10))).start()
    for number in range(10):
        room.ends(f"j{number}", F)
    wait_until(lambda: len(gate.inside) == 4)
    began = time.monotonic()
    room.alerts.stop(0, lambda: time.monotonic() - began > 0.3)

    assert time.monotonic() - began < 5
    assert [one["reason"] for one in room.events("alert.failed")] == ["shutdown"] * 4
    assert room.events("alert.dropped") == [{"count": 6, "reason": "shutdown", "jobs": "j4,j5,j6,j7,j8,j9"}]
    assert len(given.told) == 4


def test_alerts_wait_while_the_host_has_no_thread_left(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are sent as soon as there is one, without a further record."""
    room = Room(job(on_failure=NOTE)).start()
    begin, refused = threading.Thread.start, threading.Event()

    def refuse(self: threading.Thread) -> None:
        if self.name == "alert" and not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        begin(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    room.ends("a", F)
    wait_until(lambda: given.told)
    assert refused.is_set()
    room.stop()


def test_threads_end_when_no_alert_is_left(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alert a year needs no thread for a year."""
    monkeypatch.setattr("jobscheduler.alerts.sender_pool.IDLE_TIMEOUT_S", 0.05)
    events: list[Event] = []
    sender = AlertSenderPool(events.append)
    sender.put(due("a"))
    wait_until(lambda: events)
    wait_until(lambda: not [one for one in threading.enumerate() if one.name == "alert"])
    sender.put(due("b"))
    wait_until(lambda: len(events) == 2)
    sender.stop(5)


def test_an_error_of_ours_does_not_end_the_dispatcher(given: Given) -> None:
    """It is logged, and the next change is told."""
    room = Room(job(on_failure=NOTE))
    find, faults = room.jobs.get, [KeyError("boom")]

    def faulty(job_id: str) -> Job | None:
        if faults and threading.current_thread() is room.alerts._thread:
            raise faults.pop()
        return find(job_id)

    room.find_job = faulty
    room.start()
    room.ends("a", F, S, F)
    room.stop()

    assert given.told == [("a", "failure")]
    assert room.events("alert.trouble") == [{"problem": "KeyError: 'boom'"}]


# --- what hangs, and who waits for it --------------------------------------------------------------------


def hang(context: Context) -> None:
    """Wait for the end of an alert to a receiver that hangs."""
    if context.job_id.startswith("hanging"):
        context.stopping.wait(30)


def test_a_receiver_that_hangs_delays_no_other(given: Given) -> None:
    """Many jobs alert it, and one job another."""
    given.doing = hang
    events: list[Event] = []
    sender = AlertSenderPool(events.append)
    for number in range(50):
        sender.put(due(f"hanging{number}", task=note("drips.example.org")))
    wait_until(lambda: len(given.told) == MAX_PER_RECEIVER)
    sender.put(due("important", task=NOTE))
    wait_until(lambda: [one for one in events if dict(one.values)["job_id"] == "important"], 2)

    assert len(given.told) == MAX_PER_RECEIVER + 1
    assert "important" not in sender.waiting()
    assert len(sender.waiting()) == 50
    sender.stop(0)


def test_receivers_that_hang_do_not_take_all_workers(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are: an alert that takes long no longer counts."""
    monkeypatch.setattr(sender_pool, "LONG_RUN_S", 0.1)
    given.doing = hang
    events: list[Event] = []
    sender = AlertSenderPool(events.append)
    for number in range(40):
        sender.put(due(f"hanging{number}", task=note(f"drips{number}.example.org")))
    sender.put(due("important", task=NOTE))
    wait_until(lambda: [one for one in events if dict(one.values)["job_id"] == "important"], 5)
    sender.stop(0)

    assert not [one for one in threading.enumerate() if one.name == "alert" and one.is_alive() and not one.daemon]


def test_the_server_of_a_url_is_its_receiver() -> None:
    """Whatever the path, user or query; each command is a receiver of its own."""
    urls = ("http://u:p@h.example.org:8080/a", "http://h.example.org:8080/b?c", "https://h.example.org/")
    receivers = [PendingAlert(TaskSpec.from_params("http_request", {"url": url}), due().alert).receiver for url in urls]
    assert receivers == ["h.example.org:8080", "h.example.org:8080", "h.example.org"]
    one, other = (
        PendingAlert(TaskSpec.from_params("execute_command", {"command": text}), due().alert).receiver
        for text in ("a", "b")
    )
    assert one != other


def test_alerts_held_back_or_queued_at_a_stop_are_sent_or_named(given: Given) -> None:
    """No alert is lost without a line in the log."""
    room = Room(job(on_failure=NOTE, on_recovery=NOTE)).start()
    room.ends("a", F, S, F, S, F)
    wait_until(lambda: len(given.told) == 2 and room.alerts._news.is_empty() and room.alerts._damper.waiting())
    assert room.alerts.waiting() == ("a",)
    room.stop()

    assert given.told == [("a", "failure"), ("a", "recovery"), ("a", "failure")]
    assert [one.get("changes") for one in room.events("alert.sent")] == [None, None, 3]


def test_an_alert_held_back_is_sent_by_time_alone(given: Given) -> None:
    """Without a further record: the dispatcher's thread wakes up for it."""
    now = [1000.0]
    room = Room(job(on_failure=NOTE, on_recovery=NOTE))
    room.alerts._monotonic = lambda: now[0]
    room.start()
    room.ends("a", F, S, F)
    wait_until(lambda: len(given.told) == 2 and room.alerts._damper.waiting())
    now[0] += MIN_ALERT_INTERVAL_S
    room.alerts.observer._put("other", AlertKind.RECOVERY)
    wait_until(lambda: len(given.told) == 3)
    room.stop()


# --- whose alert it is -----------------------------------------------------------------------------------


def test_the_definition_of_the_run_decides_about_its_alert(given: Given) -> None:
    """The job was removed or got another id while it ran, or its alert was removed."""
    room = Room(job("b")).start()
    for job_id in ("a", "b"):
        room.write(record(job_id, F, job=job(job_id, on_failure=NOTE)))
    room.write(record("c", F))
    room.stop()

    assert sorted(given.told) == [("a", "failure"), ("b", "failure")]


# --- what controls a terminal or a mail ------------------------------------------------------------------


def test_the_output_of_an_alert_has_no_control_characters_but_lines_and_tabs() -> None:
    """A carriage return begins another line for old mail relays, and an escape sequence controls a terminal."""
    one = record(output="a\r\n.\r\nMAIL FROM:<x@y>\r\n\x1b]0;t\x07\tb\x85\u2028\u202ec\0")
    text = build_payload(AlertKind.FAILURE, one, description="", host="").variables["JOB_OUTPUT"]

    assert text == "a\n.\nMAIL FROM:<x@y>\n\\x1b]0;t\\x07\tb\\x85\\u2028\\u202ec\\x00"


def test_a_service_that_stands_by_tells_nothing(given: Given) -> None:
    """The leader has every result, too, also of the runs that go on here; two would tell each change twice."""
    room = Room(job(on_failure=NOTE, on_recovery=NOTE, alert=AlertRule(remind=3600.0))).start()
    room.ends("a", F)
    room.stands_by = True
    room.uptime += 3700
    room.alerts.observer.check_reminders(room.uptime)
    room.ends("a", S, F)
    room.write(Event.of(AT, Level.WARNING, "job.overdue", job_id="a"))
    room.stop()

    assert given.told == [("a", "failure")]
