"""README.md shows what is there: the list of a host, the picture's page, and the snippets of docs/pipeline.md."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from jobscheduler.cli.job_rows import COLUMNS, rows, sorted_jobs, summary_text
from jobscheduler.cli.table import table
from jobscheduler.status.shown_status import shown_status
from jobscheduler.status.snapshot_json import job_json
from tests.support.service import ROOT
from tests.support.web_view import NOW, a_day

PAGE = (ROOT / "README.md").read_text("utf-8")
SHOWN = 8  # jobs
WIDTH = 112  # columns
LINKING = (
    *("README.md", "RUNNING.md", "docs/day-one.md", "docs/pipeline.md", "docs/from-cron.md", "docs/alerts.md"),
    *("docs/from-jobsmanager.md", "docs/containers.md", "docs/debian-package.md", "docs/operators-day.md"),
    "docs/page.md",
)


def blocks(text: str, kind: str) -> list[str]:
    """The fenced blocks of a page of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def list_of_the_day() -> str:
    """What `list` prints about the host of the picture."""
    view = a_day()
    found = []
    for job in view.snapshot().jobs:
        recent = view.results.recent_runs(job.id or "")
        output = (job.last.output or "" if job.last else "").strip()
        line = re.sub(r"\x1b\[\d*m", "", output.rpartition("\n")[2]) or None
        known = replace(job, usual=recent.usual if recent else None, last_line=line)
        found.append({**job_json(known), "status": shown_status(known).value})
    ordered = sorted_jobs(found, "status")
    head, *lines = table(COLUMNS, rows(ordered, NOW), width=WIDTH, colour=False)
    return "\n".join([head, *lines[:SHOWN], "…", summary_text(ordered), ""])


def test_the_list_is_that_of_the_host_in_the_picture() -> None:
    """As `list` prints it in a terminal of that width."""
    assert blocks(PAGE, "text")[0] == list_of_the_day()


def test_the_snippets_are_those_that_are_executed() -> None:
    """Each line of them stands in docs/pipeline.md, whose blocks `tests/service/test_pipeline_md.py` executes."""
    pipeline = (ROOT / "docs/pipeline.md").read_text("utf-8")
    ansible, hook = blocks(PAGE, "yaml")
    executed = {line.strip() for block in blocks(pipeline, "yaml") for line in block.splitlines()}
    assert {line.strip() for line in hook.splitlines()} <= executed
    assert {line.strip().removeprefix("- ") for line in ansible.splitlines()} <= executed
    (shell,) = blocks(PAGE, "sh")
    whole = {line.removeprefix("- ").replace("--config scheduler.toml ", "") for line in executed}
    assert set(shell.splitlines()) <= {line.removesuffix(" scheduler.toml") for line in whole}


def anchor(heading: str) -> str:
    """Return the name by which a link leads to a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", LINKING)
def test_every_link_leads_somewhere(name: str) -> None:
    """To a file that is there, and to a heading of it."""
    text = (ROOT / name).read_text("utf-8")
    lost = []
    for target, fragment in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        file = (ROOT / name).parent / target if target else ROOT / name
        headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE) if fragment else []
        if not file.exists() or (fragment and fragment not in map(anchor, headings)):
            lost.append(f"{target}#{fragment}")
    assert lost == []
