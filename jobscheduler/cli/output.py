"""`output`: show what a run has printed, also while it runs. Former runs need no service."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from jobscheduler.cli.client_helpers import api_path
from jobscheduler.cli.options import add_options, client_settings, settings_of_service
from jobscheduler.cli.output_display import (
    Display,
    JsonDisplay,
    TextDisplay,
    attempt_line,
    elsewhere_text,
    readable,
    result_line,
)
from jobscheduler.cli.output_files import OutputUnavailable, StoredRun, stored_run
from jobscheduler.cli.output_follow import follow, show
from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.usage import refuse_both
from jobscheduler.cli.wrapping import print_wrapped
from jobscheduler.control.client import ServiceUnreachable, request
from jobscheduler.model import Problem, StoredAttempt
from jobscheduler.status.snapshot_json import instant

EXAMPLES = """examples:
  jobscheduler output report-001
  jobscheduler output report-001 -f
  jobscheduler output 5f3c2a9d0b1e
  jobscheduler output report-001 --failed
  jobscheduler output --failed
  jobscheduler output report-001 --json | jq -r .output

Without -f it shows the last run of the job, each attempt, and how much of its output is missing: the first and the last
32 KiB are kept. -f shows the output of a run at work as it comes, until the run ends; Ctrl-C ends only that.
If the service ends meanwhile, -f waits up to 15 seconds for the next one, which shows the rest and how the run ended.
--failed passes over runs that were stopped by hand, replaced by the next one, or ended with the service.
The output goes to standard output, all about it to standard error, also how many bytes were left out. Control
characters are spelled out; colours stay on a terminal. --raw writes the bytes as they are, which a terminal may obey.
When no service answers, the output directory and the log are read, as far as this user may.
Exit status: 0 fine, 1 no such run, 2 wrong usage, 3 service not reachable (with -f, also when it has
ended in the middle and has not come back)."""


_ONE_OF_TWO = "leave out one of the two"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job or run and the options."""
    parser.add_argument("name", nargs="?", metavar="JOB|RUN", help="the id of a job, for its last run, or of a run")
    parser.add_argument("-f", "--follow", action="store_true", help="follow the output of a run at work until it ends")
    parser.add_argument("--failed", action="store_true", help="the last failure, of the job or of all jobs")
    parser.add_argument("--raw", action="store_true", help="the bytes as they are: control characters and all")
    parser.add_argument("--json", action="store_true", help="one JSON object for each attempt; with -f for each part")
    add_options(parser, {"socket", "log_file", "log_backups", "output_dir"})


def run(arguments: argparse.Namespace) -> int:
    """Ask the service, or read the files when none answers."""
    _check_usage(arguments)
    try:
        return _of_service(arguments)
    except ServiceUnreachable:
        if arguments.follow:
            raise
    try:
        stored = stored_run(settings_of_service(arguments, {"log_file"}), arguments.name or "", failed=arguments.failed)
    except OutputUnavailable as reason:
        print_problem(reason.problem, sys.stderr)
        return 1
    return _of_files(arguments, stored)


def _check_usage(arguments: argparse.Namespace) -> None:
    """Refuse what does not go together.

    Raises:
        ArgumentProblem: no run is named, or two options exclude each other.

    """
    if not arguments.name and not arguments.failed:
        help_ = "name a job or a run, or write `--failed` for the last failure of all jobs"
        raise ArgumentProblem(Problem("`jobscheduler output` needs JOB|RUN", help=help_))
    if arguments.follow and arguments.failed:
        note = "`--failed` is about a former run, which cannot be followed"
        raise ArgumentProblem(Problem("`--failed` and `--follow` exclude each other", notes=(note,), help=_ONE_OF_TWO))
    if arguments.raw and arguments.json:
        refuse_both("--raw", "--json")


def _display(arguments: argparse.Namespace) -> Display:
    return JsonDisplay() if arguments.json else TextDisplay(raw=arguments.raw, headings=True)


# -- from the service


def _of_service(arguments: argparse.Namespace) -> int:
    socket = client_settings(arguments).socket
    query = f"of={quote(arguments.name or '', safe='')}" + ("&failed=1" if arguments.failed else "")
    found = request(socket, "GET", f"{api_path('output')}?{query}")
    if arguments.follow and found["state"] != "ended":
        return _follow(arguments, found)
    collected = []
    for attempt in found["attempts"]:
        if arguments.json:
            parts = _Collected()
            show(socket, found, attempt, parts)
            collected.append({**_identity(found), **attempt, "output": parts.text})
        else:
            display = TextDisplay(raw=arguments.raw, headings=False)
            _head(display, found, attempt)
            show(socket, found, attempt, display)
    _print_end(arguments, found, collected, has_output=bool(found["attempts"]))
    return 0


def _follow(arguments: argparse.Namespace, found: Mapping[str, Any]) -> int:
    display = _display(arguments)
    try:
        display.finish(follow(client_settings(arguments).socket, found["run_id"], display))
    except KeyboardInterrupt:
        print("\nnot followed any more; the run goes on", file=sys.stderr)
        return 130
    return 0


class _Collected:
    """Collects an output as text, with a note about what is missing."""

    def __init__(self) -> None:
        self.text = ""

    def begin(self, job_id: str, run_id: str, attempt: int) -> None:
        """Begin an attempt; nothing is to be collected."""

    def add(self, text: str, missing: int) -> None:
        """Collect one part."""
        self.text += (f"\n[... {missing} bytes left out ...]\n" if missing else "") + readable(text)

    def end(self) -> None:
        """End an attempt; nothing is to be collected."""

    def elsewhere(self, node: str) -> None:
        """Say where the run was; nothing is to be collected."""

    def finish(self, record: Mapping[str, Any] | None) -> None:
        """End the run; nothing is to be collected."""


# -- from files


def _of_files(arguments: argparse.Namespace, stored: StoredRun) -> int:
    found = {
        "job_id": stored.place.job_id,
        "run_id": stored.place.run_id,
        "state": "ended",
        "record": None if stored.record is None else stored.record.object,
    }
    collected = []
    for attempt in stored.attempts:
        described = _described(attempt)
        if arguments.json:
            output = attempt.kept.text.decode("utf-8", "backslashreplace")
            collected.append({**_identity(found), **described, "output": output})
        else:
            display = TextDisplay(raw=arguments.raw, headings=False)
            _head(display, found, described)
            for part, missing in ((attempt.kept.head, 0), (attempt.kept.tail, attempt.kept.missing)):
                if part or missing:
                    display.add(part.decode("utf-8", "surrogateescape"), missing)
            display.end()
    _print_end(arguments, found, collected, has_output=bool(stored.attempts))
    return 0


def _described(attempt: StoredAttempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "began": instant(attempt.began),
        "ended": instant(attempt.ended),
        "is_running": False,
        "total": attempt.kept.total,
        "missing": attempt.kept.missing,
    }


# -- both


def _head(display: TextDisplay, found: Mapping[str, Any], attempt: Mapping[str, Any]) -> None:
    which = f"== {found['job_id']}, run {found['run_id']}, attempt {attempt['attempt']}"
    display.note(f"{which}: {attempt_line(attempt)}")


def _identity(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"job_id": found["job_id"], "run_id": found["run_id"]}


def _print_end(
    arguments: argparse.Namespace, found: Mapping[str, Any], collected: list[dict[str, Any]], *, has_output: bool
) -> None:
    """Print the collected objects as JSON, or how the run ended and that it printed nothing."""
    if arguments.json:
        nothing = {**_identity(found), "attempt": None, "output": ""}
        for one in collected or [nothing]:
            print(json.dumps(one))
        return
    sys.stdout.flush()
    if found.get("node"):
        print_wrapped(elsewhere_text(found["node"]), sys.stderr)
    elif not has_output:
        print_wrapped(f"{found['job_id']}, run {found['run_id']}: nothing is kept of an output", sys.stderr)
    record = found["record"]
    if record is not None:
        print(result_line(record), file=sys.stderr)
    elif found["state"] != "ended":
        print_wrapped(f"run {found['run_id']} is {found['state']}; `-f` follows it", sys.stderr)
