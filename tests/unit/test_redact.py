"""Secrets are redacted wherever they stand in a value."""

from __future__ import annotations

from jobscheduler.util.redact import redacted


def test_a_secret_that_contains_another_is_redacted_completely() -> None:
    """The longer one is replaced first, in whatever order they come."""
    for secrets in (["pass", "password"], ["password", "pass"]):
        assert redacted({"a": ["x password y"], "n": 1}, secrets, "***") == {"a": ["x *** y"], "n": 1}


def test_a_short_secret_is_redacted_only_as_a_whole_value() -> None:
    """Otherwise every `a` of a text would be replaced."""
    assert redacted(["abc", "abcd"], ["abc"], "***") == ["***", "abcd"]
