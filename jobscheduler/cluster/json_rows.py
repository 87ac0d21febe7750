"""Rows of values for one statement, as one parameter: a JSON array that the database unfolds into a table.

A thousand claims are then one short statement, which needs no parameter for each value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, FromClause, Text, column, text

_TABLES = {  # for each kind of database, how an array of arrays becomes rows; `{}` are the columns
    "sqlite": "SELECT {} FROM json_each(:rows)",
    "mysql": "SELECT {} FROM JSON_TABLE(:rows, '$[*]' COLUMNS ({})) AS unfolded",
    "postgresql": "SELECT {} FROM json_array_elements(CAST(:rows AS json)) AS unfolded(value)",
}


class Kind(Enum):
    """The kinds of a value: ASCII that is compared byte by byte, any text, and an integer."""

    WORD = "VARCHAR(255)"
    TEXT = "LONGTEXT CHARACTER SET utf8mb4"
    NUMBER = "BIGINT"


class UnfoldedRows:
    """A table of values in a statement; its columns by name."""

    def __init__(self, dialect: str, kinds: Mapping[str, Kind], values: Iterable[Sequence[Any]]) -> None:
        """`kinds` names the columns in the order of the values of each row."""
        rows = json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))
        rows = rows.encode("utf-8", "replace").decode("utf-8")
        types = [BigInteger() if kind is Kind.NUMBER else Text() for kind in kinds.values()]
        columns = [column(f"c{number}", type_) for number, type_ in enumerate(types)]
        statement = text(_statement(dialect, tuple(kinds.values()))).bindparams(rows=rows)
        self.table: FromClause = statement.columns(*columns).subquery("v")
        self._columns = {name: self.table.c[f"c{number}"] for number, name in enumerate(kinds)}

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        """Return the column of this name."""
        return self._columns[name]


def _statement(dialect: str, kinds: Sequence[Kind]) -> str:
    if dialect == "mysql":
        paths = [f"c{number} {kind.value} PATH '$[{number}]'" for number, kind in enumerate(kinds)]
        shown = [_mysql_column(number, kind) for number, kind in enumerate(kinds)]
        return _TABLES[dialect].format(", ".join(shown), ", ".join(paths))
    column_of = _sqlite_column if dialect == "sqlite" else _postgresql_column
    return _TABLES[dialect].format(", ".join(column_of(number, kind) for number, kind in enumerate(kinds)))


def _sqlite_column(number: int, _: Kind) -> str:
    return f"json_extract(value, '$[{number}]') AS c{number}"


def _mysql_column(number: int, kind: Kind) -> str:
    """Return a column; a word has the collation of the tables, or their indexes would not be used."""
    value = f"CONVERT(c{number} USING ascii) COLLATE ascii_bin" if kind is Kind.WORD else f"c{number}"
    return f"{value} AS c{number}"


def _postgresql_column(number: int, kind: Kind) -> str:
    value = f"value->>{number}"
    if kind is Kind.NUMBER:
        return f"CAST({value} AS bigint) AS c{number}"
    return f'({value}) COLLATE "C" AS c{number}' if kind is Kind.WORD else f"{value} AS c{number}"
