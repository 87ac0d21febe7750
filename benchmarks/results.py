"""Read and write the file with all figures, from which the document is made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benchmarks.figures import Row, merged


@dataclass(frozen=True, slots=True)
class Results:
    """All rows, the machine, and the times of a fixed loop between the measurements (milliseconds)."""

    rows: tuple[Row, ...] = ()
    machine: dict[str, str] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    yardstick: tuple[float, ...] = ()
    soak: dict[str, list[float]] = field(default_factory=dict)

    def with_rows(self, new: Iterable[Row]) -> Results:
        """Return the results with these rows in place of former ones."""
        return replace(self, rows=merged(self.rows, new))

    def row(self, key: str, size: int | None = None) -> Row | None:
        """Return the row of a key, and of a size if given."""
        return next((row for row in self.rows if row.key == key and size in {None, row.size}), None)


def load(path: Path) -> Results:
    """Read the file; no results where there is none."""
    if not path.exists():
        return Results()
    told = json.loads(path.read_text("utf-8"))
    rows = tuple(Row.from_json(row) for row in told.pop("rows"))
    return Results(rows=rows, **{**told, "yardstick": tuple(told["yardstick"])})


def save(results: Results, path: Path) -> None:
    """Write the file, rounded to significant digits."""
    told = asdict(results)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(told), indent=1, ensure_ascii=False) + "\n", "utf-8")


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
