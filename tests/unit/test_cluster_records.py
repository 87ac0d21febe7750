"""The records of the log as rows of the account, and back.

`tests/cluster` runs the same tests on MariaDB and PostgreSQL.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobscheduler.cluster import records
from jobscheduler.cluster.values import Attempt, Claim, ClaimResult, Identity, State, Term
from jobscheduler.model import LogValue, Record, Status
from jobscheduler.runlog import encode_line, format_text
from jobscheduler.scheduler.records import missed_record, skipped_record
from jobscheduler.timetable.decision import MissedSlots
from tests.support.asked_account import AskedAccount
from tests.support.cluster_fixtures import account as account  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace

NOON = datetime.fromisoformat("2026-11-22T12:00:00Z")

HERE = Identity("a", "scheduler", "local", "a1")

SINGLE = MissedSlots(NOON, NOON, 1, reason="down")

RANGE = MissedSlots(NOON, NOON + timedelta(minutes=9), 10, reason="clock")


@pytest.fixture
def term(place: ClusterPlace) -> Term:
    """The term of the leader."""
    return place.lead()


def line(record: Record) -> bytes:
    """Return the line of a record, without the time of the writer's clock."""
    return encode_line(replace(record, at=NOON, started=None), format_text)


def only(place: ClusterPlace) -> records.RecordedRow:
    """Return the one record of job `j`."""
    (found,) = place.records_of("j")
    return found


@pytest.mark.parametrize(
    "record",
    [
        missed_record("j", SINGLE, NOON),
        missed_record("j", RANGE, NOON),
        missed_record("j", replace(RANGE, count=100_000, more=True), NOON),
        missed_record("j", replace(RANGE, reason="paused"), NOON),
        missed_record("j", replace(SINGLE, reason="deleted", corrects=True), NOON),
        skipped_record("j", NOON + timedelta(milliseconds=123), "overlap", NOON),
        skipped_record("j", None, "overlap", NOON, (("trigger", "manual"), ("by", "jürgen"))),
    ],
    ids=lambda record: str(record.reason),
)
def test_a_slot_that_does_not_run_has_the_same_line_from_the_account(
    place: ClusterPlace, account: AskedAccount, term: Term, record: Record
) -> None:
    """Ranges, pauses, a corrected clock, and a run by hand that was skipped."""
    ((_, won),) = account.claim(term, [records.claim_of(record, "r1")], lambda: "never")
    assert won is ClaimResult.WON
    assert line(only(place).record) == line(record)


def run_of(**more: object) -> Record:
    """Return the record of a run."""
    details: tuple[tuple[str, LogValue], ...] = (("exit_code", 3), ("attempts", 2), ("note", 'a "b"\nc ä😀'))
    ended = Record(NOON, Status.FAILURE, "j", "r1", NOON, NOON, 1.204, "exit", details, "the end", 0.25, 5_000_000_000)
    return replace(ended, **more)  # type: ignore[arg-type]


def test_a_run_has_the_same_line_from_the_account(place: ClusterPlace, account: AskedAccount, term: Term) -> None:
    """First as one that has ended, which a leader logs, then as a final one."""
    record = run_of()
    account.claim(term, [Claim("j", "2026-11-22T12:00:00Z", "r1", "local", "{}")], lambda: "never")
    attempt = Attempt("j", "2026-11-22T12:00:00Z", 1, "once")
    account.begin(HERE, [attempt])
    account.finish({attempt: records.outcome_of(record)})
    (ended,) = place.perform(records.ended_records())
    assert (ended.state, ended.node, ended.queue, ended.attempt, ended.term) == (State.ENDED, "a", "local", 1, 1)
    assert line(ended.record) == line(record)
    assert ended.record.started is not None
    assert abs(ended.record.started - datetime.now(UTC)) < timedelta(minutes=5)
    account.record(term, account.unfinished())
    assert line(only(place).record) == line(record)
    assert place.perform(records.ended_records()) == []
    assert place.column("j", "2026-11-22T12:00:00Z", "exit_code") == 3


def test_a_long_output_is_cut_at_its_beginning(place: ClusterPlace, account: AskedAccount, term: Term) -> None:
    """The end says what was wrong."""
    output = "x" * 100 + "y" * records.MAX_OUTPUT_CHARS
    assert records.outcome_of(run_of(output=output)).output == "y" * records.MAX_OUTPUT_CHARS
