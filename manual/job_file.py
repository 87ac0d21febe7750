"""jobscheduler-job(5): the fields of a job file, by the descriptions in its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manual import schedules
from manual.roff import Page, bold

Schema = Mapping[str, Any]


def page(root: Path, date: int | None) -> Page:
    """Return the page."""
    schema = json.loads((root / "schemas/job.schema.json").read_text("utf-8"))
    title = schema["title"]
    made = Page("jobscheduler-job", 5, title[:1].lower() + title[1:], date)
    made.heading("description")
    made.paragraph(schema["description"])
    made.example(json.dumps({name: schema["properties"][name]["examples"][0] for name in schema["required"]}, indent=2))
    made.heading("fields")
    _fields(made, schema, schema)
    made.heading("schedules")
    for form, meaning, _ in schedules.FORMS:
        made.entry(bold(form), texts=[meaning])
    for paragraph in schedules.REMARKS:
        made.paragraph(paragraph)
    made.heading("durations")
    made.paragraph(schedules.DURATIONS)
    made.heading("tasks")
    made.paragraph(schema["$defs"]["task"]["description"])
    for name, task in schema["$defs"].items():
        if name != "task":
            made.subheading(name)
            made.paragraph(task["description"])
            _fields(made, schema, task)
    made.heading("see also")
    made.paragraph("jobscheduler(1), scheduler.toml(5), crontab(5), environment(7)")
    return made


def _fields(made: Page, whole: Schema, object_: Schema) -> None:
    """Add the fields of an object, those of objects in it below their own."""
    required = object_.get("required", ())
    for name, field in object_["properties"].items():
        if "const" in field:
            continue
        facts = [_form(field), *(["required"] if name in required else [])]
        made.entry(f"{bold(name)} ({', '.join(filter(None, facts))})", texts=_texts(field))
        if "properties" in field:
            made.indent()
            _fields(made, whole, field)
            made.outdent()


def _form(field: Schema) -> str:
    """Say what kinds of values a field takes."""
    if "enum" in field:
        return "one of a few words"
    if "$ref" in field:
        return "a task"
    parts = field.get("oneOf") or field.get("anyOf")
    kinds = [_form(part) for part in parts] if parts else _kinds(field)
    return " or ".join(dict.fromkeys(kind for kind in kinds if kind and kind != "null"))


def _kinds(field: Schema) -> list[str]:
    kinds = field.get("type", [])
    return [kinds] if isinstance(kinds, str) else [*kinds]


def _texts(field: Schema) -> list[str]:
    """Return the paragraphs about a field: what it means, its values and default, examples."""
    texts = [field["description"] if field["description"][-1] in ".)" else f"{field['description']}."]
    facts = []
    if "enum" in field:
        facts.append(f"One of {', '.join(f'`{word}`' for word in field['enum'] if word is not None)}.")
    if "default" in field:
        facts.append(f"Default: `{_json(field['default'])}`.")
    examples = [_json(example) for example in field.get("examples", ())]
    if examples:
        facts.append(f"For example {', '.join(f'`{example}`' for example in examples)}.")
    return [*texts, " ".join(facts)] if facts else texts


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
