"""Which methods each path of the control socket takes, for a request that has another one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_GET, _POST = ("GET",), ("POST",)
_OF_ONE_WORD = {
    **dict.fromkeys(
        ("status", "jobs", "definitions", "names", "settings", "zone-rules", "cluster", "records", "output"), _GET
    ),
    **dict.fromkeys(("select", "stop", "pause", "resume", "reload"), _POST),
}


def allowed_methods(parts: Sequence[str]) -> tuple[str, ...]:
    """Return the methods that a path takes, given its parts; none if there is no such path.

    An id may have a `/`, so the path of a run of `x` is also that of the job `x/run`.
    """
    match parts:
        case ["v1", word]:
            return _OF_ONE_WORD.get(word, ())
        case ["v1", "jobs", _, *_, "run"]:
            return ("GET", "POST")
        case ["v1", "jobs", *_] | ["v1", "runs", _] | ["v1", "runs", _, "output"]:
            return _GET
        case ["v1", "alerts", "test"]:
            return _POST
        case ["v1", "alerts", "test", _]:
            return ("GET", "POST")
        case ["v1", "alerts", "test", *_]:
            return _POST
    return ()
