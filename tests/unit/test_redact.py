"""Secrets are redacted wherever they stand in a value."""

from __future__ import annotations

import pytest

from jobscheduler.util.redact import mask_addresses, redacted


def test_a_secret_that_contains_another_is_redacted_completely() -> None:
    """The longer one is replaced first, in whatever order they come."""
    for secrets in (["pass", "password"], ["password", "pass"]):
        assert redacted({"a": ["x password y"], "n": 1}, secrets, "***") == {"a": ["x *** y"], "n": 1}


def test_a_short_secret_is_redacted_only_as_a_whole_value() -> None:
    """Otherwise every `a` of a text would be replaced."""
    assert redacted(["abc", "abcd"], ["abc"], "***") == ["***", "abcd"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('"to": ["slack://T1/A1/tok", "x"]', '"to": ["slack://*********", "x"]'),
        ('"to": "mailtos://me:pw@host"', '"to": "mailtos://**********"'),
        ('"url": "https://host/path"', '"url": "https://host/path"'),
        ('"schedule": "0 1 * * *"', '"schedule": "0 1 * * *"'),
    ],
)
def test_the_address_of_a_receiver_is_masked_in_a_line_that_is_shown(line: str, shown: str) -> None:
    """Character by character, so that a caret below it stays where it is; that of a page stays as it is."""
    assert mask_addresses(line) == shown
