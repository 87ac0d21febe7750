"""Each verb against a service with moved paths and another zone; with it answering, and not."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from jobscheduler.cli.verbs import VERBS
from tests.support.service import job
from tests.support.settings_place import Place, place

__all__ = ["place"]

ZONE = "Asia/Kolkata"  # five hours and a half ahead of UTC, which is the zone of the tests


class Case(NamedTuple):
    """The words of a verb, and what it prints. `without` is None if the verb needs a service that answers."""

    words: list[str]
    answering: str
    without: str | None = None
    status: int = 0


NOT_ASKED = "note: no service was asked; the settings are those of {file}\n"
CASES = {  # in the order in which they are run; `{...}` are the moved paths
    "run": Case(["run", "long"], "of `long`\nnote: the next slot, "),
    "status": Case(["status"], "zone       Asia/Kolkata"),
    "list": Case(["list", "--json", "a"], "T04:00:00Z"),
    "history": Case(["history", "a"], "SUCCESS", NOT_ASKED),
    "output": Case(["output", "a"], "hello from a", NOT_ASKED),
    "agenda": Case(["agenda", "--to", "2d"], "DAY (Asia/Kolkata)"),
    "next": Case(["next", "{jobs}/a.json", "-n", "1"], "09:30:00 IST", NOT_ASKED),
    "explain": Case(["explain", "a"], "09:30:00 IST", "the service was not asked"),
    "pause": Case(["pause", "a"], "paused: `a`"),
    "resume": Case(["resume", "a"], "`a` runs again"),
    "stop": Case(["stop", "long"], "of `long` is being stopped"),
    "alert": Case(["alert", "test", "bad"], "on_failure: sent"),
    "validate": Case(["validate"], "4 files checked, no errors", NOT_ASKED),
    "plan": Case(["plan", "{jobs}"], "nothing would change", NOT_ASKED),
    "config": Case(["config", "--given"], "{file}:4\n", "note: no service was asked; a"),
    "reload": Case(["reload"], "zone Asia/Kolkata"),
    "cluster": Case(["cluster"], "this service is alone"),
    "import": Case(["import", "crontab", "{crontab}", "--owner", "root"], '"timezone": "UTC"', NOT_ASKED),
    "db": Case(["db", "list"], "kept-in-the-table", ""),
    "serve": Case(["serve"], "error: the jobs directory `{jobs}` is in use by process", status=1),
}


def test_each_verb_uses_the_settings_of_the_service_whether_it_answers_or_not(place: Place) -> None:
    """A verb that reads files says that no service was asked; one that needs the service names its moved socket."""
    assert CASES.keys() == VERBS.keys() - {"completion"}  # which has no settings
    crontab = place.service.jobs.parent / "crontab"
    crontab.write_text("30 9 * * * echo hello\n")
    paths = {"file": place.file, "jobs": place.service.jobs, "socket": place.service.socket, "crontab": crontab}
    output = place.service.jobs.parent / "printed"
    database = place.service.jobs.parent / "jobs.sqlite"
    place.write(timezone=ZONE, output_dir=str(output), database_url=f"sqlite:///{database}")
    alert = {"type": "execute_command", "command": "true"}
    for definition in (
        job("a", "30 9 * * *", "echo hello from a"),
        job("long", "@yearly", "sleep 1000"),
        job("bad", "@yearly", "false", on_failure=alert),
    ):
        place.service.write(f"{definition['job_id']}.json", definition)
    stored = place.service.jobs.parent / "stored.json"
    stored.write_text(json.dumps(job("kept-in-the-table", "@yearly")))
    for words in (["db", "init"], ["db", "add", str(stored)]):
        assert place.verb(*words).returncode == 0
    place.start()
    assert place.verb("run", "a", "--wait").stdout.startswith("hello from a\n")

    wrong = {}
    for verb, case in CASES.items():
        done = place.verb(*(word.format(**paths) for word in case.words))
        said = done.stdout + done.stderr
        if done.returncode != case.status or case.answering.format(**paths) not in said or "no service was" in said:
            wrong[verb] = (done.returncode, said)
    assert wrong == {}
    assert place.service.stop() == 0
    assert any(file.is_file() for file in output.rglob("*"))

    for verb, case in CASES.items():
        if verb == "serve":
            continue  # it is the service
        done = place.verb(*(word.format(**paths) for word in case.words))
        said = done.stdout + done.stderr
        if case.without is None:
            is_right = done.returncode == 3 and f"there is no socket `{place.service.socket}`" in said
        else:
            is_right = case.without.format(**paths) in said and case.answering.format(**paths) in said
        if not is_right:
            wrong[verb] = (done.returncode, said)
    assert wrong == {}


@pytest.mark.parametrize("is_answering", [True, False])
def test_a_report_of_the_settings_says_where_each_stands(place: Place, is_answering: bool) -> None:
    """For programs, and the same from the service as from the file."""
    place.write(timezone=ZONE)
    if is_answering:
        place.start()
    entries = json.loads(place.verb("config", "--json").stdout)["settings"]
    assert entries["timezone"] == {"value": ZONE, "origin": f"{place.file}:4"}
    assert entries["log-file"] == {"value": str(place.service.log), "origin": f"{place.file}:2"}
