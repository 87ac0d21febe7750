"""Redact secrets in a JSON value."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

_ADDRESS = re.compile(r"\b(?!https?://|file://)([A-Za-z][A-Za-z0-9+.-]*://)([^\s\"\\]+)")  # not that of a page or file
_MIN_SECRET_CHARS = 4  # a shorter secret is redacted only where it is the whole value


def mask_addresses(line: str) -> str:
    """Return a line of a file with stars in the place of what follows the schema of an address, character by character.

    Such an address of a receiver is a secret as a whole: who knows it can write to it.
    """
    return _ADDRESS.sub(lambda match: match[1] + "*" * len(match[2]), line)


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
