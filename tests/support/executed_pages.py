"""Pages of the documentation that tests execute: their fenced blocks, and whether a command prints what is shown.

Instants, ids, durations and processor time may differ. A line `…` stands for any lines, and `…` within a line for any
text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.booted import Machine
from tests.support.service import wait_until

READS = ("grep", "journalctl", "tail", "jobscheduler status", "jobscheduler list")
"""Commands that only look, and are run again until they show what they should: the service needs its time."""
AS_IN_A_TERMINAL = "export PYTHONUNBUFFERED=1"
"""Output and messages, which a command writes to different streams, have the order that they have in a terminal."""


@dataclass(frozen=True)
class Block:
    """A fenced block, and the last line of text before it."""

    before: str
    kind: str
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a part of the page."""
    found, before = [], ""
    for part in re.split(r"(^```\w+\n.*?^```\n)", page, flags=re.DOTALL | re.MULTILINE):
        if part.startswith("```"):
            kind, _, text = part.removeprefix("```").removesuffix("```\n").partition("\n")
            found.append(Block(before, kind, text))
        elif part.strip():
            before = part.strip().splitlines()[-1]
    return found


def commands(block: Block) -> Iterator[tuple[str, str, list[str]]]:
    """The commands of a console block: prompt, command, and the lines shown below it."""
    for prompt, command, shown in re.findall(r"^([$#]) (.*)\n((?:(?![$#] ).*\n)*)", block.text, re.MULTILINE):
        yield prompt, command, shown.splitlines()


def file_of(block: Block) -> str:
    """The name under which a file is to be saved: the last path before it."""
    return str(re.findall(r"`([^`\s]+/[^`\s]+)`", block.before)[-1])


DIFFERS = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "INSTANT"),
    (re.compile(r"\b(run_id|pid|duration|cpu|took|hash)=\S+"), r"\1=DIFFERS"),
]


def plain(line: str) -> str:
    """A line without what differs from time to time."""
    for pattern, word in DIFFERS:
        line = pattern.sub(word, line)
    return line


def pattern_of(shown: list[str]) -> re.Pattern[str]:
    """What a text has to be so that the page has told the truth."""
    parts = ["(?:.*\n)*" if line == "…" else re.escape(plain(line)).replace("…", ".*") + "\n" for line in shown]
    return re.compile("".join(parts))


def is_as_shown(printed: str, shown: list[str]) -> bool:
    """Whether a command printed what the page shows."""
    text = "".join(plain(line) + "\n" for line in printed.splitlines())
    return pattern_of(shown).fullmatch(text) is not None


def run_as_shown(run: Callable[[str], tuple[int, str]], command: str, shown: list[str]) -> None:
    """Run a command; it has to print what is shown, and to fail only if an error or a failed run is shown."""
    status, printed = run(command)
    if command.startswith(READS):
        try:
            wait_until(lambda: is_as_shown(run(command)[1], shown), 25)
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}\n`{command}` shows {shown}, now: {run(command)}")
    else:
        assert is_as_shown(printed, shown), f"`{command}` printed\n{printed}\nand not\n" + "\n".join(shown)
        signs = ("error:", "FAILURE ") if command.startswith("jobscheduler run ") else "error:"
        fails = any(line.startswith(signs) for line in shown)
        assert (status != 0) == fails, f"`{command}`: status {status}\n{printed}"


def in_machine(machine: Machine, directory: Path) -> Callable[[str], tuple[int, str]]:
    """Running shell commands as root in a booted machine."""

    def run(command: str) -> tuple[int, str]:
        done = machine.run(f"{AS_IN_A_TERMINAL}; {{ {command}\n}} 2>&1", cwd=directory)
        return done.returncode, done.stdout

    return run
