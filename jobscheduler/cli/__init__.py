"""Run the command line, one file per verb.

Exit status: 0 fine, 1 problems or a failed run, 2 wrong usage, 3 no service, 70 died.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from jobscheduler import __version__
from jobscheduler.cli.problems import print_problem
from jobscheduler.config import BadSetting, SettingsError
from jobscheduler.control.client import ApiError, ServiceUnreachable
from jobscheduler.model import Problem
from jobscheduler.timetable.timezones import UnknownTimezone

# The module of each verb. It is imported on demand, so that `pause` does not load what `explain` needs.
# It has `SUMMARY`, `EXAMPLES`, `add_arguments(parser)` and `run(arguments) -> exit status`.
VERBS = {
    "serve": "serve",
    "validate": "validate",
    "next": "next",
    "list": "list",
    "history": "history",
    "output": "output",
    "explain": "explain",
    "run": "run",
    "stop": "stop",
    "pause": "pause",
    "resume": "resume",
    "status": "status",
    "config": "config",
    "reload": "reload",
    "db": "db",
}
DEFAULT = "serve"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show `…` must not cause an error
    words = [*(sys.argv[1:] if argv is None else argv)]  # `list` names a module here once that verb was imported
    if not words or (words[0].startswith("-") and words[0] not in {"-h", "--help", "--version"}):
        words.insert(0, DEFAULT)
    return _run(_parser([words[0]] if words[0] in VERBS else VERBS).parse_args(words))


def _run(arguments: argparse.Namespace) -> int:
    """Run the verb that the arguments name; print its error, if any, and return the exit status."""
    try:
        status = int(_module(arguments.verb).run(arguments))
        sys.stdout.flush()
        return status
    except SettingsError as error:
        for problem in error.problems:
            print_problem(problem, sys.stderr)
        return 2 if isinstance(error, BadSetting) else 1
    except UnknownTimezone as unknown:
        print_problem(Problem(str(unknown), help=unknown.help), sys.stderr)
        return 1
    except (ServiceUnreachable, ApiError) as error:
        print_problem(error.problem, sys.stderr)
        return 3 if isinstance(error, ServiceUnreachable) else 1
    except KeyboardInterrupt:
        return 130  # the status that shells use for a program ended by Ctrl-C
    except BrokenPipeError:
        _silence()  # the reader closed the pipe
        return 0
    except OSError as error:
        _silence()
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"jobscheduler: {where}{error.strerror or error}", file=sys.stderr)
        return 1


def _silence() -> None:
    """Discard all further standard output, also at the interpreter's exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _module(verb: str) -> Any:
    return import_module(f"jobscheduler.cli.{VERBS[verb]}")


def _parser(names: Iterable[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jobscheduler",
        description="A job scheduler for Linux hosts: files in, runs out, an honest log.",
        epilog="Without a verb the service runs, as with `serve`. `jobscheduler VERB --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"jobscheduler {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in names:
        module = _module(name)
        verb = verbs.add_parser(
            name,
            help=module.SUMMARY,
            description=f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}.",
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(verb)
    return parser
