"""Run the command line, one file per verb.

Exit status: 0 fine, 1 problems or a failed run, 2 wrong usage, 3 no service, 70 died.

Everything here is imported for `--version` and `--help`, so it imports next to nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobscheduler.cli.verbs import VERBS, overview, version_text

__all__ = ["main"]


def main(argv: Sequence[str] | None = None, *, default: str = "status") -> int:
    """Run one verb, `default` if none is named; return the exit status."""
    words = [*(sys.argv[1:] if argv is None else argv)]
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if words[:1] in (["-V"], ["--version"]):
        return _print(version_text())
    if words[:1] in (["-h"], ["--help"]):
        return _print(overview())
    if words[:1] == ["__complete"]:  # asked by the scripts of `completion`, at each Tab
        from jobscheduler.cli.complete import complete_in_time  # noqa: PLC0415 - for this alone

        return _print(complete_in_time(words[1:]))
    is_default = not words or words[0].startswith("-")
    if is_default:
        words.insert(0, default)
    from jobscheduler.cli.run_verb import refuse_verb, run_verb  # noqa: PLC0415 - not needed for the overview

    return run_verb(words, is_default=is_default) if words[0] in VERBS else refuse_verb(words[0])


def _print(text: str) -> int:
    """Print a text to standard output, which may be a pipe whose reader has gone."""
    try:
        print(text)
        sys.stdout.flush()
    except BrokenPipeError:
        from jobscheduler.cli.run_verb import discard_output  # noqa: PLC0415 - hardly ever needed

        discard_output()
    return 0
