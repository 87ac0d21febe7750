"""Which signals of a stop are missing, and when."""

from __future__ import annotations

from jobscheduler.tasks.stop_signals import KILL_AFTER_S, SLACK_S, StopSignals
from tests.support.tasks import context


def signals(term: float | None = None, kill: float | None = None) -> StopSignals:
    made = StopSignals()
    made.has_processes, made.term_sent, made.kill_sent = True, term, kill
    return made


def test_a_term_is_missing_when_it_was_not_sent_soon_after_the_stop() -> None:
    assert signals().missing(100.0, 100.0 + SLACK_S) is None
    assert signals().missing(100.0, 100.1 + SLACK_S) == "TERM"


def test_a_kill_is_missing_when_it_was_not_sent_a_grace_after_the_term() -> None:
    assert signals(100.5).missing(100.0, 100.5 + KILL_AFTER_S + SLACK_S) is None
    assert signals(100.5).missing(100.0, 100.6 + KILL_AFTER_S + SLACK_S) == "KILL"
    assert signals(100.5, 105.5).missing(100.0, 1e9) is None


def test_a_task_without_processes_misses_no_signal() -> None:
    assert StopSignals().missing(100.0, 1e9) is None


def test_a_context_knows_since_when_its_task_has_to_stop() -> None:
    told = context()
    told.signals.has_processes = True
    assert told.missing_signal(1e9) is None
    told.stop("timeout")
    assert told.stop_requested_at is not None
    first = told.stop_requested_at
    told.stop("shutdown")
    assert told.stop_requested_at == first
    assert told.missing_signal(first) is None
    assert told.missing_signal(first + SLACK_S + 0.1) == "TERM"
