"""Files of `NAME=value` lines mean what they mean to systemd."""

from __future__ import annotations

import pytest

from jobscheduler.util.environment_file import assignments, parse_environment_file


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


def test_each_assignment_has_its_line() -> None:
    """So that a problem can name it."""
    text = "# a comment\nA=b\n\nC='d\ne'\nF=g\n"
    assert [(name, line) for name, _, line in assignments(text)] == [("A", 2), ("C", 4), ("F", 6)]
