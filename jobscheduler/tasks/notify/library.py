"""Ask Apprise about addresses, without sending anything. The library is imported for the first question."""

from __future__ import annotations

import logging
import threading
import warnings
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote, unquote

from jobscheduler.tasks.notify.send import asset

# How to get the library.
INSTALL = "`make install EXTRAS=notify`, or `pip install 'apprise>=2,<3'` into the service's own environment"

_is_needed = threading.Event()  # set once a definition has needed the library


def is_installed() -> bool:
    """Return whether Apprise can be imported."""
    return find_spec("apprise") is not None


def note_need() -> None:
    """Note that a definition needs the library."""
    _is_needed.set()


def missing() -> tuple[str, ...]:
    """Return a sentence if a definition needs the library and it is not installed."""
    if not _is_needed.is_set() or is_installed():
        return ()
    return (f"`notify` needs the library Apprise: its alerts are not sent (help: {INSTALL})",)


def schema_of(url: str) -> str:
    """Return the schema of an address, empty if it has none."""
    schema, separator, _ = url.partition("://")
    return schema.lower() if separator else ""


@cache
def known_schemas() -> frozenset[str]:
    """Return all schemas that the library knows."""
    return frozenset(str(name) for name in _plugins().schemas())


@lru_cache(maxsize=1024)
def is_complete(url: str) -> bool:
    """Return whether the library understands an address of a known schema."""
    apprise = _load()
    try:
        return apprise.Apprise.instantiate(url, asset=asset()) is not None
    except Exception:  # of one of its many parts
        return False


def form_of(schema: str) -> str:
    """Return how an address of a schema is written, and where that is explained."""
    plugin = _plugins()[schema]
    templates = getattr(plugin, "templates", ())
    form = f"`{str(templates[0]).replace('{schema}', schema)}`" if templates else f"`{schema}://…`"
    return f"write {form}; {getattr(plugin, 'setup_url', '') or 'https://appriseit.com/'} explains it"


def _plugins() -> Any:
    _load()
    from apprise import manager_plugins  # noqa: PLC0415 - an extra

    manager: Any = manager_plugins.NotificationManager
    return manager()


@cache
def _load() -> Any:
    """Import the library, keep it quiet, and return it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its many parts
        import apprise  # noqa: PLC0415 - an extra

        apprise.Apprise.instantiate("json://localhost", asset=asset())
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [logging.NullHandler()], False
    return apprise


def secret_parts(url: str) -> set[str]:
    """Return what is secret in an address, in each form in which a receiver or the library may repeat it.

    Any part may be a token: also the name of the server, unless it looks like one.
    """
    _, _, rest = url.partition("://")
    address, _, query = rest.partition("?")
    parts = {rest, address, *_split(address, "/@:"), *_split(query, "&=;")}
    server = address.rpartition("@")[2].partition("/")[0]
    parts -= {server, server.partition(":")[0]} if "." in server or server.startswith(("localhost", "[")) else set()
    return {form for part in parts if part for form in (part, unquote(part), quote(part, safe=""))}


def _split(text: str, separators: str) -> set[str]:
    for separator in separators[1:]:
        text = text.replace(separator, separators[0])
    return set(text.split(separators[0]))
