"""The fast check of a value against a schema agrees with jsonschema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler import tasks
from jobscheduler.jobs.parser import schema
from jobscheduler.jobs.parser.ecma import ecma_pattern
from jobscheduler.jobs.parser.fast_schema import compile_predicate
from tests.support.properties import examples

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2000),
    st.floats(allow_nan=False),
    st.sampled_from(["", "skip", "queue", "x", "report-001", "report-001\n", "0 1 * * *", "true", "GET", "utf-8", "ü"]),
)
NAMES = st.sampled_from([
    "job_id", "schedule", "task", "timezone", "enabled", "timeout", "overlap", "retry", "attempts", "delay", "backoff",
    "catch_up", "type", "command", "env", "user", "success_exit_codes", "url", "method", "headers", "other",
])  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=12
)
GOOD: dict[str, Any] = {
    "job_id": "report-001",
    "schedule": "0 1 * * *",
    "task": {"type": "execute_command", "command": ["true"]},
    "retry": {"attempts": 3, "delay": "30s"},
    "timeout": 90,
    "overlap": "queue",
}
COMPILED = {
    "job": schema._job_rules(),
    "task": schema._task_rules(),
    "execute_command": schema._rules_of(tasks.task_type("execute_command")),
    "http_request": schema._rules_of(tasks.task_type("http_request")),
}


@pytest.mark.parametrize("name", COMPILED)
def test_every_keyword_of_our_own_schemas_is_compiled(name: str) -> None:
    """Otherwise reading ten thousand files would cost twice as much, unnoticed."""
    assert COMPILED[name].accepts is not None


@pytest.mark.parametrize("name", COMPILED)
@given(value=VALUES)
@examples(150)
def test_the_predicate_agrees_with_jsonschema_on_any_value(name: str, value: Any) -> None:
    """Except for lists with equality of their own, which it may refuse."""
    compiled = COMPILED[name]
    fits = compiled.validator.is_valid(value)
    assert compiled.accepts(value) <= fits
    assert compiled.accepts(value) == fits or "success_exit_codes" in value or "expected_status" in value


@given(changes=st.dictionaries(NAMES, VALUES, max_size=3))
@examples(300)
def test_the_predicate_agrees_with_jsonschema_on_a_changed_job(changes: dict[str, Any]) -> None:
    """Near valid definitions, where mistakes are likely."""
    value = {**GOOD, **changes}
    assert COMPILED["job"].accepts(value) == COMPILED["job"].validator.is_valid(value)


def test_the_predicate_accepts_usual_definitions() -> None:
    """Otherwise it would be useless."""
    assert COMPILED["job"].accepts(GOOD)
    assert COMPILED["execute_command"].accepts({"command": "true", "env": {"A": "b"}, "success_exit_codes": [0, 3]})
    assert COMPILED["http_request"].accepts({"url": "https://example.org/", "headers": {"A": "b"}})


@pytest.mark.parametrize(
    "unknown",
    [
        {"if": {"type": "string"}, "then": {"minLength": 3}},
        {"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False},
        {"format": "date"},
        {"enum": [1, "x"]},
        {"const": True},
        {"multipleOf": 2},
        {"$ref": "https://example.org/schema.json"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"type": "colour"},
        {"properties": {"x": {"dependentRequired": {"a": ["b"]}}}},
        "no schema",
    ],
)
def test_a_schema_with_an_unknown_keyword_is_left_to_jsonschema(unknown: Any) -> None:
    """A plug-in's task type may have any."""
    assert compile_predicate(unknown, ecma_pattern) is None
