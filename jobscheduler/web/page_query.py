"""What a page is asked for: the part of an address behind `?`, and the links that keep or change it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

MAX_TEXT_CHARS = 100  # characters of a search that count
REFRESH_S = (5, 30)  # seconds after which a page can load itself again
ORDERS = ("status", "job", "last", "took", "next")  # by which jobs can be sorted
ZOOMS = {  # how far the timeline reaches back and ahead, by the word in the address
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "week": timedelta(days=7),
}
DEFAULT_ZOOM = "1d"


@dataclass(frozen=True, slots=True)
class PageQuery:
    """One query. Empty texts, and 0 for `refresh`, select nothing; `page` is as it was written."""

    q: str = ""
    state: str = ""
    tag: str = ""
    sort: str = "status"
    zoom: str = DEFAULT_ZOOM
    refresh: int = 0
    page: str = "1"

    @property
    def reach(self) -> timedelta:
        """How far the timeline reaches back and ahead."""
        return ZOOMS[self.zoom]

    @property
    def is_filter(self) -> bool:
        """Whether it selects some of the jobs."""
        return bool(self.q or self.state or self.tag)

    def given(self, *without: str) -> dict[str, str]:
        """Return the parameters that differ from the default, without some."""
        own = ((name, getattr(self, name)) for name in _NAMES if name not in without)
        return {name: str(value) for name, value in own if value != getattr(_DEFAULT, name)}

    def link(self, **changes: Any) -> str:
        """Return the address of the same page with some parameters changed; another selection begins at page 1."""
        kept = self if changes.keys() <= {"refresh", "zoom", "page"} else replace(self, page="1")
        return f"?{urlencode(replace(kept, **changes).given(), quote_via=quote)}"


_DEFAULT = PageQuery()
_NAMES = tuple(field.name for field in fields(PageQuery))


def parse_query(parameters: Mapping[str, str]) -> PageQuery:
    """Return the query of these parameters; one that means nothing is left out."""
    texts = {name: parameters.get(name, "").strip()[:MAX_TEXT_CHARS] for name in _NAMES}
    refresh = texts.pop("refresh")
    return PageQuery(
        q=texts["q"],
        state=texts["state"],
        tag=texts["tag"],
        sort=texts["sort"] if texts["sort"] in ORDERS else "status",
        zoom=texts["zoom"] if texts["zoom"] in ZOOMS else DEFAULT_ZOOM,
        refresh=REFRESH_S[0] if refresh == str(REFRESH_S[0]) else REFRESH_S[-1] if refresh else 0,
        page=texts["page"] or "1",
    )
