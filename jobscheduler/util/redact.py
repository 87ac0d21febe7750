"""Redact secrets in a value of JSON, wherever they stand in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

_MIN_SECRET_CHARS = 4  # characters; a shorter secret is only redacted where it is the whole value


def redacted(value: Any, secrets: Collection[str], replacement: str) -> Any:
    """Return a copy of `value` in which `blot` stands in the place of each secret; keys stay as they are."""
    return _redacted(value, sorted(secrets, key=len, reverse=True), replacement)  # one secret may be a part of another


def _redacted(value: Any, secrets: list[str], blot: str) -> Any:
    if isinstance(value, dict):
        return {key: _redacted(one, secrets, blot) for key, one in value.items()}
    if isinstance(value, list):
        return [_redacted(one, secrets, blot) for one in value]
    if not isinstance(value, str):
        return value
    if value in secrets:
        return blot
    for secret in secrets:
        if len(secret) >= _MIN_SECRET_CHARS:
            value = value.replace(secret, blot)
    return value
