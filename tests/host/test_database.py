"""The table of jobs and its API: each change with its marker, as a whole or not at all. On SQLite and on MariaDB."""

from __future__ import annotations

import json
import os
import threading
import tracemalloc
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, insert, select

from jobscheduler import tasks
from jobscheduler.database import (
    CommandJob,
    DatabaseConfigError,
    InvalidJob,
    JobExists,
    JobNotFound,
    JobTable,
    Unavailable,
    change_details,
    load_url,
    queries,
)
from jobscheduler.database.engine import Database
from jobscheduler.database.tables import MARKERS, VERSIONS
from jobscheduler.jobs.parser import ParseContext, parse
from tests.support.databases import PASSWORD, QUOTED, Place, on_mariadb, place, server
from tests.support.service import job

__all__ = ["on_mariadb", "place", "server"]

RULES = ParseContext(ZoneInfo("UTC"), tasks.task_type, tasks.task_names())
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def table_of(place: Place) -> JobTable:
    """The table in a database, with its tables made."""
    table = JobTable(place.url, rules=RULES)
    table.init()
    return table


def markers(table: JobTable) -> list[tuple[int, Any, Any]]:
    """Every marker: whether it is done, and the ids before and after."""
    with table.database.reading() as connection:
        columns = (MARKERS.c.updated, MARKERS.c.jobs_before_update, MARKERS.c.jobs_after_update)
        found = connection.execute(select(*columns).order_by(MARKERS.c.id)).all()
    return [(done, before and json.loads(before), after and json.loads(after)) for done, before, after in found]


def test_the_tables_are_made_once_and_have_a_version(place: Place) -> None:
    """A second time nothing happens; tables of another version, or none, are said and not used."""
    table = JobTable(place.url, rules=RULES)
    if place.server is not None:
        with pytest.raises(Unavailable, match="no tables of the scheduler"):
            table.list()
    else:
        with pytest.raises(Unavailable, match="cannot be used: no such file"):
            table.list()
    assert table.init() is True
    assert table.init() is False
    with table.database.writing() as connection:
        connection.execute(insert(VERSIONS).values(version=3, created_at=NOON))

    with pytest.raises(Unavailable, match="the tables have version 2, 3, and this service knows version 2"):
        table.list()


def test_a_change_writes_rows_and_its_marker_with_before_and_after(place: Place) -> None:
    """Each kind of change once; what is read is what was written, to the letter."""
    table = table_of(place)
    text = json.dumps(job("b", description="Größe ✓"), ensure_ascii=False, indent=3) + "\n"
    assert table.add(job("a"), text) == 1
    assert table.update(job("a", command="false")) == 2
    assert table.remove("a") == 3
    changes = table.replace_all([text, job("c")])

    assert (changes.added, changes.updated, changes.removed, changes.marker) == (("c",), (), (), 4)
    assert [row.job_id for row in table.list()] == ["b", "c"]
    found = table.get("b")
    assert found is not None
    assert found.definition == text
    assert table.get("a") is None
    told = markers(table)
    assert told[0] == (0, {}, {"a": job("a"), "b": json.loads(text)})
    assert told[1] == (0, {"a": job("a")}, {"a": job("a", command="false")})
    assert told[2] == (0, {"a": job("a", command="false")}, {})
    assert told[3] == (0, {}, {"c": job("c")})


def test_replacing_all_by_the_same_asks_for_nothing(place: Place) -> None:
    """Jobs that are the same are not touched; without any change there is no marker."""
    table = table_of(place)
    table.replace_all([job("a"), job("b")])
    before = table.list()
    assert not table.replace_all([job("b"), job("a")])
    assert table.list() == before
    assert table.replace_all([job("b")]).removed == ("a",)
    assert len(markers(table)) == 2


def test_what_cannot_be_done_changes_nothing(place: Place) -> None:
    """Not valid, there already, not there, not to be removed: all of it is left as it was, without a marker."""
    table = table_of(place)
    table.add(job("a"))
    with pytest.raises(InvalidJob, match="unknown field `shedule`"):
        table.add(job("b"), {**job("c"), "shedule": "x"})
    with pytest.raises(InvalidJob, match="two of the jobs have the id `b`"):
        table.add(job("b"), job("b"))
    with pytest.raises(JobExists, match="already a job `a`"):
        table.add(job("b"), job("a"))
    with pytest.raises(JobNotFound, match="no job `b`"):
        table.update(job("a", command="changed"), job("b"))
    with pytest.raises(JobNotFound, match="no job `b`"):
        table.remove("a", "b")
    with pytest.raises(JobExists, match="also holds the job `a`"):
        table.replace_all([job("b")], may_remove=False)

    assert [(row.job_id, json.loads(row.definition)) for row in table.list()] == [("a", job("a"))]
    assert len(markers(table)) == 1


def test_ids_that_differ_in_case_are_two_jobs(place: Place) -> None:
    """As they are in job files, whatever a database likes better."""
    table = table_of(place)
    table.add(job("report"), job("Report"))
    table.remove("report")
    assert [row.job_id for row in table.list()] == ["Report"]


def test_what_only_this_host_has_against_a_job_is_no_reason_to_refuse_it(place: Place) -> None:
    """The program that writes may run elsewhere than the service: an unknown user is the service's to judge."""
    table = table_of(place)
    definition = job("a")
    definition["task"]["user"] = "nobody-of-this-name"
    table.add(definition)
    assert table.get("a") is not None


def test_writers_at_once_all_get_through(place: Place) -> None:
    """Several programs, also with the same rows in mind: nothing is lost, and each change has its marker."""
    table = table_of(place)
    table.add(job("shared"))
    faults: list[BaseException] = []

    def write(name: str) -> None:
        mine = JobTable(place.url, rules=RULES)
        try:
            for number in range(5):
                mine.add(job(f"{name}-{number}"))
                mine.update(job("shared", command=f"{name}-{number}"))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("x", "y", "z")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert len(table.list()) == 16
    assert len(markers(table)) == 31


def test_a_server_that_dies_in_the_middle_of_a_change_has_all_of_it_or_nothing(
    on_mariadb: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was written and the marker was not: after the restart neither is there, and the caller was told."""
    table = table_of(on_mariadb)
    write = queries.request_reload

    def die(*given: Any) -> int:
        on_mariadb.go()
        return write(*given)

    monkeypatch.setattr(queries, "request_reload", die)
    with pytest.raises(Unavailable):
        table.add(job("a"))
    monkeypatch.setattr(queries, "request_reload", write)
    on_mariadb.come()

    assert table.list() == []
    assert markers(table) == []
    assert table.add(job("a"))


def test_instants_are_utc_also_for_what_plain_sql_wrote(place: Place) -> None:
    """In whatever zone that session is."""
    table = table_of(place)
    definition = json.dumps(job("a"))
    statement = f"INSERT INTO jm_jobs (job_id, definition) VALUES ('a', '{definition}')"
    with table.database.writing() as connection:
        if place.server is not None:
            connection.exec_driver_sql("SET time_zone = '+09:00'")
        connection.exec_driver_sql(statement)
    row = table.get("a")
    assert row is not None
    assert row.updated_at is not None
    assert abs(row.updated_at - datetime.now(UTC)) < timedelta(minutes=1)


# --- jobs as JobsManager has them ------------------------------------------------------------------------


def test_a_job_of_six_fields_becomes_a_definition() -> None:
    """Seconds first; numbers or text; the command is the shell's."""
    made = CommandJob("report", "echo hi", second=0, minute="*/5", hour="8-18", day_of_week="mon-fri", timeout=30)
    assert made.definition == {
        "job_id": "report",
        "schedule": "0 */5 8-18 * * mon-fri",
        "task": {"type": "execute_command", "command": "echo hi"},
        "timeout": 30,
    }
    assert "timeout" not in CommandJob("a", "true", timeout=None).definition


@pytest.mark.parametrize("operator", ["&> /dev/null", ">& out", "|& cat"])
def test_a_command_with_an_operator_of_bash_is_warned_of_when_the_job_is_made(operator: str) -> None:
    """Those who come from JobsManager make their jobs this way; what `sh` can read is taken without a word."""
    with pytest.warns(UserWarning, match=r"`a`: `[&>|]+`.* is bash's: `/bin/sh` .*; write `.*`$") as caught:
        CommandJob("a", f"true {operator}", second="0")
    assert [one.filename for one in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CommandJob("a", "true > /dev/null 2>&1 && true | cat", second="0")


def test_every_second_of_a_restricted_minute_is_warned_of_and_kept() -> None:
    """It is what the arguments say, and hardly what was meant."""
    with pytest.warns(UserWarning, match="`a` is due sixty times in each minute"):
        made = CommandJob("a", "true", minute=5)
    assert made.schedule == "* 5 * * * *"


def test_each_field_of_a_schedule_is_one_field() -> None:
    """Two in one would move all that follow, and mean something else."""
    with pytest.raises(ValueError, match="`hour` of `a` has to be one field"):
        CommandJob("a", "true", second=0, hour="1 2")
    with pytest.raises(ValueError, match="`minute` of `a`"):
        CommandJob("a", "true", second=0, minute="")


def test_weekday_numbers_that_mean_other_days_than_in_jobsmanager_are_warned_of() -> None:
    """Numbers there begin with Monday as 0; names, and all days, mean the same."""
    for field, there in (
        ("0-4", "mon,tue,wed,thu,fri"),
        ("*/2", "mon,wed,fri,sun"),
        ("1-5/2", "tue,thu,sat"),
        (0, "mon"),
        ("5,6", "sat,sun"),
    ):
        with pytest.warns(UserWarning, match="counts from 0 for Monday") as caught:
            CommandJob("a", "true", second=0, minute=0, hour=1, day_of_week=field)
        assert f'`day_of_week="{there}"` means the same in both' in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for field in ("mon-fri", "*", "sun", "fri#2", "*/1", "0-6"):
            CommandJob("a", "true", second=0, minute=0, hour=1, day_of_week=field)


def test_a_day_of_the_month_and_a_weekday_are_warned_of() -> None:
    """JobsManager wants both to match, crontab either of them; what to write is said."""
    for day, weekday, instead in (
        ("1-7", "mon", 'write `day="*", day_of_week="mon#1"`'),
        ("15-21", "tue", 'write `day="*", day_of_week="tue#3"`'),
        (13, "fri", '`[ "$(date +%-d)" = 13 ] || exit 0; ...`'),
        ("1,15", "fri", "let the command look at the day of the month"),
    ):
        with pytest.warns(UserWarning, match="in JobsManager only when both do") as caught:
            CommandJob("a", "true", second=0, minute=0, hour=1, day=day, day_of_week=weekday)
        assert instead in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CommandJob("a", "true", second=0, minute=0, hour=1, day="*/2", day_of_week="mon")
        CommandJob("a", "true", second=0, minute=0, hour=1, day=1)


@pytest.mark.parametrize(
    ("day", "instead"),
    [
        ("last", 'day="L"'),
        ("2nd tue", 'day_of_week="tue#2"'),
        ("last fri", 'day_of_week="friL"'),
        ("1st mon,3rd mon", 'day_of_week="mon#1,mon#3"'),
    ],
)
def test_days_of_jobsmanager_that_have_another_form_are_refused_with_it(day: str, instead: str) -> None:
    """What is suggested is taken."""
    with pytest.raises(ValueError, match=f"`{day}` is written") as caught:
        CommandJob("a", "true", second=0, minute=0, hour=1, day=day)
    assert f"`{instead}`" in str(caught.value)
    name, _, value = instead.partition("=")
    made = CommandJob("a", "true", second=0, minute=0, hour=1, **{name: value.strip('"')})
    assert parse(made.text.encode(), "", RULES).__class__.__name__ == "Job"


def test_half_a_character_and_very_many_jobs_fit_into_a_marker(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stands there escaped, of the second only the ids."""
    table = table_of(place)
    with table.database.writing() as connection:
        queries.insert_jobs(connection, {"half": '{"x": "\\ud800"}'}, datetime.now(UTC))
    table.remove("half")
    monkeypatch.setattr(change_details, "MAX_CHARS", 300)
    table.add(*(CommandJob(f"job-{number}", "true", second=0) for number in range(5)))
    with table.database.reading() as connection:
        told = list(connection.execute(select(MARKERS.c.jobs_before_update, MARKERS.c.jobs_after_update)))
    assert json.loads(told[0][0]) == {"half": {"x": "\ud800"}}
    assert json.loads(told[1][1]) == [f"job-{number}" for number in range(5)]


def test_put_adds_what_is_not_there_and_changes_what_is(place: Place) -> None:
    """What is the same stays; without any change there is no marker."""
    table = table_of(place)
    table.add(job("a"), job("b"))
    changes = table.put(job("a"), job("b", command="false"), job("c"))
    assert (changes.added, changes.updated, changes.removed) == (("c",), ("b",), ())
    assert changes.marker is not None
    assert {row.job_id: json.loads(row.definition) for row in table.list()} == {
        "a": job("a"),
        "b": job("b", command="false"),
        "c": job("c"),
    }
    assert not table.put(job("a"), job("c"))
    assert len(markers(table)) == 2
    with pytest.raises(InvalidJob):
        table.put(job("d"), {"job_id": "e"})
    assert table.get("d") is None


def test_many_jobs_are_changed_with_few_statements(place: Place) -> None:
    """Updates as well as new ones: a statement for each would take seconds for ten thousand."""
    table = table_of(place)
    table.add(*(job(f"j{number}") for number in range(1500)))
    seen: list[str] = []
    event.listen(table.database._engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    table.update(*(job(f"j{number}", command="changed") for number in range(1500)))
    assert len(seen) < 30
    found = table.list()
    assert {json.loads(row.definition)["task"]["command"] for row in found} == {"changed"}
    assert all(row.updated_at and row.created_at and row.updated_at >= row.created_at for row in found)


def test_an_update_keeps_when_a_job_was_added(place: Place) -> None:
    """Only its definition and the time of its change are new."""
    table = JobTable(place.url, rules=RULES, now=lambda: NOON)
    table.init()
    table.add(job("a"))
    before = table.get("a")
    table._now = lambda: NOON + timedelta(hours=1)
    threading.Event().wait(0.01)
    table.update(job("a", command="changed"))
    after = table.get("a")
    assert before is not None
    assert after is not None
    assert after.created_at == before.created_at
    assert after.updated_at is not None
    assert before.updated_at is not None
    assert after.updated_at > before.updated_at


def test_the_clock_of_the_program_that_writes_leaves_no_trace(on_mariadb: Place) -> None:
    """Rows and markers have the server's time: programs on other hosts may have any."""
    table = JobTable(on_mariadb.url, rules=RULES, now=lambda: datetime.now(UTC) + timedelta(hours=5))
    table.init()
    table.add(job("a"))
    row = table.get("a")
    with table.database.reading() as connection:
        inserted = connection.execute(select(MARKERS.c.insert_time)).scalar_one()
    assert row is not None
    for at in (row.created_at, row.updated_at, inserted):
        assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)


# --- what is larger than it may be -----------------------------------------------------------------------


def test_a_row_of_any_size_is_bounded_before_it_is_read(place: Place) -> None:
    """Its beginning is enough to refuse it; a large one costs no more memory than that."""
    table = table_of(place)
    large = "x" * 12_000_000 if place.server else "x" * 60_000_000
    with table.database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO jm_jobs (job_id, definition) VALUES ('good', '{}')")
        if place.server is None:
            connection.exec_driver_sql("INSERT INTO jm_jobs (job_id, definition) VALUES ('large', ?)", (large,))
        else:
            connection.exec_driver_sql(
                "INSERT INTO jm_jobs (job_id, definition) VALUES ('large', REPEAT('x', 12000000))"
            )
    tracemalloc.start()
    found = {row.job_id: row for row in table.list()}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found["large"].definition) == queries.MAX_DEFINITION_CHARS + 1
    assert found["large"].is_cut
    assert not found["good"].is_cut
    assert peak < 11_000_000


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_no_column_of_sqlite_can_be_of_any_size(place: Place) -> None:
    """It takes anything anywhere: an id and an instant of many megabytes too."""
    table = table_of(place)
    with table.database.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO jm_jobs (job_id, definition, updated_at) VALUES (?, '{}', ?)",
            ("i" * 9_000_000, "2" * 9_000_000),
        )
    (row,) = table.list()
    assert len(row.job_id) < 2000
    assert row.updated_at is None


def test_a_definition_larger_than_the_server_takes_names_the_limit(on_mariadb: Place) -> None:
    """It would break the connection, with words about the network. Sixty of them that fit alone are no trouble."""
    assert on_mariadb.server is not None
    on_mariadb.server.sql("SET GLOBAL max_allowed_packet = 1048576")
    try:
        table = table_of(on_mariadb)
        large = [job(f"j{number}", command=f"echo '{'x' * 20_000}'") for number in range(60)]
        table.add(*large)
        table.update(*(job(f"j{number}", command=f"echo '{'y' * 20_000}'") for number in range(60)))
        assert len(table.list()) == 60
        on_mariadb.server.sql("SET GLOBAL max_allowed_packet = 65536")
        table.put(*(job(f"j{number}", command=f"echo '{'z' * 20_000}'") for number in range(60)))
        with pytest.raises(Unavailable, match=r"`large` is larger than the server takes \(max_allowed_packet is 65536"):
            table.add(job("large", command="x" * 70_000))
        assert table.get("large") is None
    finally:
        on_mariadb.server.sql("SET GLOBAL max_allowed_packet = 16777216")


def test_before_and_after_together_are_never_larger_than_a_statement() -> None:
    """Of too much the ids alone, of too many ids nothing; both sides are of one kind."""
    few = {"a": json.dumps(job("a"))}
    many = {f"job-{number:04}": json.dumps(job(f"job-{number:04}")) for number in range(500)}
    before, after = change_details.before_and_after(few, few, 1_000_000)
    assert json.loads(before or "") == json.loads(after or "") == {"a": job("a")}
    before, after = change_details.before_and_after(few, many, 65536)
    assert (json.loads(before or ""), json.loads(after or "")) == (["a"], list(many))
    assert change_details.before_and_after(many, many, 4096) == (None, None)
    assert change_details.before_and_after(None, None, 4096) == (None, None)


# --- secrets ---------------------------------------------------------------------------------------------


def test_a_marker_has_no_secrets_of_jobs(place: Place) -> None:
    """It stays when the job is gone: what the environment, a header or a body holds is blotted out."""
    table = table_of(place)
    definition = job("a", command="run --as me")
    definition["task"]["env"] = {"TOKEN": "env-secret", "PIN": "$7%"}
    definition["on_failure"] = {
        "type": "http_request",
        "url": "https://me:url-secret@hooks.example/x?key=query-secret",
        "headers": {"Authorization": "Bearer header-secret"},
        "body": "body-secret",
    }
    table.add(definition)
    definition["task"]["stdin"] = "stdin-secret"
    table.update(definition)
    table.remove("a")
    with table.database.reading() as connection:
        told = str(connection.execute(select(MARKERS.c.jobs_before_update, MARKERS.c.jobs_after_update)).all())
    assert "secret" not in told
    assert "$7%" not in told
    assert "run --as me" in told
    assert "hooks.example" in told


def test_of_a_task_that_cannot_tell_its_secrets_only_the_type_is_told() -> None:
    """Of a definition that cannot be read nothing is."""
    value = {"job_id": "a", "task": {"type": "no-such-type", "password": "secret"}, "on_failure": "secret"}
    assert change_details.redact_definition(json.dumps(value)) == {
        "job_id": "a",
        "task": {"type": "no-such-type"},
        "on_failure": None,
    }
    assert change_details.redact_definition("{secret") is None
    assert change_details.redact_definition('"secret"') is None


# --- URLs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"mysql//tester:{QUOTED}@host", "cannot be read"),
        (f"mysql://tester:{QUOTED}@host:port/x", "cannot be read"),
        (f"nosuch://tester:{QUOTED}@host/x", "knows no database `nosuch`"),
        (f"postgresql+asyncpg://tester:{QUOTED}@host/x", "no driver for"),
        ("sqlite://", "has to be in a file"),
        ("sqlite:///:memory:", "has to be in a file"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(url: str, message: str) -> None:
    """Passwords stay out of what is said."""
    with pytest.raises(DatabaseConfigError, match=message) as caught:
        Database(url)
    assert QUOTED not in repr(caught.value.problem)
    assert PASSWORD not in repr(caught.value.problem)


def test_a_database_is_named_without_user_and_password() -> None:
    """Nor the options, which may have keys in them."""
    assert str(Database(f"mysql://tester:{QUOTED}@db.example:3307/jobs?ssl_key=x")) == "mysql://db.example:3307/jobs"


def test_a_database_that_cannot_be_reached_says_why_and_no_more(on_mariadb: Place) -> None:
    """A wrong password, a wrong port, a database that is not there."""
    wrong = on_mariadb.url.replace(QUOTED, "other-secret")
    nowhere = on_mariadb.url.replace(f":{on_mariadb.server.port}", ":1") if on_mariadb.server else ""
    for url, message in ((wrong, "Access denied"), (nowhere, "Can't connect"), (on_mariadb.url + "x", "Unknown data")):
        with pytest.raises(Unavailable, match=message) as caught:
            JobTable(url, rules=RULES).list()
        assert "secret" not in str(caught.value)
        assert PASSWORD not in str(caught.value)


def test_options_that_no_driver_takes_are_said_to_be_wrong() -> None:
    """In words, not as a fault of ours."""
    with pytest.raises(Unavailable, match="no connection can be made as the URL says"):
        JobTable("mysql://somebody@127.0.0.1:1/jobs?bogus=1").list()


def test_a_password_exchange_that_needs_a_package_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A MySQL 8 server asks for it when it has not seen a user since its start."""
    table = JobTable("mysql://somebody@127.0.0.1:1/jobs")

    def connect() -> None:
        raise RuntimeError("'cryptography' package is required for caching_sha2_password")

    monkeypatch.setattr(table.database._engine, "connect", connect)
    with pytest.raises(Unavailable, match="`cryptography`") as known:
        table.list()
    assert "PyMySQL[rsa]" in str(known.value.help)


def test_the_file_with_the_url_is_a_secret(tmp_path: Path) -> None:
    """One line, that nobody else may read."""
    file = tmp_path / "url"
    file.write_text("sqlite:////srv/jobs.db\n")
    file.chmod(0o600)
    assert load_url(None, file) == "sqlite:////srv/jobs.db"
    file.chmod(0o644)
    with pytest.raises(DatabaseConfigError, match="is open to others"):
        load_url(None, file)
    file.chmod(0o600)
    file.write_text("one\ntwo\n")
    with pytest.raises(DatabaseConfigError, match="on one line"):
        load_url(None, file)
    assert load_url(None, None) is None


def test_a_database_file_that_others_may_write_is_distrusted(tmp_path: Path) -> None:
    """Whoever writes there has commands run as the service's user."""
    place = Place(f"sqlite:///{tmp_path}/jobs.db", None, tmp_path / "jobs.db")
    table = table_of(place)
    table.database.check_trust()
    os.chmod(tmp_path / "jobs.db", 0o666)
    with pytest.raises(Unavailable, match="may be written by everybody"):
        table.database.check_trust()
