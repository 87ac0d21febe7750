"""`import crontab`: what becomes of each line, which files are written, and that the slots stay the same."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobscheduler import cli
from jobscheduler.cli import import_target
from jobscheduler.cli.crontab_files import CrontabFile
from jobscheduler.cli.cutover import commands, describe_window, window
from jobscheduler.cli.import_lines import Judge, State, Verdict, first_difference
from jobscheduler.cli.import_target import Target
from jobscheduler.imports.crontab_job import Wishes
from jobscheduler.jobs.parser import Defaults, ParseContext, parse
from jobscheduler.model import Job
from jobscheduler.timetable import crontab
from jobscheduler.timetable.timetable import Timetable, timetable_of
from tests.support.crontab_cases import ZONES
from tests.unit.test_crontab_debian import VECTORS
from tests.unit.test_reconciler import CONTEXT

NOW = datetime(2026, 11, 30, 20, 30, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that only this user may write, with the jobs directory in it."""
    tmp_path.chmod(0o755)
    (tmp_path / "jobs.d").mkdir(mode=0o755)
    return tmp_path


@pytest.fixture
def table(place: Path) -> Path:
    """Where a table of /etc/cron.d would be."""
    (place / "cron.d").mkdir(mode=0o755)
    return place / "cron.d" / "shop"


def imported(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Run `import crontab --json`; return the exit status and the verdicts."""
    status = cli.main(["import", "crontab", "--json", "--timezone", "UTC", "--cron-timezone", "UTC", *map(str, words)])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def shown(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    """Run `import crontab`; return the exit status and what is printed."""
    status = cli.main(["import", "crontab", "--timezone", "UTC", "--cron-timezone", "UTC", *map(str, words)])
    return status, capsys.readouterr().out


def written(place: Path) -> dict[str, Any]:
    """The job files, by name."""
    return {path.name: json.loads(path.read_text()) for path in (place / "jobs.d").iterdir()}


def verdicts(
    text: str,
    zone: str = "UTC",
    wishes: Wishes | None = None,
    user: str | None = "root",
    rules: ParseContext = CONTEXT,
) -> list[Verdict]:
    """What becomes of the lines of a table, without any file."""
    table = CrontabFile("table", text, user, "the crontab of root", "root")
    judge = Judge(wishes or Wishes(), ZoneInfo(zone), rules, Target(None, {}), NOW)
    return list(judge.verdicts([table]))


def job_of(verdict: Verdict) -> Job:
    """The job of a verdict, as the service reads it."""
    assert verdict.file is not None
    job = parse(verdict.file.raw, verdict.file.name, CONTEXT)
    assert isinstance(job, Job), job
    return job


# --- one line ----------------------------------------------------------------------------------------------


def test_a_line_becomes_a_job_file(table: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its comment, variables, user and input, and nothing that is the default anyway."""
    table.write_text(
        "SHELL=/bin/bash\nPATH=/opt/bin:/bin\nHOME=/srv\nLOGNAME=eve\nMAILTO=shop@example.org\nLEVEL=3\n"
        "\n# Sell what is left\n30 3 * * mon root sell --all %yes%no\n"
    )
    status, (verdict,) = imported(capsys, table, "--to", place / "jobs.d")
    assert (status, verdict["state"], verdict["job_id"]) == (0, "written", "shop-sell")
    assert written(place) == {
        "shop-sell.json": {
            "$comment": f"imported from {table}: 30 3 * * mon root sell --all %yes%no",
            "job_id": "shop-sell",
            "description": "Sell what is left",
            "schedule": "30 3 * * mon",
            "task": {
                "type": "execute_command",
                "command": "sell --all ",
                "shell": "/bin/bash",
                "cwd": "/srv",
                "user": "root",
                "env": {"SHELL": "/bin/bash", "PATH": "/opt/bin:/bin", "HOME": "/srv", "LEVEL": "3"},
                "stdin": "yes\nno\n",
            },
        }
    }


def test_what_the_import_writes_passes_validate(table: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a warning, also with a password in the table: then only the owner may read the file."""
    table.write_text("DB_PASSWORD=secret99\n* * * * * root true\n@reboot root test -e / && cd / && true\n")
    assert imported(capsys, table, "--to", place / "jobs.d", "--from", "2h")[0] == 0
    assert cli.main(["validate", "--json", "--timezone", "UTC", str(place / "jobs.d")]) == 0
    assert capsys.readouterr().out == ""
    assert {path.stat().st_mode & 0o777 for path in (place / "jobs.d").iterdir()} == {0o600}


def test_a_file_may_be_read_by_those_who_could_read_the_table(
    table: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that was closed gives closed files."""
    for mode in (0o644, 0o600):
        table.write_text(f"0 1 * * * root true {mode:o}\n")
        table.chmod(mode)
        imported(capsys, table, "--to", place / "jobs.d", "--force")
        assert (place / "jobs.d/shop-true.json").stat().st_mode & 0o777 == mode


def test_mailto_is_mailed_to_by_the_program_for_alerts() -> None:
    """On failure and on recovery; without such a program, or with an empty address, it is told."""
    wishes = Wishes(mail_alert="/etc/scheduler/mail-alert")
    one, none = verdicts('MAILTO=a@b.example\n@daily true\nMAILTO=""\n@weekly false\n', wishes=wishes)
    task = {"type": "execute_command", "command": ["/etc/scheduler/mail-alert"], "env": {"MAILTO": "a@b.example"}}
    assert one.file is not None
    definition = json.loads(one.file.raw)
    assert (definition["on_failure"], definition["on_recovery"]) == (task, task)
    assert "on_failure" not in json.loads(none.file.raw if none.file else b"")
    assert none.shared[0].startswith("`MAILTO` is empty")
    assert "--mail-alert" in verdicts("MAILTO=root\n@daily true\n")[0].shared[0]


def test_a_variable_of_cron_itself_is_kept_where_the_command_names_it() -> None:
    """`| mail $MAILTO` works on."""
    kept, left = verdicts("MAILTO=root\n@daily report | mail $MAILTO\n@weekly true\n")
    assert job_of(kept).task.params["env"] == {"MAILTO": "root"}
    assert "env" not in job_of(left).task.params


def test_cron_tz_is_the_zone_of_the_lines_below() -> None:
    """Unless it is to be ignored, as Debian's cron does; an unknown one is refused."""
    text = "0 1 * * * before\nCRON_TZ=Asia/Tokyo\n0 1 * * * below\nCRON_TZ=Asia/Tokio\n0 1 * * * odd\n"
    before, below, odd = verdicts(text)
    assert job_of(before).schedule.timezone == "UTC"  # type: ignore[union-attr]
    assert job_of(below).schedule.timezone == "Asia/Tokyo"  # type: ignore[union-attr]
    assert (odd.state, odd.message.split(":")[0]) == (State.REFUSED, "`CRON_TZ`")
    ignoring = verdicts(text, wishes=Wishes(is_cron_tz_read=False))
    assert [job_of(one).schedule.timezone for one in ignoring] == ["UTC"] * 3  # type: ignore[union-attr]


def test_a_service_in_another_zone_than_cron_gets_the_zone_named() -> None:
    """So the slots stay those of cron; `@reboot` has no zone."""
    daily, boot = verdicts("0 1 * * * true\n@reboot false\n", zone="Asia/Tokyo")
    assert json.loads(daily.file.raw if daily.file else b"")["timezone"] == "Asia/Tokyo"
    assert "timezone" not in json.loads(boot.file.raw if boot.file else b"")


def test_a_refused_line_costs_no_other_line(table: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its reason and the way out; the status says that there was one."""
    table.write_text(
        "61 * * * * root a\n0 0 * * fri-sun root b\n0 1 * * * root\n0 1 * * * root %in\n0 1 * * * root c\n"
    )
    status, found = imported(capsys, table, "--to", place / "jobs.d")
    assert status == 1
    assert [one["state"] for one in found] == ["refused"] * 4 + ["written"]
    assert all(one["reason"] and one["help"] for one in found[:4])
    assert list(written(place)) == ["shop-c.json"]
    whole = [any("refuses the whole table" in note for note in one["notes"]) for one in found]
    assert whole == [True, False, True, False, False]  # `fri-sun` and `%` are accepted by cron


def test_a_line_that_the_service_would_refuse_is_refused() -> None:
    """With the words of the service."""
    (verdict,) = verdicts("SHELL=bash\n0 1 * * * true\n")
    assert (verdict.state, verdict.message) == (State.REFUSED, "`bash` is not an absolute path")


def test_an_unknown_user_is_said_and_the_file_is_written() -> None:
    """The table may be of another host."""
    (verdict,) = verdicts("0 1 * * * true\n", user="no-such-user")
    assert verdict.state is State.WRITTEN
    assert verdict.shared == ("this host knows no user `no-such-user`",)


def test_odd_ends_of_a_table_are_told() -> None:
    """What Debian's cron does not run, and what it refuses, is imported and said."""
    bare, last = verdicts("MAILTO=\n0 1 * * * true\n0 2 * * * false")
    assert bare.remarks == (
        "line 1 sets an empty value without quotes, for which Debian's cron refuses the whole table",
    )
    assert last.remarks[0].startswith("the table ends without a line end")


# --- tables ------------------------------------------------------------------------------------------------


def test_cron_d_is_read_by_the_rules_of_cron(table: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file with a dot in its name has never run, which is said; hidden ones are not even seen."""
    for name in ("shop", "a_b-C", "shop.dpkg-dist", ".placeholder"):
        (table.parent / name).write_text("0 1 * * * root true\n")
    status, found = imported(capsys, table.parent, "--to", place / "jobs.d")
    assert status == 0
    assert sorted(written(place)) == ["a_b-C-true.json", "shop-true.json"]
    assert len(imported(capsys, table, table.parent / "shop", "--to", place / "jobs.d")[1]) == 1  # named twice
    (odd,) = [one for one in found if "problem" in one]
    assert odd["problem"].startswith("cron does not read a file of the name `shop.dpkg-dist`")


def test_what_is_no_table_is_refused_with_the_way_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is missing, a directory for run-parts, a table of anacron; the rest is imported."""
    (place / "cron.daily").mkdir()
    (place / "anacrontab").write_text("1 5 cron.daily run-parts /etc/cron.daily\n")
    (place / "good").write_text("0 1 * * * root true\n")
    words = (place / "cron.daily", place / "anacrontab", place / "missing", place / "good")
    status, found = imported(capsys, *words, "--to", place / "jobs.d")
    assert status == 1
    assert [one["problem"] for one in found if "problem" in one] == [
        "these are programs for `run-parts`, not tables",
        "this is a table of anacron, whose lines have no times",
        "the table cannot be read: No such file or directory",
    ]
    assert list(written(place)) == ["good-true.json"]


def test_standard_input_is_the_table_of_its_owner(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, or of the caller; with a column of users if that is said, and asked for if it is not clear."""

    def from_stdin(text: str, *words: str) -> list[tuple[str, str]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        found = imported(capsys, "-", *words)[1]
        return [(one["job_id"], one["definition"]["task"]["user"]) for one in found]

    assert from_stdin("0 1 * * * /bin/true\n") == [("root-true", "root")]
    assert from_stdin("0 1 * * * /bin/true\n", "--owner", "nobody") == [("nobody-true", "nobody")]
    assert from_stdin("0 1 * * * sync a\n", "--user-column") == [("crontab-a", "sync")]
    assert from_stdin("0 1 * * * nobody true\n") == [("crontab-true", "nobody")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"0 1 * * * sync a\n")))
    assert cli.main(["import", "crontab", "-"]) == 2
    assert "say `--user-column` if one does, or `--owner NAME`" in " ".join(capsys.readouterr().err.split())


# --- files -------------------------------------------------------------------------------------------------


def test_without_a_directory_the_files_are_printed(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As they would be written, after their verdict."""
    table.write_text("0 1 * * * root true\n")
    status, text = shown(capsys, table)
    assert status == 0
    assert text.startswith(f"new        {table}:1 -> shop-true.json  (0 1 * * *, as root)\n{{\n")
    assert "1 line: 1 new" in text


def test_a_dry_run_writes_nothing(table: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would become of the files that are there."""
    table.write_text("0 1 * * * root true\n")
    assert imported(capsys, table, "--to", place / "jobs.d", "--dry-run")[1][0]["state"] == "new"
    assert written(place) == {}


def test_a_further_import_changes_nothing(table: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also after `--from`, a new name of the file, and a line above that would have had the id."""
    table.write_text("0 1 * * * root sync a\n")
    imported(capsys, table, "--to", place / "jobs.d", "--from", "22:00")
    (place / "jobs.d/shop-sync.json").rename(place / "jobs.d/renamed.json")
    table.write_text("0 2 * * * root sync b\n0 1 * * * root sync a\n")
    status, found = imported(capsys, table, "--to", place / "jobs.d")
    assert status == 0
    assert [(one["state"], one["job_id"]) for one in found] == [("written", "shop-sync-b"), ("unchanged", "shop-sync")]
    assert sorted(written(place)) == ["renamed.json", "shop-sync-b.json"]


def test_a_file_that_differs_stays_unless_it_is_forced(
    table: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an operator has added is not lost by a further import."""
    table.write_text("0 1 * * * root true\n0 2 * * * root false\n")
    imported(capsys, table, "--to", place / "jobs.d")
    edited = place / "jobs.d/shop-true.json"
    edited.write_text(json.dumps({**json.loads(edited.read_text()), "timeout": "5m"}))
    status, found = imported(capsys, table, "--to", place / "jobs.d")
    assert (status, [one["state"] for one in found]) == (1, ["kept", "unchanged"])
    assert "timeout" in json.loads(edited.read_text())
    status, found = imported(capsys, table, "--to", place / "jobs.d", "--force")
    assert (status, [one["state"] for one in found]) == (0, ["replaced", "unchanged"])
    assert "timeout" not in json.loads(edited.read_text())


def test_an_id_of_another_file_is_refused(table: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The service would refuse the second one."""
    (place / "jobs.d/mine.json").write_text('{"job_id": "shop-true"}')
    os.mkfifo(place / "jobs.d/pipe.json")
    table.write_text("0 1 * * * root true\n")
    status, (verdict,) = imported(capsys, table, "--to", place / "jobs.d")
    assert (status, verdict["state"], verdict["reason"]) == (1, "refused", "its id `shop-true` belongs to `mine.json`")


def test_all_files_are_written_or_none(
    table: Path, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full at the second file leaves nothing behind, and no trace of the first."""
    table.write_text("0 1 * * * root true\n0 2 * * * root false\n")
    calls: list[int] = []

    def full(descriptor: int, sync: Any = os.fsync) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(import_target.os, "fsync", full)
    assert cli.main(["import", "crontab", str(table), "--to", str(place / "jobs.d")]) == 1
    assert "error: nothing was written: no space left on device" in capsys.readouterr().err
    assert list((place / "jobs.d").iterdir()) == []


# --- slots -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", sorted({case["timezone"] for case in VECTORS}))
def test_jobs_run_when_debians_daemon_ran_the_lines(zone: str) -> None:
    """In every recorded window, line by line, through all changes of the clock."""
    cases = [case for case in VECTORS if case["timezone"] == zone]
    found = verdicts("".join(f"{case['cron']} true {number}\n" for number, case in enumerate(cases)), zone)
    for case, verdict in zip(cases, found, strict=True):
        after, until = datetime.fromisoformat(case["after"]), datetime.fromisoformat(case["until"])
        slots = timetable_of(job_of(verdict)).slots(after, until, 100_000)
        assert [slot.strftime("%Y-%m-%dT%H:%M:%SZ") for slot in slots] == case["runs"]


def drawn_field(draw: Random, low: int, high: int) -> str:
    """A field of a line as people write it."""
    first, last = sorted((draw.randint(low, high), draw.randint(low, high)))
    return draw.choice(["*", "*", f"*/{draw.randint(2, 30)}", f"{first}", f"{first}-{last}", f"{first},{last}"])


def test_jobs_of_drawn_tables_have_the_slots_of_their_lines_for_a_year() -> None:
    """One table for each zone, read by the project's own reader of crontab lines."""
    draw = Random(20261130)
    for zone in ZONES[:6]:
        bounds = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 7))
        schedules = [" ".join(drawn_field(draw, *bound) for bound in bounds) for _ in range(12)]
        found = verdicts("".join(f"{text} /bin/job {number}\n" for number, text in enumerate(schedules)), zone)
        for text, verdict in zip(schedules, found, strict=True):
            line, job = Timetable(crontab.parse(text), ZoneInfo(zone)), timetable_of(job_of(verdict))
            until = NOW + timedelta(days=366)
            assert list(line.slots(NOW, until, 3000)) == list(job.slots(NOW, until, 3000)), text
            assert first_difference(line, job, NOW) is None
            assert verdict.remarks == ()


def test_what_the_defaults_of_the_service_change_is_told() -> None:
    """The zone is named in the file, against `[defaults]`; what stays different is a remark."""
    defaults = Defaults({"timezone": "Asia/Tokyo", "jitter": "1m", "not_after": "2026-12-24T00:00:00Z"})
    (verdict,) = verdicts("0 3 * * * true\n", rules=replace(CONTEXT, defaults=defaults))
    assert json.loads(verdict.file.raw if verdict.file else b"")["timezone"] == "UTC"
    assert verdict.remarks == (
        "`[defaults]` of the settings have it start up to 60 s later",
        "its slots differ from cron's, first at 2026-12-24T03:00:00Z: see `[defaults]` of the settings",
    )


def test_the_first_slot_that_differs_is_found() -> None:
    """Within a year; a later start is no other slot."""
    line = Timetable(crontab.parse("0 3 * * *"), ZoneInfo("UTC"))
    tokyo = Timetable(line.schedule, ZoneInfo("Asia/Tokyo"))
    assert first_difference(line, tokyo, NOW) == datetime(2026, 12, 1, 3, tzinfo=UTC)  # there it is 18:00
    assert first_difference(line, Timetable(line.schedule, line.zone, not_after=NOW), NOW) is not None
    assert first_difference(line, Timetable(line.schedule, line.zone, jitter=60.0, seed="x"), NOW) is None


# --- the evening of the move ---------------------------------------------------------------------------------


def test_cron_has_the_slots_before_the_time_and_the_jobs_those_from_it_on() -> None:
    """None is lost and none is in both: the last one of cron, and the first of the jobs, bound the change."""
    start = datetime(2026, 11, 30, 22, 0, tzinfo=UTC)
    wishes = Wishes(not_before="2026-11-30T22:00:00Z")
    found = verdicts("*/15 * * * * a\n0 22 * * * b\n59 21 * * * c\n@reboot d\n", wishes=wishes)
    for verdict in found[:3]:
        slots = verdict.slots.slots(NOW, NOW + timedelta(days=2), 1000) if verdict.slots else ()
        assert [one for one in slots if one >= start] == list(
            timetable_of(job_of(verdict)).slots(NOW, NOW + timedelta(days=2), 1000)
        )
    bounds = window(found, start, NOW)
    assert bounds == (start - timedelta(minutes=1), start)
    assert "after 2026-11-30 21:59, the last slot of cron, and before" in describe_window(bounds, start, UTC)


def test_the_time_is_the_next_full_minute(table: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A slot of cron has no seconds, and `2h` is mostly between two of them."""
    table.write_text("* * * * * root true\n")
    imported(capsys, table, "--to", place / "jobs.d", "--from", "2026-12-24T10:00:01Z")
    assert written(place)["shop-true.json"]["not_before"] == "2026-12-24T10:01:00Z"


def test_the_commands_take_the_imported_lines_out_of_cron(
    table: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole table of cron.d gets a name that cron ignores; of others the lines are commented out."""
    table.write_text("# the shop\n0 1 * * * root true\n")
    mixed = table.parent / "mixed"
    mixed.write_text("0 1 * * * root true\n\n0 2 * * * root false\n61 * * * * root odd\n")
    text = shown(capsys, table, mixed, "--to", place / "jobs.d", "--from", "22:00")[1]
    assert text.splitlines()[-2:] == [
        f"  mv {table} {table}.imported",
        f"  sed -i --follow-symlinks '1s/^/# /; 3s/^/# /' {mixed}",
    ]


def test_lines_of_the_spool_are_counted_as_crontab_shows_them() -> None:
    """`crontab -l` leaves out the three lines at the head."""
    head = "# DO NOT EDIT THIS FILE - edit the master and reinstall.\n# (x installed on ...)\n# (Cron version ...)\n"
    found = verdicts(f"{head}# mine\n0 1 * * * true\n")
    assert list(commands(found, found)) == ["crontab -u root -l | sed '2s/^/# /' | crontab -u root -"]


def test_notes_of_several_lines_are_printed_once(table: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of one line stand below it."""
    table.write_text(
        "MAILTO=ops\n0 1 * * * root flock -n a x\n0 1 * * * root flock -n a y\n@reboot root z >/dev/null 2>&1\n"
    )
    lines = shown(capsys, table, "--to", place / "jobs.d")[1].splitlines()
    assert [line.split("`")[1] for line in lines if line.strip().startswith("note: ")] == ["@reboot"]
    below = lines[lines.index("notes:") :]
    assert sum("flock" in line for line in lines) == sum("(shop-x, shop-y)" in line for line in below) == 1
    assert any(line.startswith("- `MAILTO=ops`") for line in below)
    assert any(line.startswith("- output: 1 line sends its output to /dev/null") for line in below)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs FILE"),
        (["-", "--owner", "a", "--user-column"], "`--user-column` and `--owner` exclude each other"),
        (["-", "--owner", ""], "`--owner` is empty"),
        (["-", "--mail-alert", "mail"], "`--mail-alert` needs the path of the program"),
        (["-", "--cron-timezone", "Europe/Berlni"], "`--cron-timezone`"),
        (["-", "--from", "soon"], "`soon` is not a time"),
    ],
)
def test_wrong_usage_is_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With status 2, and nothing is read."""
    assert cli.main(["import", "crontab", *words]) == 2
    assert message in capsys.readouterr().err
