"""Jobs as JobsManager stores them: made and pickled by APScheduler, in the tables that JobsManager has."""

from __future__ import annotations

import logging
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.job import Job
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.base import BaseScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import create_engine

BERLIN = ZoneInfo("Europe/Berlin")
LOGGER = logging.getLogger("JobsManager")

OTHER_TABLES = {  # beside that of the jobs, which APScheduler makes
    "mysql": (
        """CREATE TABLE jm_syslog (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
        created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), level VARCHAR(16) NOT NULL,
        logger_name VARCHAR(64) NOT NULL, message TEXT NOT NULL, KEY idx_created_at (created_at), KEY idx_level (level))
        ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
        """CREATE TABLE jm_update_info (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
        updated TINYINT(1) NOT NULL DEFAULT 0, insert_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
        update_time DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
        jobs_before_update JSON NULL, jobs_after_update JSON NULL,
        KEY idx_updated_insert_time (updated, insert_time)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4""",
    ),
    "postgresql": (
        """CREATE TABLE jm_syslog (id BIGSERIAL PRIMARY KEY, created_at TIMESTAMP(3) NOT NULL DEFAULT now(),
        level VARCHAR(16) NOT NULL, logger_name VARCHAR(64) NOT NULL, message TEXT NOT NULL)""",
        "CREATE INDEX idx_level ON jm_syslog (level)",
        """CREATE TABLE jm_update_info (id BIGSERIAL PRIMARY KEY, updated SMALLINT NOT NULL DEFAULT 0,
        insert_time TIMESTAMP NOT NULL DEFAULT now(), update_time TIMESTAMP NOT NULL DEFAULT now(),
        jobs_before_update JSON NULL, jobs_after_update JSON NULL)""",
        "CREATE INDEX idx_updated_insert_time ON jm_update_info (updated, insert_time)",
    ),
    "sqlite": (
        """CREATE TABLE jm_syslog (id INTEGER PRIMARY KEY, created_at TEXT, level TEXT NOT NULL,
        logger_name TEXT NOT NULL, message TEXT NOT NULL)""",
        """CREATE TABLE jm_update_info (id INTEGER PRIMARY KEY, updated INTEGER NOT NULL DEFAULT 0, insert_time TEXT,
        update_time TEXT, jobs_before_update TEXT, jobs_after_update TEXT)""",
    ),
}


class _Still(BaseScheduler):
    """A scheduler that adds jobs and starts none."""

    def wakeup(self) -> None:
        """Do nothing."""

    def shutdown(self, wait: bool = True) -> None:
        """Close the stores."""
        super().shutdown(wait)


@contextmanager
def _their_function() -> Iterator[Callable[..., None]]:
    """Give the function that JobsManager schedules, in the module in which it has it."""

    class Task:
        @staticmethod
        def run_command(logger: object, cmd: str, timeout: int) -> None:
            """Run nothing."""

    module = ModuleType("Task")
    Task.__module__, Task.run_command.__module__ = "Task", "Task"
    Task.__qualname__, Task.run_command.__qualname__ = "Task", "Task.run_command"
    module.Task = Task  # type: ignore[attr-defined]
    sys.modules["Task"] = module
    try:
        yield Task.run_command
    finally:
        del sys.modules["Task"]


class TheirJobs:
    """The jobs of a scheduler that is set up as JobsManager's `Task` sets up its own."""

    def __init__(self, url: str | None = None) -> None:
        """Keep the jobs in a database, or else in memory."""
        store = {} if url is None else {"default": SQLAlchemyJobStore(url=driver_url(url), tablename="jm_jobs")}
        self._scheduler = _Still(jobstores=store, timezone="Asia/Hong_Kong")
        self._scheduler.start(paused=True)

    def add(self, job_id: str, command: str = "/bin/true", timeout: Any = 60, **fields: Any) -> Job:
        """Add a job as `Task.add_job` does, with the fields of JobsManager's `Job`."""
        names = ("second", "minute", "hour", "day", "month", "day_of_week")
        given = {name: fields.pop(name, "*") for name in names}
        zone = fields.pop("zone", BERLIN)
        return self.add_trigger(job_id, CronTrigger(**given, timezone=zone), command, timeout, **fields)

    def add_trigger(
        self, job_id: str, trigger: BaseTrigger, command: str = "/bin/true", timeout: Any = 60, **more: Any
    ) -> Job:
        """Add a job with any trigger, and other properties of a job of APScheduler."""
        with _their_function() as function:
            return self._scheduler.add_job(
                **{
                    "func": function,
                    "trigger": trigger,
                    "args": [LOGGER, command, timeout],
                    "id": job_id,
                    "name": command,
                    "coalesce": True,
                    "max_instances": 1,
                    **more,
                }
            )

    def close(self) -> None:
        """End it."""
        self._scheduler.shutdown()


def state(trigger: BaseTrigger | None = None, protocol: int = pickle.HIGHEST_PROTOCOL, **more: Any) -> bytes:
    """Return the pickle of a job."""
    jobs = TheirJobs()
    job = jobs.add("a", **more) if trigger is None else jobs.add_trigger("a", trigger, **more)
    try:
        return pickle.dumps(job.__getstate__(), protocol)
    finally:
        jobs.close()


def make_tables(url: str) -> None:
    """Make the tables beside that of the jobs, with a line and a marker in them."""
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        for statement in OTHER_TABLES[connection.dialect.name]:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("INSERT INTO jm_syslog (level, logger_name, message) VALUES ('INFO', 'a', 'theirs')")
        connection.exec_driver_sql("INSERT INTO jm_update_info (updated) VALUES (1)")
    engine.dispose()


def driver_url(url: str) -> str:
    return url.replace("mysql://", "mysql+pymysql://", 1)
