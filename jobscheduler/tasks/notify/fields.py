"""Define and check the fields of `notify`: the schema, and errors that a schema cannot express."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jobscheduler.model import Problem
from jobscheduler.tasks.base import FieldError
from jobscheduler.tasks.hung_paths import GUARD
from jobscheduler.tasks.notify import library, template
from jobscheduler.util import durations
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.secret_file import SecretFileError, read_closed_file
from jobscheduler.util.text import did_you_mean, quote

TIMEOUT_S = 30.0  # for all receivers together, unless the task sets it
MAX_TIMEOUT_S = 3600.0
MAX_RECEIVERS = 20
MAX_FILE_BYTES = 64 * 1024

_SCHEMA_FORM = re.compile(r"[a-z][a-z0-9.+-]*", re.IGNORECASE)
_KIND = "file with receivers"

# JSON Schema 2020-12 of the fields, without `type`.
SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "notify",
        "description": "Tells people: Slack, Teams, Discord, ntfy, Matrix, mail and whatever else Apprise knows.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "to": {
                "description": "The receiver as an Apprise URL, or a list of them. They are secrets, and never shown.",
                "oneOf": [
                    {"type": "string"},
                    {"type": "array", "minItems": 1, "maxItems": MAX_RECEIVERS, "items": {"type": "string"}},
                ],
                "examples": ["ntfy://ntfy.example.org/jobs", ["slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"]],
            },
            "to_file": {
                "description": "A file with such URLs, one a line, that only the service's user may read.",
                "type": "string",
                "examples": ["/etc/scheduler/receivers"],
            },
            "title": {
                "description": "The title, with fields such as `{job_id}`. Without it: job, what happened, host.",
                "type": "string",
                "examples": ["{job_id} {what} on {host}"],
            },
            "body": {
                "description": "The text, with such fields. Without it: why, since when, how often, the end of the "
                "output, and how to see more.",
                "type": "string",
                "examples": ["exit code {exit_code}\n{output}"],
            },
            "timeout": {
                "description": "How long all receivers together may take: seconds, or text such as `30s`.",
                "type": ["number", "string"],
                "default": TIMEOUT_S,
                "examples": [10, "1m"],
            },
        },
    }
)


def check_fields(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield the errors in fields that fit the schema, which do not depend on a file."""
    if "to" in fields and "to_file" in fields:
        yield FieldError(("to_file",), "`to` and `to_file` exclude each other", "drop one of them")
    elif "to" not in fields and "to_file" not in fields:
        example = "`to`, for example `ntfy://ntfy.example.org/jobs`, or `to_file`"
        yield FieldError((), "no receiver is named", f"add {example}")
    if "to_file" in fields and not fields["to_file"].startswith("/"):
        yield FieldError(("to_file",), f"{quote(fields['to_file'])} is not an absolute path", "write it from `/` on")
    for place, url in _placed_urls(fields):
        yield from errors_of_url(url, place)
    for name in ("title", "body"):
        yield from template.errors_in(name, fields.get(name, ""))
    yield from _about_timeout(fields.get("timeout", TIMEOUT_S))


def _placed_urls(fields: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    given = fields.get("to", ())
    if isinstance(given, str):
        yield ("to",), given
    else:
        yield from ((("to", number), url) for number, url in enumerate(given))


def errors_of_url(url: str, place: tuple[str | int, ...]) -> Iterator[FieldError]:
    """Yield the error of one address, without its text: it is a secret."""
    schema = library.schema_of(url)
    if not _SCHEMA_FORM.fullmatch(schema):
        yield FieldError(place, "this is not a URL of a receiver", "write one such as `ntfy://ntfy.example.org/jobs`")
    elif not library.is_installed():
        return
    elif schema not in library.known_schemas():
        help_ = did_you_mean(schema, library.known_schemas()) or "https://appriseit.com/services/ lists them"
        yield FieldError(place, f"no kind of receiver is called {quote(schema)}", help_)
    elif not library.is_complete(url):
        yield FieldError(place, f"the URL is not complete for `{schema}`", library.form_of(schema))


def receivers(fields: Mapping[str, Any]) -> Sequence[str]:
    """Return the addresses of all receivers.

    Raises:
        SecretFileError: the file cannot be used.
        CallHung: the file does not answer.

    """
    if "to_file" in fields:
        path = fields["to_file"]
        return GUARD.call(f"the {_KIND} `{path}`", partial(_read, path))
    given = fields["to"]
    return (given,) if isinstance(given, str) else tuple(given)


def _read(path: str) -> Sequence[str]:
    make = f"make it with `install -D -m 600 /dev/null {shlex.quote(path)}`, and write a URL into each line"
    raw = read_closed_file(Path(path), _KIND, make, MAX_FILE_BYTES, help_if_large="is it the right file?")
    lines = (line.strip() for line in raw.decode("utf-8", "replace").splitlines())
    urls = [line for line in lines if line and not line.startswith("#")]
    if not 0 < len(urls) <= MAX_RECEIVERS:
        message = f"the {_KIND} `{path}` holds {len(urls)} URLs"
        raise SecretFileError(Problem(message, help=f"write 1 to {MAX_RECEIVERS}, each into a line of its own"))
    return urls


def unusable_receivers(fields: Mapping[str, Any]) -> Iterator[FieldError]:
    """Yield why a run could not send now: the library is missing, or the file with the receivers cannot be used."""
    if not library.is_installed():
        yield FieldError((), "`notify` needs the library Apprise", library.INSTALL, host_dependent=True)
    if "to_file" not in fields:
        return
    place = ("to_file",)
    try:
        urls = receivers(fields)
    except SecretFileError as error:
        yield FieldError(place, error.problem.message, error.problem.help, host_dependent=True)
    except CallHung as hung:
        yield FieldError(place, str(hung), "is its file system mounted, and its server reachable?", True)
    else:
        for number, url in enumerate(urls, 1):
            for found in errors_of_url(url, place):
                yield FieldError(place, f"URL {number} in it: {found.message}", found.help, host_dependent=True)


def _about_timeout(timeout: float | str) -> Iterator[FieldError]:
    try:
        if not 0 < durations.parse_duration(timeout) <= MAX_TIMEOUT_S:
            yield FieldError(("timeout",), f"{quote(str(timeout))} is not more than 0 and at most an hour")
    except ValueError as error:
        yield FieldError(("timeout",), str(error), durations.HELP)
