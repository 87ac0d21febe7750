"""A user's own service: make its directories, and warn when it ends with the user's last login."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from jobscheduler.config import Settings
from jobscheduler.config.own_paths import USER_FLAG, is_there
from jobscheduler.model import EventLogger, Level, Problem
from jobscheduler.service.errors import StartupError

LINGER_FOLDER = Path("/var/lib/systemd/linger")  # logind has a file there for each user whose services stay


def make_directories(settings: Settings) -> None:
    """Make the directories of a user's own service that are where the XDG rules put them.

    The unit does not name them, because systemd's own directories for users differ between its versions.

    Raises:
        StartupError: one cannot be made.

    """
    folders = {"jobs_dir": settings.jobs_dir, "log_file": settings.log_file.parent, "socket": settings.socket.parent}
    for name, folder in folders.items():
        given = settings.given.get(name)
        if settings.is_own and given is not None and given.origin == USER_FLAG:
            _make(folder)


def _make(folder: Path) -> None:
    """Make a directory, and those above it that do not exist, for this user alone."""
    missing = [path for path in (folder, *folder.parents) if not is_there(path)]
    try:
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        help_ = "name others with `--jobs-dir DIR --log-file FILE --socket FILE`"
        problem = Problem(f"the directory `{folder}` cannot be made: {str(error.strerror).lower()}", help=help_)
        raise StartupError(problem) from None


def warn_of_no_lingering(
    settings: Settings, log_event: EventLogger, environ: Mapping[str, str] = os.environ, folder: Path = LINGER_FOLDER
) -> None:
    """Log that systemd stops the service at the user's last logout, if it does."""
    if not settings.is_own or "NOTIFY_SOCKET" not in environ:
        return
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a user without an account has no logins
        return
    if not (folder / user).exists():
        problem = "the service ends when its user logs out, and does not start at boot"
        log_event(Level.WARNING, "linger.off", problem=problem, help=f"`loginctl enable-linger {user}`")
