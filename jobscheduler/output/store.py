"""Write outputs into the output directory: small ones of a job together, each other one into a file of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jobscheduler.model import AttemptOutput
from jobscheduler.output.entries import encode, encode_open, whole_size
from jobscheduler.output.folder import OutputFolder
from jobscheduler.output.names import day_file, day_of, run_file
from jobscheduler.output.retention import Retention

SMALL_BYTES = 2048  # an output below this goes into the file of its job and day
DAY_FILE_BYTES = 1024 * 1024  # at which such a file is followed by another one
REWRITE_S = 5.0  # between two writes of an output that grows in its last part, which is written as a whole

Key = tuple[str, int]  # the run and the attempt


@dataclass(slots=True)
class LiveFile:
    """The file of a running attempt.

    `size` is that of the file and `total` what the attempt had printed when it was written, in bytes. `is_cut` tells
    that the middle of the output is missing. `written` is in seconds of a clock that is never set.
    """

    day: str
    name: str
    size: int
    total: int
    is_cut: bool
    written: float


class OutputStore:
    """Writes outputs. Any call may raise `OSError`, and may hang.

    Thread: one at a time.
    """

    def __init__(self, folder: OutputFolder, retention: Retention) -> None:
        self._folder = folder
        self._retention = retention
        self._live: dict[Key, LiveFile] = {}
        self._gone: set[Key] = set()  # attempts that had ended at the last call of `forget_live`
        self._day = ""
        self._numbers: dict[str, int] = {}  # the number of the present file of each job of the day

    def in_use(self) -> set[tuple[str, str]]:
        """Return day and name of the files that will be written again."""
        return {(file.day, file.name) for file in self._live.values()}

    # -- running attempts

    def is_new(self, key: Key, total: int, elapsed: float) -> bool:
        """Return whether a running attempt has printed something that is to be written now."""
        file = self._live.get(key)
        return file is None or (file.total < total and (not file.is_cut or elapsed - file.written >= REWRITE_S))

    def write_live(self, output: AttemptOutput, elapsed: float) -> None:
        """Write what a running attempt has printed so far. `elapsed` is a clock that is never set."""
        key = output.run_id, output.attempt
        file = self._live.get(key)
        if file is not None and not output.kept.missing:
            self._extend(file, output.kept.head[file.total :])
        else:
            day, name = day_of(output.run_started), run_file(output.job_id, output.run_id, output.attempt)
            data = encode(output) if output.kept.missing else encode_open(output)
            self._replace(day, name, data, None if file is None else file.size)
            file = self._live[key] = LiveFile(day, name, len(data), 0, is_cut=output.kept.missing > 0, written=elapsed)
        file.total, file.written = output.kept.total, elapsed

    def _extend(self, file: LiveFile, data: bytes) -> None:
        self._folder.append(file.day, file.name, data, max_bytes=DAY_FILE_BYTES)
        self._retention.added(file.size, file.size + len(data))
        file.size += len(data)

    def forget_live(self, running: Iterable[Key]) -> None:
        """Forget the files of attempts that do not run any more: what they have is all there will be.

        Only at the second call: the output of an attempt that has just ended may be on its way.
        """
        gone = self._live.keys() - set(running)
        for key in gone & self._gone:
            del self._live[key]
        self._gone = gone - self._gone

    # -- ended attempts

    def write(self, outputs: Sequence[AttemptOutput]) -> Iterator[Sequence[AttemptOutput]]:
        """Write the outputs of ended attempts. Yield those that were written, each time that some were."""
        small: dict[tuple[str, str], list[AttemptOutput]] = {}
        for output in outputs:
            if output.kept.total < SMALL_BYTES:
                small.setdefault((day_of(output.run_started), output.job_id), []).append(output)
        for (day, job_id), together in small.items():
            self._append(day, job_id, b"".join(map(encode, together)))
            for output in together if self._live else ():
                self._remove_live(output)
            yield together
        for output in outputs:
            if output.kept.total >= SMALL_BYTES:
                name = run_file(output.job_id, output.run_id, output.attempt)
                former = self._live.pop((output.run_id, output.attempt), None)
                before = None if former is None else former.size
                self._replace(day_of(output.run_started), name, encode(output), before)
                yield (output,)

    def _remove_live(self, output: AttemptOutput) -> None:
        file = self._live.pop((output.run_id, output.attempt), None)
        if file is not None:
            self._folder.remove(file.day, file.name)
            self._retention.removed(file.size)

    def _replace(self, day: str, name: str, data: bytes, before: int | None) -> None:
        self._folder.replace(day, name, data)
        self._retention.added(before, len(data))

    def _append(self, day: str, job_id: str, data: bytes) -> None:
        """Append entries to the present file of a job and day."""
        if day > self._day:
            self._day = day
            self._numbers.clear()
        number = self._numbers.get(job_id) if day == self._day else None
        if number is None:
            number = self._find_number(day, job_id)
        while (before := self._folder.append(day, day_file(job_id, number), data, max_bytes=DAY_FILE_BYTES)) is None:
            number += 1
        if day == self._day:
            self._numbers[job_id] = number
        self._retention.added(before, before + len(data))

    def _find_number(self, day: str, job_id: str) -> int:
        """Return the number of the last file of a job and day. An entry in it that a crash has cut is removed."""
        number = 1
        while (status := self._folder.status(day, day_file(job_id, number))) is not None:
            if self._folder.status(day, day_file(job_id, number + 1)) is None:
                data = self._folder.read(day, day_file(job_id, number), 4 * DAY_FILE_BYTES)
                if (size := whole_size(data)) < status.st_size:
                    self._folder.cut(day, day_file(job_id, number), size)
                break
            number += 1
        return number
