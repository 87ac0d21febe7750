"""The task type `notify`: send a message to people. Needs the extra `notify`, the library Apprise.

The message is sent by a program of its own (`send.py`), which is ended at the time limit whatever a receiver does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from jobscheduler.tasks.base import FieldError, Outcome, Task, TaskFailed
from jobscheduler.tasks.command.task import ExecuteCommand
from jobscheduler.tasks.context import Context
from jobscheduler.tasks.notify import library, template
from jobscheduler.tasks.notify.fields import SCHEMA, TIMEOUT_S, check_fields, receivers, unusable_receivers
from jobscheduler.util.durations import parse_duration
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.secret_file import SecretFileError

PROGRAM = Path(__file__).with_name("send.py")

_ENVIRONMENT = {"pass_env": ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"]}
_KINDS = {"failure": "failure", "overdue": "failure", "reminder": "failure", "recovery": "success", "test": "info"}
_MIN_SECRET_CHARS = 4  # shorter secrets are not redacted in an answer

Result = Mapping[str, Any]


class Notify(Task):
    """Tells people, through any service that Apprise knows."""

    schema: ClassVar[Mapping[str, Any]] = SCHEMA

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield errors that the schema cannot express. A missing library is none: it stops no job."""
        library.note_need()
        yield from check_fields(fields)

    @classmethod
    def warnings(cls, fields: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield why a message could not be sent now."""
        yield from unusable_receivers(fields)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        given = fields.get("to", ())
        self._urls: Sequence[str] = (given,) if isinstance(given, str) else tuple(given)

    def secrets(self) -> Iterator[str]:
        """Yield every part of the addresses."""
        for url in self._urls:
            yield from library.secret_parts(url)

    def run(self, context: Context) -> Outcome:
        """Send the message to every receiver.

        Raises `TaskFailed` if one did not take it, with the reason of the stop if that came first.
        """
        if not library.is_installed():
            raise TaskFailed(f"the library Apprise is not installed: {library.INSTALL}", reason="start")
        try:
            self._urls = receivers(self.fields)
        except (SecretFileError, CallHung) as error:
            raise TaskFailed(str(error), reason="start") from None
        limit = parse_duration(self.fields.get("timeout", TIMEOUT_S))
        results = self._send({**self._request(context), "timeout": limit}, context)
        return self._outcome(results, context, limit)

    def _request(self, context: Context) -> dict[str, Any]:
        values = template.values_of(context, os.uname().nodename)
        title, body = self.fields.get("title"), self.fields.get("body")
        return {
            "urls": list(self._urls),
            "title": template.default_title(values) if title is None else template.fill(title, values),
            "body": template.default_body(values) if body is None else template.fill(body, values),
            "type": _KINDS.get(values["alert"], "info"),
        }

    def _send(self, request: Mapping[str, Any], context: Context) -> dict[int, Result]:
        """Run the program that sends; return what it says of each receiver, which may lack some."""
        command = ExecuteCommand(
            {"command": [sys.executable, "-I", str(PROGRAM)], "cwd": "/", "stdin": json.dumps(request), **_ENVIRONMENT}
        )
        try:
            outcome = command.run(context)
        except TaskFailed as failed:
            if failed.reason == "start":
                raise
            outcome = failed.outcome
        results, rest = _results(outcome.output)
        if context.stop_requested:
            return results
        if signal := dict(outcome.details).get("signal"):
            killed = {"ok": False, "error": f"the process that sends it was ended by {signal}"}
            return {**dict.fromkeys(range(len(self._urls)), killed), **results}
        if not results and rest:
            raise TaskFailed(f"the message could not be sent: {rest[-1]}", reason="start")
        return results

    def _outcome(self, results: Mapping[int, Result], context: Context, limit: float) -> Outcome:
        """Return the outcome when all have taken the message."""
        missing = {"error": f"the receiver did not take it within {limit:g} s"}
        failed = [number for number in range(len(self._urls)) if not results.get(number, {}).get("ok")]
        details: list[tuple[str, Any]] = [("receivers", len(self._urls))]
        details += [("http_status", result["status"]) for result in results.values() if result.get("status")][:1]
        answers = "\n".join(str(result["answer"]) for result in results.values() if result.get("answer"))
        outcome = Outcome(tuple(details), self._redact(answers).encode())
        if failed:
            errors = [f"{self._name(number)}: {results.get(number, missing)['error']}" for number in failed]
            reason = context.reason if context.stop_requested and context.reason else "task"
            raise TaskFailed(self._redact("; ".join(errors)), reason=reason, outcome=outcome)
        return outcome

    def _name(self, number: int) -> str:
        """Return how a receiver is called in a message: by its kind, and its number if there are several."""
        schema = library.schema_of(self._urls[number]) or "?"
        return schema if len(self._urls) == 1 else f"{schema} ({number + 1} of {len(self._urls)})"

    def _redact(self, text: str) -> str:
        for secret in sorted(set(self.secrets()), key=len, reverse=True):
            if len(secret) >= _MIN_SECRET_CHARS:
                text = text.replace(secret, "[secret]")
        return text


def _results(output: bytes) -> tuple[dict[int, Result], list[str]]:
    """Return the results that the program has written, by receiver, and its other lines."""
    results, rest = {}, []
    for line in output.decode("utf-8", "replace").splitlines():
        try:
            result = json.loads(line)
            results[int(result["number"])] = result
        except (ValueError, KeyError, TypeError):
            rest.append(line)
    return results, rest
