"""The settings file's language: strict, and with the line of each key."""

from __future__ import annotations

import pytest

from jobscheduler.util.toml_text import MAX_BYTES, TomlError, decode, locate

TEXT = '''# a comment = with an equals sign
timezone = "UTC"
"max-workers" = 8

[defaults]
tags = [
  "a", # env = 1
]
note = """
[http]
http = 2
"""
retry = { attempts = 3, delay = "1s" }

  [defaults.execute_command]
  env.A = "b"
'''


@pytest.mark.parametrize(
    ("path", "line", "column", "width"),
    [
        (("timezone",), 2, 1, 8),
        (("max-workers",), 3, 1, 13),
        (("defaults",), 5, 1, 10),
        (("defaults", "tags"), 6, 1, 4),
        (("defaults", "note"), 9, 1, 4),
        (("defaults", "retry"), 13, 1, 5),
        (("defaults", "retry", "delay"), 13, 1, 5),
        (("defaults", "execute_command"), 15, 3, 26),
        (("defaults", "execute_command", "env"), 16, 3, 5),
        (("defaults", "execute_command", "env", "A"), 16, 3, 5),
    ],
)
def test_a_key_is_found_at_its_line(path: tuple[str, ...], line: int, column: int, width: int) -> None:
    """Also after comments, lists and texts of several lines that look like keys."""
    value, text = decode(TEXT.encode())
    assert value["defaults"]["execute_command"]["env"] == {"A": "b"}
    found = locate(text, path)
    assert found is not None
    assert (found.line, found.column, found.width) == (line, column, width)


@pytest.mark.parametrize("path", [("http",), ("defaults", "env"), ("defaults", "note", "http"), ()])
def test_a_key_that_is_not_there_has_no_place(path: tuple[str, ...]) -> None:
    """A line inside a text is no key."""
    assert locate(decode(TEXT.encode())[1], path) is None


@pytest.mark.parametrize(
    ("raw", "message", "line", "column"),
    [
        (b"a = 1\nb = \n", "invalid value", 2, 5),
        (b"a = 1\n  a = 2\n", "the key `a` appears here a second time", 2, 3),
        (b"a = 1\nb = 2\na = [\n1,\n2]\n", "the key `a` appears here a second time", 3, 1),
        (b"[t]\r\na = 1\r\na = 2\r\n", "the key `a` appears here a second time", 3, 1),
        (b"a = 1\na.b = 2", "the key `a.b` appears here a second time", 2, 1),
        (b"a = 1\nb: 2\n", "expected '=' after a key in a key/value pair", 2, 2),
        (b'a = "x\n', "illegal character '\\n'", 1, 7),
        (b"a = 1\nb = [1,\n", "invalid value", 2, 8),
        (b"a = 1\nb = '\xff'\n", "the file is not UTF-8", 2, 6),
    ],
)
def test_what_is_not_toml_is_refused_with_its_place(raw: bytes, message: str, line: int, column: int) -> None:
    """In the words of the standard library's parser, but for a key that stands twice: it names no key."""
    with pytest.raises(TomlError) as refusal:
        decode(raw)
    assert message in str(refusal.value)
    assert "(at" not in str(refusal.value)
    assert refusal.value.location is not None
    assert (refusal.value.location.line, refusal.value.location.column) == (line, column)


def test_a_file_that_is_too_large_is_refused() -> None:
    """It is no settings file."""
    with pytest.raises(TomlError, match="larger than 256 KiB"):
        decode(b"#" * (MAX_BYTES + 1))


def test_a_mark_at_the_beginning_and_ends_of_lines_of_other_systems_are_no_mistake() -> None:
    """As in job files."""
    value, text = decode(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    assert value == {"a": 1, "b": 2}
    found = locate(text, ("b",))
    assert found is not None
    assert found.line == 2
