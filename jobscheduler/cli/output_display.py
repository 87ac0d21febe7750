"""Show what runs print: the output on standard output, made harmless, and all about it on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from jobscheduler.cli.table import colourize, use_colour
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_with_zone
from jobscheduler.util.terminal_text import TerminalText, printable
from jobscheduler.util.text import plural

_RESULT_KEYS = ("reason", "exit_code", "signal", "http_status", "error")  # of a record, shown after its status


class Display(Protocol):
    """Shows the output of a run in the order in which it was printed."""

    def begin(self, job_id: str, run_id: str, attempt: int) -> None:
        """Begin the output of an attempt."""

    def add(self, text: str, missing: int) -> None:
        """Show text of it, which has bytes that are not UTF-8 as half surrogates, after so many missing bytes."""

    def end(self) -> None:
        """End the output of an attempt."""

    def elsewhere(self, node: str) -> None:
        """Say that the run was on another node of the cluster, which has all of its output."""

    def finish(self, record: Mapping[str, Any] | None) -> None:
        """Show how the run ended."""


class TextDisplay:
    """Writes the output as text. With `raw` its bytes are written as they are, which a terminal may obey."""

    def __init__(self, *, raw: bool, headings: bool) -> None:
        """With `headings` each attempt has one."""
        self._raw = raw
        self._headings = headings
        self._cleaner = TerminalText(colours=use_colour(sys.stdout))
        self._last = "\n"

    def begin(self, job_id: str, run_id: str, attempt: int) -> None:
        """Write a heading to standard error."""
        if self._headings:
            self.note(f"== {job_id}, run {run_id}, attempt {attempt}")

    def note(self, text: str) -> None:
        """Write a line to standard error, behind what was written before."""
        sys.stdout.flush()
        print_wrapped(printable(text), sys.stderr)
        sys.stderr.flush()

    def add(self, text: str, missing: int) -> None:
        """Write text, and to standard error what is missing before it."""
        if missing:
            self._note_missing(missing)
        self._write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()

    def end(self) -> None:
        """Write what is left of a character or of a colour, and end the last line."""
        if not self._raw:
            self._write_text(self._cleaner.end())
            if not self._last.endswith("\n"):
                self._write_text("\n")
        sys.stdout.flush()

    def elsewhere(self, node: str) -> None:
        """Write a note to standard error."""
        self.note(elsewhere_text(node))

    def finish(self, record: Mapping[str, Any] | None) -> None:
        """Write how the run ended to standard error."""
        sys.stdout.flush()
        if record is not None:
            print(result_line(record), file=sys.stderr)

    def _note_missing(self, count: int) -> None:
        """End the line whose rest is missing, unless the bytes are to stay as they are, and say what is missing."""
        if not self._last.endswith("\n"):
            if not self._raw:
                self._write(b"\n")
            elif sys.stdout.isatty():
                print(file=sys.stderr)
        self.note(f"[... {plural(count, 'byte')} left out ...]")

    def _write(self, data: bytes) -> None:
        if self._raw:
            sys.stdout.buffer.write(data)
            self._last = data[-1:].decode("latin-1") or self._last
        else:
            self._write_text(self._cleaner.add(data))

    def _write_text(self, text: str) -> None:
        sys.stdout.write(text)
        self._last = text[-1:] or self._last


class JsonDisplay:
    """Writes one JSON object for each part of an output, and one for the end of the run."""

    def __init__(self) -> None:
        self._identity: dict[str, Any] = {}

    def begin(self, job_id: str, run_id: str, attempt: int) -> None:
        """Note which attempt the next parts belong to."""
        self._identity = {"job_id": job_id, "run_id": run_id, "attempt": attempt}

    def add(self, text: str, missing: int) -> None:
        """Write one part."""
        print(json.dumps({**self._identity, "missing": missing, "output": readable(text)}), flush=True)

    def end(self) -> None:
        """End an attempt; nothing is to be written."""

    def elsewhere(self, node: str) -> None:
        """Note the node; the record has it."""

    def finish(self, record: Mapping[str, Any] | None) -> None:
        """Write the record."""
        print(json.dumps({**self._identity, "record": record}), flush=True)


def elsewhere_text(node: str) -> str:
    """Return where the output of a run on another node is."""
    return f"note: it ran on node {node}, which has all of its output: `jobscheduler output` there shows it"


def readable(text: str) -> str:
    """Return text with its bytes that are not UTF-8 spelled out."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def result_line(record: Mapping[str, Any]) -> str:
    """Return how a run ended, on one line, in colour on a terminal."""
    colour = "green" if record["status"] == "SUCCESS" else "red"
    word = colourize(record["status"], colour if use_colour(sys.stderr) else None)
    details = "".join(f" {key}={printable(str(record[key]))}" for key in _RESULT_KEYS if record.get(key) is not None)
    duration = record.get("duration")
    after = "" if duration is None else f" after {format_compact_duration(float(duration))}"
    return f"{word}{after}{details}"


def attempt_line(attempt: Mapping[str, Any]) -> str:
    """Return what is known of an attempt beside its output: when it ran, and how much is missing."""
    began = format_with_zone(datetime.fromisoformat(attempt["began"]))
    ended = "" if attempt["ended"] or attempt["is_running"] else ", its end is not known"
    missing = f", {plural(attempt['missing'], 'byte')} left out" if attempt["missing"] else ""
    running = ", still running" if attempt["is_running"] else ""
    return f"began {began}{running}{ended}, printed {plural(attempt['total'], 'byte')}{missing}"
