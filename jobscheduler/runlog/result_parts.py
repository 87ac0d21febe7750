"""Convert how jobs stand to pairs of a checkpoint's lines and back.

A text is the job's id and the values of its standing, with commas between and none for what is unknown at the end.
Instants are whole seconds in base 36, seconds of the clock that is never set are whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from jobscheduler.model.standing import ResultState, Standing
from jobscheduler.runlog.base36 import parse_second, second_text

STANDING, SUCCESS = "standing", "success"  # keys of the pairs


def standing_texts(state: ResultState) -> Iterator[str]:
    """Yield the text of each job that stands otherwise than a job without failures."""
    for job_id, one in state.standings.items():
        values = (
            one.failures or "",
            _instant(one.failed_since),
            one.misses or "",
            _instant(one.missed_since),
            "f" if one.is_failing else "",
            _seconds(one.alerted_at),
            _seconds(one.counted_from),
            _seconds(one.held_at),
            _instant(one.overdue_since),
        )
        yield ",".join((job_id, *map(str, values))).rstrip(",")


def success_texts(state: ResultState) -> Iterator[str]:
    """Yield the last success of each job."""
    return (f"{job_id},{second_text(at)}" for job_id, at in state.successes.items())


def _instant(at: datetime | None) -> str:
    return "" if at is None else second_text(at)


def _seconds(value: float | None) -> str:
    return "" if value is None else str(round(value))


class ResultReader:
    """Puts together how jobs stood: from a full checkpoint, then from each one after it."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}
        self._successes: dict[str, datetime] = {}

    def state(self) -> ResultState:
        """Return what was read."""
        return ResultState(self._standings, self._successes)

    def remove(self, job_id: str) -> None:
        """Forget a job."""
        self._standings.pop(job_id, None)
        self._successes.pop(job_id, None)

    def apply(self, line: Mapping[str, str]) -> None:
        """Take the pairs of one line of a checkpoint that is whole.

        Raises:
            ValueError: the line is malformed.

        """
        for key, value in line.items():
            name = key.partition("_")[0]
            if name in {STANDING, SUCCESS}:
                for text in value.split(";"):
                    self._read(name, *text.split(","))

    def _read(self, name: str, job_id: str, *values: str) -> None:
        if name == SUCCESS:
            self._successes[job_id] = parse_second(values[0])
        else:
            self._standings[job_id] = _standing(*values)


def _standing(*values: str) -> Standing:
    given = [*values, *[""] * 9]
    failed, missed, overdue = (parse_second(given[at]) if given[at] else None for at in (1, 3, 8))
    alerted, counted, held = (float(given[at]) if given[at] else None for at in (5, 6, 7))
    failures, misses = (int(given[at] or 0) for at in (0, 2))
    return Standing(failures, failed, misses, missed, given[4] == "f", alerted, counted, held, overdue)
