"""Secrets are redacted wherever they stand in a value."""

from __future__ import annotations

import time

import pytest

from jobscheduler.util.redact import mask_secrets, redacted
from jobscheduler.util.text_location import location_at


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
        (r'"to": "slack:\/\/T1\/A1\"x"', r'"to": "slack:\/\/**\***\**"'),
        ("to = 'ntfy://host/topic' # x", "to = 'ntfy://**********' # x"),
        ('"url": "https://me:pw@host/p?token=x&y=1"', '"url": "https://*****@host/p?***********"'),
        ('"Authorization": "Bearer abcdefgh", "a": 1', '"Authorization": "***************", "a": 1'),
        ('"X-Auth": "Bearer abcdefgh"', '"X-Auth": "Bearer ********"'),
        ('"env": {"DB_PASSWORD": "a b\\"c", "B": "x"', '"env": {"DB_PASSWORD": "***\\**", "B": "x"'),
        ("DB_PASSWORD = 'a b', B = 'x'", "DB_PASSWORD = '***', B = 'x'"),
        ('"password": "cut off', '"password": "*******'),
        ('"pass_env": ["A"], "password_file": "/x"', '"pass_env": ["A"], "password_file": "/x"'),
        ('"API_TOKEN": tok, "B": 1', '"API_TOKEN": ***, "B": 1'),
        ('"API_TOKEN": ["a", "b"], "B": 1', '"API_TOKEN": [********], "B": 1'),
        ('"secrets": {"a": "b"}, "B": 1', '"secrets": {********}, "B": 1'),
        ('"PASSWORD": "ab"cd", "B": 1', '"PASSWORD": "******, "B": 1'),
        ('"command": "PGPASSWORD=pw psql"', '"command": "PGPASSWORD=** psql"'),
        ('"command": "x --password pw -v"', '"command": "x --password ** -v"'),
        ('["x", "--password", "pw"]', '["x", "--password", "**"]'),
        ('"command": "curl -u me:pw https://host"', '"command": "curl -u me:** https://host"'),
        ('["curl", "--user", "me:pw"]', '["curl", "--user", "me:**"]'),
        ('"command": "docker run -u 1000:1000 x"', '"command": "docker run -u 1000:1000 x"'),
        ('"command": "rsync -u host:/srv /srv"', '"command": "rsync -u host:/srv /srv"'),
        ("root:$y$j9T$abc./def$ghi:20228:0", "root:$y$****************:20228:0"),
        ('"url": "https://host/path"', '"url": "https://host/path"'),
        ('"schedule": "0 1 * * *"', '"schedule": "0 1 * * *"'),
    ],
)
def test_a_secret_is_masked_in_a_line_that_is_shown(line: str, shown: str) -> None:
    """Character by character, so that a caret below it stays where it is; that of a page stays as it is."""
    assert len(mask_secrets(line)) == len(line)
    assert mask_secrets(line) == shown


@pytest.mark.parametrize(
    "secret", ['"to": "slack://T1/s3cr3t/s3cr3t"', '"Authorization": "Bearer s3cr3t-s3cr3t"', '"API_TOKEN": "s3cr3t"']
)
def test_a_secret_that_begins_before_the_excerpt_is_masked_too(secret: str) -> None:
    """The line is cut after it was masked: half of an address does not look like one."""
    for padding in range(120):
        text = "{" + secret + " " * padding + ', "schedle": 1}' + " " * 100
        at = text.index("schedle")
        found = location_at(text, at, 7)
        assert "s3cr3t" not in found.excerpt
        assert (found.column, found.excerpt[found.caret : found.caret + 7]) == (at + 1, "schedle")


def test_a_secret_on_the_line_after_its_name_is_masked_too() -> None:
    """The line alone does not say what it is."""
    text = '{"API_TOKEN":\n  "s3cr3t" x}'
    assert location_at(text, text.index("x}")).excerpt == '  "******" x}'


@pytest.mark.parametrize(
    "part",
    [
        "a.",
        "token=[",
        "token={",
        '"token":"',
        "--token ",
        "-u a:",
        "$6$",
        "a=",
        "a:",
        "https://",
        "https://a?",
        '"a":"',
        "password='",
        "x://\\",
        "  ",
    ],
)
def test_a_long_line_is_masked_in_time_that_grows_with_its_length(part: str) -> None:
    """Whatever it is made of: the service reads files that others may have written."""
    began = time.process_time()
    location_at(part * 100_000, len(part) * 99_000)
    assert time.process_time() - began < 1
