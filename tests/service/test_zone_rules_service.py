"""Rules of time zones that are replaced under a running service: said once, applied at a reload, no slot lost."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork_server import run_program
from tests.support.job_files import assert_every_second_once
from tests.support.service import Service, job, wait_until
from tests.support.zone_tree import HOUR, ZoneTree


@pytest.fixture
def tree(tmp_path: Path) -> ZoneTree:
    """Two zones, without clock changes."""
    return ZoneTree(tmp_path / "zoneinfo", Here=-6 * HOUR, There=HOUR)


@pytest.fixture
def service(tmp_path: Path, tree: ZoneTree) -> Iterator[Service]:
    """A service that reads those zones."""
    made = Service(tmp_path, env={"PYTHONTZPATH": str(tree.path)})
    made.constants = {"service.supervisor.HEALTH_INTERVAL_S": 0.5}  # between two looks at the rules: users have 5 s
    yield made
    made.close()


def verb(service: Service, *arguments: str) -> tuple[str, str]:
    """Return what a verb prints, on both streams."""
    done = run_program([*service.program, *arguments, "--socket", str(service.socket)], env=service.env, text=True)
    return done.stdout, done.stderr


def objects(output: str) -> list[dict[str, Any]]:
    """Return the objects that a verb printed, one a line."""
    return [json.loads(line) for line in output.splitlines()]


def next_of(service: Service, job_id: str) -> dict[str, str]:
    """Return the time of day in UTC of a job's next slot, as each verb gives it."""
    (by_next,) = objects(verb(service, "next", "--json", str(service.jobs / f"{job_id}.json"))[0])
    (by_explain,) = objects(verb(service, "explain", job_id, "--json")[0])
    (by_list,) = (one for one in objects(verb(service, "list", "--json")[0]) if one["job_id"] == job_id)
    slots = {"next": by_next["slots"][0]["utc"], "explain": by_explain["next"][0], "list": by_list["next"]}
    return {name: slot[11:16] for name, slot in slots.items()}


def test_new_rules_are_said_once_and_applied_by_a_reload_with_the_slots_that_moved(
    service: Service, tree: ZoneTree
) -> None:
    """A job of another zone keeps its times; one of every second loses no slot and doubles none."""
    for name, schedule, zone in (("moved", "30 12 * * *", "Here"), ("kept", "30 12 * * *", "There")):
        service.write(f"{name}.json", job(name, schedule, timezone=f"Test/{zone}"))
    service.write("tick.json", job("tick", "* * * * * *", "true", timezone="Test/Here"))
    service.start()
    assert next_of(service, "moved") == dict.fromkeys(("next", "explain", "list"), "18:30")

    tree.write("Here", 9 * HOUR)
    (said,) = service.wait_for("zone.rules_changed")
    assert (said["level"], said["zones"]) == ("WARNING", "Test/Here")
    assert "reload" in said["help"]
    assert service.words("job.updated") == []
    assert json.loads(verb(service, "status", "--json")[0])["new_rules"] == ["Test/Here"]
    for arguments in (("next", str(service.jobs)), ("explain", "moved")):
        assert "the service follows the former ones" in "".join(verb(service, *arguments))

    service.process.send_signal(signal.SIGHUP)
    (reloaded,) = service.wait_for("service.reloaded")
    (updated,) = service.words("job.updated")
    assert (updated["job_id"], updated["changed"]) == ("moved", "zone_rules")
    assert (updated["next_before"][11:16], updated["next_after"][11:16]) == ("18:30", "03:30")
    assert service.words("zone.rules_applied")[0]["zones"] == "Test/Here"
    assert reloaded["moved"] == "1"
    assert next_of(service, "moved") == dict.fromkeys(("next", "explain", "list"), "03:30")
    assert next_of(service, "kept")["list"] == "11:30"
    assert json.loads(verb(service, "status", "--json")[0])["new_rules"] == []

    service.wait_for("SUCCESS", len(service.words("SUCCESS", job_id="tick")) + 3, job_id="tick")
    assert_every_second_once(service, "tick")
    assert len(service.words("zone.rules_changed")) == 1


def test_jobs_of_one_zone_agree_until_the_reload_whenever_they_came(service: Service, tree: ZoneTree) -> None:
    """A new job and an edited one follow the rules in force, and the warning says which those are."""
    service.write("old.json", job("old", "30 12 * * *", timezone="Test/Here"))
    service.start()
    tree.write("Here", 9 * HOUR)
    service.wait_for("zone.rules_changed")
    service.write("new.json", job("new", "30 12 * * *", timezone="Test/Here"))
    service.write("old.json", job("old", "30 12 * * *", timezone="Test/Here", description="edited"))
    (added,), (updated,) = service.wait_for("job.added"), service.wait_for("job.updated")
    assert (added["next"][11:16], updated["next_after"][11:16]) == ("18:30", "18:30")

    stdout, _ = verb(service, "reload")
    assert "new rules of Test/Here: 2 jobs with another next slot" in stdout
    assert {line["job_id"] for line in service.words("job.updated", changed="zone_rules")} == {"new", "old"}


def test_instants_and_bounds_without_an_offset_follow_the_new_rules(service: Service, tree: ZoneTree) -> None:
    """Their wall-clock time stays, so their instant moves."""
    fields: dict[str, Any] = {"timezone": "Test/Here"}
    service.write("once.json", job("once", "2100-01-01T12:00:00", **fields))
    service.write("bound.json", job("bound", "0 0 1 1 *", not_before="2100-01-01T00:00:00", **fields))
    service.start()
    tree.write("Here", 9 * HOUR)
    verb(service, "reload")
    updated = service.wait_for("job.updated", 2)
    moved = {line["job_id"]: (line["next_before"], line["next_after"]) for line in updated}
    assert moved == {
        "once": ("2100-01-01T18:00:00Z", "2100-01-01T03:00:00Z"),
        "bound": ("2100-01-01T06:00:00Z", "2099-12-31T15:00:00Z"),
    }


def test_rules_that_are_gone_stay_in_force_and_are_said(service: Service, tree: ZoneTree) -> None:
    """The package was removed: no job is lost before a restart."""
    service.write("noon.json", job("noon", "30 12 * * *", timezone="Test/Here"))
    service.start()
    (tree.path / "Test/Here").unlink()
    (said,) = service.wait_for("zone.rules_changed")
    assert "gone" in said["problem"]
    assert "tzdata" in said["help"]
    verb(service, "reload")
    (kept,) = service.words("zone.rules_kept")
    assert (kept["level"], kept["zones"]) == ("ERROR", "Test/Here")
    assert service.words("job.refused") == service.words("job.stale") == []


def test_the_rules_of_the_zone_of_the_service_are_watched_too(service: Service, tree: ZoneTree) -> None:
    """Jobs without a zone of their own follow it."""
    service.options = ("--timezone", "Test/There")
    service.write("noon.json", job("noon", "30 12 * * *"))
    service.start()
    tree.write("There", 2 * HOUR)
    service.wait_for("zone.rules_changed", zones="Test/There")
    verb(service, "reload")
    (updated,) = service.wait_for("job.updated")
    assert (updated["next_before"][11:16], updated["next_after"][11:16]) == ("11:30", "10:30")


def test_a_time_of_day_that_has_run_is_not_repeated_by_new_rules_nor_by_a_crash(
    service: Service, tree: ZoneTree
) -> None:
    """Set back by two hours, the clock shows it again today; it is due tomorrow."""
    slot = (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)
    tree.write("Here", 0)
    schedule = f"{slot.second} {slot.minute} {slot.hour} * * *"
    service.write("daily.json", job("daily", schedule, timezone="Test/Here"))
    service.start()
    (ran,) = service.wait_for("SUCCESS", job_id="daily")
    tree.write("Here", -2 * HOUR)
    verb(service, "reload")
    (updated,) = service.words("job.updated", changed="zone_rules")
    assert datetime.fromisoformat(updated["next_before"]) == slot + timedelta(days=1)
    assert datetime.fromisoformat(updated["next_after"]) == slot + timedelta(days=1, hours=2)

    assert service.process is not None
    service.process.kill()
    service.process.wait()
    service.start()

    def next_slot() -> datetime:
        (listed,) = objects(verb(service, "list", "--json")[0])
        return datetime.fromisoformat(listed["next"])

    # if the crash came before a full checkpoint with the new rules, they are applied again right after the start
    wait_until(lambda: next_slot() == slot + timedelta(days=1, hours=2), why="it goes by the new rules")
    assert service.words("SUCCESS", job_id="daily") == [ran]


def has_full_checkpoint_since(service: Service, word: str) -> bool:
    """Return whether the log has one after such a line: from then on a crash finds the new rules."""
    lines = service.lines()
    indexes = [number for number, line in enumerate(lines) if line["word"] == word]
    return bool(indexes) and any("full" in line for line in lines[indexes[0] :])


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_rules_that_changed_while_no_service_ran_are_applied_as_by_a_reload(
    service: Service, tree: ZoneTree, end: signal.Signals
) -> None:
    """Set back by two hours, the clock shows a time of day again that has run; a second start changes nothing more."""
    slot = (datetime.now(UTC) + timedelta(seconds=6)).replace(microsecond=0)
    tree.write("Here", 0)
    service.write("daily.json", job("daily", f"{slot.second} {slot.minute} {slot.hour} * * *", timezone="Test/Here"))
    service.write("other.json", job("other", "30 12 * * *", timezone="Test/There"))
    service.start()
    (ran,) = service.wait_for("SUCCESS", job_id="daily")
    assert service.stop(end) == (0 if end is signal.SIGTERM else -signal.SIGKILL)
    tree.write("Here", -2 * HOUR)

    for starts in (1, 2):
        service.start()
        service.wait_for("zone.rules_applied")
        (updated,) = service.wait_for("job.updated", changed="zone_rules")
        assert (updated["job_id"], len(service.words("zone.rules_applied"))) == ("daily", 1), starts
        assert datetime.fromisoformat(updated["next_before"]) == slot + timedelta(days=1)
        wait_until(lambda: has_full_checkpoint_since(service, "service.reloaded"))
        (listed,) = (one for one in objects(verb(service, "list", "--json")[0]) if one["job_id"] == "daily")
        assert datetime.fromisoformat(listed["next"]) == slot + timedelta(days=1, hours=2)
        assert service.stop(end) == (0 if end is signal.SIGTERM else -signal.SIGKILL)
    assert service.words("SUCCESS", job_id="daily") == [ran]
    assert service.words("MISSED") == []
