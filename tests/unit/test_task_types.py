"""The table of task types, and types of other packages."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from jobscheduler import tasks
from jobscheduler.model import Status
from jobscheduler.tasks import TASK_TYPES, UnknownTask, UnusableTask, task_names, task_type
from tests.support.tasks import SLOT, job, run_once


@pytest.fixture
def plug_in(monkeypatch, tmp_path):
    """Make a package that offers task types: `plug_in(text, name="module:Class")`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tasks, "_loaded", {})

    def make(text: str, **offered: str) -> None:
        (tmp_path / "other_package.py").write_text(text)
        sys.modules.pop("other_package", None)
        info = tmp_path / "other_package-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
        lines = [f"{name} = {where}" for name, where in offered.items()]
        (info / "entry_points.txt").write_text("\n".join(["[jobscheduler.tasks]", *lines]))

    yield make
    sys.modules.pop("other_package", None)


CHAPTER = (Path(__file__).parent.parent.parent / "docs" / "own-task-type.md").read_text()
GREET = CHAPTER.split("```python\n")[1].split("```")[0]


def test_the_names_can_be_listed():
    """Sorted, without importing anything."""
    assert task_names() == ("execute_command", "http_request", "notify")


def test_the_table_cannot_be_changed():
    """A type is added in the source or by an entry point."""
    with pytest.raises(TypeError):
        TASK_TYPES["x"] = "y:Z"


def test_nothing_is_imported_that_is_not_used():
    """Asking for the names imports no task type, http_request no HTTP client, and notify no Apprise."""
    code = (
        "import sys; from jobscheduler.tasks import *; task_names();"
        "print('jobscheduler.tasks.command.task' in sys.modules);"
        "task_type('http_request').schema; print('urllib3' in sys.modules);"
        "task_type('notify').schema; print('apprise' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "False", "False"]


def test_an_unknown_type_is_answered_with_the_known_ones():
    """And with the most similar one."""
    with pytest.raises(UnknownTask) as caught:
        task_type("execute_comand")
    assert caught.value.nearest == "execute_command"
    assert str(caught.value) == (
        "unknown task type `execute_comand`; did you mean `execute_command`? "
        "(known types: `execute_command`, `http_request`, `notify`)"
    )


def test_a_type_of_another_package_is_one_class_and_one_entry_point(plug_in):
    """As documented: it needs no more to be known, checked, run and recorded."""
    assert len(GREET.splitlines()) <= 20
    plug_in(GREET, greet="other_package:Greet")
    assert "greet" in task_names()
    assert [complaint.message for complaint in task_type("greet").check({"whom": " "})] == ["`whom` is empty"]
    entries = []
    good = run_once(job("greet", {"whom": "you"}), SLOT, entries.append, entries.append)
    bad = run_once(job("greet", {"whom": "Godot"}), SLOT, entries.append, entries.append)
    assert (good.status, good.details) == (Status.SUCCESS, (("greeted", "you"),))
    assert (bad.status, bad.reason, bad.details) == (Status.FAILURE, "task", (("error", "Godot did not answer"),))


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("raise RuntimeError('boom')", "other_package:X", "cannot be imported: RuntimeError: boom"),
        ("import no_such_module", "other_package:X", "No module named 'no_such_module'"),
        ("raise SystemExit(1)", "other_package:X", "cannot be imported: SystemExit"),
        ("raise KeyboardInterrupt", "other_package:X", "cannot be imported: KeyboardInterrupt"),
        ("", "other_package:X", "has no attribute 'X'"),
        ("", "no_such_module:X", "No module named 'no_such_module'"),
        ("X = 1", "other_package:X", "is not a subclass"),
        ("X = 1", "nonsense", "cannot be imported"),
    ],
)
def test_a_broken_plug_in_is_a_problem_and_stops_nothing(plug_in, text, where, words):
    """It is an error for its own name, and the others work."""
    plug_in(text, broken=where)
    with pytest.raises(UnusableTask) as caught:
        task_type("broken")
    assert words in str(caught.value)
    assert task_names() == ("broken", "execute_command", "http_request", "notify")
    assert run_once(job("broken"), SLOT, id, id).reason == "start"


def test_a_plug_in_cannot_take_the_place_of_a_type_of_ours(plug_in):
    """The name in the table wins."""
    plug_in(GREET, execute_command="other_package:Greet")
    assert task_type("execute_command").__module__ == "jobscheduler.tasks.command.task"


def test_unreadable_metadata_of_a_package_stops_nothing(monkeypatch):
    """Whatever is installed on the host."""

    def broken(group: str) -> list[EntryPoint]:
        raise ValueError("broken metadata")

    monkeypatch.setattr(tasks, "entry_points", broken)
    assert task_names() == ("execute_command", "http_request", "notify")
