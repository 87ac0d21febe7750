"""A JSON Schema, compiled once: a quick check for what is right, and the validator for what is not."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from jobscheduler.jobs.parser.ecma import ecma_pattern
from jobscheduler.jobs.parser.fast_schema import Predicate, compile_predicate


class Compiled:
    """A schema, compiled once: `accepts` quickly tells that there is no error, `validator` finds every error.

    The validator is made when a definition is refused: importing jsonschema takes longer than most commands.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self.accepts: Predicate | None = compile_predicate(schema, ecma_pattern)

    @cached_property
    def validator(self) -> Any:
        """Make the validator of this schema."""
        from jobscheduler.jobs.parser.validator import Validator  # noqa: PLC0415 - slow, and seldom needed

        return Validator(self._schema)
