"""Redact secrets in a JSON value."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

# Of a field or variable whose value is a secret.
SECRET_NAME = re.compile(
    r"(pass(word|wd|phrase)?$|pw$|pwd$|secret|token|(api|access)[-_]?key|credential|authorization|cookie)"
    r"(?!.*[-_](file|path|dir|directory)$)",  # such a name says where the secret is
    re.I,
)
_IN_TEXT = r"(?:[^\s\"'\\]|\\.)"  # what stands between quotes without a blank; JSON may write `/` as `\/`
_SLASHES = r":(?:\\?/){2}"
# In a line: what comes before a secret, and the secret. The lengths are bounded, as a line may have a megabyte.
_SECRETS = (
    re.compile(rf"(\b(?!https?:|file:)[A-Za-z][A-Za-z0-9+.-]{{0,40}}{_SLASHES})({_IN_TEXT}+)"),  # not a page or file
    re.compile(rf"(\bhttps?{_SLASHES})((?:[^\s\"'\\/@?]|\\[^/])+)(?=@)"),  # the user of a page
    re.compile(rf"(\bhttps?{_SLASHES}[^\s\"'?]{{0,2000}}\?)({_IN_TEXT}+)"),  # the query of a page
    re.compile(r"(\b(?:Bearer|Basic) +)([A-Za-z0-9._~+/=-]{8,})"),
)
_NAMED = re.compile(r"((?<![\w.-])([\w.-]{1,128})[\"']?\s{0,20}[:=]\s{0,20})(\"(?:[^\"\\]|\\.)*|'[^']*)")
_MIN_SECRET_CHARS = 4  # a shorter secret is redacted only where it is the whole value


def mask_secrets(line: str) -> str:
    """Return a line of a file with stars in the place of what looks like a secret, character by character.

    That is what follows the schema in the address of a receiver (who knows it can write to it), user and query in that
    of a page, and the value of a field whose name says so. A backslash stays, so that escapes can still be counted.
    """
    for pattern in _SECRETS:
        line = pattern.sub(lambda match: match[1] + _stars(match[2]), line)
    return _NAMED.sub(_named, line)


def _named(match: re.Match[str]) -> str:
    quote, value = match[3][:1], match[3][1:]
    return match[1] + quote + _stars(value) if SECRET_NAME.search(match[2]) else match[0]


def _stars(secret: str) -> str:
    return "".join(char if char == "\\" else "*" for char in secret)


def redacted(value: Any, secrets: Collection[str], replacement: str) -> Any:
    """Return a copy of `value` with each secret replaced. Keys stay as they are."""
    return _redacted(
        value, sorted(secrets, key=len, reverse=True), replacement
    )  # longest first: a secret may be part of another


def _redacted(value: Any, secrets: list[str], replacement: str) -> Any:
    if isinstance(value, dict):
        return {key: _redacted(member, secrets, replacement) for key, member in value.items()}
    if isinstance(value, list):
        return [_redacted(item, secrets, replacement) for item in value]
    if not isinstance(value, str):
        return value
    if value in secrets:
        return replacement
    for secret in secrets:
        if len(secret) >= _MIN_SECRET_CHARS:
            value = value.replace(secret, replacement)
    return value
