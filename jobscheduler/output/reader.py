"""Read outputs back from the output directory: those of a run, or the run that a file names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobscheduler.model import StoredAttempt
from jobscheduler.output.entries import decode
from jobscheduler.output.folder import FolderReader, read_folder
from jobscheduler.output.names import is_job_id, is_run_id, parse_day, parse_name
from jobscheduler.output.store import DAY_FILE_BYTES

MAX_FILE_BYTES = 4 * DAY_FILE_BYTES  # read of one file


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where the output of a run is: the job, and the day on which the run began."""

    job_id: str
    run_id: str
    day: str


class OutputReader:
    """Reads outputs. Every call opens the directory anew, and may hang.

    Raises:
        OSError: the directory is there and cannot be read.

    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def attempts(self, place: RunPlace) -> list[StoredAttempt]:
        """Return what is kept of each attempt of a run, in order. An attempt that printed nothing has none."""
        return self.attempts_of_runs(place.job_id, place.day, [place.run_id]).get(place.run_id, [])

    def attempts_of_runs(self, job_id: str, day: str, run_ids: Collection[str]) -> dict[str, list[StoredAttempt]]:
        """Return what is kept of each attempt of runs of a job that began on one day, by run."""
        found: dict[tuple[str, int], StoredAttempt] = {}
        if not is_job_id(job_id) or parse_day(day) is None:
            return {}
        with suppress(FileNotFoundError), read_folder(self._path) as folder:
            for name in _files_of(folder, day, job_id, run_ids):
                for attempt in _attempts_in(folder, day, name, run_ids):
                    key = attempt.run_id, attempt.attempt
                    if key not in found or found[key].ended is None:
                        found[key] = attempt
        by_run: dict[str, list[StoredAttempt]] = {}
        for (run_id, _), attempt in sorted(found.items(), key=lambda item: item[0]):
            by_run.setdefault(run_id, []).append(attempt)
        return by_run

    def find(self, run_id: str, check: Callable[[], object] = lambda: None) -> RunPlace | None:
        """Search all files, the newest day first, for a run of which only the id is known.

        `check` is called before each file that is read; an exception that it raises ends the search.
        """
        if not is_run_id(run_id):
            return None
        with suppress(FileNotFoundError), read_folder(self._path) as folder:
            for day in reversed(folder.days()):
                job_id = _job_of(folder, day, run_id, check)
                if job_id is not None:
                    return RunPlace(job_id, run_id, day)
        return None

    def newest(self, job_id: str) -> RunPlace | None:
        """Return the newest run of a job that has an output."""
        if not is_job_id(job_id):
            return None
        with suppress(FileNotFoundError), read_folder(self._path) as folder:
            for day in reversed(folder.days()):
                runs = {
                    attempt.began: attempt.run_id
                    for name in _files_of(folder, day, job_id)
                    for attempt in _attempts_in(folder, day, name)
                }
                if runs:
                    return RunPlace(job_id, runs[max(runs)], day)
        return None


def _files_of(folder: FolderReader, day: str, job_id: str, run_ids: Collection[str] | None = None) -> Iterator[str]:
    """Yield the files of a job and day, but of single runs only those of `run_ids` if that is given."""
    for name in folder.names(day):
        known = parse_name(name)
        if known is None or known.job_id != job_id:
            continue
        if run_ids is None or known.run_id is None or known.run_id in run_ids:
            yield name


def _attempts_in(
    folder: FolderReader, day: str, name: str, run_ids: Collection[str] | None = None
) -> Iterator[StoredAttempt]:
    """Yield the attempts in a file, of some runs if these are given. A file that cannot be read has none."""
    with suppress(OSError):
        data = folder.read(day, name, MAX_FILE_BYTES)
        if run_ids is None or any(b" run=%b " % run_id.encode() in data for run_id in run_ids):
            yield from (attempt for attempt in decode(data) if run_ids is None or attempt.run_id in run_ids)


def _job_of(folder: FolderReader, day: str, run_id: str, check: Callable[[], object]) -> str | None:
    """Return the job of a run that began on a day: by the names of its files, else by what small ones hold."""
    names = {name: known for name in folder.names(day) if (known := parse_name(name)) is not None}
    for known in names.values():
        if known.run_id == run_id:
            return known.job_id
    for name, known in names.items():
        if known.run_id is None:
            check()
            if any(True for _ in _attempts_in(folder, day, name, [run_id])):
                return known.job_id
    return None
