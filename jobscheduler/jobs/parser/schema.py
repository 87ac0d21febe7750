"""What the JSON Schemas say about a definition, in words that its author understands. The one door to jsonschema."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from jobscheduler.jobs.parser.fast_schema import Predicate, compile_predicate
from jobscheduler.jobs.parser.integers import Convert, converter
from jobscheduler.util.json_text import Path as JsonPath


@dataclass(frozen=True, slots=True)
class Finding:
    """What a schema has against a value: where, what, and the way out. With `key`, the key itself is meant."""

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


def check_job(value: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what the public schema has against a definition, its task's own fields left out."""
    return _check(_job_rules(), value, ())


def check_task(type_: Any, own: Mapping[str, Any], at: JsonPath) -> Iterator[Finding]:
    """Yield what the schema of a task type has against a task's own fields; `at` is where the task stands."""
    return _check(_rules_of(type_), own, at)


def with_integers(type_: Any, own: dict[str, Any]) -> dict[str, Any]:
    """Return a task's own fields with `10.0` as the integer 10 wherever its type asks for an integer."""
    convert = _converter_of(type_)
    return own if convert is None else convert(own)


def job_with_integers(value: dict[str, Any]) -> dict[str, Any]:
    """Return a job with `10.0` as the integer 10 wherever it asks for an integer; its tasks are not looked into."""
    convert = _converter_of_jobs()
    return value if convert is None else convert(value)


def check_task_file(value: Any) -> Iterator[Finding]:
    """Yield what the public schema has against a task that is a definition by itself, its own fields left out."""
    return _check(_task_rules(), value, ())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was most likely meant, if any."""
    return next(iter(difflib.get_close_matches(name[:60].lower(), known, n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the help for a name that is not known, if one is near."""
    near = nearest(name, known)
    return f"did you mean `{near}`?" if near else None


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
    """Turn one error into findings: one for each field, where an error is about several."""
    path: JsonPath = (*base, *error.absolute_path)
    rules: Any = error.schema
    value: Any = error.instance
    fields: Mapping[str, Any] = rules.get("properties", {})
    if error.validator == "required":
        limit: Any = error.validator_value
        wanting = next(name for name in limit if error.message.startswith(repr(name)))
        wrong = _misspelling(wanting, value, fields)
        if wrong is None:
            yield _missing(path, wanting, fields)
        elif rules.get("additionalProperties") is not False:  # otherwise that is an error of its own
            yield _unknown(path, wrong, fields)
    elif error.validator in {"anyOf", "oneOf"} and (meant := _branch_errors(error)):
        for one in meant:
            yield from _findings(one, base)
    elif error.validator == "additionalProperties" and not rules.get("patternProperties"):
        yield from (_unknown(path, name, fields) for name in value if name not in fields)
    else:
        yield _generic_finding(path, str(error.validator), error.validator_value, value, rules)


def _branch_errors(error: ValidationError) -> list[ValidationError]:
    """Of a value that fits none of several forms, return what is wrong with it in the one form of its type."""
    forms: dict[Any, list[ValidationError]] = {}
    for one in error.context or ():
        forms.setdefault(one.relative_schema_path[0], []).append(one)
    of_its_type = [
        found for found in forms.values() if not any(one.validator == "type" and not one.relative_path for one in found)
    ]
    return of_its_type[0] if len(of_its_type) == 1 else []


def _missing(path: JsonPath, name: str, fields: Mapping[str, Any]) -> Finding:
    examples = fields.get(name, {}).get("examples") or ["..."]
    shown = json.dumps(examples[0], ensure_ascii=False)
    return Finding(path, f"missing field `{_label((*path, name))}`", f'add it, for example `"{name}": {shown}`')


def _misspelling(name: str, value: Iterable[str], fields: Mapping[str, Any]) -> str | None:
    """Return what a missing key was written as, so that one problem says it all."""
    unknown = islice((one for one in value if one not in fields), 20)
    return next((one for one in unknown if nearest(one, fields) == name), None)


def _unknown(path: JsonPath, name: str, fields: Mapping[str, Any]) -> Finding:
    help_ = did_you_mean(name, fields)
    listed = ", ".join(f"`{one}`" for one in fields)
    notes = () if help_ else (f"known fields are {listed}",)
    return Finding((*path, name), f"unknown field `{truncate(name)}`", help_, notes, key=True)


def _generic_finding(path: JsonPath, rule: str, limit: Any, value: Any, rules: Mapping[str, Any]) -> Finding:
    examples = rules.get("examples")
    example = f"for example `{json.dumps(examples[0], ensure_ascii=False)}`" if examples else None
    message, help_ = _describe(_label(path), rule, limit, value)
    if rule == "type" and path[-1:] == ("umask",) and isinstance(value, int) and not isinstance(value, bool):
        help_ = _umask(value)
    about = rules.get("description") if rule in {"pattern", "anyOf", "oneOf"} else None
    return Finding(path, message, help_ or example, (about,) if about else ())


def _umask(value: int) -> str | None:
    """Say how a mask that is a number is written: as text, in octal. One that reads as octal was perhaps meant so."""
    if not 0 <= value <= 0o777:
        return None
    octal, digits = f"0{value:02o}", str(value)
    if set(digits) <= set("01234567") and len(digits) <= 3 and value:
        return f'write `"0{digits:0>2}"`, or `"{octal}"`, which is {value} in octal'
    return f'write `"{octal}"`, which is {value} in octal'


def _describe(label: str, rule: str, limit: Any, value: Any) -> tuple[str, str | None]:
    """Return message and help. The value itself is only quoted where that gives no secret away."""
    match rule:
        case "type":
            wanted = " or ".join(_TYPES[one] for one in ([limit] if isinstance(limit, str) else limit))
            return f"`{label}` must be {wanted}, not {_type_name(value)}", None
        case "enum":
            choices = tuple(str(one) for one in limit)
            listed = ", ".join(f"`{one}`" for one in choices)
            return f"`{label}` must be one of {listed}", did_you_mean(str(value), choices)
        case "anyOf" | "oneOf":
            kinds = dict.fromkeys(_TYPES.get(str(form.get("type")), "of another form") for form in limit)
            return f"`{label}` must be {' or '.join(kinds)}, not {_type_name(value)}", None
        case "const":
            return f"`{label}` must be `{json.dumps(limit)}`", None
        case "pattern" if label == "job_id":
            return f"`{truncate(value)}` is not a valid `{label}`", None
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


def truncate(text: str) -> str:
    """Return a user's text as it can stand in a message."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:60])
    return shown + ("…" if len(text) > 60 else "")


# --- compiled validators -------------------------------------------------------------------------------


def _pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[ValidationError]:
    """ECMA 262's `$`, which JSON Schema means, is the very end; Python's also matches before a last newline."""
    if validator.is_type(instance, "string") and not _ecma(pattern).search(instance):
        yield ValidationError(f"does not match {pattern!r}")


@cache
def _ecma(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), re.ASCII)


_Validator = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A schema, compiled once: what finds every error, and what quickly tells that there is none, if that is known."""

    validator: Any
    accepts: Predicate | None


def _check(rules: _Compiled, value: Any, at: JsonPath) -> Iterator[Finding]:
    if rules.accepts is not None and rules.accepts(value):
        return
    for error in rules.validator.iter_errors(value):
        yield from _findings(error, at)


def _compiled(schema: Any) -> _Compiled:
    return _Compiled(_Validator(schema), compile_predicate(schema, _ecma))


@cache
def _job_rules() -> _Compiled:
    """Compile the public schema without its conditions on tasks: each task type validates its own fields."""
    whole = public_schema()
    whole["$defs"]["task"].pop("allOf", None)
    return _compiled(whole)


@cache
def _task_rules() -> _Compiled:
    task = public_schema()["$defs"]["task"]
    task.pop("allOf", None)
    return _compiled(task)


@cache
def _converter_of_jobs() -> Convert | None:
    whole = public_schema()
    whole["$defs"]["task"] = {}
    return converter(whole)


@cache
def _converter_of(type_: Any) -> Convert | None:
    return converter(dict(type_.schema))


@cache
def _rules_of(type_: Any) -> _Compiled:
    return _compiled(dict(type_.schema))
