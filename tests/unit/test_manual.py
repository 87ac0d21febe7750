"""The manual pages: whatever the program offers is there, and the same texts give the same pages."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from jobscheduler.cli.run_verb import verb_parser
from jobscheduler.cli.verbs import VERBS
from jobscheduler.config import OPTIONS
from jobscheduler.timetable import crontab
from jobscheduler.timetable.iso8601 import is_one_time
from jobscheduler.util.durations import parse_duration
from manual import schedules
from manual.__main__ import main, pages
from manual.command import parts_of
from manual.roff import Page, bold, continued, literal, prose
from manual.settings_file import blocks
from tests.support.service import ROOT

COMMAND, JOB, SETTINGS = (page.text() for page in pages(None))


def test_every_verb_has_a_part_with_its_options_and_examples() -> None:
    """Also the verbs below one."""
    for verb in VERBS:
        parser = verb_parser(verb)
        part = COMMAND.partition(f"\n.SS {verb}\n")[2].partition("\n.S")[0]
        for action in parser.arguments:
            assert all(literal(name) in part for name in action.option_strings if name not in ("-h", "--help")), verb
        assert all(bold(f"jobscheduler {verb} {below}") in part for below in parser.verbs)
        assert ".EX\n" in part


def test_every_setting_is_in_both_pages() -> None:
    """As an option, as a variable, and as a key of the file."""
    for option in OPTIONS:
        assert f"\n\\fB{literal(option.flag)}\\fR \\fI{literal(option.metavar)}\\fR\n" in COMMAND
        assert option.variable in COMMAND
        assert re.search(rf"^\\fB{re.escape(literal(option.key))} = ", SETTINGS, re.MULTILINE), option.key
        assert literal(option.flag) in SETTINGS
        assert option.variable in SETTINGS


def test_every_comment_of_the_settings_file_is_in_its_page() -> None:
    """The text of the file is the source, and no line of it is lost."""
    told = " ".join(SETTINGS.split())
    parts = list(blocks((ROOT / "systemd/scheduler.toml").read_text("utf-8")))
    assert len(parts) > 15
    for part in parts:
        assert " ".join(prose(part.text).split()) in told
        assert all(literal(line[1:].partition("  # ")[0]) in SETTINGS for line in part.lines)


def test_every_field_of_a_job_is_in_its_page() -> None:
    """Those of objects in it and of all task types, each with its description."""
    told = " ".join(JOB.split())
    schema = json.loads((ROOT / "schemas/job.schema.json").read_text("utf-8"))
    objects = [schema, *(task for name, task in schema["$defs"].items() if name != "task")]
    for object_ in objects:
        for name, field in object_["properties"].items():
            if "const" not in field:
                assert f"\\fB{literal(name)}\\fR (" in told
                assert " ".join(prose(field["description"]).split()) in told
                objects += [field] if "properties" in field else []


@pytest.mark.parametrize(("form", "meaning", "example"), schedules.FORMS)
def test_every_form_of_a_schedule_is_accepted(form: str, meaning: str, example: str) -> None:
    """By its example; and those in the text."""
    for text in {example, *(form.split(", ") if form.startswith("@") else ())}:
        assert is_one_time(text) or crontab.parse(text)
    for text in re.findall("as in `(.*?)`", meaning):
        assert text == example


def test_every_duration_in_the_text_is_one() -> None:
    """And is read by the one parser."""
    texts = re.findall("`(.*?)`", schedules.DURATIONS)
    assert len(texts) > 3
    assert all(parse_duration(text) > 0 for text in texts)


def test_the_same_texts_give_the_same_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No page has a date but that of `SOURCE_DATE_EPOCH`."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    main(tmp_path / "one")
    assert (tmp_path / "one/man1/jobscheduler.1").read_text("utf-8") == COMMAND
    assert '\n.TH JOBSCHEDULER 1 "" "jobscheduler 0.1.0" "User Commands"\n' in COMMAND
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764460800")
    main(tmp_path / "two")
    dated = (tmp_path / "two/man5/scheduler.toml.5").read_text("utf-8")
    assert dated == SETTINGS.replace('.TH SCHEDULER.TOML 5 ""', '.TH SCHEDULER.TOML 5 "2025-11-30"')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("a `b-c` d", r"a \fB\%b\-c\fR d"),
        ("--json and -v tell", r"\fB\%\-\-json\fR and \fB\%\-v\fR tell"),
        ("see jobscheduler-job(5).", r"see \fB\%jobscheduler\-job\fR(5)."),
        ("JOBSCHEDULER_SOCKET is one", r"\fB\%JOBSCHEDULER_SOCKET\fR is one"),
        ("well-known, a-b, 1 - 2", "well-known, a-b, 1 - 2"),
        (r"`\n` and \n", r"\fB\%\en\fR and \en"),
        ("`0 9 L * *`", r"\fB\%0\~\%9\~\%L\~\%*\~\%*\fR"),
    ],
)
def test_text_becomes_roff(text: str, expected: str) -> None:
    """What is copied from a page stays what it is: hyphens, quotes, backslashes."""
    assert prose(text) == expected


def test_no_line_of_text_is_taken_for_a_request() -> None:
    """A dot or an apostrophe may come to stand at the beginning of a line."""
    page = Page("x", 1, "x")
    page.paragraph("word " * 15 + "'s .hidden " * 9)
    page.example(".profile\n'x'")
    lines = page.text().splitlines()
    assert not [line for line in lines if line.startswith((".h", ".p", "'"))]


def test_a_long_example_is_still_one_command() -> None:
    """It is broken at blanks outside quotes."""
    command = "jobscheduler history --json --since 1d -n 0 | jq -r 'select(.duration > 60) | .job_id | ascii_downcase'"
    broken = continued(command)
    assert len(broken.splitlines()) == 2
    assert shlex.split(broken.replace("\\\n", " ")) == shlex.split(command)
    assert max(map(len, broken.splitlines())) <= 70


def test_the_text_below_the_help_is_examples_and_notes() -> None:
    """Lines of a note flow together; a new one begins after an empty line, and where an option does."""
    epilog = "examples:\n  a\n  b\n\nOne\ntwo.\n--plain three.\nExit status: 0.\n\nFour."
    assert parts_of(epilog) == ("a\nb", ["One two.", "--plain three.", "Exit status: 0.", "Four."])
