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
    run_context = context()
    run_context.signals.has_processes = True
    assert run_context.missing_signal(1e9) is None
    run_context.stop("timeout")
    assert run_context.stop_requested_at is not None
    first = run_context.stop_requested_at
    run_context.stop("shutdown")
    assert run_context.stop_requested_at == first
    assert run_context.missing_signal(first) is None
    assert run_context.missing_signal(first + SLACK_S + 0.1) == "TERM"
