"""Judge the times of a cluster together: each of them alone may be right."""

from __future__ import annotations

from collections.abc import Iterator

from jobscheduler.config.settings import Settings
from jobscheduler.model import Problem

MIN_LOST_AFTER = 2.0  # `lost-after`, in lengths of the lease: another service leads before it judges runs


def problems_of_cluster_times(settings: Settings) -> Iterator[Problem]:
    """Yield a problem if runs would be lost before another service leads."""
    if settings.lost_after >= MIN_LOST_AFTER * settings.lease:
        return
    message = f"`lost-after` ({settings.lost_after:g} s) is too short for `lease` ({settings.lease:g} s)"
    help_ = f"make it at least {MIN_LOST_AFTER:g} times as long: runs are lost only when another service leads"
    given = settings.given.get("lost_after") or settings.given.get("lease")
    file, _, line = ("" if given is None else given.origin).rpartition(":")
    is_place = file == str(settings.file.path) and line.isdecimal()
    yield Problem(message, help=help_, file=file, line=int(line)) if is_place else Problem(message, help=help_)
