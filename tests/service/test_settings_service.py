"""One truth for the service and its verbs: the settings file, what a reload applies, and what must not stop jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, job, wait_until
from tests.support.settings_place import Place, place
from tests.support.tasks import open_to_all

__all__ = ["place"]


def test_a_verb_on_other_settings_than_its_own_believes_the_service(place: Place) -> None:
    """The variables of the caller name no other zone for the jobs of the service; an option does."""
    place.write(timezone="Asia/Kolkata")
    place.service.write("a.json", job("a", "30 9 * * *"))
    place.start()
    shown = place.verb("next", "--json", "-n", "1", JOBSCHEDULER_TIMEZONE="Asia/Tokyo").stdout
    assert json.loads(shown)["timezone"] == "Asia/Kolkata"
    shown = place.verb("next", "--json", "-n", "1", "--timezone", "Asia/Tokyo").stdout
    assert json.loads(shown)["timezone"] == "Asia/Tokyo"


def test_a_reload_applies_what_it_can_and_names_what_needs_a_restart(place: Place) -> None:
    """And says what came of it; a job without a zone moves to the new one, one log line says so."""
    place.write(timezone="Asia/Kolkata")
    place.service.write("a.json", job("a", "30 9 * * *"))
    place.start()
    place.write(
        "[defaults]\ntimeout = '1h'\n", timezone="Asia/Tokyo", max_workers=3, output_max_bytes="2M", output_keep="1d"
    )
    done = place.verb("reload")
    assert done.returncode == 0
    assert done.stdout == (
        "reloaded: 1 job; zone Asia/Tokyo\n"
        "applied: output-max-bytes, output-keep, timezone, defaults\n"
        "need a restart: max-workers; `systemctl restart jobscheduler` applies them\n"
    )
    (updated,) = place.service.words("job.updated", job_id="a")
    assert {"timeout"} <= set(updated["changed"].split(","))
    (line,) = place.service.wait_for("service.reloaded")
    assert (line["applied"], line["need_restart"]) == (
        "output-max-bytes output-keep timezone defaults",
        "max-workers",
    )
    entries = json.loads(place.verb("config", "--json").stdout)["settings"]
    assert entries["max-workers"] == {"value": "32", "origin": "default"}
    assert entries["timezone"]["value"] == "Asia/Tokyo"


def test_a_reload_counts_files_that_it_makes_wrong_at_once(place: Place) -> None:
    """The log waits a second for the end of an edit; whoever asks for a reload looks at the answer."""
    place.write()
    place.service.write("a.json", job("a", "@yearly"))
    place.start()
    place.write("[defaults.execute_command]\nuser = 'no-such-user'\n")
    place.service.write("b.json", {**job("b", "@yearly"), "shedule": 1})
    done = place.verb("reload")
    assert done.stdout.splitlines()[:4] == [
        "reloaded: 1 job; zone UTC",
        "refused: 1 file",
        "stale: 1 file, with the last good version in force",
        "`jobscheduler validate` says why",
    ]
    assert done.returncode == 1
    assert "shedule" in place.verb("validate").stdout


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ("tiemzone = 'UTC'\n", "unknown setting `tiemzone`"),
        ("timezone = 'Mars/Base'\n", "Mars/Base"),
        ("[defaults]\ntimout = 1\n", "unknown field or task type `timout`"),
        ("a = \n", "invalid value"),
    ],
)
def test_a_wrong_file_refuses_a_start_and_changes_nothing_at_a_reload(place: Place, further: str, message: str) -> None:
    """With its place. What was in force stays, and the verbs still reach the service."""
    place.write()
    place.service.write("a.json", job("a"))
    place.start()
    place.write(further)
    done = place.verb("reload")
    assert done.returncode == 1
    assert message in done.stderr
    (kept,) = place.service.words("settings.kept")
    assert message in kept["problem"]
    before = len(place.service.words("SUCCESS"))
    place.service.wait_for("SUCCESS", before + 1, job_id="a")
    assert place.service.stop() == 0
    started = len(place.service.words("service.started"))
    refused = place.verb("serve")
    assert refused.returncode == 1
    assert message in refused.stderr
    assert len(place.service.words("service.started")) == started


SEVERAL = "tiemzone = 'x'\nmax-workers = 0\ntimezone = 'Mars/Base'\n[defaults]\nuser = 'x'\ntimout = 1\n"


def places(said: str) -> list[str]:
    """Return the places in the settings file that were named."""
    return [line.rpartition("scheduler.toml:")[2] for line in said.splitlines() if "-->" in line]


def test_a_start_a_reload_and_config_show_every_problem_of_the_settings_at_once(place: Place) -> None:
    """From top to bottom: options, zone and defaults of the file, after those of the environment and the flags."""
    place.write()
    place.start()
    place.write(SEVERAL)
    every = ["4:1", "5:1", "6:1", "8:1", "9:1"]
    reloaded = place.verb("reload")
    assert (reloaded.returncode, places(reloaded.stderr)) == (1, every)
    assert [line["line"] for line in place.service.words("settings.kept")] == [one[0] for one in every]
    running = place.verb("config")
    assert (running.returncode, places(running.stderr)) == (0, every)
    assert running.stderr.count("warning: ") == len(every)
    assert place.service.stop() == 0
    for verb in ("serve", "config"):
        refused = place.verb(verb, JOBSCHEDULER_TIMEZNE="UTC")
        assert (refused.returncode, places(refused.stderr), refused.stdout) == (1, every, ""), verb
        assert refused.stderr.startswith("error: unknown variable `JOBSCHEDULER_TIMEZNE` in the environment\n")
    assert places(place.verb("next").stderr) == every  # a warning or an error, and each once
    unreachable = place.verb("reload")
    assert (unreachable.returncode, places(unreachable.stderr)) == (3, every[:2])
    wrong = place.verb("serve", "--log-backups", "0", JOBSCHEDULER_LOG_FORMAT="xml")
    assert (wrong.returncode, places(wrong.stderr)) == (2, every)
    assert wrong.stderr.startswith("error: JOBSCHEDULER_LOG_FORMAT: `xml`: ")
    assert "error: --log-backups: `0`: a whole number from 1 to 1000 is expected\n" in wrong.stderr


def test_config_says_that_all_is_default_or_that_the_log_is_standard_output(place: Place) -> None:
    """A table without a row, or a bare `-`, would leave the reader in doubt."""
    place.file.write_text("")
    assert place.verb("config", "--given").stdout == "every setting has its default\n"
    place.file.write_text("log-file = '-'\n")
    assert place.verb("config", "--given").stdout.splitlines()[1].split("  ")[:2] == ["log-file", "- (standard output)"]


def test_a_start_shows_the_problems_of_the_paths_with_those_of_zone_and_defaults(place: Place) -> None:
    """Though options that can be parsed are judged later than those that cannot."""
    place.write("[defaults]\ntimout = 1\n", timezone="Mars/Base", jobs_dir="/nowhere/jobs.d", log_file="/dev/null")
    refused = place.verb("serve")
    assert refused.returncode == 1
    assert "`/nowhere/jobs.d` does not exist; the log file `/dev/null`" in refused.stderr
    assert places(refused.stderr) == ["4:1", "6:1"]


def test_a_misspelt_variable_refuses_a_start(place: Place) -> None:
    """It would silently change nothing."""
    place.write()
    refused = place.verb("serve", JOBSCHEDULER_TIMEZNE="UTC")
    assert refused.returncode == 1
    assert "unknown variable `JOBSCHEDULER_TIMEZNE`" in refused.stderr
    assert "did you mean `JOBSCHEDULER_TIMEZONE`?" in refused.stderr


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"http": "0.0.0.0:0"}, "the page"),
        ({"http": "127.0.0.1:1", "http_token_file": "/nowhere"}, "the page"),
        ({"on_failure": "/nowhere"}, "the alerts for all jobs"),
        ({"on_recovery": "/nowhere"}, "the alerts for all jobs"),
        ({"database_url": "nosuch://host/db"}, "the database"),
        ({"database_url_file": "/nowhere"}, "the database"),
        ({"defaults": {"on_failure": {"type": "broken_extra"}}}, "the default alerts"),
    ],
)
def test_a_setting_of_an_optional_part_stops_no_job(place: Place, settings: dict[str, Any], part: str) -> None:
    """It is an error in the log and an issue in `status`."""
    defaults = settings.pop("defaults", None)
    further = f"[defaults]\non_failure = {{type = {defaults['on_failure']['type']!r}}}\n" if defaults else ""
    if defaults:
        place.service.patched(
            """
            from jobscheduler import tasks
            lookup, names = tasks.task_type, tasks.task_names
            def task_type(name):
                if name == "broken_extra":
                    raise LookupError("the extra is missing")
                return lookup(name)
            tasks.task_type, tasks.task_names = task_type, lambda: (*names(), "broken_extra")
            """
        )
    place.write(further, **settings)
    place.service.write("a.json", job("a", "@reboot"))
    place.start()
    place.service.wait_for("SUCCESS", job_id="a")
    assert [line["part"] for line in place.service.words("part.unusable")] == [part]
    status = place.verb("status")
    assert status.returncode == 1
    assert f"{part} cannot be used: " in status.stdout
    assert place.service.stop() == 0


WEB = "from jobscheduler.web import setup; setup._LIBRARIES = ('not_there',)"
DATABASE = "from jobscheduler.database import setup; setup._LIBRARIES = ('not_there',)"
NOTIFY = "from jobscheduler.tasks.notify import library; library.is_installed = lambda: False"


@pytest.mark.parametrize(
    ("settings", "code", "issue"),
    [
        ({"http": "127.0.0.1:0"}, WEB, "the page cannot be used: `--http` needs the extra `web`"),
        ({"database_url": "sqlite:////x"}, DATABASE, "the database cannot be used: `--database-url` needs the extra"),
        ({"on_failure": "alert.json"}, NOTIFY, "`notify` needs the library Apprise"),
        ({"output_dir": "/proc/none"}, "", "/proc/none"),
        ({"on_failure": "wrong.json"}, "", "the alerts for all jobs cannot be used: "),
    ],
    ids=["page", "database", "notify", "output", "alert"],
)
def test_what_is_missing_for_an_optional_part_stops_no_job(
    place: Place, settings: dict[str, Any], code: str, issue: str
) -> None:
    """An extra that is not installed, a directory that cannot be made, a misspelt alert: an issue in `status`."""
    for name, task in (("alert", {"type": "notify", "to": "json://h"}), ("wrong", {"type": "notifi"})):
        (place.file.parent / f"{name}.json").write_text(json.dumps(task))
    given = {name: str(place.file.parent / value) if "json" in value else value for name, value in settings.items()}
    place.service.patched(code)
    place.write(**given)
    place.service.write("a.json", job("a", command="echo hello"))
    place.start()
    place.service.wait_for("SUCCESS", 2, job_id="a")
    status = wait_until(lambda: found if (found := place.verb("status")).returncode else None)
    assert issue in " ".join(status.stdout.split())
    assert place.service.stop() == 0


def test_a_secret_that_all_users_may_read_is_a_warning_of_the_service_and_of_validate(place: Place) -> None:
    """In the settings file and in a job file, once each; a reload sees that the files were closed."""
    secret = {"type": "execute_command", "command": "true", "env": {"API_TOKEN": "hunter2"}}
    place.write('[defaults.execute_command.env]\nPGPASSWORD = "hunter2"\n')
    job_file = place.service.write("a.json", job("a", "@yearly", task=secret))
    open_to_all(place.service.jobs)
    place.start()
    place.service.wait_for("secret.exposed", file="a.json")
    shown = place.service.words("secret.exposed")
    assert {line["file"]: line["problem"].split("`")[1] for line in shown} == {
        "a.json": "task.env.API_TOKEN",
        str(place.file): "defaults.execute_command.env.PGPASSWORD",
    }
    checked = place.verb("validate")
    assert checked.returncode == 0
    assert f"help: `chmod o-r {place.file}`" in checked.stdout
    assert f"help: `chmod o-r {job_file}`" in checked.stdout

    assert place.verb("reload").returncode == 0
    assert len(place.service.words("secret.exposed")) == 2
    for file in (place.file, job_file):
        file.chmod(0o640)
    assert place.verb("reload").returncode == 0
    place.service.wait_for("secret.closed", count=2)
    assert place.verb("validate").stdout == "2 files checked, no errors\n"
    assert "hunter2" not in place.service.log.read_text() + checked.stdout


def test_an_environment_file_of_all_jobs_reaches_runs_and_alerts_and_is_shown_nowhere(
    place: Place, tmp_path: Path
) -> None:
    """`[defaults.execute_command] env_file`; a job of its own overrides it, and a broken one names line and help."""
    for name, text in (("all.env", "PASSWORD=hunter2\n"), ("bad.env", "A=b\nhunter2\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    place.write(f'[defaults.execute_command]\nenv_file = "{tmp_path}/all.env"\n')
    alert = {"type": "execute_command", "command": f"echo $PASSWORD > {tmp_path}/alerted"}
    good = job("good", "@yearly", "test $PASSWORD = hunter2")
    bad = job("bad", "@yearly", on_failure=alert)
    bad["task"]["env_file"] = f"{tmp_path}/bad.env"
    for definition in (good, bad):
        place.service.write(f"{definition['job_id']}.json", definition)
    place.start()
    assert place.verb("run", "good", "--wait").returncode == 0
    failed = place.verb("run", "bad", "--wait")
    assert failed.returncode == 1
    (record,) = place.service.words("FAILURE", job_id="bad")
    assert record["reason"] == "start"
    assert record["error"] == (
        f"the environment file `{tmp_path}/bad.env`, line 2: there is no `=` in the line; "
        "write `NAME=value`, or `#` in front of a comment"
    )
    place.service.wait_for("alert.sent", job_id="bad")
    assert (tmp_path / "alerted").read_text() == "hunter2\n"
    checked = place.verb("validate")
    assert (checked.returncode, checked.stdout.count("error: ")) == (1, 1)
    assert "bad.env`, line 2: there is no `=` in the line" in checked.stdout
    shown = [place.verb(*verb).stdout for verb in (["list", "--json"], ["status", "--json"], ["explain", "good"])]
    assert "hunter2" not in "".join(shown) + failed.stdout + failed.stderr + checked.stdout
    assert "hunter2" not in place.service.log.read_text()


def test_a_reload_that_is_asked_for_twice_answers_both(place: Place) -> None:
    """Each with the outcome of a reload that began after it was asked for."""
    place.write()
    place.start()
    commands = [
        subprocess.Popen([sys.executable, str(ROOT / "main.py"), "reload", "--json", "--config", str(place.file)])
        for _ in range(3)
    ]
    assert [process.wait(60) for process in commands] == [0, 0, 0]


def test_validate_shows_every_problem_of_a_settings_file(place: Place) -> None:
    """Of options, zone and defaults at once, each with its line; a good file has none."""
    place.write()
    good = place.verb("validate", str(place.file), "--timezone", "UTC")
    assert (good.returncode, good.stdout, good.stderr) == (0, "1 file checked, no errors\n", "")
    place.write("tiemzone = 'x'\ntimezone = 'Mars/Base'\n[defaults]\ntimout = 1\n")
    command = [sys.executable, str(ROOT / "main.py"), "validate", str(place.file), "--timezone", "UTC"]
    bad = run_program(command, text=True)
    assert bad.returncode == 1
    assert places(bad.stdout) == ["4:1", "5:1", "7:1"]
    assert "did you mean `timezone`?" in bad.stdout
    assert "did you mean `timeout`?" in bad.stdout
