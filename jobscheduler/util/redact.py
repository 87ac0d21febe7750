"""Redact secrets in a JSON value."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_MIN_SECRET_CHARS = 4  # a shorter secret is redacted only where it is the whole value


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
