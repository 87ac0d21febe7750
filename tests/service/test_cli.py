"""The verbs that need no service, as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fork_server import run_program
from tests.support.service import ROOT, job


def run(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return run_program(
        [sys.executable, str(ROOT / "main.py"), *arguments],
        cwd=cwd,
        env={**os.environ, "TZ": "UTC", "NO_COLOR": "1", **env},
        text=True,
        timeout=30,
    )


def put(path: Path, definition: object) -> Path:
    """Write a job file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(definition if isinstance(definition, str) else json.dumps(definition))
    return path


def test_validate_shows_all_problems_of_all_files_at_once(tmp_path: Path) -> None:
    """Each as in SPEC section 6, under the path as the user would write it."""
    put(tmp_path / "jobs.d" / "a.json", job("x"))
    put(
        tmp_path / "jobs.d" / "b.json",
        '{\n  "job_id": "y",\n  "task": {"type": "execute_command"},\n  "shedule": "@daily"\n}',
    )
    put(tmp_path / "jobs.d" / "c.json", job("x"))
    done = run("validate", "jobs.d", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stdout == (
        """error: missing field `task.command`
  --> jobs.d/b.json:3:11
  |
3 |   "task": {"type": "execute_command"},
  |           ^
  help: add it, for example `"command": "/usr/bin/find /srv/old -delete"`

error: unknown field `shedule`
  --> jobs.d/b.json:4:3
  |
4 |   "shedule": "@daily"
  |   ^^^^^^^^^
  help: did you mean `schedule`?

error: the id `x` already belongs to `a.json`
  --> jobs.d/c.json:1:12
  |
1 | {"job_id": "x", "schedule": "* * * * * *", "task": {"type": "execute_command", "command": "true"}}
  |            ^^^
  help: give one of the two another `job_id`, or delete `c.json`

3 files checked, 2 with errors
"""
    )


def test_validate_accepts_what_the_service_loads(tmp_path: Path) -> None:
    """Exit status 0 and a word."""
    path = put(tmp_path / "a.json", job("x"))

    assert run("validate", str(path)).stdout == "1 file checked, no errors\n"
    assert run("validate", str(ROOT / "examples" / "jobs.d")).returncode == 0


def test_validate_prints_objects_for_machines(tmp_path: Path) -> None:
    """One line per problem."""
    path = put(tmp_path / "a.json", "{")
    done = run("validate", "--json", str(path))

    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "level": "error",
            "problem": "the file ends in the middle of the definition",
            "file": str(path),
            "line": 1,
            "column": 1,
            "notes": [],
            "help": "is the rest missing, or a closing `}`?",
        }
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing.json", "there is no file or directory"),
        ("missing", "help: name a job file (`*.json`) or a directory of such files"),
    ],
)
def test_validate_of_what_is_no_job_file(tmp_path: Path, name: str, problem: str) -> None:
    """A wrong path or name is a problem, too."""
    done = run("validate", str(tmp_path / name))

    assert done.returncode == 1
    assert problem in done.stdout


@pytest.mark.parametrize("verb", ["validate", "plan"])
def test_an_empty_path_means_nothing(verb: str) -> None:
    """A shell variable that was not set is not taken for the directory that one stands in."""
    done = run(verb, "")

    assert done.returncode == 2
    assert done.stderr.startswith("error: a path is empty\n help: name a job file (`*.json`) or a directory")


def test_a_file_name_cannot_disturb_the_terminal(tmp_path: Path) -> None:
    """Control characters are shown, not sent."""
    put(tmp_path / "\x1b[2J.json", "{")

    assert "\x1b" not in run("validate", str(tmp_path)).stdout


def test_validate_warns_of_what_is_legal_but_probably_a_mistake(tmp_path: Path) -> None:
    """Characters that look like others, a zone that surprises, a delay that is cut; and exits with 0."""
    command = {"type": "execute_command", "command": "ls\u00a0-l", "cwd": "/tmp\u200b"}
    put(
        tmp_path / "a.json",
        {**job("a", timezone="Etc/GMT+3", retry={"attempts": 3, "delay": "1h", "max_delay": "10m"}), "task": command},
    )
    put(tmp_path / "b.json", job("b", command=["ls", "\u2013l"]))
    put(tmp_path / "c.json", job("c", command="echo d\u00e9j\u00e0 \u2013 vu", retry={"attempts": 3}))
    done = run("validate", "--json", str(tmp_path))

    answer = {
        (one["level"], Path(one["file"]).name, one["problem"], one["help"])
        for one in map(json.loads, done.stdout.splitlines())
    }
    assert answer == {
        ("warning", "a.json", "`Etc/GMT+3` is 3 hours behind UTC: the sign in these names is reversed", None),
        ("warning", "a.json", "U+00A0, no-break space, is not a blank to a shell", "replace it by a blank"),
        ("warning", "a.json", "U+200B, zero width space, is not a blank to a shell", "delete it"),
        (
            "warning",
            "a.json",
            "no delay is longer than `max_delay`, which is 600 s",
            "give a `max_delay` of 3600 or more, or a shorter `delay`",
        ),
        ("warning", "a.json", "the directory `/tmp\ufffd` does not exist", "make it, or write another one"),
        ("warning", "b.json", "U+2013, en dash, does not begin an option", "write `-` instead"),
    }
    assert done.returncode == 0


def test_next_shows_slots_in_words_local_time_and_utc() -> None:
    """Of one expression, with a note where a clock change matters."""
    done = run(
        "next", "--cron", "30 1 * * *", "--timezone", "America/New_York", "--after", "2026-10-31T12:00", "-n", "2"
    )

    assert done.stdout == (
        "crontab: 30 1 * * * (America/New_York)\n"
        "  At 01:30 every day\n"
        "  Sun 2026-11-01 01:30:00 EDT  2026-11-01T05:30:00Z  the clock shows 01:30 twice; runs the first time only\n"
        "  Mon 2026-11-02 01:30:00 EST  2026-11-02T06:30:00Z\n"
    )


def test_next_marks_moved_merged_and_doubled_slots() -> None:
    """The three things that a clock change can do."""

    def notes(expression: str, after: str) -> list[str | None]:
        done = run("next", "--json", "--cron", expression, "--timezone", "Europe/Berlin", "--after", after, "-n", "2")
        return [slot["note"] for slot in json.loads(done.stdout)["slots"]]

    assert notes("30 2 * * *", "2026-03-29T00:00")[0] == "the clock skips 02:30; runs right after the gap"
    assert notes("0,30 2 * * *", "2026-03-29T00:00")[0].startswith("the clock skips 02:00; the 2 times up to 02:30")
    first, second = notes("*/60 2 * * *", "2026-10-25T00:00")
    assert str(first).endswith("this is the first time")
    assert str(second).endswith("this is the second time")
    assert "twice" in notes("0 * * * *", "2026-10-25T01:30")[1]


def test_next_of_job_files_as_objects(tmp_path: Path) -> None:
    """One object a line, in the form of SPEC section 5; `--until` bounds the list."""
    put(tmp_path / "a.json", job("daily", "0 1 * * *", timezone="Asia/Tokyo"))
    put(tmp_path / "b.json", job("once", "2027-01-01T10:00:00Z"))
    done = run("next", "--json", str(tmp_path), "--after", "2026-12-31T00:00Z", "--until", "2027-01-01T23:00Z")

    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "job_id": "daily",
            "schedule": "0 1 * * *",
            "timezone": "Asia/Tokyo",
            "sentence": "At 01:00 every day",
            "slots": [
                {"utc": "2026-12-31T16:00:00Z", "local": "2027-01-01T01:00:00+09:00", "note": None},
                {"utc": "2027-01-01T16:00:00Z", "local": "2027-01-02T01:00:00+09:00", "note": None},
            ],
        },
        {
            "job_id": "once",
            "schedule": "2027-01-01T10:00:00Z",
            "timezone": "UTC",
            "sentence": "Once",
            "slots": [{"utc": "2027-01-01T10:00:00Z", "local": "2027-01-01T10:00:00+00:00", "note": None}],
        },
    ]


def test_next_says_what_is_wrong_and_shows_the_others(tmp_path: Path) -> None:
    """A bad file is a problem on standard error; the good ones are listed."""
    put(tmp_path / "a.json", job("x", "0 0 30 2 *"))
    put(tmp_path / "b.json", job("y", "@daily"))
    done = run("next", str(tmp_path))

    assert done.returncode == 1
    assert "a.json:1:" in done.stderr
    assert done.stdout.startswith("y: @daily")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--cron", "1/20 * * * *"], 1, "help: write `1-59/20 * * * *`"),
        (["--cron", "0 0 1 janury *"], 1, "note: the month is a number from 1 to 12, or `jan`, `feb`,"),
        (["--cron", "@daily", "--after", "next week"], 2, "`next week` is not a time"),
        (["--cron", "@daily", "--timezone", "Nowhere"], 2, "unknown time zone"),
        (["--cron", "@daily", "-n", "0"], 2, "a whole number from 1"),
        (["--cron", "@daily", "a.json"], 2, "`--cron` and `JOB` exclude each other"),
    ],
)
def test_next_with_wrong_arguments(arguments: list[str], status: int, message: str) -> None:
    """A message, a status, no trace."""
    done = run("next", *arguments)

    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_next_of_a_job_that_is_over_or_disabled(tmp_path: Path) -> None:
    """Said in words."""
    put(tmp_path / "a.json", job("over", "2020-01-01T00:00Z"))
    put(tmp_path / "b.json", job("off", "@daily", enabled=False))
    shown = run("next", str(tmp_path)).stdout

    assert "no slots in this period" in shown
    assert "disabled: none of these will run" in shown


def test_next_says_which_zone_it_took_and_that_no_service_was_asked(tmp_path: Path) -> None:
    """The zone stands at each job; a caller who names one depends on no service."""
    put(tmp_path / "a.json", job("a", "@daily"))
    put(tmp_path / "b.json", job("b", "@daily", timezone="Asia/Tokyo"))
    unasked = run("next", str(tmp_path), TZ="Europe/Berlin")
    assert "a: @daily (Europe/Berlin)\n" in unasked.stdout
    assert unasked.stderr == "note: no service was asked; the settings are the defaults\n"
    assert run("next", str(tmp_path), JOBSCHEDULER_TIMEZONE="Asia/Tokyo").stderr == ""
    assert run("next", str(tmp_path), "--timezone", "Europe/Berlin").stderr == ""
    settings = tmp_path / "s.toml"
    settings.write_text('timezone = "Asia/Kolkata"\n')
    settings.chmod(0o644)
    of_file = run("next", str(tmp_path), "--config", str(settings))
    assert "a: @daily (Asia/Kolkata)\n" in of_file.stdout
    assert of_file.stderr == f"note: no service was asked; the settings are those of {settings}\n"


def test_next_notes_a_zone_that_surprises() -> None:
    """`Etc/GMT+3` is behind UTC, and `EST` has no summer time."""
    shown = run("next", "--cron", "0 9 * * *", "--timezone", "Etc/GMT+3", "--after", "2026-12-01T00:00").stdout
    assert "  `Etc/GMT+3` is 3 hours behind UTC: the sign in these names is reversed\n" in shown
    assert "`EST` has no summer time" in run("next", "--cron", "@daily", "--timezone", "EST").stdout


@pytest.mark.parametrize("verb", ["serve", "validate", "next"])
def test_every_verb_has_help_with_examples(verb: str) -> None:
    """`--help` of each, and of the command itself."""
    assert "examples:\n" in run(verb, "--help").stdout
    assert verb in run("--help").stdout


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """As with `| head`."""
    command = f"{sys.executable} {ROOT / 'main.py'} next --timezone UTC --cron '* * * * * *' -n 20000 | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], check=False, capture_output=True, text=True, timeout=30
    )

    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("task", "is_warned"),
    [
        ({"command": "sleep 3 &> /dev/null"}, True),
        ({"command": "sleep 3 &>>/tmp/x"}, True),
        ({"command": "sleep 3 &>/tmp/x", "shell": "/bin/dash"}, True),
        ({"command": "sleep 3 >& /dev/null"}, True),
        ({"command": "sleep 3 >&out"}, True),
        ({"command": "sleep 3 >& 1.log"}, True),
        ({"command": "sleep 3 |& cat"}, True),
        ({"command": "sleep 3 |& cat", "shell": "/bin/bash"}, False),
        ({"command": "echo a >&2 2>&- >& 1 >&$x >&\"$x\" || echo '|& >& x' & true | cat"}, False),
        ({"command": "sleep 3 &> /dev/null", "shell": "/bin/bash"}, False),
        ({"command": ["sleep", "&>", "x"]}, False),
        ({"command": "echo '&> x' \"&> x\" \\&> x; sleep 1 > x 2>&1"}, False),
        ({"command": "true && true & true > x # &> x"}, False),
    ],
)
def test_validate_warns_of_a_redirection_of_bash_for_sh(
    tmp_path: Path, task: dict[str, object], is_warned: bool
) -> None:
    """It puts the command into the background there, and the run is a success whatever becomes of it."""
    definition = job("a")
    definition["task"] = {"type": "execute_command", **task}
    put(tmp_path / "a.json", json.dumps(definition, indent=1))
    done = run("validate", "a.json", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(("warning: `&>", "warning: `>&`", "warning: `|&`")) == is_warned
    assert ("--> a.json:6:" in done.stdout) == is_warned
    assert done.stdout.endswith("1 file checked, no errors\n")
