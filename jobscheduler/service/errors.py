"""The error that refuses a start."""

from __future__ import annotations

from jobscheduler.model.errors import ProblemError


class StartupError(ProblemError):
    """The service cannot start. The problem says why, and its help what to do."""
