"""A plain scheduler: list, read, `json.loads`, a compiled validator, bare `add_job`. Floor of a start, and a peer.

python plain.py SCHEMA JOBS_DIR
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from jsonschema import Draft202012Validator

FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")


def trigger(schedule: str) -> CronTrigger:
    """Five or six fields; a weekday other than `*` would mean another day than in crontab."""
    fields = schedule.split()
    return CronTrigger(**dict(zip(FIELDS, fields if len(fields) == 6 else ["0", *fields], strict=True)), timezone="UTC")


def run(command: str | list[str]) -> None:
    """Run the command of a job."""
    subprocess.run(command, check=False, shell=isinstance(command, str), capture_output=True)


def main() -> None:
    """Schedule every file and say so."""
    validator = Draft202012Validator(json.loads(Path(sys.argv[1]).read_text()))
    scheduler = BackgroundScheduler(executors={"default": ThreadPoolExecutor(20)}, timezone="UTC")
    for path in sorted(Path(sys.argv[2]).iterdir()):
        job = json.loads(path.read_bytes())
        validator.validate(job)
        args = [job["task"]["command"]]
        scheduler.add_job(run, trigger(job["schedule"]), args, id=job["job_id"], misfire_grace_time=None)
    scheduler.start()  # not before: each job would wake its thread up
    print("READY", flush=True)
    threading.Event().wait()


main()
