"""Screens: lines that wrap at words, columns that go, colour, and what is redrawn."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest

from jobscheduler.cli import watch as watching
from jobscheduler.cli.problems import format_problem
from jobscheduler.cli.table import Column, columns_of, display_width, table, use_colour
from jobscheduler.cli.wrapping import wrap
from jobscheduler.control.client import ServiceUnreachable
from jobscheduler.model import Problem


class Terminal(io.StringIO):
    """A text stream that is a terminal without a size."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_text_wraps_at_words_below_its_beginning() -> None:
    """A word that is longer than a line stays whole, and a pipe gets one line."""
    text = "the log /var/log/a-path-that-is-longer-than-any-line/of-this-terminal cannot be written"
    assert list(wrap(text, 50, indent="wrong  ", hanging=0)) == [
        "wrong  the log",
        "       /var/log/a-path-that-is-longer-than-any-line/of-this-terminal",
        "       cannot be written",
    ]
    assert list(wrap(text, None, indent="wrong  ")) == [f"wrong  {text}"]


def test_a_text_of_wide_characters_wraps_between_them() -> None:
    """It has no spaces; a mark stays with its character, and a word in between stays whole."""
    text = "the field " + "\u65e5\u672c" * 6 + "e\u0301-mail " + "\u8a9e\u0301" * 20
    lines = list(wrap(text, 40, indent=""))
    assert max(map(display_width, lines)) == 40
    assert "".join(line.strip() for line in lines) == text.replace("mail ", "mail")
    assert not any(line.strip()[0] == "\u0301" for line in lines)
    assert list(wrap("x" * 30 + " " + "\u65e5" * 10, 41)) == ["x" * 30, " " + "\u65e5" * 10]


def test_a_problem_keeps_to_the_terminal() -> None:
    """Message, note and help wrap below their beginnings; a pipe gets them whole."""
    words = "one two three four five six seven eight nine ten eleven twelve"
    problem = Problem(words, "a.json", 3, 50, notes=(words,), help=words)
    assert list(format_problem(problem, width=50)) == [
        "error: one two three four five six seven eight",
        "       nine ten eleven twelve",
        "  --> a.json:3:50",
        "  note: one two three four five six seven eight",
        "        nine ten eleven twelve",
        "  help: one two three four five six seven eight",
        "        nine ten eleven twelve",
    ]
    assert list(format_problem(problem))[-1] == f"  help: {words}"


@pytest.mark.parametrize(
    ("excerpt", "caret", "marked", "width", "shown"),
    [
        ('"schedle": 1', 1, 7, None, ['"schedle": 1', " ^^^^^^^"]),
        ("\u65e5\u672c: x", 4, 1, None, ["\u65e5\u672c: x", "      ^"]),
        ("a: \u65e5\u672c", 3, 2, None, ["a: \u65e5\u672c", "   ^^^^"]),
        ("abc", 3, 1, None, ["abc", "   ^"]),
        ("x" * 60, 10, 3, 44, ["x" * 39 + "…", " " * 10 + "^^^"]),
        ("x" * 50 + "y" * 20, 50, 20, 44, ["…" + "y" * 20, " " + "^" * 20]),
        ("x" * 50 + "y" * 60, 50, 60, 44, ["…" + "y" * 38 + "…", " " + "^" * 39]),
    ],
)
def test_the_mark_of_an_excerpt_is_below_what_it_means(
    excerpt: str, caret: int, marked: int, width: int | None, shown: list[str]
) -> None:
    """In columns of the terminal, which a wide character takes two of; on a narrow one the rest of the line goes."""
    problem = Problem("wrong", "a.json", 1, caret + 1, excerpt=excerpt, caret=caret, width=marked)
    lines = list(format_problem(problem, width=width))
    assert [line.partition("| ")[2] for line in lines[3:5]] == shown


def test_a_narrow_terminal_leaves_room_for_the_text() -> None:
    """However deep the first line is indented."""
    lines = list(wrap("one two three four five six seven eight nine ten", 44, indent=" " * 30, hanging=0))
    assert lines[1] == "    four five six seven eight nine ten"


@pytest.mark.parametrize(
    ("variables", "of_terminal", "of_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_colour_is_for_terminals_unless_variables_say_otherwise(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], of_terminal: bool, of_pipe: bool
) -> None:
    """`watch -c` needs `FORCE_COLOR`; who wants none gets none."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (use_colour(Terminal()), use_colour(io.StringIO())) == (of_terminal, of_pipe)


@pytest.mark.parametrize(("told", "columns"), [("132", 132), ("", 80), ("wide", 80), ("0", 80), ("٣", 80)])
def test_columns_are_those_that_are_told_else_of_the_terminal_else_eighty(
    monkeypatch: pytest.MonkeyPatch, told: str, columns: int
) -> None:
    """As in other programs."""
    monkeypatch.setenv("COLUMNS", told)
    assert columns_of(Terminal()) == columns


def test_columns_are_dropped_by_rank_before_any_is_cut() -> None:
    """What fills the rest is kept while it has room for a few words."""
    columns = (Column("A"), Column("B", drop=1), Column("C", drop=2, fills=True))
    rows = [("a" * 10, "b" * 10, "c" * 30)]
    assert list(table(columns, rows, width=40))[1] == "a" * 10 + "  " + "b" * 10 + "  " + "c" * 15 + "…"
    assert list(table(columns, rows, width=30))[1] == "a" * 10 + "  " + "c" * 17 + "…"
    assert list(table(columns, rows, width=15))[1] == "a" * 10


def test_rows_that_come_later_are_shown_at_once_when_the_first_are_measured() -> None:
    """A followed log has no last row."""

    def endless() -> Iterable[tuple[str]]:
        yield ("one",)
        yield ("two",)
        raise AssertionError("the third row is not there yet")

    lines = table((Column("A"),), endless(), width=None, measured=1)
    assert [next(lines) for _ in range(3)] == ["A", "one", "two"]


def test_a_screen_overwrites_the_last_one_and_fits() -> None:
    """Line by line, without a flicker; what has no room is said."""
    assert watching.screen(["a", "b"], 5) == "\x1b[Ha\x1b[K\nb\x1b[K\x1b[J"
    assert "c" not in watching.screen(["a", "b", "c"], 2)
    assert "more lines" in watching.screen(["a", "b", "c"], 2)


def test_a_service_that_is_away_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that is on the screen meanwhile."""
    answers = iter([ServiceUnreachable(Problem("no service is reachable")), (0, ["one job"])])

    def draw() -> tuple[int, Iterable[str]]:
        answer = next(answers, None)
        if answer is None:
            raise KeyboardInterrupt
        if isinstance(answer, ServiceUnreachable):
            raise answer
        return answer  # type: ignore[return-value]

    monkeypatch.setattr(watching, "INTERVAL_S", 0)
    with pytest.raises(KeyboardInterrupt):
        watching.watch(draw)
    assert capsys.readouterr().out.startswith(
        "error: no service is reachable\nit is asked again in a moment\n\none job\n\n"
    )
