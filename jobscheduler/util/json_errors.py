"""Say what an author most likely did wrong where a text stops being JSON, and what to write instead."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from jobscheduler.util.characters import describe_character, suggest_replacement
from jobscheduler.util.text import truncate
from jobscheduler.util.text_location import masked_part

# a piece of JSON: a text, a bracket or mark, or a word; without blanks
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)

MAX_WORD_CHARS = 40  # of a word that a message repeats

_BLANKS = " \t\r\n"  # the blanks of JSON; Unicode has many more
_WORDS = {
    "True": "true",
    "False": "false",
    "None": "null",
    "TRUE": "true",
    "FALSE": "false",
    "NULL": "null",
    "yes": "true",
    "on": "true",
    "no": "false",
    "off": "false",
    "nil": "null",
    "undefined": "null",
}
_WORD = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?|[0-9A-Za-z_.+%-]*")
_MAX_NUMBER_CHARS = 40  # a longer number gets no suggestion
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_KEY_BEFORE = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*$', re.DOTALL)
_TRAILING_COMMA = "Illegal trailing comma"  # since Python 3.13, at the comma; before it, at the bracket
_CURLY = re.compile("[\u201c\u201d\u201e\u201f\uff02]")
_CURLY_END = re.compile(_CURLY.pattern + r"\s*[:,}\]]")


class SyntaxFault(NamedTuple):
    """What is wrong, at which character (None: the whole text), the width in characters, and what to do."""

    message: str
    at: int | None
    width: int = 1
    help: str | None = None


def syntax_fault(text: str, error: json.JSONDecodeError) -> SyntaxFault:
    """Return what is wrong with a text where the decoder stopped. No part of a secret is repeated."""
    fault = _fault(text, error)
    if fault.at is None or not _repeats_a_secret(text, fault.at, f"{fault.message} {fault.help}"):
        return fault
    return fault._replace(message="the value of a secret is not JSON", help="write it as text in double quotes")


def _repeats_a_secret(text: str, at: int, words: str) -> bool:
    """Return whether a message has what stands at `at`, or a number made of it, and that is a part of a secret."""
    token = TOKEN.match(text, at)
    if token is None or not (token[0][0].isalnum() or token[0] in words):
        return False
    return masked_part(text, at, 1) != text[at]


def _fault(text: str, error: json.JSONDecodeError) -> SyntaxFault:
    if not text.strip(_BLANKS):
        return SyntaxFault("the file is empty", None, 1, "write a job definition, or delete the file")
    at, message = error.pos, error.msg
    if message.startswith(_TRAILING_COMMA):
        at, message = at + 1, "Expecting value"
    if message.startswith(("Expecting", "Extra data")):
        at += len(text[at:]) - len(text[at:].lstrip(_BLANKS))
    if at >= len(text):
        end = len(text.rstrip(_BLANKS)) - 1
        return SyntaxFault(
            "the file ends in the middle of the definition", end, 1, "is the rest missing, or a closing `}`?"
        )
    if message.startswith(("Unterminated string", "Invalid control")) and (curly := _curly_end(text, at)):
        return curly
    if message.startswith("Unterminated string"):
        return SyntaxFault("the text is not closed", at, 1, 'close it with `"`')
    fault = _odd_character(text, at) if message.startswith(("Expecting", "Extra data")) else None
    fault = fault or _curly_before(text, at) or _number(text, at, message)
    if fault is None and message == "Extra data":
        help_ = "one job per file; is there a bracket too many?"
        return SyntaxFault("unexpected text after the end of the definition", at, 1, help_)
    return fault or _word(text, at, message)


def _odd_character(text: str, at: int) -> SyntaxFault | None:
    """Name a character that looks like one of JSON's, looks like a blank, or is invisible."""
    character = text[at]
    if character.isascii() and character.isprintable():
        return None
    help_ = suggest_replacement(character)
    if help_ is None and character.isprintable():
        return None
    return SyntaxFault(f"{describe_character(character)}, cannot stand here", at, 1, help_ or "delete it")


def _curly_end(text: str, at: int) -> SyntaxFault | None:
    """Report a quotation mark that is not JSON's at the end of a text that its line does not close."""
    start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
    line = text[start : len(text) if end < 0 else end]
    marks = list(_CURLY.finditer(line, max(0, line.find('"'))))
    if not marks or line.count('"') % 2 == 0:
        return None
    character = marks[-1][0]
    return SyntaxFault(
        f"{describe_character(character)}, does not close the text", start + marks[-1].start(), 1, 'write `"` instead'
    )


def _curly_before(text: str, at: int) -> SyntaxFault | None:
    """Report a quotation mark that is not JSON's inside the text before `at`: it was meant to end the text."""
    before = text[:at].rstrip(_BLANKS)
    start = before.rfind('"', 0, len(before) - 1)
    mark = _CURLY_END.search(text, max(0, start), len(before)) if before.endswith('"') else None
    if mark is None:
        return None
    return SyntaxFault(
        f"{describe_character(mark[0][0])}, does not close the text", mark.start(), 1, 'write `"` instead'
    )


# --- numbers ---------------------------------------------------------------------------------------------


def _number(text: str, at: int, message: str) -> SyntaxFault | None:
    """Return what is wrong with a number, if one is at `at`. The decoder may have read a part of it."""
    if not message.startswith(("Expecting ',' delimiter", "Expecting value", "Extra data")):
        return None
    start = at
    while start and text[start - 1] in "0123456789.xXeE_+-" and at - start < _MAX_NUMBER_CHARS:
        start -= 1
    word = _WORD.match(text, start)
    number = word[0] if word and word.end() - start <= _MAX_NUMBER_CHARS else ""
    if not re.match(r"[+-]?\.?[0-9]", number) or start + len(number) <= at or _NUMBER.fullmatch(number):
        return None
    before = _KEY_BEFORE.search(text[max(0, start - 200) : start])
    problem, help_ = _about_number(number, before[1] if before else "")
    return SyntaxFault(problem, start, len(number), help_)


def _about_number(number: str, key: str) -> tuple[str, str]:
    sign, digits = ("-" if number[0] == "-" else "", number.lstrip("+-"))
    text = f'`"{truncate(number)}"`'
    if re.fullmatch(r"0[0-9]+", digits):
        plain = "" if key == "umask" else f"`{sign}{digits.lstrip('0') or 0}`, or "
        return "a number cannot begin with 0", f"write {plain}{text}{' as text' if plain else ''}"
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}|0[oO][0-7]{1,20}|0[bB][01]{1,60}", digits):
        return f"`{truncate(number)}` is not a number of JSON", f"write `{sign}{int(digits, 0)}`"
    if re.fullmatch(r"[0-9]+(_[0-9]+)+", digits):
        return "a number has no `_` in it", f"write `{sign}{digits.replace('_', '')}`"
    if re.fullmatch(r"[0-9]*\.[0-9]*", digits) and digits != ".":
        whole, _, part = digits.partition(".")
        return (
            "a number has a digit on both sides of its point",
            f"write `{sign}{whole or 0}{'.' + part if part else ''}`",
        )
    if number[0] == "+":
        return "a number has no plus sign", f"write `{truncate(digits)}`"
    return f"`{truncate(number)}` is not a number", f"write {text}"


# --- words and marks ---------------------------------------------------------------------------------------


def _word(text: str, at: int, message: str) -> SyntaxFault:
    """Return what is wrong with the word, mark or text at `at`, by the decoder's `message`."""
    following, before = text[at:], text[:at].rstrip(_BLANKS)
    token = TOKEN.match(following)
    word = truncate(token[0] if token else following[:1], MAX_WORD_CHARS)
    if following.startswith(("//", "/*", "#")):
        return SyntaxFault(
            "JSON has no comments", at, len(following.splitlines()[0]), "put the remark into `description`"
        )
    if before.endswith(",") and following[0] in "}]":
        return SyntaxFault(
            f"a comma with nothing after it before `{following[0]}`", len(before) - 1, 1, "remove the comma"
        )
    if following.startswith("'"):
        return SyntaxFault("text is written in double quotes", at, 1, "write `\"` instead of `'`")
    if word in _WORDS or word.lower() in _WORDS:
        return SyntaxFault(
            f"`{word}` is not JSON", at, len(word), f"write `{_WORDS.get(word) or _WORDS[word.lower()]}`"
        )
    if message.startswith("Invalid control"):
        return SyntaxFault(
            "a line break or control character inside quoted text", at, 1, r"write `\n` for a line break"
        )
    if "escape" in message:
        return SyntaxFault("a backslash that does not begin an escape", at, 2, r"write `\\` for a backslash")
    return _expected(text, at, message, word)


def _expected(text: str, at: int, message: str, word: str) -> SyntaxFault:
    """Return what was expected at `at`."""
    bare = f'write `"{word}"`' if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,38}", word) else None
    if message.startswith("Expecting property name"):
        return SyntaxFault(f"expected a key in double quotes, found `{word}`", at, len(word), bare)
    if message.startswith("Expecting ',' delimiter"):
        help_ = "write `,` instead" if word[0] == ";" else "is a comma missing before it?"
        return SyntaxFault(f"expected `,` or a closing bracket, found `{word}`", at, 1, help_)
    if message.startswith("Expecting ':' delimiter"):
        return SyntaxFault(
            f"expected `:` after the key, found `{word}`", at, 1, "write `:`" if word[0] == "=" else None
        )
    return SyntaxFault(f"expected a value, found `{word}`", at, len(word), bare)
