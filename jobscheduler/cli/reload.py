"""`reload`: have the service read everything again, and say what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from jobscheduler.cli.client_helpers import add_client_options
from jobscheduler.cli.options import client_settings
from jobscheduler.cli.problems import print_problem
from jobscheduler.control.client import ServiceUnreachable, request
from jobscheduler.model import Problem
from jobscheduler.util.text import plural

EXAMPLES = """examples:
  jobscheduler reload
  jobscheduler reload --json

It waits until the service has read everything, and says what changed, what needs a restart, and what is wrong.
The same as `systemctl reload jobscheduler`, which does not wait.
Exit status: 0 fine, 1 something is wrong with the settings or with a file, 2 wrong usage, 3 service not reachable."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a verb that asks the service."""
    add_client_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Reload, and print what came of it; problems go to standard error."""
    settings = client_settings(arguments, is_silent=True)
    try:
        outcome = request(settings.socket, "POST", "/v1/reload")
    except ServiceUnreachable:
        client_settings(arguments)  # its warnings may tell why
        raise
    problems = [Problem(**problem) for problem in outcome["problems"]]
    status = 1 if problems or outcome["refused"] or outcome.get("stale") else 0
    if arguments.json:
        print(json.dumps(outcome))
        return status
    for problem in problems:
        print_problem(problem, sys.stderr)
    print("\n".join(_summary(outcome)))
    if outcome["applied"]:
        print(f"applied: {', '.join(outcome['applied'])}")
    if zones := outcome.get("zones"):
        print(f"new rules of {', '.join(zones)}: {plural(outcome['moved'], 'job')} with another next slot")
    if outcome["need_restart"]:
        waiting = ", ".join(outcome["need_restart"])
        print(f"need a restart: {waiting}; `{settings.systemctl} restart jobscheduler` applies them")
    return status


def _summary(outcome: Mapping[str, Any]) -> Iterator[str]:
    yield f"reloaded: {plural(outcome['jobs'], 'job')}; zone {outcome['timezone']}"
    refused, stale = outcome["refused"], outcome.get("stale", 0)
    if refused:
        yield f"refused: {plural(refused, 'file')}"
    if stale:
        yield f"stale: {plural(stale, 'file')}, with the last good version in force"
    if refused or stale:
        yield "`jobscheduler validate` says why"
