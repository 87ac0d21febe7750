"""Strict JSON: what is refused, in which words, and where."""

from __future__ import annotations

import json
from json import JSONDecodeError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.util.json_errors import syntax_fault
from jobscheduler.util.json_text import MAX_BYTES, MAX_DEPTH, JsonError, decode, locate
from jobscheduler.util.text_location import location_at

REFUSED = [
    (b"", "the file is empty", None),
    (b" \n\t ", "the file is empty", None),
    (b"{", "the file ends in the middle of the definition", (1, 1)),
    (b'{"a": 1', "the file ends in the middle of the definition", (1, 7)),
    (b'{"a": "x', "the text is not closed", (1, 7)),
    (b'{"a": 1,}', "a comma with nothing after it before `}`", (1, 8)),
    (b'{"a": [1,\n]}', "a comma with nothing after it before `]`", (1, 9)),
    (b'{"a": 1\n "b": 2}', 'expected `,` or a closing bracket, found `"b"`', (2, 2)),
    (b"{'a': 1}", "text is written in double quotes", (1, 2)),
    (b"{a: 1}", "expected a key in double quotes, found `a`", (1, 2)),
    (b'{"a" 1}', "expected `:` after the key, found `1`", (1, 6)),
    (b'{"a": True}', "`True` is not JSON", (1, 7)),
    (b'{"a": NaN}', "`NaN` is not JSON", (1, 7)),
    (b'{"a": -Infinity}', "`-Infinity` is not JSON", (1, 7)),
    (b'{"a": 1e999}', "the number is too large", (1, 7)),
    (b'{"a": ' + b"9" * 5000 + b"}", "the number is too large", (1, 7)),
    (b'{"a": 1} x', "unexpected text after the end of the definition", (1, 10)),
    (b"// a\n{}", "JSON has no comments", (1, 1)),
    (b'{"a": "x\ny"}', "a line break or control character inside quoted text", (1, 9)),
    (b'{"a": "\\q"}', "a backslash that does not begin an escape", (1, 8)),
    (b'{"a": 1,\n "a": 2}', "the key `a` appears here a second time", (2, 2)),
    (b'{"x": {"a": 1}, "a": {"a": 1, "a": 2}}', "the key `a` appears here a second time", (1, 31)),
    (b'{"x": {"a": 1, "a": 2}}}', "unexpected text after the end of the definition", (1, 24)),
    (b'{"x": {"a": 1, "a": 2}, "b": }', "expected a value, found `}`", (1, 30)),
    (b'{"a": "\\u0000"}', "the text contains `\\u0000`", (1, 8)),
    (b'{"a": "\\ud800"}', "`\\ud800` is half a surrogate pair", (1, 8)),
    (b'{"a": "\\udc00"}', "`\\udc00` is half a surrogate pair", (1, 8)),
    (b'{"a": "\\ud800\\u0041"}', "`\\ud800` is half a surrogate pair", (1, 8)),
    (b'{"a": "\xff"}', "the byte 0xff is not UTF-8", (1, 8)),
    (b'{"a": "\xc3\xa4", "b": "\xc3"}', "the byte 0xc3 is not UTF-8", (1, 18)),
    (b"\xff\xfe{\x00", "the file is UTF-16, not UTF-8", None),
    (b'{"a": "\x00"}', "the file contains NUL bytes", (1, 8)),
    (b"\x7fELF\x02\x01\x01\x00\x00", "the file contains NUL bytes", (1, 8)),
    (b"[" * 5000, f"nested more than {MAX_DEPTH} levels deep", (1, MAX_DEPTH + 1)),
    (b'{"a":' * 200000, f"nested more than {MAX_DEPTH} levels deep", (1, 5 * MAX_DEPTH + 1)),
    (b" " * (MAX_BYTES + 1), "the file is larger than 1 MiB", None),
]


@pytest.mark.parametrize(("raw", "message", "place"), REFUSED, ids=lambda value: repr(value)[:40])
def test_bad_json_is_refused_with_a_message_and_a_location(
    raw: bytes, message: str, place: tuple[int, int] | None
) -> None:
    """One row for each mistake that people or programs make."""
    with pytest.raises(JsonError) as refused:
        decode(raw)

    found = refused.value.location
    assert str(refused.value) == message
    assert (found and (found.line, found.column)) == place


@pytest.mark.parametrize(
    ("text", "at"),
    [('{"a": 1,}', (7, 8)), ('{"a": 1 ,\n }', (8, 11)), ('{"a": [1, ]}', (8, 10)), ('{"a": [1,]}', (8, 9))],
)
def test_a_trailing_comma_is_found_from_the_error_of_any_python(text: str, at: tuple[int, int]) -> None:
    """Since 3.13 the decoder stops at the comma, before that at the bracket, and for a list with another message."""
    comma, bracket = at
    expected = f"a comma with nothing after it before `{text[bracket]}`", comma
    for error in (
        JSONDecodeError("Illegal trailing comma before end of object", text, comma),
        JSONDecodeError("Expecting property name enclosed in double quotes", text, bracket),
        JSONDecodeError("Expecting value", text, bracket),
    ):
        fault = syntax_fault(text, error)
        assert (fault.message, fault.at, fault.help) == (*expected, "remove the comma")


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a": "\xc3\xa4"}', {"a": "ä"}),
        (b'{"a": "\\ud83d\\ude00 \\\\u0000"}', {"a": "😀 \\u0000"}),
        (b'{"a": "' + b"[" * 100 + b'"}', {"a": "[" * 100}),
        (b'\n{"a": 1.5}\n', {"a": 1.5}),
    ],
)
def test_good_json_is_decoded(raw: bytes, value: object) -> None:
    """A BOM, any character, and brackets inside texts are fine."""
    assert decode(raw)[0] == value


def test_a_path_has_a_location() -> None:
    """Keys and values have lines and columns, counted in characters from 1."""
    text = '{\n  "ä": {"b": [1, {"c": "x,]}"}]},\n  "d": 2\n}'

    def place(*path: str | int, key: bool = False) -> tuple[int, int, int] | None:
        found = locate(text, path, key=key)
        return found and (found.line, found.column, found.width)

    assert place() == (1, 1, 1)
    assert place("ä", "b", 1, "c") == (2, 24, 6)
    assert place("d", key=True) == (3, 3, 3)
    assert place("d") == (3, 8, 1)
    assert place("ä", "b", 0) == (2, 15, 1)
    assert place("nowhere") is None


def test_a_long_line_is_cut_around_the_location() -> None:
    """The carets stay under the error, and the excerpt fits a terminal."""
    place = location_at("x" * 500 + "HERE" + "y" * 500, 500, 4)

    assert place.column == 501
    assert place.excerpt[place.caret : place.caret + place.width] == "HERE"
    assert len(place.excerpt) <= 102


@pytest.mark.parametrize(
    "value",
    [
        "s3cr3t",
        "03141",
        "0x1f",
        "1_000",
        '"ab"s3cr3t"',
        '"ab""s3cr3t"',
        "[s3cr3t]",
        "\n  s3cr3t",
        "'s3cr3t'",
        '"s3cr3t\\q"',
    ],
)
def test_a_mistake_in_a_secret_is_refused_without_repeating_it(value: str) -> None:
    """Message, help and excerpt go to the log and to the page."""
    with pytest.raises(JsonError) as refused:
        decode(f'{{"env": {{"API_TOKEN": {value}}}}}'.encode())
    error = refused.value
    shown = f"{error} {error.help} {error.location and error.location.excerpt}"
    assert not [part for part in ("s3cr3t", "3141", "0x1f", "31", "1000", "1_000") if part in shown], shown


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(raw: bytes) -> None:
    """Only `JsonError` is raised, and it has a message."""
    try:
        decode(raw)
    except JsonError as refused:
        assert str(refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('ab"\\{,}é'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('xyz"\\:', max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 1]))
def test_every_value_of_any_json_is_located(value: object, indent: int | None) -> None:
    """The text at the location of a path is the value at that path."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)

    def check(part: object, path: tuple[str | int, ...]) -> None:
        place = locate(text, path)
        assert place is not None
        offset = sum(len(line) + 1 for line in text.split("\n")[: place.line - 1]) + place.column - 1
        assert json.JSONDecoder().raw_decode(text[offset:])[0] == part
        inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, one in inner:
            check(one, (*path, key))

    check(value, ())


ODD_BLANKS = ["\u00a0", "\u2003", "\u2009", "\u202f", "\u3000", "\u1680", "\u2028", "\u0085", "\u000b", "\u001c"]
UNSEEN = ["\u200b", "\ufeff", "\u2060", "\u00ad"]


def refused(text: str) -> tuple[str, tuple[int, int] | None, str | None]:
    with pytest.raises(JsonError) as found:
        decode(text.encode())
    place = found.value.location
    return str(found.value), place and (place.line, place.column), found.value.help


@pytest.mark.parametrize("character", [*ODD_BLANKS, *UNSEEN], ids=ascii)
@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("{\n", '"a": 1}', (2, 1)),
        ('{"a"', ": 1}", (1, 5)),
        ('{"a":', "1}", (1, 6)),
        ('{"a": 1', ', "b": 2}', (1, 8)),
        ('{"a": [1,\n ', "2]}", (2, 2)),
        ('{"a": 1}', "", (1, 9)),
    ],
)
def test_a_blank_that_json_does_not_have_is_named_with_its_location(
    character: str, before: str, after: str, place: tuple[int, int]
) -> None:
    """Before a key, a colon, a comma, a value, and at the end; also an invisible one."""
    message, where, help_ = refused(before + character + after)
    assert message.startswith(f"U+{ord(character):04X}, ")
    assert where == place
    assert help_ == ("delete it" if character in UNSEEN else "replace it by a blank")


@pytest.mark.parametrize(
    ("text", "message", "place", "help_"),
    [
        ("{\u201ca\u201d: 1}", "U+201C, left double quotation mark, cannot stand here", (1, 2), 'write `"` instead'),
        (
            '{"a": "x\u201d}',
            "U+201D, right double quotation mark, does not close the text",
            (1, 9),
            'write `"` instead',
        ),
        ('{"a": "x\u201d,\n"b": 1}', "U+201D, right double quotation mark, does not close the text", (1, 9), None),
        ('{"a"\uff1a1}', "U+FF1A, fullwidth colon, cannot stand here", (1, 5), "write `:` instead"),
        ('{"a": 1\uff0c"b": 2}', "U+FF0C, fullwidth comma, cannot stand here", (1, 8), "write `,` instead"),
        ('{"a": \uff15}', "U+FF15, fullwidth digit five, cannot stand here", (1, 7), "write `5` instead"),
        ('{"a": \u20135}', "U+2013, en dash, cannot stand here", (1, 7), "write `-` instead"),
        ('{"umask": 022}', "a number cannot begin with 0", (1, 11), 'write `"022"`'),
        ('{"nice": 05}', "a number cannot begin with 0", (1, 10), 'write `5`, or `"05"` as text'),
        ('{"nice": -05}', "a number cannot begin with 0", (1, 10), 'write `-5`, or `"-05"` as text'),
        ('{"a": 0x10}', "`0x10` is not a number of JSON", (1, 7), "write `16`"),
        ('{"a": 1_000}', "a number has no `_` in it", (1, 7), "write `1000`"),
        ('{"a": 30s}', "`30s` is not a number", (1, 7), 'write `"30s"`'),
        ('{"a": 10:30}', "`10:30` is not a number", (1, 7), 'write `"10:30"`'),
        ('{"a": .5}', "a number has a digit on both sides of its point", (1, 7), "write `0.5`"),
        ('{"a": 5.}', "a number has a digit on both sides of its point", (1, 7), "write `5`"),
        ('{"a": +5}', "a number has no plus sign", (1, 7), "write `5`"),
        ('{"a": 2026-12-01}', "`2026-12-01` is not a number", (1, 7), 'write `"2026-12-01"`'),
        ('{"a": [1 2]}', "expected `,` or a closing bracket, found `2`", (1, 10), "is a comma missing before it?"),
        ('{"a": yes}', "`yes` is not JSON", (1, 7), "write `true`"),
        ('{"a": Off}', "`Off` is not JSON", (1, 7), "write `false`"),
        ('{"a": daily}', "expected a value, found `daily`", (1, 7), 'write `"daily"`'),
        ("{a: 1}", "expected a key in double quotes, found `a`", (1, 2), 'write `"a"`'),
        ('{"a"=1}', "expected `:` after the key, found `=1`", (1, 5), "write `:`"),
        ('{"a": 1; "b": 2}', "expected `,` or a closing bracket, found `;`", (1, 8), "write `,` instead"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_typing_mistake_has_a_message_of_its_own(
    text: str, message: str, place: tuple[int, int], help_: str | None
) -> None:
    """Marks and digits of other alphabets, numbers as other languages write them, words of YAML."""
    told = refused(text)
    assert told[:2] == (message, place)
    assert help_ is None or told[2] == help_
