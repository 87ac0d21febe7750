"""The Debian package of this checkout, further versions of it, and fresh roots to install it in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from tests.support.booted import Machine, booted
from tests.support.job_files import need
from tests.support.service import ROOT

ROOTS = ROOT / ".hosts"
IN_A_ROOT = ("systemd", "systemd-sysv")
DOWNLOADED = "python3 tzdata ca-certificates"
"""What apt gets for the package: it is in the cache of a fresh root, since a booted machine has no network."""


def script(name: str, path: str) -> ModuleType:
    """A script of the checkout, as a module."""
    loader = SourceFileLoader(name, str(ROOT / path))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def fresh_root(release: str) -> Path:
    """Make the root of a release with systemd and apt's lists, unless it is there."""
    need("mmdebstrap", "unshare", "git")
    roots = script("debian_roots", "scripts/debian_roots.py")
    root = ROOTS / f"fresh-{release}"
    download = f'chroot "$1" apt-get install --yes --install-recommends --download-only {DOWNLOADED}'
    with roots.lock(root):
        roots.provide(root, release, IN_A_ROOT, more=("--skip=cleanup/apt", f"--customize-hook={download}"))
    return root


def built_package(release: str, output: Path) -> Path:
    """Build the package for a release, as `make deb` does; lintian has to be content."""
    need("mmdebstrap", "unshare", "git", "dpkg-deb")
    command = [sys.executable, ROOT / "packaging/deb", "--dir", ROOTS, "--output", output, release]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    (package,) = output.glob("*.deb")
    return package


def version_of(package: Path) -> str:
    """The version in a package, such as `0.1.0-1~deb12`."""
    shown = subprocess.run(["dpkg-deb", "--field", package, "Version"], capture_output=True, text=True, check=True)
    return shown.stdout.strip()


class NextVersion:
    """A package taken apart, to be put together as another version."""

    def __init__(self, package: Path, upstream: str, work: Path) -> None:
        former, self._files = version_of(package), work / upstream
        self.version = f"{upstream}-{former.partition('-')[2]}"
        subprocess.run(["dpkg-deb", "--raw-extract", package, self._files], check=True)
        self.release = self._files / "usr/lib/jobscheduler/package/files"
        (module,) = self.release.glob("lib/python3.*/site-packages/jobscheduler/__init__.py")
        was = former.partition("-")[0]
        for file, old, new in (
            (self._files / "DEBIAN/control", f"Version: {former}\n", f"Version: {self.version}\n"),
            (self.release / "version", former, self.version),
            (self.release / "bin/jobscheduler", former, self.version),
            (module, f'"{was}"', f'"{upstream}"'),
        ):
            text = file.read_text("utf-8")
            assert old in text
            file.write_text(text.replace(old, new), "utf-8")

    def built(self) -> Path:
        """Put it together."""
        package = self._files.with_name(f"jobscheduler_{self.version}.deb")
        subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "--build", self._files, package], check=True)
        return package


@contextmanager
def fresh_machine(release: str, share: Path) -> Iterator[Machine]:
    """Boot a fresh system of a release. Its changes are gone with it."""
    with booted(share, "--of", str(fresh_root(release))) as machine:
        yield machine
