"""Crontabs as text: variables, commands and their input, comments, users, ids. Nothing is written."""

from __future__ import annotations

from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.imports.command_words import command_words
from jobscheduler.imports.cron_habits import habits_of
from jobscheduler.imports.crontab_command import Command, parse_command
from jobscheduler.imports.crontab_layout import Form, Layout, form_of_text, layout_of_path
from jobscheduler.imports.crontab_table import read_table
from jobscheduler.imports.crontab_variables import Assignment, parse_assignment
from jobscheduler.imports.debian_schedule import objection_to
from jobscheduler.imports.job_ids import NamedLine, assign_ids
from tests.support.properties import examples


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("PATH=/usr/bin:/bin", ("PATH", "/usr/bin:/bin")),
        ("  SHELL = /bin/bash  ", ("SHELL", "/bin/bash")),
        ('MAILTO=""', ("MAILTO", "")),
        ("MAILTO=", ("MAILTO", "", True)),
        ("\"A NAME\"='two words '", ("A NAME", "two words ")),
        ("A='it''s'", None),
        ("A='open", None),
        ("A=b c # d", ("A", "b c # d")),
        ("A=\"'inner'\"", ("A", "inner")),
        ("A=$HOME/bin", ("A", "$HOME/bin")),
        ("* * * * * A=b command", None),
        ("@reboot A=b command", None),
        ("=x", None),
    ],
)
def test_a_variable_is_read_as_cron_reads_it(line: str, found: tuple[str, str] | None) -> None:
    """Blanks around the name and the value, quotes around either, and no expansion."""
    assert parse_assignment(line) == (None if found is None else Assignment(*found))


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        ("date", "date", None),
        (r"date +\%F", "date +%F", None),
        ("mail anna%Dear Anna,%%yours", "mail anna", "Dear Anna,\n\nyours\n"),
        ("cat%one%", "cat", "one\n"),
        ("cat%", "cat", None),
        (r"cat%100\% sure%a\b", "cat", "100% sure\na\\b\n"),
        (r"printf 'a\\n'", r"printf 'a\n'", None),  # cron takes one of two backslashes away
        (r"printf '\n' \% x", r"printf '\n' % x", None),
        (r"cat \\%in", "cat \\", "in\n"),
    ],
)
def test_a_percent_sign_begins_the_input(text: str, command: str, stdin: str | None) -> None:
    """In the way of `do_command.c`, with its escapes."""
    assert parse_command(text) == Command(command, stdin)


def cron_parts(text: str) -> tuple[str, str]:
    """What `do_command.c` does with a command, character by character."""
    command: list[str] = []
    escaped, rest = False, ""
    for place, character in enumerate(text):
        if escaped:
            if character in "%\\":
                command.pop()
            command.append(character)
            escaped = False
        elif character == "%":
            rest = text[place + 1 :]
            break
        else:
            command.append(character)
            escaped = character == "\\"
    written: list[str] = []
    escaped = needs_newline = False
    for character in rest:
        if escaped:
            written += [] if character == "%" else ["\\"]
        shown = "\n" if character == "%" and not escaped else character
        escaped = shown == "\\"
        if not escaped:
            written.append(shown)
            needs_newline = shown != "\n"
    written += ["\\"] if escaped else []
    return "".join(command), "".join(written) + ("\n" if needs_newline else "")


@pytest.mark.property
@examples(2000)
@given(st.text(alphabet="a%\\ '", max_size=12))
def test_commands_are_parted_as_by_cron(text: str) -> None:
    """For every mixture of percent signs and backslashes."""
    found = parse_command(text)
    command, written = cron_parts(text)
    assert found.text == command
    if not text.endswith("\\"):  # cron writes a backslash at the very end without a line end
        assert (found.stdin or "") == written


def test_variables_count_for_the_lines_below_them() -> None:
    """Each line has those that stood above it, with the last value."""
    table = read_table("0 1 * * * a\nX=1\n0 2 * * * b\nX=2\nY=3\n0 3 * * * c\n", has_users=False)
    assert [dict(entry.variables) for entry in table.entries] == [{}, {"X": "1"}, {"X": "2", "Y": "3"}]
    assert table.unended is None


@pytest.mark.parametrize(
    ("above", "description"),
    [
        ("# Back up the database\n", "Back up the database"),
        ("# Back up\n#   everything\n", "Back up everything"),
        ("# a heading\n\n", ""),
        ("# m h dom mon dow user command\n", ""),
        ("# *  *  *  *  * user command\n", ""),
        ("# | | | `---- month\n#---\n", ""),
        ("# 0 4 * * * /usr/bin/old\n# Back up\n", "Back up"),
        ("# PATH=/old\n", ""),
        ("# for the next line\nX=1\n", ""),
    ],
)
def test_the_comment_just_above_a_line_describes_it(above: str, description: str) -> None:
    """Not a ruler of columns, a line that was commented out, or what belongs to something else."""
    (entry,) = read_table(f"{above}0 1 * * * true\n", has_users=False).entries
    assert entry.comment == description


@pytest.mark.parametrize(
    ("line", "schedule", "user", "command"),
    [
        ("0 1 * * * root /bin/true", "0 1 * * *", "root", "/bin/true"),
        ("\t0\t1  * * *\tbackup  tar c  /", "0 1 * * *", "backup", "tar c  /"),
        ("@daily root x", "@daily", "root", "x"),
        ("0 1 * * * root x\r", "0 1 * * *", "root", "x"),
    ],
)
def test_a_line_of_a_system_table_has_a_user(line: str, schedule: str, user: str, command: str) -> None:
    """Between the schedule and the command, with any blanks."""
    (entry,) = read_table(f"{line}\n", has_users=True).entries
    assert (entry.schedule, entry.user, entry.command) == (schedule, user, command)


def test_other_encodings_cost_a_variable_and_no_line() -> None:
    """A comment is shown as far as it can be read, a variable is refused as a line is."""
    table = read_table("# caf\udce9 at night\n0 1 * * * a\nX=\udce9\n0 2 * * * b\n", has_users=False)
    assert [(entry.comment, dict(entry.variables)) for entry in table.entries] == [("caf? at night", {}), ("", {})]
    assert [(bad.line, bad.message) for bad in table.bad_lines] == [(3, "the line has bytes that are not UTF-8")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 1 * * *", "the line has fewer words than a crontab line needs"),
        ("@daily", "the line has fewer words than a crontab line needs"),
        ("0 1 * * * root", "there is no command after the user `root`"),
        ("0 1 * * * root a\x01b", "the line has the control character U+0001"),
        ("0 1 * * * root a\udcffb", "the line has bytes that are not UTF-8"),
    ],
)
def test_a_bad_line_is_told_and_the_others_are_read(line: str, message: str) -> None:
    """With its number, what is wrong, and a way out."""
    table = read_table(f"{line}\n0 2 * * * root good\n", has_users=True)
    assert [(bad.line, bad.message) for bad in table.bad_lines] == [(1, message)]
    assert table.bad_lines[0].help
    assert [entry.command for entry in table.entries] == ["good"]


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        ("/etc/crontab", Layout(Form.WITH_USERS)),
        ("/etc/cron.d/php", Layout(Form.WITH_USERS)),
        ("/mnt/old/etc/cron.d/php", Layout(Form.WITH_USERS)),
        ("/var/spool/cron/crontabs/anna", Layout(Form.OF_ONE_USER, "anna")),
        ("/var/spool/cron/anna", Layout(Form.OF_ONE_USER, "anna")),
        ("/srv/crontab", Layout(Form.UNKNOWN)),
    ],
)
def test_the_place_of_a_table_says_whose_it_is(path: str, layout: Layout) -> None:
    """As it does for cron."""
    assert layout_of_path(PurePath(path)) == layout


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("0 1 * * * root /bin/true\n", Form.WITH_USERS),
        ("0 1 * * * /bin/true root\n", Form.OF_ONE_USER),
        ("0 1 * * * root\n", Form.OF_ONE_USER),  # no command would follow
        ("0 1 * * * backup --all\n", Form.UNKNOWN),
        ("0 1 * * * backup --all\n0 2 * * * root true\n", Form.WITH_USERS),
        ("0 1 * * * root true\n0 2 * * * /bin/true\n", Form.UNKNOWN),
        ("# m h dom mon dow user command\n0 1 * * * backup --all\n", Form.WITH_USERS),
        ("# m h  dom mon dow   command\n0 1 * * * backup --all\n", Form.OF_ONE_USER),
        ("# nothing\nX=1\n", Form.OF_ONE_USER),
    ],
)
def test_the_content_of_a_table_says_whether_it_has_users(text: str, form: Form) -> None:
    """`root` is a user of this host, `backup` a user and a program; what can be read in both ways decides nothing."""
    assert form_of_text(text, {"root", "backup"}.__contains__, {"true", "backup"}.__contains__) is form


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ("0 0 * * fri-sun", "the range `fri-sun` ends in Sunday"),
        ("0 0 * * mon,6-0", "the range `6-0` ends in Sunday"),
        ("0 0 * * 5#3", "cron ignores what follows `5` in `5#3`"),
        ("0 0 * * friL", "cron refuses `friL`"),
        ("0 0 1,L * *", "cron refuses `1,L`"),
        ("@manual", "cron has no `@manual`"),
        ("5-1 * * * *", "the range `5-1` runs backwards; Debian's cron accepts this and never runs it"),
        ("0~59 1 * * *", "`0~59` is not a minute: `~` is cronie's random time"),
        ("@every_5m", "unknown or misplaced macro `@every_5m`"),
    ],
)
def test_a_schedule_that_cron_reads_otherwise_is_not_taken_over(schedule: str, told: str) -> None:
    """The job would have other slots; both what is different and what to write are said."""
    objection = objection_to(schedule)
    assert objection is not None
    assert objection.message.startswith(told)
    assert objection.help


@pytest.mark.parametrize(
    "schedule", ["0 0 * * 5-7", "0 0 * * sun-tue", "0 0 * * 0-0", "*/90 * * * *", "0 0 *,10 jul mon", "@reboot"]
)
def test_a_schedule_that_both_read_alike_is_taken_over(schedule: str) -> None:
    """Also odd ones."""
    assert objection_to(schedule) is None


@pytest.mark.parametrize(
    ("command", "program", "arguments"),
    [
        ("/usr/local/bin/backup --all /srv", "backup", ("--all", "srv")),
        ("cd / && run-parts --report /etc/cron.daily", "cron.daily", ()),
        ("test -x /usr/sbin/anacron || { cd / && run-parts /etc/cron.weekly; }", "cron.weekly", ()),
        ("[ -x /usr/lib/x ] && if [ ! -d /run/systemd/system ]; then /usr/lib/x; fi", "x", ()),
        ("perl -e 'sleep int(rand(9))' && renew -q", "renew", ("-q",)),
        ("LANG=C nice -n 10 ionice -c2 flock -n /run/l /opt/sync a", "sync", ("a",)),
        ("command -v sa > /dev/null && sa 60 2", "sa", ("60", "2")),
        ("timeout -k 5 1h python3 -u /opt/x.py now", "x.py", ("now",)),
        ("sudo -u www-data php /srv/artisan schedule:run >> /dev/null 2>&1", "artisan", ("schedule:run",)),
        ("sh -c 'true'", "true", ()),
        ("sleep 5", "sleep", ("5",)),
        ("(", "command", ()),
    ],
)
def test_the_program_of_a_command_is_found(command: str, program: str, arguments: tuple[str, ...]) -> None:
    """Behind checks, locks and helpers; an interpreter is named by its script."""
    assert command_words(command) == (program, arguments)


def named(*commands: str) -> list[NamedLine]:
    return [NamedLine("anna", f"imported: 0 1 * * * {command}", command) for command in commands]


def test_ids_do_not_depend_on_other_lines_or_their_order() -> None:
    """Lines that would share an id all get longer ones, whichever comes first."""
    lines = named("/opt/backup", "sync a", "sync b", "find x", "find  x")
    ids = assign_ids(lines, {})
    assert ids[:3] == ["anna-backup", "anna-sync-a", "anna-sync-b"]
    assert all(job_id.startswith("anna-find-") for job_id in ids[3:])
    assert assign_ids(lines[::-1], {}) == ids[::-1]
    assert len(set(ids)) == 5


def test_a_line_keeps_the_id_of_its_job_file() -> None:
    """Also when a line like it is added later: else both files would run."""
    old, new = named("sync a", "sync b")
    assert assign_ids([new, old], {old: "anna-sync"}) == ["anna-sync-b", "anna-sync"]


def test_the_same_line_twice_gives_two_jobs() -> None:
    """As cron runs it twice."""
    ids = assign_ids(named("sync", "sync"), {})
    assert ids[1] == f"{ids[0]}-2"


def test_habits_of_cron_are_told_what_stands_for_them() -> None:
    """And a plain command is told nothing."""
    line = "[ -d /run/systemd/system ] || flock -n l sh -c 'sleep $((RANDOM % 60)); run-parts d' || anacron"
    assert [text.split(":")[0] for text in habits_of(line)] == [
        "`flock`",
        "a random sleep",
        "the line does nothing where systemd runs, where a timer of the package does the work",
        'the line does nothing where anacron is installed, which does the work then; `"catch_up"',
        "`run-parts`",
    ]
    assert list(habits_of("/usr/bin/backup")) == []
