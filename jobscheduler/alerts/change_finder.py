"""Find what results change of how jobs stand, and describe it for an alert."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from jobscheduler.alerts.news import News
from jobscheduler.alerts.rules import AlertKind, Circumstances, ResultChange
from jobscheduler.model import Job, Record, Status, TaskSpec
from jobscheduler.model.standing import Standing
from jobscheduler.status.standings import Standings

REMINDER_CHECK_S = 10.0  # seconds between two checks whether a reminder is due


class ChangeFinder:
    """Asks how jobs stand. The arguments are as in `AlertDispatcher`."""

    def __init__(
        self,
        standings: Standings,
        find_job: Callable[[str], Job | None],
        last_record: Callable[[str, Collection[Status]], Record | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._standings = standings
        self._find_job = find_job
        self._last_record = last_record
        self._clock = clock
        self._next_reminders = 0.0  # monotonic

    def kind_of(self, record: Record) -> AlertKind | None:
        """Note what a record changes of how its job stands, and return it, if anything."""
        if record.status is Status.SUCCESS:
            return AlertKind.RECOVERY if self._standings.take_alert(record.job_id) else None
        job = record.job or self._find_job(record.job_id)
        if job is None or (record.status is Status.MISSED and not job.alert.missed):
            return None
        return AlertKind.FAILURE if self._standings.begins_to_fail(job) else None

    def news(self, job_id: str, kind: AlertKind | None, record: Record | None) -> News:
        """Return news with how the job stands now."""
        return News(job_id, kind, self._standings.of(job_id), record)

    def due_reminders(self, now: float) -> list[str]:
        """Return the jobs of which a reminder is due at `now` (monotonic seconds), and note that they have it."""
        if now < self._next_reminders:
            return []
        self._next_reminders = now + REMINDER_CHECK_S
        due = [job_id for job_id, age in self._standings.alerted() if self._is_reminder_due(job_id, age)]
        for job_id in due:
            self._standings.note_alert(job_id)
        return due

    def _is_reminder_due(self, job_id: str, age: float) -> bool:
        job, standing = self._find_job(job_id), self._standings.of(job_id)
        is_bad = standing.is_failing or standing.overdue_since is not None
        return job is not None and job.alert.remind is not None and is_bad and age >= job.alert.remind

    def judge(self, news: News) -> tuple[AlertKind | None, Job | None]:
        """Return the kind of an alert about news, and its job; None if no alert is needed, or if the job is gone."""
        kind, record = news.kind, news.record
        if kind is None and record is not None:
            kind = self.kind_of(record)
        return kind, self._find_job(news.job_id) if record is None or record.job is None else record.job

    def describe(self, news: News, kind: AlertKind, job: Job, task: TaskSpec) -> ResultChange:
        """Return the change that an alert is about, with how the job stood, and the record to show."""
        circumstances = _circumstances(job, news.standing, self._standings.last_success(job.id))
        record = news.record or self._record_for(job, kind, circumstances)
        return ResultChange(task, kind, record, job.description, circumstances=circumstances)

    def _record_for(self, job: Job, kind: AlertKind, circumstances: Circumstances) -> Record:
        """Return the last failure of a job that fails, or its last record, or what takes the place of one."""
        failures = {Status.FAILURE, Status.MISSED} if job.alert.missed else {Status.FAILURE}
        is_about_failure = kind is AlertKind.REMINDER and circumstances.failures > 0
        record = self._last_record(job.id, failures if is_about_failure else set(Status))
        return record or Record(self._clock(), Status.FAILURE, job.id, reason=kind.value)


def _circumstances(job: Job, standing: Standing, success: datetime | None) -> Circumstances:
    failures, since = standing.streak(with_missed=job.alert.missed)
    is_overdue = standing.overdue_since is not None
    return Circumstances(failures, standing.overdue_since if is_overdue else since, is_overdue, success)
