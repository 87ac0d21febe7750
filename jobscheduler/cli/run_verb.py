"""Run one verb: read its arguments, call its module, and turn what goes wrong into a message and an exit status."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from jobscheduler.cli.problems import ArgumentProblem, print_problem
from jobscheduler.cli.usage import UsageError, VerbParser
from jobscheduler.cli.verbs import ALIASES, VERBS
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError
from jobscheduler.util.text import nearest, quote

INTERRUPTED = 130  # the status that shells use for a program ended by Ctrl-C


def run_verb(words: Sequence[str], *, is_default: bool = False) -> int:
    """Run the verb that stands first; return the exit status. With `is_default` the user did not name it."""
    _let_streams_show_anything()
    parser = verb_parser(words[0])
    try:
        arguments = _arguments(parser, [*words[1:]], is_default=is_default)
        status = int(_module(words[0]).run(arguments))
        sys.stdout.flush()
        return status
    except UsageError as wrong:
        print_problem(wrong.problem, sys.stderr)
        print(wrong.usage, file=sys.stderr)
        return wrong.exit_status
    except ArgumentProblem as wrong:
        print_problem(wrong.problem, sys.stderr)
        print(parser.usage_line, file=sys.stderr)
        return wrong.exit_status
    except ProblemError as error:
        for problem in _problems_with_start(error) if is_default else error.problems:
            print_problem(problem, sys.stderr)
        if error.exit_status == ArgumentProblem.exit_status:  # a value of a setting: wrong usage as well
            print(parser.usage_line, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MemoryError, RuntimeError) as error:
        return _report_shortage(error)
    except BrokenPipeError:
        discard_output()  # the reader closed the pipe
        return 0
    except OSError as error:
        discard_output()
        where = "" if error.filename is None else f"{error.filename}: "
        print_problem(Problem(f"{where}{error.strerror or error}"), sys.stderr)
        return 1


def _report_shortage(error: MemoryError | RuntimeError) -> int:
    """Report that the host has no memory or no thread left, and return the exit status; raise any other error again."""
    if isinstance(error, RuntimeError) and "start new thread" not in str(error):
        raise error
    what = "memory" if isinstance(error, MemoryError) else "thread or no memory for one"
    help_ = "`ulimit -a` shows the limits of a user, `systemctl show -p TasksMax,MemoryMax UNIT` those of a unit"
    print_problem(Problem(f"this host has no {what} left", help=help_), sys.stderr)
    return 1


def refuse_verb(word: str) -> int:
    """Report a verb that does not exist, with the one that was meant; return the exit status."""
    _let_streams_show_anything()
    known = [name for name in ALIASES.get(word.lower(), ()) if name in VERBS or name.startswith("-")]
    near = known[0] if known else nearest(word, VERBS)
    listed = "`jobscheduler --help` lists the verbs"
    if near is None:
        help_ = listed
    elif near in VERBS:
        help_ = f"`jobscheduler {near}`: {VERBS[near]}" if known else f"did you mean `{near}`? {listed}"
    else:
        help_ = f"`jobscheduler {near}`"
    print_problem(Problem(f"there is no verb {quote(word)}", help=help_), sys.stderr)
    print("usage: jobscheduler [VERB] [OPTIONS]", file=sys.stderr)
    return ArgumentProblem.exit_status


def discard_output() -> None:
    """Discard all further standard output, also at the interpreter's exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _let_streams_show_anything() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show `…` must not cause an error


def _module(verb: str) -> Any:
    return import_module(f"jobscheduler.cli.{verb.replace('-', '_')}")


def verb_parser(verb: str) -> VerbParser:
    """Return the parser of a verb, with all its arguments."""
    module, summary = _module(verb), VERBS[verb]
    parser = VerbParser(
        prog=f"jobscheduler {verb}", description=f"{summary[0].upper()}{summary[1:]}.", epilog=module.EXAMPLES
    )
    module.add_arguments(parser)
    return parser


def _arguments(parser: VerbParser, words: list[str], *, is_default: bool) -> Any:
    """Return the arguments; a wrong one without a verb may be meant for `serve`.

    Raises:
        UsageError: they are wrong.

    """
    try:
        return parser.parse_words(words)
    except UsageError as wrong:
        if is_default and not parser.prog.endswith(" serve") and not verb_parser("serve").parse_known_args(words)[1]:
            help_ = f"to run the service: `jobscheduler serve {' '.join(words)}`"
            raise UsageError(replace(wrong.problem, help=help_), wrong.usage) from None
        raise


def _problems_with_start(error: ProblemError) -> tuple[Problem, ...]:
    """Return the problems of the bare command; without a service they say how to start one."""
    if error.exit_status != 3:
        return error.problems
    start = "to start the service: `systemctl start jobscheduler`, or `jobscheduler serve --user` for one of your own"
    help_ = f"{start}; `jobscheduler --help` lists the verbs"
    return (replace(error.problem, help=f"{error.problem.help}; {help_}" if error.problem.help else help_),)
