"""Pauses where the service is killed, stopped and started anew: what they cover is never run, and all of it is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobscheduler.control.client import request
from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounting import Account, lines_of
from tests.support.service import Service, job, wait_until

PAUSED = {"word": "SKIPPED", "reason": "paused"}


def covered(service: Service, job_id: str) -> dict[datetime, dict[str, str]]:
    """Return the record of each slot of a job that is due each second, also of those that are summed up."""
    found = {}
    for line in service.lines():
        if line.get("job_id") == job_id and "scheduled" in line and line["word"] in {"SUCCESS", "SKIPPED", "MISSED"}:
            slot = datetime.fromisoformat(line["scheduled"])
            for _ in range(int(line.get("count", "1"))):
                found[slot] = line
                slot += timedelta(seconds=1)
    return found


def second_after(at: datetime) -> datetime:
    """Return the first whole second that is not before an instant."""
    whole = at.replace(microsecond=0)
    return whole if whole == at else whole + timedelta(seconds=1)


def test_a_pause_outlives_a_kill_a_stop_and_its_end_while_the_service_is_down(service: Service) -> None:
    """One job stays paused, one ends its pause in the outage, a file comes later; and each slot has one record."""
    for name in ("always", "brief", "free"):
        service.write(f"{name}.json", job(name, catch_up=3600, tags=["t"] if name == "always" else []))
    service.write("later-0.json", job("later-0", "@yearly"))
    service.start()
    service.wait_for("SUCCESS", 3)
    begun = datetime.now(UTC)
    request(service.socket, "POST", "/v1/pause", {"jobs": ["tag:t", "later-*"], "reason": "a migration"})
    assert service.process is not None
    service.process.kill()  # the answer has come, so the log has the pauses
    service.process.wait(10)
    service.write("later-1.json", job("later-1", catch_up=3600))
    service.start()
    service.wait_for("SKIPPED", 2, job_id="always")
    service.wait_for("SKIPPED", 2, job_id="later-1")
    answer = request(service.socket, "POST", "/v1/pause", {"jobs": ["brief"], "for": 1.6})
    end = datetime.fromisoformat(answer["pauses"][0]["until"])
    assert service.stop() == 0
    down = datetime.now(UTC)
    wait_until(lambda: datetime.now(UTC) > max(end, down) + timedelta(seconds=2.2))
    service.start()
    (ended,) = service.wait_for("job.resumed")
    service.wait_for("SUCCESS", len(service.words("SUCCESS", job_id="brief")) + 1, job_id="brief")
    request(service.socket, "POST", "/v1/resume", {"jobs": ["later-1"]})
    service.wait_for("SUCCESS", job_id="later-1")
    assert service.stop() == 0

    assert (ended["job_id"], ended["until"]) == ("brief", answer["pauses"][0]["until"])
    always = covered(service, "always")
    assert {line["word"] for slot, line in always.items() if slot > begun + timedelta(seconds=1)} == {"SKIPPED"}
    assert any(line["count"] for line in always.values() if "count" in line), "an outage is one record"
    brief = covered(service, "brief")
    first = second_after(end)
    assert brief[first - timedelta(seconds=1)].items() >= PAUSED.items()
    assert brief[first]["word"] in {"MISSED", "SUCCESS"}
    assert brief[first + timedelta(seconds=1)]["word"] in {"MISSED", "SUCCESS"}
    resumed = datetime.fromisoformat(service.words("job.resumed", job_id="later-1")[0]["time"])
    later = covered(service, "later-1")
    assert {line["word"] for slot, line in later.items() if slot < resumed} == {"SKIPPED"}
    second = Cron("* * * * * *", "UTC")
    timetables = {name: timetable_of(Job(name, second, TaskSpec("x", "{}"))) for name in ("always", "brief", "free")}
    Account([line for line in lines_of(service.log) if line.get("job_id") != "later-1"], timetables).check()
