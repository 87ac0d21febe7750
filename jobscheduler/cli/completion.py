"""`completion`: print the script by which a shell completes the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from jobscheduler.cli.usage import one_of

SHELLS = ("bash", "zsh", "fish")
FOLDER = Path(__file__).with_name("shells")

EXAMPLES = """examples:
  source <(jobscheduler completion bash)
  source <(jobscheduler completion zsh)
  jobscheduler completion fish > ~/.config/fish/completions/jobscheduler.fish

`make install` puts the scripts where the shells find them by themselves. They complete verbs, options, their values,
files, time zones, and, from the service that answers, the ids of jobs, tags, and the ids of runs at work.
Exit status: 0 fine, 2 wrong usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    help_ = f"the shell: {', '.join(SHELLS)}"
    parser.add_argument("shell", type=one_of("shell", SHELLS), metavar="SHELL", help=help_)


def run(arguments: argparse.Namespace) -> int:
    """Print the script; return the exit status."""
    print((FOLDER / f"jobscheduler.{arguments.shell}").read_text("utf-8"), end="")
    return 0
