"""Options of which one excludes the others: argparse refuses them together, and does not name them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


class ExclusiveOptions:
    """Options of which one excludes the others."""

    def __init__(self, add: Callable[..., argparse.Action]) -> None:
        """`add` adds an option to the group of argparse, which does not name its options."""
        self._add = add
        self.actions: list[argparse.Action] = []

    def add_argument(self, *names: str, **options: Any) -> None:
        """Add an option, as with `ArgumentParser.add_argument`."""
        self.actions.append(self._add(*names, **options))
