"""What the full checkpoint is for: touched files, other hosts, drains, and what a start says of the log it finds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.decision import MissedSlots
from jobscheduler.timetable.definition_hash import definition_hash
from jobscheduler.timetable.outage import Outage, decide_after_outage
from jobscheduler.timetable.overlap import Action, JobSituation
from jobscheduler.timetable.timetable import timetable_of
from jobscheduler.util.host_id import boot_id, host_id, host_seed, is_estimated, is_same_boot
from tests.support.service import Service, job

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = Job("m", Cron("* * * * *", "UTC"), TaskSpec("none", "{}"))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service that was not started."""
    made = Service(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    "how", ["touch", *(pytest.param(how, marks=pytest.mark.deep) for how in ("copy", "other command"))]
)
def test_what_touches_a_file_while_the_service_is_down_loses_nothing_of_the_outage(service: Service, how: str) -> None:
    """The log knows which definitions were active, so it does not matter when the file was written last."""
    path = service.write("s.json", job("s", "* * * * * *", "true", catch_up="10m"))
    service.start()
    service.wait_for("SUCCESS", 2, job_id="s")
    assert service.stop() == 0
    (stopped,) = service.words("service.stopped")
    while datetime.now(UTC) - datetime.fromisoformat(stopped["time"]) < timedelta(seconds=3):
        pass
    if how == "touch":
        path.touch()
    elif how == "copy":
        shutil.copy(path, path.with_suffix(".new"))
        path.with_suffix(".new").rename(path)
    else:
        service.write("s.json", job("s", "* * * * * *", "true #", catch_up="10m"))
    service.start()
    found = service.wait_for("MISSED", job_id="s", reason="down")

    assert sum(int(one.get("count", "1")) for one in found) >= 2


def test_the_log_of_another_host_is_not_believed_and_that_is_logged(service: Service) -> None:
    """A copy of it on another machine makes up for nothing that the first one missed."""
    service.write("s.json", job("s", "* * * * * *", "true", catch_up="10m"))
    options = service.options
    service.options = (*options, "--host-id", "production")
    service.start()
    service.wait_for("SUCCESS", 1, job_id="s")
    assert service.stop() == 0
    service.options = (*options, "--host-id", "laptop")
    service.start()
    (answer,) = service.wait_for("log.foreign")
    service.wait_for("SUCCESS", 3, job_id="s")

    assert (answer["host"], answer["here"]) == ("production", "laptop")
    assert not [one for one in service.words("MISSED") if one["reason"] == "down"]
    assert service.words("service.started")[-1]["settled"] == "nothing is known of the time before"


def test_a_slot_grows_no_older_while_the_service_drains_or_cannot_move() -> None:
    """What fell due in that time runs after it, however long it took; those before it are said to be `stalled`."""
    drained = NOON, NOON + timedelta(seconds=300)
    outage = Outage(NOON, NOON + timedelta(seconds=310), standstills=(drained,))
    decision = decide_after_outage(timetable_of(MINUTE), outage, JobSituation(catch_up=timedelta(seconds=60)))

    assert decision.actions == ((NOON + timedelta(seconds=300), Action.RUN),)
    assert decision.missed == (
        MissedSlots(NOON + timedelta(seconds=60), NOON + timedelta(seconds=240), 4, reason="stalled"),
    )
    long = replace(outage, until=NOON + timedelta(seconds=350))
    hourly = timetable_of(replace(MINUTE, schedule=Cron("2 * * * *", "UTC")))
    assert decide_after_outage(hourly, long, JobSituation()).actions == ((NOON + timedelta(seconds=120), Action.RUN),)


def test_a_hash_of_a_definition_is_the_same_everywhere() -> None:
    """Other versions read it in logs; the part about the slots is separate from the rest."""
    assert definition_hash(MINUTE) == definition_hash(replace(MINUTE, modified_at=NOON, source_name="elsewhere.json"))
    other = definition_hash(replace(MINUTE, task=TaskSpec("other", "{}")))
    assert other != definition_hash(MINUTE)
    assert other[:6] == definition_hash(MINUTE)[:6]
    assert definition_hash(replace(MINUTE, jitter=1.0))[:6] != definition_hash(MINUTE)[:6]
    assert definition_hash(MINUTE) == "2c71bccb0f51"


def test_a_boot_without_a_name_is_not_the_same_for_ever(tmp_path: Path) -> None:
    """Where the kernel's name of it is hidden, it is known by when it was."""
    guessed = boot_id(tmp_path / "hidden")
    assert is_estimated(guessed)
    assert is_same_boot(guessed, boot_id(tmp_path / "hidden"))
    assert not is_same_boot("since:1000", "since:5000")
    assert not is_same_boot("", "")


def test_a_host_without_a_machine_id_is_known_by_the_folder_of_its_log(tmp_path: Path) -> None:
    """And a host that has one is not named by the id itself."""
    (tmp_path / "id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "new").write_text("uninitialized\n")
    log, other = Path("/var/log/scheduler"), Path("/srv/copied")
    for missing in (tmp_path / "none", tmp_path / "new"):
        assert host_id(None, log, missing) == host_id(None, log, tmp_path / "none") != host_id(None, other, missing)
        assert host_seed(None, log, missing) == "/var/log/scheduler"
    assert host_id("mine", log, tmp_path / "id") == host_seed("mine", log, tmp_path / "id") == "mine"
    assert host_id(None, log, tmp_path / "id") == host_id(None, other, tmp_path / "id") != host_id(None, log)
    assert "0123456789abcdef" not in host_id(None, log, tmp_path / "id")


def test_a_schedule_that_was_changed_while_the_service_was_down_is_logged(service: Service) -> None:
    """The slots of the former one are unknown; the log says that they have no record."""
    service.write("s.json", job("s", "0 0 1 1 *", "true", catch_up="10m"))
    service.write("same.json", job("same", "0 0 1 1 *", "true"))
    service.start()
    assert service.stop() == 0
    service.write("s.json", job("s", "0 0 1 2 *", "true", catch_up="10m"))
    service.write("same.json", job("same", "@yearly", "true"))
    service.start()
    (answer,) = service.words("job.changed")
    assert (answer["job_id"], answer["note"]) == (
        "s",
        "its schedule was changed while the service was down; slots of the former one have no record",
    )
    assert datetime.fromisoformat(answer["since"]) < datetime.fromisoformat(answer["until"])
    assert service.stop() == 0
    service.start()

    assert len(service.words("job.changed")) == 1


def test_a_job_that_was_disabled_while_the_service_was_down_is_logged(service: Service) -> None:
    """As one with another schedule: what it would have been due for has no record."""
    service.write("s.json", job("s", "0 0 1 1 *", "true"))
    service.start()
    assert service.stop() == 0
    service.write("s.json", job("s", "0 0 1 1 *", "true", enabled=False))
    service.start()

    assert [one["job_id"] for one in service.words("job.changed")] == ["s"]
