"""Check a definition against its JSON Schemas, in words that its author understands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jobscheduler.jobs.parser.compiled_schema import Compiled
from jobscheduler.jobs.parser.integers import Convert, converter
from jobscheduler.util.json_text import Path as JsonPath
from jobscheduler.util.text import did_you_mean, nearest, quote, truncate

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


@dataclass(frozen=True, slots=True)
class Finding:
    """An error of a value by its schema: path, message and help. With `key` the error is in the key itself."""

    path: JsonPath
    message: str
    help: str | None = None
    notes: tuple[str, ...] = ()
    key: bool = False


def public_schema() -> dict[str, Any]:
    """Return the public schema of a job file."""
    package = Path(__file__).parent.parent.parent
    inside, beside = package / "schemas", package.parent / "schemas"
    decoded: dict[str, Any] = json.loads(((inside if inside.is_dir() else beside) / "job.schema.json").read_bytes())
    return decoded


@cache
def job_fields() -> tuple[str, ...]:
    """Return the fields of a job file."""
    return tuple(public_schema()["properties"])


@cache
def task_schemas() -> Mapping[str, Any]:
    """Return the schemas of the built-in task types by name, with `type` among their fields."""
    return {name: rules for name, rules in public_schema()["$defs"].items() if name != "task"}


@cache
def optional_fields() -> tuple[str, ...]:
    """Return the fields of a job file that it need not have."""
    whole = public_schema()
    return tuple(name for name in whole["properties"] if name not in whole["required"])


def check_job(value: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the errors of a definition by the public schema, without the fields of its task type."""
    return _check(_job_rules(), value, ())


def check_task(type_: Any, fields: Mapping[str, Any], at: JsonPath) -> Iterator[Finding]:
    """Yield the errors of the fields of a task, by the schema of its type; `at` is the path of the task."""
    return _check(_rules_of(type_), fields, at)


def fits_task(type_: Any, fields: Mapping[str, Any]) -> bool:
    """Return whether the fields of a task have no error by the schema of its type."""
    return next(check_task(type_, fields, ()), None) is None


def check_unusable_task(name: str, value: Mapping[str, Any], at: JsonPath) -> Iterator[Finding]:
    """Yield the errors of a task of a built-in type that this host cannot use, by the public schema."""
    if name in task_schemas():
        yield from _check(_rules_of_unusable(name), value, at)


def with_integers(type_: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a task with `10.0` as the integer 10 wherever its type asks for an integer."""
    convert = _converter_of(type_)
    return fields if convert is None else convert(fields)


def job_with_integers(value: dict[str, Any]) -> dict[str, Any]:
    """Return a definition with `10.0` as the integer 10 wherever it asks for an integer, except in its tasks."""
    convert = _converter_of_jobs()
    return value if convert is None else convert(value)


def check_task_file(value: Any) -> Iterator[Finding]:
    """Yield the errors of a task in a file of its own by the public schema, without the fields of its type."""
    return _check(_task_rules(), value, ())


# --- one finding ---------------------------------------------------------------------------------------

_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


def _findings(error: ValidationError, base: JsonPath) -> Iterator[Finding]:
    """Turn one error of jsonschema into findings, one for each field that it is about."""
    path: JsonPath = (*base, *error.absolute_path)
    rules: Any = error.schema
    value: Any = error.instance
    fields: Mapping[str, Any] = rules.get("properties", {})
    if error.validator == "required":
        limit: Any = error.validator_value
        missing = next(name for name in limit if error.message.startswith(repr(name)))
        wrong = _misspelling(missing, value, fields)
        if wrong is None:
            yield _missing(path, missing, fields)
        elif rules.get("additionalProperties") is not False:  # otherwise that is an error of its own
            yield _unknown(path, wrong, fields)
    elif error.validator in {"anyOf", "oneOf"} and (errors := _branch_errors(error)):
        for branch_error in errors:
            yield from _findings(branch_error, base)
    elif error.validator == "additionalProperties" and not rules.get("patternProperties"):
        yield from (_unknown(path, name, fields) for name in value if name not in fields)
    else:
        yield _generic_finding(path, str(error.validator), error.validator_value, value, rules)


def _branch_errors(error: ValidationError) -> list[ValidationError]:
    """Return the errors of a value in the one of several forms that has its type; none if several have it."""
    forms: dict[Any, list[ValidationError]] = {}
    for branch_error in error.context or ():
        forms.setdefault(branch_error.relative_schema_path[0], []).append(branch_error)
    same_type = [errors for errors in forms.values() if not any(map(_is_type_error, errors))]
    return same_type[0] if len(same_type) == 1 else []


def _is_type_error(error: ValidationError) -> bool:
    return error.validator == "type" and not error.relative_path


def _missing(path: JsonPath, name: str, fields: Mapping[str, Any]) -> Finding:
    examples = fields.get(name, {}).get("examples") or ["..."]
    example = json.dumps(examples[0], ensure_ascii=False)
    return Finding(path, f"missing field `{_label((*path, name))}`", f'add it, for example `"{name}": {example}`')


def _misspelling(name: str, value: Iterable[str], fields: Mapping[str, Any]) -> str | None:
    """Return the unknown key that was probably meant to be the missing one, so that one problem says it all."""
    unknown = islice((key for key in value if key not in fields), 20)
    return next((key for key in unknown if nearest(key, fields) == name), None)


def _unknown(path: JsonPath, name: str, fields: Mapping[str, Any]) -> Finding:
    help_ = did_you_mean(name, fields)
    listed = ", ".join(f"`{field}`" for field in fields)
    notes = () if help_ else (f"known fields are {listed}",)
    return Finding((*path, name), f"unknown field {quote(name)}", help_, notes, key=True)


def _generic_finding(path: JsonPath, rule: str, limit: Any, value: Any, rules: Mapping[str, Any]) -> Finding:
    examples = rules.get("examples")
    example = f"for example `{json.dumps(examples[0], ensure_ascii=False)}`" if examples else None
    message, help_ = _describe(_label(path), rule, limit, value)
    if rule == "type" and path[-1:] == ("umask",) and isinstance(value, int) and not isinstance(value, bool):
        help_ = _umask(value)
    about = rules.get("description") if rule in {"pattern", "anyOf", "oneOf"} else None
    return Finding(path, message, help_ or example, (about,) if about else ())


def _umask(value: int) -> str | None:
    """Return how to write a mask that was given as a number: as text, in octal. It may have been meant as octal."""
    if not 0 <= value <= 0o777:
        return None
    octal, digits = f"0{value:02o}", str(value)
    if set(digits) <= set("01234567") and len(digits) <= 3 and value:
        return f'write `"0{digits:0>2}"`, or `"{octal}"`, which is {value} in octal'
    return f'write `"{octal}"`, which is {value} in octal'


def _describe(label: str, rule: str, limit: Any, value: Any) -> tuple[str, str | None]:
    """Return message and help. The value is quoted only where it cannot be a secret."""
    match rule:
        case "type":
            names = [limit] if isinstance(limit, str) else [name for name in limit if name != "null"]
            wanted = " or ".join(_TYPES[name] for name in names)
            return f"`{label}` must be {wanted}, not {_type_name(value)}", None
        case "enum":
            choices = tuple(str(choice) for choice in limit if choice is not None)
            listed = ", ".join(f"`{choice}`" for choice in choices)
            return f"`{label}` must be one of {listed}", did_you_mean(str(value), choices)
        case "anyOf" | "oneOf":
            kinds = dict.fromkeys(_TYPES.get(str(form.get("type")), "of another form") for form in limit)
            return f"`{label}` must be {' or '.join(kinds)}, not {_type_name(value)}", None
        case "const":
            return f"`{label}` must be `{json.dumps(limit)}`", None
        case "pattern" if label in _MALFORMED:
            message, help_ = _MALFORMED[label]
            return f"{quote(value)} {message}", help_
        case "pattern" if label.startswith("tags."):
            return f"{quote(value)} is not a valid tag", _tag_without_prefix(value)
        case "uniqueItems":
            return f"`{label}` says something twice", None
        case "pattern":
            return f"`{label}` does not have the required form", None
        case "minLength" | "minItems" | "minProperties" if limit == 1:
            return f"`{label}` must not be empty", None
        case _ if rule in _LIMITS:
            return f"`{label}` must be {_LIMITS[rule]} {limit}", None
        case "maxLength" | "maxItems" | "maxProperties":
            return f"`{label}` is too long: at most {limit}", None
        case _:
            return f"`{label}` does not satisfy the rule `{rule}` of its schema", None


_MALFORMED: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "job_id": ("is not a valid `job_id`", None),
        "limits.cpu": ("is not a share of processor time", 'write a percentage, such as `"50%"` (half a processor)'),
    }
)
"""The message, after the quoted value, and the help for a text that does not have its form."""


def _tag_without_prefix(text: str) -> str | None:
    """Return the help for a tag that is written as commands take it."""
    return f"write {quote(text[4:])}: only commands have `tag:` in front" if text.startswith("tag:") else None


_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def _type_name(value: Any) -> str:
    for check, name in ((bool, "boolean"), (str, "string"), (int, "number"), (float, "number"), (dict, "object")):
        if isinstance(value, check):
            return _TYPES[name]
    return _TYPES["null"] if value is None else _TYPES["array"]


def _label(path: JsonPath) -> str:
    return ".".join(truncate(str(part)) for part in path) or "the definition"


# --- compiled validators -------------------------------------------------------------------------------


def _check(rules: Compiled, value: Any, at: JsonPath) -> Iterator[Finding]:
    if rules.accepts is not None and rules.accepts(value):
        return
    for error in rules.validator.iter_errors(value):
        yield from _findings(error, at)


@cache
def _job_rules() -> Compiled:
    """Compile the public schema without its conditions on tasks: each task type validates its own fields."""
    whole = public_schema()
    whole["$defs"]["task"].pop("allOf", None)
    return Compiled(whole)


@cache
def _task_rules() -> Compiled:
    task = public_schema()["$defs"]["task"]
    task.pop("allOf", None)
    return Compiled(task)


@cache
def _converter_of_jobs() -> Convert | None:
    whole = public_schema()
    whole["$defs"]["task"] = {}
    return converter(whole)


@cache
def _converter_of(type_: Any) -> Convert | None:
    return converter(dict(type_.schema))


@cache
def _rules_of(type_: Any) -> Compiled:
    return Compiled(dict(type_.schema))


@cache
def _rules_of_unusable(name: str) -> Compiled:
    return Compiled(dict(task_schemas()[name]))
