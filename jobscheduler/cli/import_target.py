"""Write imported job files into a directory: all of them or none, and none over a file that differs."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jobscheduler.cli.db_files import ExportConflict, open_trusted_directory
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError

PRIVATE_MODE, PUBLIC_MODE = 0o600, 0o644


class ImportedFile(NamedTuple):
    """A job file of the directory: its content, and its id, `$comment` and `not_before`, where it has them."""

    raw: bytes
    job_id: str = ""
    comment: str = ""
    not_before: str | None = None


class NewFile(NamedTuple):
    """A file that is to be written."""

    name: str
    raw: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Target:
    """A directory, and the job files that it has by name; None for one that is only shown."""

    directory: Path | None
    files: dict[str, ImportedFile]

    def name_of(self, comment: str) -> str | None:
        """Return the file that was imported from the same line of the same table, whatever it is called now."""
        return next((name for name, file in self.files.items() if file.comment == comment), None)

    def owner_of(self, job_id: str) -> str | None:
        """Return the file that has an id."""
        return next((name for name, file in self.files.items() if file.job_id == job_id), None)


def read_target(directory: Path | None) -> Target:
    """Read the job files of a directory, which need not exist."""
    if directory is None:
        return Target(None, {})
    try:
        names = sorted(entry.name for entry in directory.iterdir() if is_job_file(entry.name))
    except FileNotFoundError:
        return Target(directory, {})
    return Target(directory, {name: _imported(directory / name) for name in names})


def _imported(path: Path) -> ImportedFile:
    if not path.is_file():  # reading a pipe would wait for its writer
        return ImportedFile(b"")
    try:
        return imported_file(path.read_bytes())
    except OSError:
        return ImportedFile(b"")


def write_or_explain(directory: Path, files: Sequence[NewFile]) -> None:
    """Write all of the files, or none.

    Raises:
        ProblemError: the directory cannot be written.

    """
    try:
        if files:
            write_all(directory, files)
    except ExportConflict as conflict:
        raise ProblemError(conflict.problems[0]) from None
    except OSError as error:
        problem = Problem(f"nothing was written: {(error.strerror or str(error)).lower()}", file=str(directory))
        raise ProblemError(problem) from None


def imported_file(raw: bytes) -> ImportedFile:
    """Return the content of a job file with what tells where it came from; an odd one counts as one that differs."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):  # not ours to judge
        return ImportedFile(b"")
    known = value if isinstance(value, dict) else {}
    start = known.get("not_before")
    return ImportedFile(
        raw, str(known.get("job_id", "")), str(known.get("$comment", "")), start if isinstance(start, str) else None
    )


def write_all(directory: Path, files: Iterable[NewFile]) -> None:
    """Write files under other names first, and rename them when each of them is on the disk.

    Raises:
        OSError: one of them cannot be written; then none was renamed.
        ExportConflict: other users may write in the directory.

    """
    directory.mkdir(parents=True, exist_ok=True)
    with open_trusted_directory(directory) as folder, _staged(folder, files) as staged:
        for temporary, name in staged:
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)


@contextmanager
def _staged(folder: int, files: Iterable[NewFile]) -> Iterator[list[tuple[str, str]]]:
    """Write each file under a name that the service ignores; remove what is left of them at the end."""
    staged: list[tuple[str, str]] = []
    try:
        for file in files:
            temporary = f".{secrets.token_hex(8)}.new"
            staged.append((temporary, file.name))
            _write(folder, temporary, file)
        yield staged
    finally:
        for temporary, _ in staged:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)


def _write(folder: int, temporary: str, file: NewFile) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, PRIVATE_MODE, dir_fd=folder), "wb") as stream:
        stream.write(file.raw)
        stream.flush()
        os.fchmod(stream.fileno(), file.mode)
        os.fsync(stream.fileno())
