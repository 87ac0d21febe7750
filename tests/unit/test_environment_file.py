"""Files of `NAME=value` lines mean what they mean to systemd."""

from __future__ import annotations

import pytest

from jobscheduler.util.environment_file import assignments, parse_environment_file, parse_strictly


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=b", {"A": "b"}),
        ("A=b\nC=d\n", {"A": "b", "C": "d"}),
        ("# A=b\n;C=d\n\nE=f", {"E": "f"}),
        ("A=", {"A": ""}),
        ("A", {}),
        ("A=1\nA=2", {"A": "2"}),
        ("  A = b c  \n", {"A": "b c"}),
        ("A='b \"c\" $d \\e'", {"A": 'b "c" $d \\e'}),
        ('A="b \\"c\\" \\$d \\e"', {"A": 'b "c" $d \\e'}),
        ('A="b\nc"\nD=e', {"A": "b\nc", "D": "e"}),
        ("A=b\\\nc\nD=e", {"A": "bc", "D": "e"}),
        ("A='b''c' \"d\"e", {"A": "bcde"}),
        ('A=b"c"', {"A": 'b"c"'}),
        ("A=b # c", {"A": "b # c"}),
        ("A=b\\ ", {"A": "b "}),
        ("A='b  '  ", {"A": "b  "}),
        ("A=$B", {"A": "$B"}),
        ("export A=b\n2A=b\nA-B=c\nD=e", {"D": "e"}),
        ("A=b\r\nC=d\r\n", {"A": "b", "C": "d"}),
        ("A='b", {"A": "b"}),
        ("A=b\\", {"A": "b"}),
        ("", {}),
    ],
)
def test_lines_are_read_as_systemd_reads_them(text: str, variables: dict[str, str]) -> None:
    """The rules of systemd.exec(5), each in a line."""
    assert parse_environment_file(text) == variables


def test_each_assignment_has_its_lines() -> None:
    """So that a problem can name it."""
    text = "# a comment\nA=b\n\nC='d\ne'\nF=g\n"
    assert [(one.name, one.line, one.last_line) for one in assignments(text)] == [("A", 2, 2), ("C", 4, 5), ("F", 6, 6)]


@pytest.mark.parametrize(
    ("text", "line", "message", "help_"),
    [
        ("A=b\nsecret\nC=d", 2, "there is no `=` in the line", "write `NAME=value`"),
        ("A=b\nsecret", 2, "there is no `=` in the line", "write `NAME=value`"),
        ("\nexport A=b\n", 2, "what is before the `=` is not the name of a variable", "leave out `export`"),
        ("2A=b", 1, "what is before the `=` is not the name of a variable", "a name has letters"),
        ("A=b\nC='d\nE=f\n", 2, "the quote of a value does not end", "end the value with the quote"),
        ('A="b\\', 1, "the quote of a value does not end", "end the value with the quote"),
    ],
)
def test_what_systemd_passes_over_is_a_fault_in_its_line(text: str, line: int, message: str, help_: str) -> None:
    """A job that lacks a variable fails later and without a reason. The text is not shown: it may be a secret."""
    ((at, problem, way_out),) = parse_strictly(text)[1]
    assert (at, problem) == (line, message)
    assert way_out.startswith(help_)


def test_a_good_file_has_no_faults() -> None:
    """Comments, empty lines, quotes, continued lines and a missing end of the last line are all fine."""
    text = "# a\n; b\n\nA='b\nc'\nB=c\\\nd\r\nC=\nA=e"
    variables, faults = parse_strictly(text)
    assert {name: (one.value, one.line) for name, one in variables.items()} == {
        "A": ("e", 9),
        "B": ("cd", 6),
        "C": ("", 8),
    }
    assert faults == []
