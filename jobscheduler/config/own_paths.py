"""The paths of a user's own service, by the rules of the XDG base directories."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

USER_FLAG = "--user"  # asks for these paths
_FOLDER = "scheduler"  # in each of the base directories


@dataclass(frozen=True, slots=True)
class OwnPaths:
    """The paths of a user's own service. They are its defaults; whatever is given wins."""

    config: Path
    jobs_dir: Path
    log_file: Path
    socket: Path

    def settings(self) -> dict[str, Path]:
        """Return the paths that are settings, by their names."""
        return {"jobs_dir": self.jobs_dir, "log_file": self.log_file, "socket": self.socket}


def own_paths(environ: Mapping[str, str]) -> OwnPaths:
    """Return the paths of this user's own service. They need not exist."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - `Path.home` fails without a home
    config = _base(environ, "XDG_CONFIG_HOME", home / ".config") / _FOLDER
    state = _base(environ, "XDG_STATE_HOME", home / ".local/state") / _FOLDER
    runtime = _base(environ, "XDG_RUNTIME_DIR", Path(f"/run/user/{os.geteuid()}"))
    sockets = runtime / _FOLDER if is_there(runtime) else state
    return OwnPaths(config / "scheduler.toml", config / "jobs.d", state / "scheduler.log", sockets / "control.sock")


def _base(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    """Return a base directory. A relative path counts as none."""
    given = environ.get(variable, "")
    return Path(given) if given.startswith("/") else default


def is_there(path: Path) -> bool:
    """Return whether a path exists. One that this user may not see does not: HOME may be that of another user."""
    try:
        path.stat()
    except OSError:
        return False
    return True
