"""How SQLite finds the rows of a batch: a herd must not take seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.event import listen, remove

from jobscheduler.cluster.values import Attempt, Claim, Identity, Outcome, Verdict
from tests.support.asked_account import AskedAccount
from tests.support.cluster_place import ClusterPlace, opened

HERE = Identity("a", "scheduler", "local", "a1")

SLOTS = [f"2026-11-22T01:0{minute}:00Z" for minute in range(1, 5)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[ClusterPlace]:
    """A database."""
    with opened(f"sqlite:///{tmp_path / 'cluster.db'}") as made:
        yield made


def test_a_step_finds_its_rows_by_their_keys(place: ClusterPlace) -> None:
    """And not by their state: each of a thousand begins would else look at a thousand rows."""
    plans: list[str] = []

    def explain(_: object, cursor: Any, statement: str, values: Any, *__: object) -> None:
        if "json_each" in statement:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.extend(str(row) for row in cursor.fetchall() if "js_run" in str(row))

    term, account = place.lead(), AskedAccount(place.database)
    wanted = [Claim("j", slot, f"r{slot[15]}") for slot in SLOTS]
    listen(place.database._engine, "before_cursor_execute", explain)
    try:
        account.claim(term, wanted, lambda: "never")
        later = place.lead("b")
        account.claim(later, [replace(one, run_id=f"{one.run_id}b") for one in wanted], lambda: "never")
        tries = [Attempt(*one.key, 1, f"b{one.run_id}") for one in wanted]
        assert len(account.begin(HERE, tries)) == 4
        account.give_back(tries[2:])
        account.finish({one: Outcome("SUCCESS") for one in tries[:2]})
        rows = account.rows_of("j")
        account.again(later, [(rows[0], 0.0)])
        account.record(later, rows[1:2])
        account.withdraw(later, [(row, Verdict("SKIPPED", "paused")) for row in rows[2:]])
        account.stop(later, rows, "stopped")
    finally:
        account.close()
        remove(place.database._engine, "before_cursor_execute", explain)
    assert len(plans) > 15
    assert [plan for plan in plans if "js_run_state" in plan] == []
