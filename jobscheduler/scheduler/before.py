"""What the log says of the time before this start, until every slot of it has its account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from jobscheduler.model import Entry, Job, Mark, Once, Past, Record, Status, nominal
from jobscheduler.runner import end_leftovers
from jobscheduler.scheduler.held import interrupted_record
from jobscheduler.slots import Act, Decision, Missed, Outage, Overlap, Range, Situation, after_outage
from jobscheduler.timetable import Timetable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)

UNSURE = timedelta(seconds=2)
"""How long after the last line that survived an unclean end of the host further lines may have been lost."""


def _nothing_known(now: datetime) -> Past:
    """What there is to say of the time before if no log tells: nothing was decided, nothing missed."""
    return Past(Mark(now, "-"), now, stopped=True, decided=lambda *_: None)


class Before:
    """The time before a start, kept as long as the process: a file that was refused may heal much later.

    Which of its slots were decided is known as follows, so that none runs twice and none is passed over in silence.

    1. Up to `settled` every slot of a job that was in force was; later ones have lines, and the others are missed.
    2. Where `settled` is later than the clock, or than a one-time slot whose file is newer than it, that need not be
       so: the job may be a new one. Then the log is asked what it knows of this very job, further back if need be.
    3. If the log does not reach back so far, the slot counts as decided; a one-time job's is missed, as `unknown`.
    4. Without any log nothing was decided, and nothing missed: a one-time job that is young enough runs.
    """

    def __init__(self, past: Past | None, boot: str, write: Callable[[Entry], object], now: datetime) -> None:
        """`write` takes records; `boot` tells this boot of the host from another; `now` is the start."""
        self._is_known = past is not None
        self._past = past = past or _nothing_known(now)
        self._write = write
        self._started = now
        self._settled = self._told_to = past.mark.settled
        self.is_same_boot = past.mark.boot == boot
        self._late = dict(past.mark.late)
        self._closed: dict[str, list[datetime]] = {}
        self._waits: dict[str, list[datetime]] = {}
        self._asked: set[str] = set()
        for job_id, slot in past.waits:
            self._waits.setdefault(job_id, []).append(slot)

    def end_interrupted(self, now: datetime) -> None:
        """End the runs that a crash interrupted, and write their records."""
        begun = self._past.begun
        if begun and self.is_same_boot:
            end_leftovers([one.run_id for one in begun])
        for one in begun:
            self._write(interrupted_record(one, now))
            if one.scheduled is not None:
                self._closed.setdefault(one.job_id, []).append(one.scheduled)

    def forget(self, now: datetime) -> None:
        """Let the account begin now, because the clock is another one. What boot it was, and what ran once, stay."""
        self.miss_all_waits(lambda _: "clock", now)
        self._past = replace(self._past, until=now, stopped=True, accounted={})
        self._settled, self._late, self._closed = now, {}, {}

    def believe(self, now: datetime) -> None:
        """Take note that the clock was set back, far enough for slots after `now` to be due again."""
        self._settled = min(self._settled, now)

    # -- whose turn it is

    def has_turn(self, job: Job) -> bool:
        """Tell whether a job that comes now was there at the start, only refused, and has not been accounted for."""
        return job.id not in self._asked and job.written is not None and job.written <= self._started

    def last_of(self, job: Job, now: datetime, *, starting: bool) -> datetime:
        """Return the latest slot of a job that counts as decided, as far as it could come to be decided again.

        Writes the record of a one-time job's slot of which nothing can be known. May read files.
        """
        if not isinstance(job.schedule, Once):
            return self._ask(job.id, now) or self._settled if now < self._settled else EPOCH
        at = nominal(job.schedule.at)
        if not self._is_known or at > self._told_to or job.id in self._late or job.id in self._waits:
            return EPOCH
        if starting and not _is_late(job) and self._told_to <= now:
            return at  # it was in force when it was due
        last = self._ask(job.id, at - TICK)
        if last is None:
            self._close(job.id, at, "unknown", now)
            return at
        return last

    def _ask(self, job_id: str, after: datetime) -> datetime | None:
        """Ask the log for the latest decided slot after a moment: EPOCH if there is none, None if it cannot be told."""
        if self._past.decided is None:
            return None
        try:
            return self._past.decided(job_id, after) or EPOCH
        except (LookupError, OSError):
            return None

    # -- the account

    def account(self, job: Job, timetable: Timetable, now: datetime, last: datetime, *, is_open: bool) -> Decision:
        """Decide what was due of a job while nobody looked; each call is for another job. `last` is from `last_of`.

        That is everything until now if `is_open`: at the start, and for what stands where nobody could look since. A
        job that was refused at the start has its account up to then, when its slots were younger; those since are
        nobody's.
        """
        self._asked.add(job.id)
        catch_up = timedelta(seconds=job.catch_up)
        if not is_open:
            timetable, catch_up = timetable.nominal, catch_up - (now - self._started)
        outage = self._outage(job, timetable, now if is_open else self._started, last)
        decision = after_outage(timetable, outage, Situation(Overlap(job.overlap), catch_up=catch_up))
        if is_open or isinstance(job.schedule, Once):
            return decision
        return replace(decision, cursor=max(decision.cursor, now))

    def at_boot(self, job: Job, cursor: datetime, now: datetime, *, starting: bool) -> Decision:
        """Decide about `@reboot` in a boot of which nobody has seen the start before; its slot is the service's start.

        A job that comes later is caught up like any other.
        """
        self._asked.add(job.id)
        self.miss_waits(job.id, "down", now)
        slot = nominal(now if starting else self._started)
        if starting or now - slot <= timedelta(seconds=job.catch_up):
            return Decision(cursor, ((slot, Act.RUN),))
        return Decision(cursor, (), (Missed(slot, slot, 1, reason="down"),))

    def note(self, job: Job) -> None:
        """Take note that a job has had its turn, though it has no account because it is switched off."""
        self._asked.add(job.id)

    def _outage(self, job: Job, timetable: Timetable, now: datetime, last: datetime) -> Outage:
        """Say what nobody decided of a job: slots that are later than `settled` and than its file.

        A slot that the log knows to be due, because it waits or its job was late then, is counted whenever its file
        was written: that was done to a job in force, and without an effect on this slot.
        """
        past = self._past
        closed = [(slot, slot) for slot in self._closed.get(job.id, ())]
        after, ranges = self._since(job, timetable, now, last)
        waits = tuple(self._waits.pop(job.id, ()))
        is_unclean = not self.is_same_boot and not past.stopped
        unknown = past.until + UNSURE if is_unclean else None
        return Outage(after, now, "down", (*past.accounted.get(job.id, ()), *closed, *ranges), waits, unknown)

    def _since(
        self, job: Job, timetable: Timetable, now: datetime, last: datetime
    ) -> tuple[datetime, tuple[Range, ...]]:
        """Say from when on nobody decided the slots of a job, and which of them are nobody's."""
        after = self._late.get(job.id, max(min(self._settled, now), min(self._settled, last)))
        if isinstance(job.schedule, Once):
            at = nominal(job.schedule.at)
            return (at - TICK if last < at <= after else after), ()
        put = EPOCH if job.written is None else min(job.written, now)
        due = timetable.next(after) if job.id in self._late else None
        if due is None or due > put:
            return max(after, put), ()
        return after, ((due + TICK, put),) if timetable.start_of(due) <= now else ()

    def is_open(self, job: Job) -> bool:
        """Tell whether the slot of a one-time job, too old to run now, may lack its account.

        It lacks none if its file was only put there after it: then it was never due, and is told to be expired.
        """
        if job.id in self._waits or job.id in self._late:
            return True
        if not self._is_known:
            return False
        return isinstance(job.schedule, Once) and job.schedule.at > self._told_to and not _is_late(job)

    def miss_waits(self, job_id: str, reason: str, now: datetime) -> None:
        """Write the records of slots of a job that waited when the service ended and are not going to run."""
        for slot in self._waits.pop(job_id, ()):
            self._close(job_id, slot, reason, now)

    def miss_all_waits(self, reason_of: Callable[[str], str], now: datetime) -> None:
        """The same for every job that nobody asked for, with the reason that is given for each."""
        for job_id in list(self._waits):
            self.miss_waits(job_id, reason_of(job_id), now)

    def _close(self, job_id: str, slot: datetime, reason: str, now: datetime) -> None:
        self._write(Record(now, Status.MISSED, job_id, scheduled=slot, reason=reason))
        self._closed.setdefault(job_id, []).append(slot)


def _is_late(job: Job) -> bool:
    return isinstance(job.schedule, Once) and job.written is not None and job.written > job.schedule.at
