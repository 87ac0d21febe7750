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
_NAME = re.compile(r"(?<![\w.-])([\w.-]{1,128})[\"']?\s{0,20}[:=]\s{0,20}")
_VALUE = re.compile(
    r"\"(?:[^\"\\]|\\.)*(?:\"(?![\s,}\]:]|$)[^,}\]\n]*)?"  # a quote inside it may have been left unescaped
    r"|'[^']*|\[[^\]]*|\{[^}]*|[^\s,{}\[\]\"']+"  # quoted otherwise, several values, or without quotes
)
# In a command: `--password x`, `curl -u name:x`, the words of a list too; and what a host keeps of a password.
_OPTION = re.compile(r"((?<![\w.-])--([A-Za-z][\w.-]{0,60})(?:\s{1,20}|\"\s{0,20},\s{0,20}\"))([^\s\"'$`-][^\s\"']*)")
USER_AND_PASSWORD = re.compile(  # a password has more than digits: two numbers are ids of a user and a group
    r"((?:(?<![\w-])-[uU]|--(?:proxy-)?user)[\s\"',=]{0,20}[^\s\"':/@$]{1,100}:)(?!/)([^\s\"']*[^\s\"'0-9][^\s\"']*)"
)
_HASH = re.compile(r"(\$(?:\d\w?|y|gy|7)\$)([A-Za-z0-9./$=,-]{8,})")
_MIN_SECRET_CHARS = 4  # a shorter secret is redacted only where it is the whole value


def mask_secrets(line: str) -> str:
    """Return a line of a file with stars in the place of what looks like a secret, character by character.

    That is what follows the schema in the address of a receiver (who knows it can write to it), user and query in that
    of a page, and the value of a field or an option whose name says so. A backslash stays, so that escapes can still be
    counted, and so do line breaks.
    """
    for pattern in (*_SECRETS, USER_AND_PASSWORD, _HASH):
        line = pattern.sub(lambda match: match[1] + _stars(match[2]), line)
    line = _OPTION.sub(lambda match: match[1] + _stars(match[3]) if SECRET_NAME.search(match[2]) else match[0], line)
    return _mask_named(line)


def _mask_named(line: str) -> str:
    """Mask the values of fields and variables. The value of another field is looked through: it may be a command."""
    shown, end = [], 0
    for name in _NAME.finditer(line):
        value = _VALUE.match(line, name.end()) if name.start() >= end and SECRET_NAME.search(name[1]) else None
        if value is not None:
            mark = value[0][:1] if value[0][:1] in "\"'[{" else ""
            shown += [line[end : name.end()], mark, _stars(value[0][len(mark) :])]
            end = value.end()
    return "".join(shown) + line[end:]


def _stars(secret: str) -> str:
    return "".join(char if char in "\\\r\n" else "*" for char in secret)


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
