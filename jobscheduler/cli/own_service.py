"""Return whether a verb talks about the user's own service or about that of the host."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from jobscheduler.config import CONFIG_VARIABLE, PREFIX, Settings
from jobscheduler.config.own_paths import OwnPaths, is_there, own_paths

_SOCKET_VARIABLE = PREFIX + "SOCKET"


def asked_for(arguments: argparse.Namespace, environ: Mapping[str, str]) -> OwnPaths | None:
    """Return the paths of the user's own service if the command line asks for it with `--user`."""
    return own_paths(environ) if getattr(arguments, "user", False) else None


def found(arguments: argparse.Namespace, environ: Mapping[str, str]) -> OwnPaths | None:
    """Return the paths of the user's own service if that is the one to ask; None for the host's.

    It is the own one if the command line says so, or if nothing names a service and the own socket exists. If the user
    has a jobs directory and may not use the socket of the host's service, the own one is meant, too: it is stopped.
    """
    asked = asked_for(arguments, environ)
    if asked is not None or os.geteuid() == 0 or _names_a_service(arguments, environ):
        return asked
    own = own_paths(environ)
    is_own = is_there(own.socket) or (is_there(own.jobs_dir) and not os.access(Settings().socket, os.W_OK))
    return own if is_own else None


def is_elsewhere(arguments: argparse.Namespace) -> bool:
    """Return whether the command line names other paths than the host's, whose settings then do not matter."""
    return bool(getattr(arguments, "jobs_dir", None) and getattr(arguments, "log_file", None))


def _names_a_service(arguments: argparse.Namespace, environ: Mapping[str, str]) -> bool:
    named = (getattr(arguments, "socket", None), getattr(arguments, "config", None))
    return any(named) or bool(environ.get(_SOCKET_VARIABLE) or environ.get(CONFIG_VARIABLE))
