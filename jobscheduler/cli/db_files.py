"""Read and write job files for `db`: a directory and a table hold the same texts."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from jobscheduler.cli.problems import print_problem
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.open_directory import is_job_file
from jobscheduler.jobs.parser import ParseContext, definition_warnings, id_conflict, parse
from jobscheduler.jobs.sources import SourceUnavailable
from jobscheduler.model import Job, Problem, name_sort_key
from jobscheduler.util.path_walk import PathWalk, absolute_path
from jobscheduler.util.trust import TrustJudge


class ExportConflict(Exception):
    """Files block an import or export, or cannot be read; `problems` name them and the remedy."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def read_files(files: Iterable[str], rules: ParseContext) -> list[str]:
    """Read job files.

    Raises:
        InvalidJob: a definition is not valid, or a file cannot be read; all problems of all files.

    """
    raws: list[tuple[str, bytes]] = []
    barred: list[Problem] = []
    for name in files:
        try:
            raws.append((name, Path(name).read_bytes()))
        except OSError as error:
            barred.append(Problem(f"the file cannot be read: {error.strerror}", file=name))
    return list(_validated(raws, rules, barred).values())


def read_directory(directory: Path, rules: ParseContext) -> list[str]:
    """Read every job file of a directory, as the service would.

    Raises:
        InvalidJob: a definition is not valid, or cannot be read; all problems of all files.
        ExportConflict: the directory cannot be read.

    """
    try:
        with DirectorySource(directory).open() as view:
            results = [view.read(name) for name in sorted(view.list_items(), key=name_sort_key)]
    except SourceUnavailable as reason:
        raise ExportConflict(Problem(str(reason), file=str(directory), help=reason.help)) from None
    barred = [replace(result.problem, file=str(directory / result.name)) for result in results if result.problem]
    raws = ((str(directory / result.name), result.raw) for result in results if result.raw is not None)
    return list(_validated(raws, rules, barred).values())


def _validated(
    raws: Iterable[tuple[str, bytes]], rules: ParseContext, problems: Iterable[Problem] = ()
) -> dict[str, str]:
    from jobscheduler.database.changes import InvalidJob, validate  # noqa: PLC0415 - an extra

    texts: dict[str, str] = {}
    owners: dict[str, str] = {}
    invalid = list(problems)
    for origin, raw in raws:
        try:
            job_id, text = validate(raw, origin, rules)
        except InvalidJob as refused:
            invalid += refused.problems
            continue
        _warn(raw, origin, rules)
        if owners.setdefault(job_id, origin) != origin:
            invalid.append(id_conflict(raw, origin, job_id, owners[job_id]))
        texts[job_id] = text
    if invalid:
        raise InvalidJob(*invalid)
    return texts


def _warn(raw: bytes, origin: str, rules: ParseContext) -> None:
    """Print warnings about text of a definition that is legal but probably not intended."""
    job = parse(raw, origin, rules)
    for problem in definition_warnings(raw, origin, job, rules) if isinstance(job, Job) else ():
        print_problem(problem, sys.stderr, level="warning")


def write_directory(directory: Path, definitions: Mapping[str, str], *, may_remove: bool) -> tuple[int, int]:
    """Make a directory hold exactly these definitions, one file per id; count files written and removed.

    Raises:
        ExportConflict: other job files exist and may not be removed, or an id is not a valid file name. Nothing was
            written then. Or a file cannot be written.

    """
    try:
        return _write_all(directory, definitions, may_remove=may_remove)
    except OSError as error:
        file = str(error.filename or directory)
        raise ExportConflict(Problem(f"this cannot be written: {str(error.strerror).lower()}", file=file)) from None


def _write_all(directory: Path, definitions: Mapping[str, str], *, may_remove: bool) -> tuple[int, int]:
    directory.mkdir(parents=True, exist_ok=True)
    names = {f"{job_id}.json": text for job_id, text in definitions.items()}
    odd = [name for name in names if "/" in name or "\0" in name or not is_job_file(name)]
    if odd:
        raise ExportConflict(
            *(Problem(f"no file can be called `{name}`", help="give the row a valid id") for name in odd)
        )
    with open_trusted_directory(directory) as folder:
        others = sorted(name for name in os.listdir(folder) if is_job_file(name) and name not in names)  # noqa: PTH208
        if others and not may_remove:
            help_ = "`--delete` removes what is not in the table"
            message = "this job file is not in the table"
            raise ExportConflict(*(Problem(message, file=str(directory / name), help=help_) for name in others))
        written = sum(_write(folder, name, text.encode("utf-8")) for name, text in names.items())
        for name in others:
            os.unlink(name, dir_fd=folder)
    return written, len(others)


@contextmanager
def open_trusted_directory(directory: Path) -> Iterator[int]:
    """Open a directory for writing job files, only if no other user can put links or files there.

    Raises:
        ExportConflict: other users may write there, or in a directory above.

    """
    judge = TrustJudge()
    with PathWalk(judge) as path_walk:
        target = path_walk.walk(absolute_path(directory), is_directory=True)
        distrust = path_walk.problem or judge.check(target.descriptor, target.stat, target.path)
        if distrust is not None:
            raise ExportConflict(Problem(distrust.message, file=str(directory), help=distrust.help))
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=target.descriptor)
        try:
            yield folder
        finally:
            os.close(folder)


def _write(folder: int, name: str, raw: bytes) -> bool:
    """Write a file atomically unless it has this content already; return whether it was written."""
    if _content(folder, name) == raw:
        return False
    new = f".{secrets.token_hex(8)}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
        os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)  # as one step
    except BaseException:
        with suppress(OSError):
            os.unlink(new, dir_fd=folder)
        raise
    return True


def _content(folder: int, name: str) -> bytes | None:
    """Return the content of a file; None for a link, which is then replaced by the file."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            return file.read()
    except OSError:  # a link, or no file that can be read: it is written anew, or the write says why not
        return None
