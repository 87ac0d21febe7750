"""jobscheduler(1): the verbs, by what `--help` says of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jobscheduler.cli.run_verb import verb_parser
from jobscheduler.cli.usage import VerbParser
from jobscheduler.cli.verb_arguments import described
from jobscheduler.cli.verbs import DESCRIPTION, EXIT_STATUSES, GROUPS
from jobscheduler.config import DEFAULT_CONFIG, OPTIONS, PREFIX, Settings, default_text
from jobscheduler.config.own_paths import USER_FLAG
from jobscheduler.util.environment_file import ENVIRONMENT_FILE
from manual.roff import Page, bold, continued, italic, sentence

_OF_SERVICE = (USER_FLAG, "--config", *(option.flag for option in OPTIONS))
_NEW_PARAGRAPH = re.compile(r"\n(?=--|Exit status:)")


def page(root: Path, date: int | None) -> Page:
    """Return the page."""
    made = Page("jobscheduler", 1, DESCRIPTION.partition(":")[0].lower().replace("linux", "Linux"), date)
    made.heading("synopsis")
    made.usage("jobscheduler [VERB] [OPTIONS]", "jobscheduler help [VERB]", "jobscheduler [--version]")
    made.heading("description")
    made.paragraph(f"{DESCRIPTION} Without a verb: `status`.")
    schema = json.loads((root / "schemas/job.schema.json").read_text("utf-8"))
    made.paragraph(f"{schema['description']} jobscheduler-job(5) has its fields.")
    for title, verbs in GROUPS.items():
        made.heading(f"verbs to {title}")
        for verb, summary in verbs.items():
            _verb(made, verb_parser(verb), summary)
    _settings(made)
    _exit_statuses(made)
    _environment(made)
    _files(made)
    made.heading("see also")
    made.paragraph("jobscheduler-job(5), scheduler.toml(5), crontab(5), systemd.time(7)")
    return made


def _verb(made: Page, parser: VerbParser, summary: str) -> None:
    made.subheading(parser.prog.removeprefix("jobscheduler "))
    made.usage(parser.usage_line.removeprefix("usage: "))
    made.paragraph(f"{summary[:1].upper()}{summary[1:].rstrip('.')}.")
    verb = described(parser, summary)
    _arguments(made, [*verb["arguments"], *verb["options"]])
    _below(made, parser)
    examples, notes = parts_of(parser.epilog or "")
    for note in notes:
        made.paragraph(note)
    if examples:
        made.paragraph("Examples:")
        made.example(examples)


def _below(made: Page, parser: VerbParser) -> None:
    """Add the verbs below one, each with what only it takes."""
    for below in parser.verbs.values():
        made.usage(below.usage_line.removeprefix("usage: "))
        made.indent()
        made.paragraph(below.description or "")
        verb = described(below, "")
        _arguments(made, [*verb["arguments"], *verb["options"]])
        made.outdent()


def _arguments(made: Page, arguments: Iterable[Mapping[str, Any]]) -> None:
    """Add arguments and options; those that are settings are only named, as they stand in a section of their own."""
    of_service = []
    for argument in arguments:
        names = [name for name in argument["names"] if name not in ("-h", "--help")]
        if names and names[-1] in _OF_SERVICE:
            of_service += names
        elif names or not argument["names"]:
            made.entry(_tag(names, argument["metavar"]), texts=[sentence(argument["help"])])
    if of_service:
        made.paragraph(f"Settings: {', '.join(f'`{name}`' for name in of_service)}.")


def _tag(names: Iterable[str], metavar: str | None) -> str:
    value = italic(metavar) if metavar else ""
    return " ".join(filter(None, [", ".join(map(bold, names)), value]))


def parts_of(epilog: str) -> tuple[str, list[str]]:
    """Return the examples below the help of a verb, and the notes after them, each a paragraph."""
    head, _, rest = epilog.partition("\n\n")
    examples = "\n".join(continued(line.strip()) for line in head.splitlines()[1:])
    paragraphs = [part for block in rest.split("\n\n") for part in _NEW_PARAGRAPH.split(block)]
    return examples, [" ".join(part.split()) for part in paragraphs if part.strip()]


def _settings(made: Page) -> None:
    made.heading("settings")
    serve = described(verb_parser("serve"), "")
    made.paragraph("The options of `serve`, and of the other verbs where they need them to find what it finds:")
    for option in serve["options"]:
        if option["names"][-1] in _OF_SERVICE:
            made.entry(_tag(option["names"], option["metavar"]), texts=[sentence(option["help"])])
    made.paragraph(" ".join(parts_of(verb_parser("config").epilog or "")[1][:1]))


def _exit_statuses(made: Page) -> None:
    made.heading("exit status")
    for status, text in EXIT_STATUSES.items():
        made.entry(bold(str(status)), texts=[sentence(text)])


def _environment(made: Page) -> None:
    made.heading("environment")
    made.entry(bold(f"{PREFIX}*"), texts=["Settings: each variable is named above with its option."])
    made.entry(bold("NO_COLOR"), bold("FORCE_COLOR"), texts=["No colours, or colours also for a pipe."])


def _files(made: Page) -> None:
    made.heading("files")
    made.entry(bold(str(DEFAULT_CONFIG)), texts=["The settings file; see scheduler.toml(5)."])
    made.entry(bold(str(ENVIRONMENT_FILE)), texts=["Variables for the service."])
    for name, text in _paths():
        made.entry(bold(name), texts=[sentence(text)])


def _paths() -> Iterator[tuple[str, str]]:
    """Yield the paths that are the default of a setting, each with the help of that."""
    for option in OPTIONS:
        if isinstance(getattr(Settings(), option.name), Path):
            yield default_text(option), option.help
