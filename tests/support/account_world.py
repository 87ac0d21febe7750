"""Several services on one account, moved statement by statement, and what has to hold after each of their moves.

Every request is a generator of single statements. Here the statements of all actors are mixed in any order, an actor
may die between any two of them, and any request may be made twice. Actors do not look at their own clock: an actor that
once had the lease goes on with its term, so only the database keeps it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import Any

from sqlalchemy import Connection, delete, select, update

from jobscheduler.cluster import attempts, claims, corrections, lease_rows, retention, verdicts
from jobscheduler.cluster.database_time import from_now, seconds_until
from jobscheduler.cluster.steps import Steps, execute
from jobscheduler.cluster.tables import JOBS, LEASE, RUNS
from jobscheduler.cluster.values import (
    AccountRow,
    Attempt,
    Claim,
    ClaimResult,
    Fenced,
    Identity,
    Key,
    Outcome,
    State,
    Term,
    Verdict,
)

JOB_IDS = ("a", "b")

SLOTS = tuple(f"2026-11-22T01:0{minute}:00Z" for minute in range(6))

LEASE_S = 60.0

_FOLLOWS = {  # the states that a row may go to, by the state that it has
    State.QUEUED: {State.RUNNING, State.FINAL},
    State.RUNNING: {State.ENDED},
    State.ENDED: {State.QUEUED, State.FINAL},
}


@dataclass
class Actor:
    """One service. `work` is its request under way; `rows` and `own` are what it knows, which may be out of date."""

    node: str
    identity: Identity
    term: Term | None = None
    work: Steps[Any] | None = None
    statement: Any = None
    on_answer: Callable[[Any], object] = lambda _: None
    is_fenced: bool = False
    rows: list[AccountRow] = field(default_factory=list)
    own: list[Attempt] = field(default_factory=list)
    ended: list[Attempt] = field(default_factory=list)
    last: tuple[Callable[[], Steps[Any]], Callable[[Any], object]] | None = None


class AccountWorld:
    """The actors, the database, and a ledger of what has begun and how it ended."""

    def __init__(self, connection: Connection, dialect: str, actors: int = 4) -> None:
        """`connection` commits every statement."""
        self._connection = connection
        self._dialect = dialect
        self._numbers = iter(range(10**6))
        self.actors = [self._actor(f"n{number}") for number in range(actors)]
        self.started: Counter[tuple[Key, int]] = Counter()
        self.fates: Counter[ClaimResult] = Counter()
        self.fenced = 0
        self.terms: dict[int, str] = {}
        for table in (RUNS, JOBS):
            connection.execute(delete(table))
        connection.execute(update(LEASE).values(term=0, holder="", instance="", expires_at=from_now(-1), settled=None))
        self._before = self._snapshot()

    def _actor(self, node: str) -> Actor:
        return Actor(node, Identity(node, "scheduler", "local", f"i{next(self._numbers)}"))

    def new_id(self) -> str:
        """Return an id that was not used."""
        return f"{next(self._numbers):012x}"

    # -- moves

    def move(self, number: int, choice: int, at: int) -> None:
        """Move one actor: begin a request, send the next statement of the one under way, or die."""
        actor = self.actors[number % len(self.actors)]
        if choice == 0:
            self.actors[number % len(self.actors)] = self._actor(actor.node)
        elif choice == 1:
            self._pass_time(at)
        elif actor.work is not None:
            self._advance(actor)
        else:
            self._begin(actor, *self._request(actor, choice, at))

    def finish(self, number: int) -> None:
        """Let one actor end its request."""
        while self.actors[number].work is not None:
            self._advance(self.actors[number])

    def settle(self) -> None:
        """Let the lease run out and one new service do all that is left: then every slot has its final status."""
        self._pass_time(0)
        self._pass_time(1)
        last = self._actor("last")
        self.actors = [last]
        self._do(last, self._take(last))
        assert last.term is not None
        self._do(last, (lambda: verdicts.judge(last.term, 10.0), lambda _: None))
        for _ in range(2):
            wanted = [Claim(job_id, slot, self.new_id()) for job_id in JOB_IDS for slot in SLOTS]
            self._do(last, self._claim(last, wanted))
            self._do(last, (verdicts.unfinished, lambda rows: last.rows.__setitem__(slice(None), rows)))
            queued = [(row, Verdict("SKIPPED", "paused")) for row in last.rows if row.state is State.QUEUED]
            ended = [row for row in last.rows if row.state is State.ENDED]
            self._do(last, (lambda queued=queued: verdicts.withdraw(self._dialect, last.term, queued), lambda _: None))
            self._do(last, (lambda ended=ended: verdicts.record(self._dialect, last.term, ended), lambda _: None))

    def _do(self, actor: Actor, request: tuple[Callable[[], Steps[Any]], Callable[[Any], object]]) -> None:
        self._begin(actor, *request)
        while actor.work is not None:
            self._advance(actor)

    def _begin(self, actor: Actor, request: Callable[[], Steps[Any]], on_answer: Callable[[Any], object]) -> None:
        actor.last = request, on_answer
        actor.work, actor.on_answer, actor.statement = request(), on_answer, None
        self._advance(actor)

    def _advance(self, actor: Actor) -> None:
        """Send the next statement of a request, and check what it did."""
        assert actor.work is not None
        try:
            if actor.statement is None:
                actor.statement = next(actor.work)
            else:
                rows = execute(self._connection, actor.statement)
                self._check(actor)
                actor.statement = actor.work.send(rows)
        except StopIteration as end:
            actor.work = None
            actor.on_answer(end.value)
        except Fenced:
            actor.work = None
            self.fenced += 1

    def _pass_time(self, at: int) -> None:
        """Let the lease run out, or all workers be silent, or a further attempt become due."""
        if at % 3 == 0:
            self._connection.execute(update(LEASE).values(expires_at=from_now(-1)))
        elif at % 3 == 1:
            self._connection.execute(update(RUNS).where(RUNS.c.state == "running").values(beat_at=from_now(-100)))
        else:
            self._connection.execute(update(RUNS).where(RUNS.c.state == "queued").values(not_before=from_now(-1)))
        self._before = self._snapshot()

    # -- requests

    def _request(self, actor: Actor, choice: int, at: int) -> tuple[Callable[[], Steps[Any]], Callable[[Any], object]]:
        """Return a request, and what the actor does with its answer."""
        leading = self._leading(actor, choice, at) if actor.term is not None else None
        if leading is not None:
            return leading
        match choice % 7:
            case 0 | 1:
                return self._take(actor)
            case 2:
                return verdicts.unfinished, lambda rows: actor.rows.__setitem__(slice(None), rows)
            case 3 | 4:
                return lambda: self._look_and_begin(actor, at), lambda begun: self._note_begun(actor, *begun)
            case 5 | 6 if actor.own:
                return self._end(actor, actor.own[-1 - at % len(actor.own)], at)
            case 5 if actor.last is not None:
                return actor.last
        return lambda: attempts.close_former(actor.identity, "interrupted"), lambda _: None

    def _leading(self, actor: Actor, choice: int, at: int) -> Any:
        """Return a request that only a leader makes, None for any other."""
        term, dialect = actor.term, self._dialect
        assert term is not None
        job_id, slot, later = JOB_IDS[at % 2], SLOTS[at % len(SLOTS)], SLOTS[(at + 2) % len(SLOTS)]

        def nothing(_: object) -> None:
            pass

        match choice:
            case 8:
                return self._claim(actor, [Claim(job_id, slot, self.new_id()) for slot in SLOTS[at % 3 :: 2]])
            case 9 if slot < later:
                missed = {"status": "MISSED", "reason": ("clock", "down")[at % 2], "slots": 3}
                return self._claim(actor, [Claim(job_id, slot, self.new_id(), last_slot=later, **missed)])
            case 10:
                missed = {"status": "MISSED", "reason": "clock"}
                return self._claim(actor, [Claim(job_id, slot, self.new_id(), **missed)])
            case 17 if at % 2:
                skipped = {"status": "SKIPPED", "reason": "overlap"}
                return self._claim(
                    actor, [Claim(job_id, slot, self.new_id(), **skipped) for slot in SLOTS[at % 3 :: 2]]
                )
            case 11:
                following = dict(pairwise(SLOTS)).get(slot)
                wanted = Claim(job_id, slot, self.new_id(), corrects="clock", next_slot=following)
                return lambda: corrections.correct(dialect, term, wanted), lambda won: self._note([wanted], [won])
            case 12:
                return lambda: verdicts.judge(term, 10.0), nothing
            case 13 | 14 | 15 | 16:
                return lambda: self._look_and_decide(actor, term, choice, at), nothing
            case 17:
                return lambda: retention.remove_old_runs(dialect, term, -5.0, slot), nothing
            case 18:
                return lambda: lease_rows.renew(term, LEASE_S, slot), nothing
            case 19 if at == 0:
                return lambda: lease_rows.release(term), nothing
        return None

    def _take(self, actor: Actor) -> tuple[Callable[[], Steps[Any]], Callable[[Any], object]]:
        def taken(row: lease_rows.LeaseRow) -> None:
            if row.term.instance == actor.identity.instance:
                actor.term = row.term

        return lambda: lease_rows.take(actor.node, actor.identity.instance, LEASE_S), taken

    def _claim(self, actor: Actor, wanted: list[Claim]) -> tuple[Callable[[], Steps[Any]], Callable[[Any], object]]:
        assert actor.term is not None
        return lambda: claims.claim(self._dialect, actor.term, wanted), lambda won: self._note(wanted, won)

    def _note(self, wanted: list[Claim], won: list[ClaimResult]) -> None:
        assert len(wanted) == len(won)
        self.fates.update(won)

    def _look_and_begin(self, actor: Actor, at: int) -> Steps[tuple[list[Attempt], frozenset[Key]]]:
        """Begin some of the rows, of those that are there now or of what the actor saw some time ago."""
        if at < 4:
            actor.rows = yield from verdicts.unfinished()
        wanted = [Attempt(*row.key, row.attempt, self.new_id()) for row in actor.rows[at % 2 :: 2]]
        keys = yield from attempts.begin(self._dialect, actor.identity, wanted)
        return wanted, keys

    def _look_and_decide(self, actor: Actor, term: Term, choice: int, at: int) -> Steps[Any]:
        """Decide about the rows that are there now, or about what the actor saw some time ago."""
        if at < 5:
            actor.rows = yield from verdicts.unfinished()
        match choice:
            case 13:
                return (yield from verdicts.again(self._dialect, term, [(row, 0.0) for row in actor.rows]))
            case 14:
                return (yield from verdicts.record(self._dialect, term, actor.rows[at % 2 :: 2]))
            case 15:
                paused = [(row, Verdict("SKIPPED", "paused")) for row in actor.rows[::4]]
                return (yield from verdicts.withdraw(self._dialect, term, paused))
        return (yield from verdicts.stop(self._dialect, term, actor.rows[::4], "operator", "ann"))

    def _note_begun(self, actor: Actor, wanted: list[Attempt], keys: frozenset[Key]) -> None:
        for one in wanted:
            if one.key in keys and one not in actor.own:
                self.started[one.key, one.attempt] += 1
                actor.own.append(one)

    def _end(self, actor: Actor, own: Attempt, at: int) -> tuple[Callable[[], Steps[Any]], Callable[[Any], object]]:
        """End an attempt; or have the run go on with the next one, or give it back as if it had not begun."""
        dialect, identity = self._dialect, actor.identity
        if at == 2:
            following = Attempt(*own.key, own.attempt + 1, self.new_id(), former=own.begun_by)
            note: Callable[[Any], object] = lambda keys: self._note_next(actor, own, following, keys)  # noqa: E731
            return lambda: attempts.begin(dialect, identity, [following]), note
        if at == 4 and own.attempt == 1 and own not in actor.ended:
            actor.own.remove(own)
            self.started[own.key, 1] -= 1
            return lambda: attempts.give_back(dialect, [own]), lambda _: None
        actor.ended.append(own)
        return self._finish(actor, own, at)

    def _note_next(self, actor: Actor, own: Attempt, following: Attempt, keys: frozenset[Key]) -> None:
        if own.key in keys and own in actor.own:
            actor.own.remove(own)
            self._note_begun(actor, [following], keys)

    def _finish(self, actor: Actor, own: Attempt, at: int) -> tuple[Callable[[], Steps[Any]], Callable[[Any], object]]:
        outcome = Outcome("SUCCESS", duration=1.0) if at % 2 else Outcome("FAILURE", "exit", 1)
        return lambda: attempts.finish(self._dialect, {own: outcome}), lambda keys: self._note_end(own, keys)

    def _note_end(self, own: Attempt, keys: frozenset[Key]) -> None:
        """What a worker is told to count is what the account has, as long as it is about this attempt."""
        row = self._before[0].get(own.key)
        if own.key in keys and row is not None and row.attempt == own.attempt and row.status is not None:
            assert row.reason not in {"worker_lost", "interrupted"}, f"{own} counts, and {row} says that it is lost"

    # -- what has to hold

    def _snapshot(self) -> tuple[dict[Key, AccountRow], dict[str, str | None], tuple[int, str, bool]]:
        rows = {row.key: row for job_id in JOB_IDS for row in self._rows(job_id)}
        marks = {row[0]: row[1] for row in execute(self._connection, select(JOBS.c.job_id, JOBS.c.last_slot))}
        lease = select(LEASE.c.term, LEASE.c.instance, seconds_until(LEASE.c.expires_at))
        ((term, instance, left),) = execute(self._connection, lease)
        return rows, marks, (term, instance, left > 0)

    def _rows(self, job_id: str) -> list[AccountRow]:
        steps = verdicts.rows_of(job_id)
        statement = next(steps)
        try:
            steps.send(execute(self._connection, statement))
        except StopIteration as end:
            rows: list[AccountRow] = end.value
            return rows
        raise AssertionError("it is one statement")

    def _check(self, actor: Actor) -> None:
        """Check what one statement has changed."""
        (rows, marks, former), (now, marks_now, lease) = self._before, self._snapshot()
        self._before = now, marks_now, lease
        self._check_term(former, lease)
        for key in product(JOB_IDS, SLOTS):
            if _statuses(rows, marks, key):
                assert _statuses(now, marks_now, key), f"{key} is no longer in the account"
        for key in rows.keys() | now.keys():
            was, is_ = rows.get(key), now.get(key)
            if was == is_:
                continue
            if is_ is None:
                assert was is not None
                self._check_removed(was, marks_now)
            elif was is None:
                self._check_new(actor, is_, rows, marks, former)
            else:
                _check_change(was, is_)

    def _check_term(self, former: tuple[int, str, bool], lease: tuple[int, str, bool]) -> None:
        """A term is that of one instance, never comes back, and ends only when its lease has run out."""
        term, instance, _ = lease
        assert term == former[0] or not former[2], f"term {term} began while {former} was held"
        assert self.terms.setdefault(term, instance) == instance, "two instances have one term"
        assert term == max(self.terms), "a term came back"

    def _check_new(
        self,
        actor: Actor,
        row: AccountRow,
        rows: dict[Key, AccountRow],
        marks: dict[str, str | None],
        lease: tuple[int, str, bool],
    ) -> None:
        """A new row is of the present leader, and of a slot that has no status yet."""
        assert lease[2], f"{actor.node} wrote {row} without a lease"
        assert lease[:2] == (row.term, actor.identity.instance), f"{actor.node} wrote {row}, and {lease} leads"
        assert row.slot > (marks.get(row.job_id) or ""), f"{row} is older than what is kept"
        is_rest = row.run_id.endswith("r")
        for other in rows.values():
            covers = other.job_id == row.job_id and other.last_slot is not None
            if covers and other.slot <= (row.last_slot or row.slot) and other.last_slot >= row.slot:  # type: ignore[operator]
                assert other.reason == "clock", f"{row} is covered by {other}"
                assert row.corrects == "clock" or is_rest, f"{row} is covered by {other}"

    def _check_removed(self, row: AccountRow, marks: dict[str, str | None]) -> None:
        assert row.state is State.FINAL, f"{row} was removed before its end"
        assert (marks.get(row.job_id) or "") >= (row.last_slot or row.slot), f"{row} was removed and may run again"

    def check_end(self) -> None:
        """Check that every slot has exactly one final status, and that no attempt began twice."""
        rows, marks, _ = self._before
        assert [row for row in rows.values() if row.state is not State.FINAL] == []
        assert {key: count for key, count in self.started.items() if count > 1} == {}
        for key in product(JOB_IDS, SLOTS):
            assert _statuses(rows, marks, key), f"{key} has no status"
        for row in rows.values():
            if row.status == "SUCCESS":
                assert self.started[row.key, row.attempt] == 1, f"{row} did not run"
            if row.status in {"MISSED", "SKIPPED"} and row.attempt <= 1:
                assert self.started[row.key, 1] == 0, f"{row} did run"


def _statuses(rows: dict[Key, AccountRow], marks: dict[str, str | None], key: Key) -> set[str]:
    """Return the status of a slot: its own row's, else that of the range that covers it, else what is not kept."""
    job_id, slot = key
    if key in rows:
        return {str(rows[key].status)}
    covering = [r for r in rows.values() if r.job_id == job_id and r.last_slot and r.slot <= slot <= r.last_slot]
    statuses = {f"{row.status} {row.reason}" for row in covering}
    assert len(statuses) <= 1, f"{key} is in several ranges: {statuses}"
    return statuses or ({"gone"} if slot <= (marks.get(job_id) or "") else set())


def _check_change(was: AccountRow, is_: AccountRow) -> None:
    """A row goes on in order; a final one stays, unless a run corrects what only a wrong clock missed."""
    change = f"{was} became {is_}"
    if was.state is State.FINAL:
        assert (was.status, was.reason, is_.corrects) == ("MISSED", "clock", "clock"), change
    elif was.state is State.QUEUED and is_.term != was.term:
        assert (is_.term > was.term, was.attempt) == (True, 1), change  # adopted by a later leader
        assert (is_.state, is_.attempt) in {(State.QUEUED, 1), (State.FINAL, 0)}, change
    elif is_.state is was.state:
        _check_same_state(was, is_, change)
    elif was.state is State.RUNNING and is_.state is not State.ENDED:
        given_back = (State.QUEUED, was.attempt, None), (State.FINAL, 0, "MISSED")
        assert (is_.state, is_.attempt, is_.status) in given_back, change
    else:
        assert is_.run_id == was.run_id or is_.state is State.FINAL, change
        assert is_.state in _FOLLOWS[was.state], change
        ends = {was.attempt, 0} if was.state is State.QUEUED and is_.state is State.FINAL else {was.attempt}
        assert is_.attempt - (is_.state is State.QUEUED) in ends, change


def _check_same_state(was: AccountRow, is_: AccountRow, change: str) -> None:
    """A row of the same state is asked to stop, or is at work with the next attempt of the same worker."""
    goes_on = {"attempt": was.attempt + 1, "begun_by": is_.begun_by} if is_.attempt != was.attempt else {}
    assert not goes_on or was.state is State.RUNNING, change
    assert replace(was, stop=is_.stop, **goes_on) == is_, change
