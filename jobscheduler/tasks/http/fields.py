"""Define and check the fields of `http_request`: the schema, and errors that a schema cannot express."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, quote, quote_plus, unquote, unquote_plus, urlsplit

from jobscheduler.tasks.base import FieldError
from jobscheduler.util import durations
from jobscheduler.util.characters import describe_character, has_half_pair, invisible_characters

TIMEOUT = 60.0  # seconds for the whole request, unless the job sets it

# JSON Schema 2020-12 of the fields, without `type`.
SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "http_request",
        "description": "Makes one HTTP request; an expected status is success.",
        "type": "object",
        "required": ["url"],
        "additionalProperties": False,
        "properties": {
            "url": {
                "description": "The address, with `http://` or `https://`. A user and password in it become an "
                "`Authorization` header.",
                "type": "string",
                "examples": ["https://example.org/hooks/nightly"],
            },
            "method": {
                "description": "The method, in capitals.",
                "type": "string",
                "default": "GET",
                "examples": ["POST", "PUT"],
            },
            "headers": {
                "description": "Headers to send. Their values are never logged.",
                "type": "object",
                "additionalProperties": {"type": "string"},
                "examples": [{"Authorization": "Bearer 0123456789"}],
            },
            "body": {
                "description": "Text to send, in UTF-8. Not together with `json`.",
                "type": "string",
                "examples": ["state=done"],
            },
            "json": {
                "description": "A value to send as JSON, with its content type. Not together with `body`.",
                "examples": [{"state": "done"}],
            },
            "expected_status": {
                "description": "The status, or the list of them, that means success. Without it: 200 to 299.",
                "oneOf": [
                    {"type": "integer", "minimum": 100, "maximum": 599},
                    {
                        "type": "array",
                        "minItems": 1,
                        "uniqueItems": True,
                        "items": {"type": "integer", "minimum": 100, "maximum": 599},
                    },
                ],
                "examples": [204, [200, 409]],
            },
            "timeout": {
                "description": "How long the whole request may take: seconds, or text such as `90s`.",
                "type": ["number", "string"],
                "default": TIMEOUT,
                "examples": [10, "2m"],
            },
            "verify": {
                "description": "Path of a file of certificates to trust in place of the host's; false trusts any.",
                "type": ["boolean", "string"],
                "default": True,
                "examples": ["/etc/ssl/example-ca.pem"],
            },
            "follow_redirects": {
                "description": "Whether to follow redirects, up to ten times. Headers of the job are "
                "not sent to another server.",
                "type": "boolean",
                "default": False,
                "examples": [True],
            },
        },
    }
)

_METHOD = re.compile(r"[A-Z]{1,32}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_SPACE = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")
_OURS = ("content-length", "transfer-encoding", "connection")
_MAX_TIMEOUT_S = 86400.0
_KEY = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z]).{8,}|.{16,}")  # a part of a path that may be a key, unlike any word


def check_fields(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield the errors in fields that fit the schema."""
    yield from _about_url(fields["url"])
    if not _METHOD.fullmatch(fields.get("method", "GET")):
        yield FieldError(("method",), f"`{fields['method']}` is not a method", "write one such as GET or POST")
    for name, value in fields.get("headers", {}).items():
        yield from _about_header(name, value)
    yield from _about_timeout(fields.get("timeout", TIMEOUT))
    verify = fields.get("verify", True)
    if isinstance(verify, str) and (not verify.startswith("/") or "\0" in verify):
        yield FieldError(("verify",), f"`{verify}` is not an absolute path", "write the path from `/` on")
    if "body" in fields and "json" in fields:  # the schema could check this, too, but without a readable message
        yield FieldError(("json",), "`json` and `body` exclude each other", "drop one of them")
    for name in ("body", "json"):
        if _has_half_pair(fields.get(name)):
            yield FieldError((name,), "half a surrogate pair is not a character", "write both halves")


def _about_url(url: str) -> Iterator[FieldError]:
    """Yield errors without the text of the URL, because it may hold a password."""
    where = ("url",)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        yield FieldError(where, "this is not a URL: its host or its port cannot be read")
        return
    if odd := next(invisible_characters(url), None):
        yield FieldError(where, f"{describe_character(odd)}, cannot be in a URL", "delete it")
    elif _SPACE.search(url):
        yield FieldError(where, "a URL holds no blanks and no control characters", "write %20 for a blank")
    elif parts.scheme not in ("http", "https"):
        yield FieldError(where, "the URL does not start with http:// or https://")
    elif not parts.hostname or port == 0:
        yield FieldError(where, "the URL names no server")
    elif not parts.hostname.isascii():
        yield FieldError(where, "the name of the server is not ASCII", "write its `xn--` form")
    elif not is_valid_host(parts.hostname):
        yield FieldError(where, "the name of the server has an empty part, or one of more than 63 characters")


def percent_encode(part: str) -> str:
    """Return a part of a URL as it is sent, with invalid characters percent-encoded."""
    return quote(part, safe="%/:=&?~+!$,;'@()*[]", errors="replace")


def url_secrets(url: SplitResult) -> Iterator[str]:
    """Yield the secret parts of a URL in each form that a server may repeat: as written, as sent, and decoded.

    Of the path these are the parts that look like a key, as in the addresses of web hooks.
    """
    values = [value for part in re.split("[&;]", url.query) for value in (part, part.partition("=")[2])]
    steps = [step for step in url.path.split("/") if _KEY.fullmatch(step)]
    for text in (url.password or "", url.username or "", url.query, *values, *steps):
        plain, form = unquote(text), unquote_plus(text)
        yield from (text, percent_encode(text), plain, form, quote(plain, safe=""), quote_plus(form))


def is_valid_host(name: str) -> bool:
    """Return whether the resolver accepts the name. For an invalid one it raises `ValueError`, not `OSError`."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return not _SPACE.search(name)


def _about_header(name: str, value: str) -> Iterator[FieldError]:
    where = ("headers", name)
    if not _HEADER.fullmatch(name):
        yield FieldError(where, f"`{name}` cannot be the name of a header")
    elif name.lower() in _OURS:
        yield FieldError(where, f"`{name}` is set by the scheduler", "drop it")
    if not _VALUE.fullmatch(value):
        yield FieldError(where, "the value holds characters that a header cannot carry")


def _about_timeout(timeout: float | str) -> Iterator[FieldError]:
    try:
        if not 0 < durations.parse_duration(timeout) <= _MAX_TIMEOUT_S:
            yield FieldError(("timeout",), f"`{timeout}` is not more than 0 and at most a day")
    except ValueError as error:
        yield FieldError(("timeout",), str(error), durations.HELP)


def _has_half_pair(value: Any) -> bool:
    if isinstance(value, str):
        return has_half_pair(value)
    if isinstance(value, Mapping):
        return any(map(_has_half_pair, (*value.keys(), *value.values())))
    return isinstance(value, list) and any(map(_has_half_pair, value))
