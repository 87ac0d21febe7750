"""Read pauses from the lines of the log: as a full checkpoint has them, and as they begin and end after it.

In a checkpoint, `pauses` has id, selector, begin, end, user and reason of each, `ended` the same of those that were
resumed, and `exempt` the id and a selector for each exemption. Commas, semicolons and what is not ASCII are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote, unquote

from jobscheduler.model import Pause, truncate_to_ms
from jobscheduler.model.selection import Selector
from jobscheduler.util.instants import format_instant

PAUSED, RESUMED = "job.paused", "job.resumed"  # the events

_UNESCAPED = " !#$&'()*+-./:<=>?@[]^_`{|}~"  # beside letters and digits


# --- in a checkpoint ---------------------------------------------------------------------------------------


def pause_texts(pauses: Iterable[Pause], *, resumed: bool) -> Iterator[str]:
    """Return the texts of these pauses in a checkpoint; of those that were resumed, or of the others."""
    for pause in pauses:
        if pause.is_resumed == resumed:
            end = "" if pause.until is None else format_instant(pause.until)
            fields = (pause.id, pause.selector.text, format_instant(pause.since), end, pause.by, pause.reason)
            yield ",".join(map(_escaped, fields))


def exempt_texts(pauses: Iterable[Pause]) -> Iterator[str]:
    """Return the texts of all exemptions in a checkpoint."""
    return (f"{pause.id},{_escaped(selector.text)}" for pause in pauses for selector in pause.exempt)


def _escaped(text: str) -> str:
    return quote(text, safe=_UNESCAPED, errors="replace")


class LoggedPauses:
    """The pauses that the log tells of, as far as it is read."""

    def __init__(self) -> None:
        self._pauses: dict[str, Pause] = {}

    def all(self) -> tuple[Pause, ...]:
        """Return them in the order in which they began."""
        return tuple(self._pauses.values())

    def read(self, id_: str, selector: str, since: str, until: str, by: str, reason: str) -> None:
        """Take a text of a checkpoint, split at its commas.

        Raises:
            ValueError: it is malformed.

        """
        end = datetime.fromisoformat(until) if until else None
        what = Selector(unquote(selector))
        self._pauses[id_] = Pause(id_, what, datetime.fromisoformat(since), end, unquote(reason), unquote(by))

    def read_ended(self, *fields: str) -> None:
        """Take a text about a pause that was resumed.

        Raises:
            ValueError: it is malformed.

        """
        self.read(*fields)
        self._pauses[fields[0]] = replace(self._pauses[fields[0]], is_resumed=True)

    def read_exempt(self, id_: str, selector: str) -> None:
        """Take an exemption.

        Raises:
            KeyError: there is no such pause.

        """
        self._exempt(id_, Selector(unquote(selector)))

    def apply(self, line: Mapping[str, str]) -> None:
        """Take a line after the checkpoint.

        Raises:
            ValueError, KeyError: it is malformed.

        """
        id_, at = line["pause"], truncate_to_ms(datetime.fromisoformat(line["time"]))
        if line["word"] == PAUSED:
            self._begin(line, id_, at)
        elif "except" in line:
            self._exempt(id_, Selector(line["except"]))
        elif "until" not in line:  # else its time was over, which is known without the line
            pause = self._pauses[id_]
            self._pauses[id_] = replace(pause, until=min(pause.end, at), is_resumed=True)

    def _begin(self, line: Mapping[str, str], id_: str, at: datetime) -> None:
        """Take a pause that begins, or lasts longer than was said before, or is in force again by the clock."""
        known = self._pauses.get(id_)
        if known is not None and line.get("cause") == "clock":
            return
        end = datetime.fromisoformat(line["until"]) if "until" in line else None
        selector = Selector(line["jobs"] if "jobs" in line else line["job_id"])
        since = at if known is None else known.since
        self._pauses[id_] = Pause(id_, selector, since, end, line.get("reason", ""), line.get("by", ""))

    def _exempt(self, id_: str, selector: Selector) -> None:
        pause = self._pauses[id_]
        self._pauses[id_] = replace(pause, exempt=(*pause.exempt, selector))
