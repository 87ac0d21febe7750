"""Tables for a terminal: they fit, they align, and no cell can disturb it."""

from __future__ import annotations

import io
from itertools import count, islice

import pytest

from jobscheduler.cli.table import Column, display_width, table, truncate_to_width, use_colour

TWO = (Column("JOB"), Column("WHAT"))


def lines(rows: list[tuple[str, str]], width: int | None = None) -> list[str]:
    """The table of two columns."""
    return list(table(TWO, rows, width=width))


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """No blanks at the ends of lines."""
    assert lines([("a", "x"), ("a-longer-one", "")]) == ["JOB           WHAT", "a             x", "a-longer-one"]


def test_numbers_stand_at_the_right() -> None:
    """If the column says so."""
    rows = [("5",), ("1234567",)]

    assert list(table((Column("TOOK", right=True),), rows, width=None)) == ["   TOOK", "      5", "1234567"]


@pytest.mark.parametrize("width", [5, 9, 20, 40, 79])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int) -> None:
    """However narrow it is; long cells are cut and say so."""
    shown = lines([("job-with-a-long-name", "output " * 30), ("b", "短い" * 20)], width)

    assert max(map(display_width, shown)) == width
    assert "…" in shown[1]


def test_the_widest_column_gives_first() -> None:
    """A short one is not cut as long as a long one can be."""
    assert lines([("report-001", "x" * 50)], 30)[1] == "report-001  " + "x" * 17 + "…"


def test_what_is_of_no_use_when_cut_is_cut_last() -> None:
    """Such as a time."""
    columns = (Column("TIME", keep_whole=True), Column("JOB"))

    assert list(table(columns, [("2026-11-22 01:00:00", "report-001")], width=24))[1] == "2026-11-22 01:00:00  re…"


def test_wide_and_combining_characters_count_as_what_they_take() -> None:
    """Two columns, or none."""
    assert lines([("日報", "x"), ("e\u0301", "y")]) == ["JOB   WHAT", "日報  x", "e\u0301     y"]
    assert truncate_to_width("日報です", 6) == "日報…"


def test_control_characters_are_shown_and_not_sent() -> None:
    """Neither an escape nor a line's end nor a mark that turns the text around."""
    shown = lines([("\x1b[2J", "a\nb\u202e\r")])[1]

    assert shown == "\\x1b[2J  a\\nb\\u202e\\r"


def test_colour_stands_round_the_cell_and_changes_no_width() -> None:
    """And only when it is asked for."""
    columns = (Column("STATUS", colour_of=lambda text: "red" if text == "FAILURE" else None), Column("JOB"))
    rows = [("FAILURE", "a"), ("SUCCESS", "b")]

    assert list(table(columns, rows, width=80, colour=True))[1:] == ["\x1b[31mFAILURE\x1b[0m  a", "SUCCESS  b"]
    assert "\x1b" not in "".join(table(columns, rows, width=80))


def test_a_table_may_go_on_for_ever() -> None:
    """Rows are taken as lines are; the first thousand decide the widths."""
    endless = ((str(number), "x" * (number // 1000 * 70)) for number in count())

    assert max(map(len, islice(table(TWO, endless, width=40), 5000))) <= 40


def test_a_table_without_rows_is_its_titles() -> None:
    """Nothing fails."""
    assert lines([]) == ["JOB  WHAT"]


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never in a pipe, with `NO_COLOR`, or on a dumb terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert use_colour(Terminal())
    assert not use_colour(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not use_colour(Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not use_colour(Terminal())
