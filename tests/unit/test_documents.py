"""The documents for engineers name files that exist, every package, and figures that the script counts."""

from __future__ import annotations

import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

from tests.unit.test_architecture import ALLOWED

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|md|json|yml|default|service))`")  # a path with a directory
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/ARCHITECTURE.md"])
def test_every_file_that_a_document_names_exists(name: str) -> None:
    """A path counts from the top of the checkout or from anywhere inside the package."""
    document = ROOT / name
    text = document.read_text("utf-8")
    paths = [f"/{path.relative_to(ROOT)}" for top in ("jobscheduler", "tests") for path in (ROOT / top).rglob("*.py")]
    named = set(FILE.findall(text)) - {"jobscheduler/tasks/NAME.py", "jobscheduler/cli/NAME.py"}
    assert len(named) > 20
    assert {
        path for path in named if not (ROOT / path).exists() and not any(p.endswith(f"/{path}") for p in paths)
    } == set()
    assert [link for link in LINK.findall(text) if not (document.parent / link).exists()] == []


def test_the_architecture_names_every_package() -> None:
    """The table has a row for each package on the list of imports."""
    text = (ROOT / "docs/ARCHITECTURE.md").read_text("utf-8")
    assert set(re.findall(r"^\| \d \| `(\w+)` \|", text, re.MULTILINE)) == ALLOWED.keys()


def test_code_figures_counts_what_it_says(tmp_path: Path) -> None:
    """Two functions, one private access across classes, one docstring that hides the actor."""
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "py.typed").write_text("")
    (tmp_path / "part.py").write_text(
        'class A:\n    """Tell somebody."""\n\n    def __init__(self):\n        self._a = 1\n\n'
        "    def of(self, other):\n        return (\n            other._a\n        )\n"
    )
    loader = SourceFileLoader("code_figures", str(ROOT / "scripts/code-figures"))
    spec = spec_from_loader("code_figures", loader)
    assert spec is not None
    script = module_from_spec(spec)
    loader.exec_module(script)
    figures = script.measure(tmp_path)
    assert list(figures.values()) == [10, 2, 1, 2, 3.0, 4, 4, 0, 0, 0, 1, 1]
    assert "docstrings with unplain words" in figures
