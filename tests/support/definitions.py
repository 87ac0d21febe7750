"""Definitions of jobs for the tests of the parser."""

from __future__ import annotations

from typing import Any

from tests.support.service import job


def full_job(command: object = ("/bin/echo", "a b", "x"), **changes: Any) -> dict[str, Any]:
    """Return the definition of a job that uses nearly every field; `changes` replace fields, or add some."""
    fields: dict[str, Any] = {
        "description": "everything",
        "timezone": "Asia/Tokyo",
        "enabled": True,
        "timeout": "15m",
        "overlap": "queue",
        "retry": {"attempts": 32, "delay": "30s", "backoff": 1.5},
        "catch_up": 3600,
        "jitter": "5s",
        "tags": ["shop", "backup"],
        "success_within": "3d",
        "alert": {"after": 2, "remind": "1d", "missed": True},
        "limits": {"memory": "1G", "cpu": "150%", "processes": 64},
    }
    return job("full", "0 1 * * mon-fri", list(command), **{**fields, **changes})
