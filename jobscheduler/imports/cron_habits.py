"""Remark on what people do in crontabs because cron cannot, and what does it here."""

from __future__ import annotations

import re
from collections.abc import Iterator

_RANDOM_SLEEP = re.compile(r"sleep[^;&|]*(?:RANDOM|rand\b|shuf|random)|(?:RANDOM|rand\b|shuf|random)[^;&|]*sleep")
_HABITS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"\bflock\b"),
        '`flock`: here `"overlap": "skip"`, the default, already keeps a job from starting while its last run is at '
        "work; `flock` may go, unless something else takes that lock too",
    ),
    (
        _RANDOM_SLEEP,
        'a random sleep: `"jitter"` spreads the starts instead, always the same for one host, and its record tells '
        "how long the command itself took",
    ),
    (
        re.compile(r"/run/systemd/system"),
        "the line does nothing where systemd runs, where a timer of the package does the work: see "
        "`systemctl list-timers`, and delete the job if the timer is there",
    ),
    (
        re.compile(r"\banacron\b"),
        'the line does nothing where anacron is installed, which does the work then; `"catch_up": "1d"` makes up for '
        "a night in which the host was down, as anacron does",
    ),
    (
        re.compile(r"\brun-parts\b"),
        "`run-parts`: all programs of the directory are one run with one record; a job for each has its own record, "
        "time limit and alert",
    ),
    (
        re.compile(r"\bchronic\b|\bcronic\b"),
        "`chronic` keeps mail of successes back: what a run prints is kept here and never mailed, so it may go",
    ),
)
_DISCARDED = re.compile(r"(?:[12]?&?>>?|&>)\s*/dev/null")


def habits_of(command: str) -> Iterator[str]:
    """Yield a remark about each habit that a command shows."""
    return (remark for pattern, remark in _HABITS if pattern.search(command))


def discards_output(command: str) -> bool:
    """Return whether a command throws away what it prints."""
    return bool(_DISCARDED.search(command))
