"""A small service as a process: it holds the lease and runs slots of half a second by the account.

It does not look at its own clock: once it was the leader, it goes on with its term until the database refuses it.
Usage: python -m tests.support.cluster_actor URL NODE LEASE MARKS
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
from datetime import UTC, datetime, timedelta

from jobscheduler.cluster.lease_thread import LeaseThread, lease_database
from jobscheduler.cluster.slots import slot_instant, slot_text
from jobscheduler.cluster.values import AccountRow, Attempt, Claim, Fenced, Identity, Outcome, State, Term
from jobscheduler.database.errors import Unavailable
from tests.support.asked_account import AskedAccount

PERIOD = timedelta(seconds=0.5)

LOST_AFTER_S = 2.0

JOB = "each-half-second"


class ClusterActor:
    """The service: one turn of its loop is `turn`."""

    def __init__(self, url: str, node: str, lease: float, marks: str) -> None:
        self._identity = Identity(node, "scheduler", "local", secrets.token_hex(6))
        self._account = AskedAccount(lease_database(url))
        self._settled: datetime | None = None
        self.lease = LeaseThread(lease_database(url), node, self._identity.instance, lease, settled=self._settled_text)
        self._term: Term | None = None
        self._marks = os.open(marks, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def _settled_text(self, term: Term) -> str | None:
        """Return up to where slots are decided in a term; None until this service has noticed the term."""
        return slot_text(self._settled) if self._settled is not None and term == self._term else None

    def turn(self) -> None:
        """Do what is to be done now; say when a claim was refused."""
        try:
            self._notice_term()
            if self._term is not None:
                self._account.beat(self._identity)
                self._claim(self._term)
                self._account.judge(self._term, LOST_AFTER_S)
                self._end(self._term, self._account.unfinished())
        except Fenced:
            print("fenced", flush=True)  # noqa: T201
            self._term = None
        except Unavailable:
            pass

    def _notice_term(self) -> None:
        """Note a new term; begin where the former leader had every slot decided."""
        standing = self.lease.standing
        if self._term is not None or standing.term is None or self.lease.term() is None:
            return
        self._term = standing.term
        settled = None if standing.seen is None else standing.seen.settled
        self._settled = slot_instant(settled) if settled is not None else self._last_row()

    def _last_row(self) -> datetime:
        """Return where to begin when no leader has said it: after the last row, else now."""
        rows = self._account.rows_of(JOB)
        last = slot_instant(rows[-1].slot) if rows else None
        return datetime.now(UTC).replace(microsecond=0) if last is None else last

    def _claim(self, term: Term) -> None:
        """Claim what has become due."""
        assert self._settled is not None
        slots = []
        at = self._settled
        while at + PERIOD <= datetime.now(UTC):
            at += PERIOD
            slots.append(Claim(JOB, slot_text(at), secrets.token_hex(6), "local", "{}"))
        self._account.claim(term, slots, lambda: secrets.token_hex(6))
        self._settled = at

    def _end(self, term: Term, rows: list[AccountRow]) -> None:
        """Run what is queued, and record what has ended."""
        queued = [row for row in rows if row.state is State.QUEUED]
        wanted = [Attempt(*row.key, row.attempt, secrets.token_hex(6)) for row in queued]
        begun = self._account.begin(self._identity, wanted) if wanted else frozenset()
        own = [one for one in wanted if one.key in begun]
        for one in own:
            os.write(self._marks, f"{one.slot} {one.attempt}\n".encode())
        if own:
            self._account.finish({one: Outcome("SUCCESS") for one in own})
        ended = [row for row in rows if row.state is State.ENDED]
        if ended:
            self._account.record(term, ended)


def main() -> None:
    """Run until a signal ends the process."""
    url, node, lease, marks = sys.argv[1:]
    actor = ClusterActor(url, node, float(lease), marks)
    pause = threading.Event()  # libfaketime breaks `time.sleep`
    with actor.lease:
        while True:
            actor.turn()
            pause.wait(0.05)


if __name__ == "__main__":
    main()
