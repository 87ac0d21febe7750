"""Answer a shell that asks at a Tab what may follow: `jobscheduler __complete SHELL …`.

Standard output has a first line with the kind of the answer (`words`, `list`, `files`, `directories`, `users`,
`groups`) and a note, with a tab between them; then a line for each candidate, as the shell wants it. `list` means that
a comma may follow. Kinds other than these two are left to the shell, beside the candidates.
"""

from __future__ import annotations

import _thread
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jobscheduler.cli.completion_place import find_place
from jobscheduler.cli.completion_values import Answer, answer
from jobscheduler.util.terminal_text import printable

ARGUMENTS = Path(__file__).with_name("arguments.json")  # see `verb_arguments`
LIMIT_S = 2.0  # seconds until a shell gets nothing: a settings file or a service may hang

_CURSOR = "\x01"  # stands where the cursor is; no one types it


def complete_in_time(words: Sequence[str]) -> str:
    """Return what to print, or end the process when that takes too long. For a process that does nothing else."""
    _thread.start_new_thread(_end_late, ())
    return complete(words)


def complete(words: Sequence[str]) -> str:
    """Return what to print. The caller is a shell of which `words` has the name, and then what the user has typed."""
    shell, *typed = words or [""]
    if shell == "bash":
        line, word = [*typed, "", ""][:2]
        typed = split_line(line)
    before, current = typed[:-1], typed[-1] if typed else ""
    found = answer(find_place(json.loads(ARGUMENTS.read_text("utf-8")), before, current), before, current)
    hidden = current.removesuffix(word) if shell == "bash" else ""
    return _printable_here("\n".join([f"{found.kind}\t{found.note}", *_lines(found, shell, hidden)]))


def _end_late() -> None:
    """End the process when the time is over. Thread: its own, as the other one may hang in a file system."""
    time.sleep(LIMIT_S)
    os._exit(0)


def split_line(line: str) -> list[str]:
    """Return the words of a line up to the cursor, without the command; the last one may be empty, or half quoted."""
    for quote in ("", '"', "'"):
        try:
            words = shlex.split(f"{line}{_CURSOR}{quote}")
        except ValueError:
            continue
        return [*words[1:-1], words[-1].removesuffix(_CURSOR)]
    return [""]


def _printable_here(text: str) -> str:
    """Return a text without what the encoding of this terminal lacks."""
    return text.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding)


def _lines(found: Answer, shell: str, hidden: str) -> list[str]:
    """Return the candidates in the form of a shell. `hidden` is what bash has cut off the word, as before a colon."""
    shown = {name: printable(text) for name, text in found.candidates.items()}
    if shell == "bash":
        return [name.removeprefix(hidden) for name in shown]
    if shell == "zsh":
        return [f"{_escaped(name)}:{text}" if text else _escaped(name) for name, text in shown.items()]
    return [f"{found.prefix}{name}\t{text}" for name, text in shown.items()]


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace(":", "\\:")
