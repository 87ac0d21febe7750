"""Text that others wrote, on a terminal: nothing in it is obeyed but colours."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.util.terminal_text import TerminalText, printable, printable_line, printable_lines


def shown(*parts: bytes, colours: bool = True) -> str:
    """What a terminal gets of an output in parts."""
    text = TerminalText(colours=colours)
    return "".join(map(text.add, parts)) + text.end()


def test_colours_stay_where_they_are_wanted() -> None:
    """Elsewhere they are left out."""
    assert shown(b"\x1b[1;31mred\x1b[0m\n") == "\x1b[1;31mred\x1b[0m\n"
    assert shown(b"\x1b[1;31mred\x1b[0m\n", colours=False) == "red\n"


@pytest.mark.parametrize(
    ("raw", "spelled"),
    [
        (b"\x1b[2J\x1b[H", r"\x1b[2J\x1b[H"),
        (b"\x1b]0;title\x07", r"\x1b]0;title\x07"),
        (b"\x1b[31", r"\x1b[31"),
        (b"\x1b[" + b"1" * 99 + b"m", r"\x1b[" + "1" * 99 + "m"),
        (b"a\rb\r\nc\td\n", "a\\rb\nc\td\n"),
        ("5\u202f% : a\u00a0b\u3000c".encode(), "5\u202f% : a\u00a0b\u3000c"),
        ("\u202egpj.exe \u009b31m".encode(), r"\u202egpj.exe \x9b31m"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("grün 日本 😀".encode(), "grün 日本 😀"),
        (b"", ""),
    ],
)
def test_everything_else_is_spelled_out(raw: bytes, spelled: str) -> None:
    """Line ends and tabs stay."""
    assert shown(raw) == shown(raw, colours=False) == spelled


SPACES = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Zs"]


def test_spaces_of_every_width_are_shown_as_they_are() -> None:
    """All that Unicode counts as a space between words, and no other character that does not print."""
    text = "".join(SPACES)
    assert " " in text
    assert "\u00a0" in text
    assert "\u3000" in text
    assert shown(text.encode()) == printable(text) == printable_lines(text) == text


UNSEEN = {
    "end of a line": "\u2028",
    "end of a paragraph": "\u2029",
    "next line": "\x85",
    "embedding to the right": "\u202a",
    "embedding to the left": "\u202b",
    "end of a direction": "\u202c",
    "override to the right": "\u202d",
    "override to the left": "\u202e",
    "isolate to the right": "\u2066",
    "isolate to the left": "\u2067",
    "isolate of the first": "\u2068",
    "end of an isolate": "\u2069",
    "mark of the left": "\u200e",
    "mark of the right": "\u200f",
    "mark of Arabic": "\u061c",
    "space without width": "\u200b",
    "joiner": "\u200d",
    "non-joiner": "\u200c",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\xad",
    "separator of Mongolian vowels": "\u180e",
    "tag of a letter": "\U000e0041",
    "delete": "\x7f",
    "vertical tab": "\x0b",
    "form feed": "\x0c",
}


@pytest.mark.parametrize("character", UNSEEN.values(), ids=UNSEEN)
def test_what_ends_a_line_or_hides_in_it_is_spelled_out(character: str) -> None:
    """It looks like a space or like nothing: separators, marks and overrides of direction, characters without width."""
    assert character not in SPACES
    spelled = f"a{character.encode('unicode_escape').decode()}b"
    text = f"a{character}b"
    assert shown(text.encode()) == printable(text) == printable_line(text) == printable_lines(text) == spelled


def test_a_colour_ends_with_the_output() -> None:
    """What the terminal shows next is not red."""
    assert shown(b"\x1b[31mred") == "\x1b[31mred\x1b[0m"
    assert shown(b"\x1b[31mred\x1b[m") == "\x1b[31mred\x1b[m"


@given(
    st.lists(st.sampled_from([b"a", b"\x1b", b"[", b"31", b"m", b"\r", b"\n", b"\xc3", b"\xa9", b"\xff"]), max_size=20)
)
def test_the_parts_in_which_an_output_comes_change_nothing(parts: list[bytes]) -> None:
    """A character or a colour may come in two parts."""
    whole = b"".join(parts)
    assert shown(*parts) == shown(whole)
    assert shown(*parts, colours=False) == shown(whole, colours=False)
    assert set(shown(whole, colours=False)) <= set("a[31mé\n\\xcbfre") | set("0123456789")


def test_a_line_is_one_line() -> None:
    """In a table, a list, a message."""
    assert printable("a\n\x1b[31mb") == r"a\n\x1b[31mb"
    assert printable_line("\x1b[31mone\x1b[0m\r\ntwo\x07\n") == r"one ⏎ two\x07"
    assert printable_lines("a\x1b[1mb\n") == "ab\n"


STYLES = ["", "0", "00", "1", "01;31", "2", "4", "7", "21", "22", "24", "27", "30", "49", ";", "97", "107", "1;;31"]
RICH = ["38;5;208", "48;5;7", "1;38;2;255;0;10", "38:5:208", "38:2::255:0:10", "58;5;1;4", "59", "4:3"]


@pytest.mark.parametrize("style", [*STYLES, *RICH])
def test_colours_and_what_stresses_a_text_stay(style: str) -> None:
    """Bold, faint, underlined, inverse, and colours of each kind."""
    assert printable_lines(f"a\x1b[{style}mb", colours=True) == f"a\x1b[{style}mb"
    assert printable_lines(f"a\x1b[{style}mb") == "ab"


@pytest.mark.parametrize(
    "style", ["5", "6", "8", "05", "1;5", "8;31", "31;8;1", "9", "3", "10", "38", "38;5", "38;2;1;2", "4:9", "5:1"]
)
def test_what_blinks_or_hides_a_text_is_spelled_out(style: str) -> None:
    """Also beside a colour; what comes after it is shown in either case."""
    for colours in (True, False):
        assert printable_lines(f"a\x1b[{style}mb", colours=colours) == rf"a\x1b[{style}mb"
    assert printable_line(f"a\x1b[{style}mb") == rf"a\x1b[{style}mb"
    assert shown(b"a\x1b[", style.encode(), b"mb") == rf"a\x1b[{style}mb"


def test_only_colours_are_colours() -> None:
    """What erases a line or moves the cursor looks nearly like one."""
    assert [printable_lines(f"a\x1b[{rest}b", colours=True) for rest in ("K", "2K", "1A", "?25l", "31;1m")] == [
        r"a\x1b[Kb",
        r"a\x1b[2Kb",
        r"a\x1b[1Ab",
        r"a\x1b[?25lb",
        "a\x1b[31;1mb",
    ]


def test_a_character_that_never_came_whole_is_spelled_out_at_the_end() -> None:
    """As are an escape and a carriage return that nothing followed."""
    assert shown(b"a\xe6\x97") == r"a\xe6\x97"
    assert shown(b"a\x1b[3") == r"a\x1b[3"
    assert shown(b"a\r") == r"a\r"
