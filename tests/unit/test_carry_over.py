"""The settings of an edited environment file become lines of the first settings file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.cli import carry_over as tool
from jobscheduler.config import OPTIONS, load_settings, parse_settings
from jobscheduler.config.carry_over import carry_over
from jobscheduler.util.environment_file import parse_environment_file

TEMPLATE = (Path(__file__).resolve().parent.parent.parent / "systemd/scheduler.toml").read_text("utf-8")
NAME = "/etc/scheduler/scheduler.toml"
EDITED = """# the defaults
#JOBSCHEDULER_LOG_BACKUPS=7
JOBSCHEDULER_LOG_BACKUPS=3
TZ=UTC

JOBSCHEDULER_TIMEZONE="Europe/Berlin"
JOBSCHEDULER_LOG_FILE=/srv/a\\
b/log
JOBSCHEDULER_LOG_BACKUPS=4
"""


def test_values_stand_below_the_comment_with_their_default() -> None:
    """So that the file reads as one that was edited by hand; the later of two lines counts."""
    made = carry_over(EDITED, TEMPLATE, NAME)
    lines = made.settings.splitlines()
    for comment, line in (
        ("#log-backups = 7", "log-backups = 4"),
        ('#timezone = "Europe/Berlin"', 'timezone = "Europe/Berlin"'),
        ('#log-file = "/var/log/scheduler/scheduler.log"', 'log-file = "/srv/ab/log"'),
    ):
        assert lines[lines.index(comment) + 1] == line
    assert [line for line in lines if line not in TEMPLATE.splitlines()] == [
        'log-file = "/srv/ab/log"',
        "log-backups = 4",
        'timezone = "Europe/Berlin"',
    ]
    assert set(made.keys) == {"log-backups", "timezone", "log-file"}


def test_the_former_lines_become_comments_with_a_pointer_and_others_stay() -> None:
    """A value over two lines, too. What is left is no setting of ours."""
    made = carry_over(EDITED, TEMPLATE, NAME)
    assert parse_environment_file(made.environment) == {"TZ": "UTC"}
    pointer = f"# Carried over to {NAME}:"
    assert made.environment.splitlines() == [
        *("# the defaults", "#JOBSCHEDULER_LOG_BACKUPS=7"),
        *(pointer, "#JOBSCHEDULER_LOG_BACKUPS=3", "TZ=UTC", ""),
        *(pointer, '#JOBSCHEDULER_TIMEZONE="Europe/Berlin"'),
        *(pointer, "#JOBSCHEDULER_LOG_FILE=/srv/a\\", "#b/log"),
        *(pointer, "#JOBSCHEDULER_LOG_BACKUPS=4"),
    ]
    assert made.environment.endswith("\n")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("JOBSCHEDULER_LOG_BAKCUPS=3", "there is no such setting"),
        ("JOBSCHEDULER_LOG_BACKUPS=many", "`log-backups`: `many`: a whole number from 1 to 1000 is expected"),
        (
            "JOBSCHEDULER_DATABASE_URL=mysql://me:secret@db/jobs",
            "it holds a password: put it into a file of mode 600, and name that with `database-url-file`",
        ),
        ("JOBSCHEDULER_CONFIG=/srv/own.toml", "it names another settings file"),
        ("JOBSCHEDULER_LOG_FILE=/srv/\udcff", "its value is not UTF-8"),
    ],
)
def test_what_cannot_be_carried_over_stays_and_is_named(line: str, reason: str) -> None:
    """With the reason, and never with a secret."""
    made = carry_over(f"{line}\n", TEMPLATE, NAME)
    assert (made.environment, made.settings, made.keys) == (f"{line}\n", TEMPLATE, ())
    assert made.left == ((line.partition("=")[0], reason),)


def test_with_another_settings_file_nothing_is_carried_over() -> None:
    """It would have no effect there."""
    text = "JOBSCHEDULER_CONFIG=/srv/own.toml\nJOBSCHEDULER_LOG_BACKUPS=3\n"
    assert carry_over(text, TEMPLATE, NAME).environment == text


def test_an_empty_variable_is_unset_and_needs_no_line() -> None:
    """As for the service."""
    made = carry_over("JOBSCHEDULER_TIMEZONE=\n", TEMPLATE, NAME)
    assert (made.keys, made.left) == ((), ())


def test_every_option_can_be_carried_over() -> None:
    """Also one that the settings file does not show, into a file that may hold defaults for jobs."""
    template = TEMPLATE.replace("#[defaults]\n", "[defaults]\n").replace('#timeout = "1h"', 'timeout = "1h"')
    examples = {
        "timezone": "UTC",
        "http": "127.0.0.1:1",
        "database_url": "sqlite:////srv/jobs.db",
        "cluster_url": "sqlite:////srv/cluster.db",
        "log_format": "json",
    }
    texts = {
        option.name: examples.get(option.name)
        or next(text for text in ("70000", "/x", "10") if _is_right(option, text))
        for option in OPTIONS
    }
    environment = "".join(f"{option.variable}={texts[option.name]}\n" for option in OPTIONS)

    made = carry_over(environment, template, NAME)

    assert made.left == ()
    file = parse_settings(made.settings.encode(), Path(NAME))
    assert {option.name: text for option, text in file.options} == texts
    assert load_settings({}, {}, file) == load_settings(texts, {})


def _is_right(option: object, text: str) -> bool:
    try:
        option.parse(text)  # type: ignore[attr-defined]
    except ValueError:
        return False
    return True


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_text_is_quoted_so_that_the_settings_file_says_the_same(text: str) -> None:
    """Quotes, backslashes, control characters, all of Unicode."""
    escaped = "".join(f"\\{one}" if one in '"\\`$' else one for one in text)
    environment = f'JOBSCHEDULER_LOG_FILE="/{escaped}"\n'
    value = parse_environment_file(environment)["JOBSCHEDULER_LOG_FILE"]
    made = carry_over(environment, TEMPLATE, NAME)
    assert tomllib.loads(made.settings) == {"log-file": value}


def test_the_tool_keeps_a_copy_owner_and_mode_and_says_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below DESTDIR the names are those of the host to be."""
    (tmp_path / "etc/scheduler").mkdir(parents=True)
    settings, environment = tmp_path / "etc/scheduler/scheduler.toml", tmp_path / "etc/default"
    settings.write_text(TEMPLATE, "utf-8")
    environment.write_text(EDITED + "JOBSCHEDULER_X=1\n", "utf-8")
    environment.chmod(0o600)
    (tmp_path / "etc/default.old").write_text("an earlier one")

    tool.main(str(tmp_path), "/etc/default", "/etc/scheduler/scheduler.toml")

    assert capsys.readouterr().out.splitlines() == [
        "3 settings carried over to /etc/scheduler/scheduler.toml: log-backups, timezone, log-file",
        "/etc/default points there; what it was is /etc/default.old1",
        "warning: JOBSCHEDULER_X stays in /etc/default: there is no such setting",
    ]
    assert (tmp_path / "etc/default.old1").read_text("utf-8") == EDITED + "JOBSCHEDULER_X=1\n"
    assert (tmp_path / "etc/default.old").read_text("utf-8") == "an earlier one"
    assert {path.name: path.stat().st_mode & 0o777 for path in (environment, tmp_path / "etc/default.old1")} == {
        "default": 0o600,
        "default.old1": 0o600,
    }
    assert settings.stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(tmp_path / "etc")) == ["default", "default.old", "default.old1", "scheduler"]


def test_the_tool_writes_nothing_if_nothing_is_to_be_carried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Variables of the environment that are no settings stay where they are."""
    (tmp_path / "s").write_text(TEMPLATE, "utf-8")
    (tmp_path / "e").write_text("TZ=UTC\n")
    tool.main(str(tmp_path), "/e", "/s")
    assert capsys.readouterr().out == ""
    assert sorted(os.listdir(tmp_path)) == ["e", "s"]
