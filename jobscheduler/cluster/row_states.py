"""The condition on the state of rows that a statement finds by their keys."""

from __future__ import annotations

from sqlalchemy import ColumnElement, func

from jobscheduler.cluster.tables import RUNS
from jobscheduler.cluster.values import State


def is_in(*states: State) -> ColumnElement[bool]:
    """Return the condition that a row, found by its key, is in one of these states.

    It hides the column from the index of states. SQLite would else read all rows of a state for each key: a thousand
    begins would take seconds.
    """
    return func.coalesce(RUNS.c.state, "").in_([state.value for state in states])
