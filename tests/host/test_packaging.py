"""What leaves the checkout: the wheel, its metadata, the examples, the settings file and the scripts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from jobscheduler.alerts.dispatcher import MIN_DRAIN_S
from jobscheduler.config import OPTIONS, default_text
from jobscheduler.tasks.command.processes import KILL_TIMEOUT_S, TERM_GRACE_S
from tests.support.booted import copy_of_the_checkout, filled_checkout, make
from tests.support.job_files import unavailable
from tests.support.service import ROOT

__all__ = ["filled_checkout"]

SCRIPTS = (
    *("scripts/suitable-python", "systemd/install.sh", "systemd/releases.sh", ".ci/run"),
    *("packaging/build-here", "packaging/stage"),
    *(f"packaging/debian/jobscheduler.{name}" for name in ("preinst", "postinst", "prerm", "postrm")),
)
WITHOUT_PIP_SETTINGS = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull}
EXAMPLES = sorted((ROOT / "examples/jobs.d").glob("*.json"))


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel and the sdist of the checkout, built with what the development environment has."""
    base = tmp_path_factory.mktemp("dist")
    checkout = copy_of_the_checkout(base / "checkout")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(base), str(checkout)]
    subprocess.run(command, check=True, capture_output=True)
    return base


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel, which `build` makes from the sdist."""
    (made,) = dist.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What the wheel says about itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_has_every_module_and_the_schema(wheel: Path) -> None:
    """The list of packages is written by hand, so a new one can be forgotten; tests and scripts stay at home."""
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "jobscheduler").rglob("*.py")}
    extra = {"jobscheduler/py.typed", "jobscheduler/schemas/__init__.py", "jobscheduler/schemas/job.schema.json"}
    extra |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "jobscheduler/web/files").iterdir()}
    extra |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "jobscheduler/cli/shells").iterdir()}
    extra.add("jobscheduler/cli/arguments.json")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert packed == modules | extra
        schema = archive.read("jobscheduler/schemas/job.schema.json")
    assert schema == (ROOT / "schemas/job.schema.json").read_bytes()


def test_the_sdist_has_what_a_clone_has_and_both_pass_the_check_of_the_index(dist: Path, wheel: Path) -> None:
    """One can test and install from it; `twine check` reads metadata and description as the index does."""
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("systemd/install.sh", "packaging/deb", "tests/conftest.py", "schemas/job.schema.json", "Makefile"):
        assert name in packed
    assert not [name for name in packed if "__pycache__" in name or name.startswith((".venv", ".hosts", "var"))]
    check = [sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_pip_makes_a_working_command_of_the_wheel_and_what_it_names(
    wheel: Path, filled_checkout: Path, tmp_path: Path
) -> None:
    """In an empty environment it finds its libraries and schema: a good file passes, a wrong one is shown in place."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    install = [sys.executable, "-m", "pip", "--python", str(tmp_path / "venv/bin/python"), "install", "--quiet"]
    sources = ["--no-compile", "--no-index", "--find-links", str(filled_checkout / "wheels")]
    subprocess.run([*install, *sources, str(wheel)], check=True, capture_output=True, env=WITHOUT_PIP_SETTINGS)
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"job_id": "a", "schedule": "@daily", "task": {"type": "execute_command", "command": "true"}}')
    bad.write_text('{"job_id": "b",\n "shedule": "@daily", "task": {"type": "execute_command", "command": "true"}}')

    done = subprocess.run(
        [tmp_path / "venv/bin/jobscheduler", "validate", good, bad],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    assert f"--> {bad}:2:2" in done.stdout
    assert "2 files checked, 1 with errors" in done.stdout


def test_the_metadata_names_the_python_and_the_bounds_of_what_it_needs(metadata: Message) -> None:
    """3.11 or later; every dependency and extra has a lower bound and an upper one, the same as requirements.txt."""
    needed = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    assert SpecifierSet(metadata["Requires-Python"]) == SpecifierSet(">=3.11")
    assert {str(one) for one in needed if not one.marker} == {
        str(Requirement(line)) for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    }
    for one in needed:
        assert {bound.operator for bound in one.specifier} == {">=", "<"}, one


def test_no_driver_of_mysql_is_taken_that_goes_on_without_the_tls_it_was_told_to_use(metadata: Message) -> None:
    """PyMySQL did so up to 1.1: it gave the password in clear to a server that offers no TLS."""
    needed = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    for_tests = (ROOT / "requirements-dev.txt").read_text("utf-8").splitlines()
    needed += [Requirement(line) for line in for_tests if line.startswith("PyMySQL")]
    drivers = [one for one in needed if one.name == "PyMySQL"]
    assert len(drivers) > 1
    assert not any(one.specifier.contains("1.1.1") for one in drivers)


def test_the_version_is_the_same_wherever_it_is_written(metadata: Message) -> None:
    """In the metadata, in what the command says, and at the top of the changelog."""
    said = subprocess.run(
        [sys.executable, "main.py", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert said.stdout == f"jobscheduler {metadata['Version']}\n"
    assert re.findall(r"^## \[([0-9.]+)\]", changelog, re.MULTILINE)[0] == metadata["Version"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_leads_editors_to_the_schema(example: Path) -> None:
    """The file is named after its job; `$schema` is right here and, copied, in var/jobs.d."""
    definition = json.loads(example.read_text("utf-8"))
    assert definition["job_id"] == example.stem
    assert definition["description"]
    assert (example.parent / definition["$schema"]).resolve() == ROOT / "schemas/job.schema.json"

    done = subprocess.run(
        [sys.executable, "main.py", "validate", example], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1 file checked, no errors\n")


def test_the_file_with_variables_only_points_to_the_settings_file() -> None:
    """All of it is comments, and the one example is of a variable that there is."""
    text = (ROOT / "systemd/jobscheduler.default").read_text("utf-8")
    assert all(line.startswith("#") for line in text.splitlines())
    assert "/etc/scheduler/scheduler.toml" in text
    variables = set(re.findall(r"JOBSCHEDULER_[A-Z_]+", text))
    assert variables
    assert variables < {option.variable for option in OPTIONS}


def test_the_unit_gives_more_time_to_stop_than_the_drain_takes() -> None:
    """The drain, and twice what TERM and KILL take: for runs, and for the alerts about those that were stopped."""
    unit = (ROOT / "systemd/jobscheduler.service").read_text("utf-8")
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)s$", unit, re.MULTILINE)
    (drain,) = [default_text(option) for option in OPTIONS if option.name == "drain_timeout"]
    assert int(seconds) > int(drain.removesuffix("s")) + 2 * (TERM_GRACE_S + KILL_TIMEOUT_S) + MIN_DRAIN_S


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_parses_and_is_executable_unless_others_read_it(script: str) -> None:
    """By a plain shell: nothing else is assumed. debhelper makes those of the package executable."""
    assert os.access(ROOT / script, os.X_OK) is not script.startswith(("packaging/debian/", "systemd/releases"))
    subprocess.run(["sh", "-n", ROOT / script], check=True)


# --- packages -----------------------------------------------------------------------------------------------


def test_the_examples_for_containers_have_a_valid_job_and_the_places_of_the_image(tmp_path: Path) -> None:
    """Compose and Kubernetes mount what the image expects; the ConfigMap's job passes as it stands."""
    page = (ROOT / "docs/containers.md").read_text("utf-8")
    compose, kubernetes = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    service = yaml.safe_load(compose)["services"]["scheduler"]
    config, deployment = yaml.safe_load_all(kubernetes)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    image = (ROOT / "packaging/Containerfile").read_text("utf-8")
    assert {line.split(":")[1] for line in service["volumes"]} | {*service["tmpfs"]} == mounted
    assert {"/etc/scheduler/jobs.d", *re.findall(r"^VOLUME (\S+)", image, re.MULTILINE)} < mounted
    assert {name for name in service["environment"] if name != "TZ"} <= {option.variable for option in OPTIONS}
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 30

    (tmp_path / "report.json").write_text(config["data"]["report.json"])
    command = [sys.executable, "main.py", "validate", "--portable", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1 file checked, no errors\n")


def test_each_lintian_override_has_its_reason_above_it() -> None:
    """What lintian would say and why it does not count here, for whoever reads it later."""
    text = (ROOT / "packaging/debian/jobscheduler.lintian-overrides").read_text("utf-8")
    for block in text.strip().split("\n\n"):
        reason, *overrides = block.splitlines()
        assert reason.startswith("# ")
        assert all(line.startswith("jobscheduler: ") for line in overrides)


# --- the install below DESTDIR ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory, filled_checkout: Path) -> Path:
    """What `make install DESTDIR=…` makes, with another prefix."""
    before = sorted(filled_checkout.rglob("*"))
    root = tmp_path_factory.mktemp("staged")
    done = make("install", f"DESTDIR={root}", "PREFIX=/srv/scheduler", cwd=filled_checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(filled_checkout.rglob("*")) == before, "an install leaves nothing in the checkout"
    return root


def test_destdir_is_written_to_and_named_nowhere(staged: Path) -> None:
    """Everything stands below it, no file contains it, and no link leads into it."""
    outside = str(staged).encode()
    for path in staged.rglob("*"):
        if path.is_symlink():
            assert outside not in os.readlink(path).encode(), path
        elif path.is_file():
            assert outside not in path.read_bytes(), path


def test_the_lists_of_installed_files_name_what_is_there(staged: Path) -> None:
    """Nothing of how and from where the package was built, which differs each time."""
    lists = list(staged.rglob("*.dist-info/RECORD"))
    assert lists
    for one in lists:
        named = {line.partition(",")[0] for line in one.read_text("utf-8").splitlines()}
        assert not [name for name in named if name.endswith("direct_url.json")], one


def test_prefix_is_where_command_and_unit_lead(staged: Path) -> None:
    """The script names the interpreter of its release, the unit and the link name the present release."""
    current = staged / "srv/scheduler/current"
    first = (current / "bin/jobscheduler").read_text("utf-8").splitlines()[0]
    assert first == f"#!/srv/scheduler/{os.readlink(current)}/bin/python"
    assert os.readlink(staged / "usr/local/bin/jobscheduler") == "/srv/scheduler/current/bin/jobscheduler"
    for place, serve in (("system", "serve"), ("user", "serve --user")):
        unit = (staged / f"usr/lib/systemd/{place}/jobscheduler.service").read_text("utf-8")
        assert f"ExecStart=/srv/scheduler/current/bin/jobscheduler {serve}\n" in unit
        assert "/opt/" not in unit
    schema = json.loads((staged / "srv/scheduler/schemas/job.schema.json").read_text("utf-8"))
    assert schema["title"] == "A job of jobscheduler"
    modes = {"etc/scheduler": 0o750, "etc/scheduler/jobs.d": 0o750, "var/log/scheduler": 0o755}
    modes |= {"etc/scheduler/scheduler.toml": 0o644, "etc/default/jobscheduler": 0o644}
    assert {name: (staged / name).stat().st_mode & 0o7777 for name in modes} == modes
    settings = (staged / "etc/scheduler/scheduler.toml").read_bytes()
    assert settings == (ROOT / "systemd/scheduler.toml").read_bytes()


SHARED = {
    "usr/local/share/man/man1/jobscheduler.1",
    "usr/local/share/man/man5/jobscheduler-job.5",
    "usr/local/share/man/man5/scheduler.toml.5",
    "usr/local/share/bash-completion/completions/jobscheduler",
    "usr/local/share/zsh/site-functions/_jobscheduler",
    "usr/share/fish/vendor_completions.d/jobscheduler.fish",
}


def test_manual_pages_and_completion_are_links_to_the_present_release(staged: Path) -> None:
    """So an upgrade changes all of them at once."""
    usr = [path for path in (staged / "usr").rglob("*") if path.is_symlink() and path.parent.name != "bin"]
    links = {path.relative_to(staged).as_posix(): os.readlink(path) for path in usr}
    assert links == {name: f"/srv/scheduler/current/{name}" for name in SHARED}
    current = staged / "srv/scheduler/current"
    assert {path.relative_to(current).as_posix() for path in (current / "usr").rglob("*") if path.is_file()} == SHARED
    for name in SHARED:
        assert len((current / name).read_text("utf-8")) > 1000


MOUNTED = ("srv", "usr/local/share", "usr/local/bin", "usr/share/fish/vendor_completions.d")
FOUND = {
    "man -w jobscheduler": "/srv/scheduler/RELEASE/usr/local/share/man/man1/jobscheduler.1",
    "man -w 5 jobscheduler-job": "/srv/scheduler/RELEASE/usr/local/share/man/man5/jobscheduler-job.5",
    "fish -c 'complete -C \"jobscheduler li\"'": "list\tshow the jobs, those that need you first",
    "zsh -f -c 'autoload -Uz compinit; compinit -D; print $_comps[jobscheduler]'": "_jobscheduler",
    "bash -c '. /usr/share/bash-completion/bash_completion; $(compgen -A function | "
    "grep -xe _completion_loader -e _comp_complete_load | head -1) jobscheduler; complete -p jobscheduler'": (
        "complete -F _jobscheduler jobscheduler"
    ),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize(("command", "answer"), FOUND.items())
def test_man_and_the_shells_find_it_by_themselves(staged: Path, tmp_path: Path, command: str, answer: str) -> None:
    """In a view of the host where the staged root is the real one."""
    program, _, _ = command.partition(" ")
    if shutil.which(program) is None or not Path("/usr/share/bash-completion/bash_completion").exists():
        unavailable(f"{program} or bash-completion is not installed")
    mounts = [f"mount --bind {staged}/{path} /{path}" for path in MOUNTED]
    environment = f"HOME={tmp_path} LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin"
    script = " && ".join([*mounts, f"exec env -i {environment} {command}"])
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    release = os.readlink(staged / "srv/scheduler/current")
    assert (done.stdout.strip(), done.returncode) == (answer.replace("RELEASE", release), 0), done.stderr


def test_uninstall_below_destdir_keeps_jobs_logs_and_nothing_else(staged: Path) -> None:
    """Nothing on the host is touched."""
    arguments = [f"DESTDIR={staged}", "PREFIX=/srv/scheduler"]
    assert make("uninstall", *arguments).returncode == 0
    left = {path.relative_to(staged).as_posix() for path in staged.rglob("*") if not any(path.iterdir())}
    assert {"etc/scheduler/jobs.d", "var/log/scheduler"} <= left
    assert not [path for path in staged.rglob("*") if not path.is_dir()]


def test_what_an_administrator_had_there_is_carried_over_or_kept_below_destdir_too(
    filled_checkout: Path, tmp_path: Path
) -> None:
    """Names are those of the host to be. What was edited is kept by a further install and by an uninstall."""
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/default/jobscheduler").write_text("JOBSCHEDULER_LOG_BACKUPS=3\nJOBSCHEDULER_OOPS=1\n")
    own = tmp_path / "usr/share/fish/vendor_completions.d/jobscheduler.fish"
    own.parent.mkdir(parents=True)
    own.write_text("# of an administrator\n")
    done = make("install", f"DESTDIR={tmp_path}", cwd=filled_checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 setting carried over to /etc/scheduler/scheduler.toml: log-backups\n" in done.stdout
    assert "warning: JOBSCHEDULER_OOPS stays in /etc/default/jobscheduler: there is no such setting\n" in done.stdout
    settings = (tmp_path / "etc/scheduler/scheduler.toml").read_text("utf-8")
    assert "\n#log-backups = 7\nlog-backups = 3\n" in settings
    environment = (tmp_path / "etc/default/jobscheduler").read_text("utf-8")
    assert "\n#JOBSCHEDULER_LOG_BACKUPS=3\n" in environment

    release = tmp_path / "opt/jobscheduler/current"
    former = "usr/local/share/man/man1/former.1"
    (release / former).touch()
    (tmp_path / former).symlink_to(f"/opt/jobscheduler/current/{former}")
    again = make("install", f"DESTDIR={tmp_path}", cwd=filled_checkout)
    assert not (tmp_path / former).is_symlink(), "only the former release had it"
    gone = make("uninstall", f"DESTDIR={tmp_path}")

    for name in ("scheduler/scheduler.toml", "default/jobscheduler"):
        assert f"/etc/{name} has been edited and is kept as it is\n" in again.stdout
        assert f"kept /etc/{name}\n" in gone.stdout
    assert f"/{own.relative_to(tmp_path)} belongs to something else and is kept as it is\n" in again.stdout
    assert own.read_text() == "# of an administrator\n"
    assert (tmp_path / "etc/scheduler/scheduler.toml").read_text("utf-8") == settings
    assert (tmp_path / "etc/default/jobscheduler").read_text("utf-8") == environment


@pytest.mark.deep
def test_an_interpreter_without_pip_will_do(filled_checkout: Path, tmp_path: Path) -> None:
    """Debian's has none unless python3-pip is installed; the install makes itself one, which does not stay."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    done = make("install", f"DESTDIR={tmp_path}/root", f"PYTHON={tmp_path}/bare/bin/python", cwd=filled_checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    (release,) = (tmp_path / "root/opt/jobscheduler/releases").iterdir()
    assert (release / "bin/jobscheduler").exists()
    assert not (release / "bin/pip").exists()


def test_nothing_is_installed_by_a_user_who_may_not() -> None:
    """A clear message instead of a `Permission denied` half way."""
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
    with TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        checkout = copy_of_the_checkout(Path(base) / "checkout")
        done = make("install", cwd=checkout, user=user)
    assert done.returncode != 0
    assert "only root may" in done.stderr
    assert "help: sudo make install" in done.stderr


# --- a suitable Python --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message", "package"),
    [
        (None, "there is no `{}`", "apt-get install python3 python3-venv"),
        ("echo 'old 3.9'", "`{}` is Python 3.9, and Python 3.11 or later is needed", "python3.11-venv"),
        ("echo 'venv 3.12'", "`{}` cannot make virtual environments", "apt-get install python3.12-venv"),
        ("exit 1", "`{}` does not work", "apt-get install python3 python3-venv"),
    ],
)
def test_a_python_that_will_not_do_is_named_with_the_package_to_install(
    tmp_path: Path, body: str | None, message: str, package: str
) -> None:
    """Missing, too old, without venv, broken: `make` says which, and stops."""
    python = tmp_path / "python3"
    if body is not None:
        python.write_text(f"#!/bin/sh\n{body}\n")
        python.chmod(0o755)
    done = make(f"PYTHON={python}", f"VENV={tmp_path}/venv", f"{tmp_path}/venv/made")
    assert done.returncode != 0
    assert message.format(python) in done.stderr
    assert package in done.stderr
    assert not (tmp_path / "venv").exists()


def test_every_target_of_the_makefile_is_listed_by_make() -> None:
    """`make` alone explains itself."""
    listed = make().stdout
    phony = re.findall(r"^\.PHONY: ([a-z-]+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony == re.findall(r"^  ([a-z-]+) ", listed, re.MULTILINE)
    assert set(phony) >= {
        "help",
        "run",
        "test",
        "test-deep",
        "test-host",
        "test-hosts",
        "test-web",
        "check",
        "wheels",
        "install",
        "uninstall",
        "clean",
        "deb",
        "dist",
    }


def test_the_build_requirements_are_those_that_wheels_reads() -> None:
    """`make wheels` takes what a build needs from pyproject.toml, so that a host without internet can build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert [Requirement(one).name for one in project["build-system"]["requires"]] == ["setuptools"]


def test_needrestart_leaves_the_service_alone_and_no_other() -> None:
    """The file is Perl; needrestart reads it and matches the names of units against its keys."""
    read = (
        f"do '{ROOT}/systemd/needrestart.conf'; die $@ if $@; "
        'for my $unit (@ARGV) { print "$unit\n" if grep { $unit =~ /$_/ and not $nrconf{override_rc}{$_} } '
        "keys %{$nrconf{override_rc}} }"
    )
    units = ["jobscheduler.service", "jobscheduler-worker.service", "cron.service"]
    said = subprocess.run(["perl", "-e", read, *units], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["jobscheduler.service"]
