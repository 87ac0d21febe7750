"""The states of a run: which event leads from which phase to which, and what the record is made of."""

from collections.abc import Callable

import pytest

from jobscheduler.model import Retry
from jobscheduler.runner.attempt_result import AttemptResult
from jobscheduler.runner.run_state import Phase, RetryAfter, RunState

FAILED = AttemptResult("exit", (("exit_code", 3),), b"out")
GOOD = AttemptResult()


def state_in(phase: Phase) -> RunState:
    """Return the state of a run in this phase, with up to three attempts."""
    state = RunState(Retry(3, delay=7, backoff=1))
    if phase is Phase.CANCELLED:
        assert state.cancel()
    elif phase is not Phase.WAITING:
        assert state.begin_attempt()
        if phase is not Phase.RUNNING:
            state.attempt_ended(1, FAILED if phase is Phase.RETRYING else GOOD, None)
    assert state.phase is phase
    return state


EVENTS: dict[str, Callable[[RunState], object]] = {
    "begin_attempt": lambda state: state.begin_attempt(),
    "cancel": lambda state: state.cancel(),
    "stop": lambda state: state.stop("replaced"),
    "end_attempts": lambda state: state.end_attempts(),
    "abandon": lambda state: state.abandon(1, AttemptResult("timeout")),
}
W, R, T, E, C = Phase.WAITING, Phase.RUNNING, Phase.RETRYING, Phase.ENDED, Phase.CANCELLED
REPLACED, TIMEOUT = AttemptResult("replaced"), AttemptResult("timeout")
TWO_LEFT = AttemptResult("exit", (("attempts_left", 2), ("exit_code", 3)), b"out")
TABLE = {
    "begin_attempt": {W: (True, R), T: (True, R), E: (False, E), C: (False, C)},
    "cancel": {W: (True, C), R: (False, R), T: (False, T), E: (False, E), C: (True, C)},
    "stop": {W: (REPLACED, E), R: (None, R), T: (REPLACED, E), E: (None, E), C: (None, C)},
    "end_attempts": {W: (None, W), R: (None, R), T: (TWO_LEFT, E), E: (None, E), C: (None, C)},
    "abandon": {W: (None, W), R: (TIMEOUT, E), T: (None, T), E: (None, E), C: (None, C)},
}


@pytest.mark.parametrize(("event", "phase"), [(event, phase) for event, row in TABLE.items() for phase in row])
def test_each_event_has_one_answer_in_each_phase(event: str, phase: Phase) -> None:
    """A run ends once, so only one event gets the result for its record."""
    state = state_in(phase)
    answer, after = TABLE[event][phase]
    assert (EVENTS[event](state), state.phase) == (answer, after)


def test_a_failed_attempt_leads_to_the_next_one() -> None:
    """Until the definition allows no further one."""
    state = state_in(W)
    steps = []
    for attempt in (1, 2, 3):
        state.begin_attempt()
        steps.append(state.attempt_ended(attempt, FAILED, None))
    assert steps == [RetryAfter(7, 2), RetryAfter(7, 3), FAILED]


def test_an_attempt_that_had_to_stop_failed_for_that_reason() -> None:
    """Also when its task returned as if it had done its work."""
    state = RunState(None)
    state.begin_attempt()
    assert state.attempt_ended(1, GOOD, "timeout") == TIMEOUT


def test_an_attempt_that_fails_while_its_run_is_stopped_is_the_last_one() -> None:
    """The record has the reason of the stop."""
    state = state_in(R)
    assert state.stop("replaced") is None
    assert state.attempt_ended(1, FAILED, None) == AttemptResult("replaced", FAILED.details, b"out")


def test_an_attempt_that_succeeds_while_its_run_is_stopped_is_a_success() -> None:
    """The task had ended before the request reached it."""
    state = state_in(R)
    assert state.stop("replaced") is None
    assert state.attempt_ended(1, GOOD, None) == GOOD


def test_the_first_reason_of_a_stop_stands() -> None:
    """A second one comes too late."""
    state = state_in(R)
    state.stop("replaced")
    state.stop("shutdown")
    ended = state.attempt_ended(1, FAILED, None)
    assert isinstance(ended, AttemptResult)
    assert ended.reason == "replaced"


@pytest.mark.parametrize(("result", "recorded"), [(FAILED, TWO_LEFT), (GOOD, GOOD)])
def test_a_failure_says_how_many_attempts_were_taken_away(result: AttemptResult, recorded: AttemptResult) -> None:
    """A success needed no further one."""
    state = state_in(R)
    state.end_attempts()
    assert state.attempt_ended(1, result, None) == recorded


def test_the_result_of_an_abandoned_attempt_is_ignored() -> None:
    """The run has its record already."""
    state = state_in(R)
    assert state.abandon(1, TIMEOUT) == TIMEOUT
    assert state.attempt_ended(1, GOOD, None) is None
