"""Make root directories of Debian releases, and run commands in them.

Used by scripts/test-hosts and packaging/deb. As a program, `debian_roots.py ROOT FILES DIRECTORY COMMAND ...` is the
process 1 of a root; `run_in` starts it in namespaces of its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
QUICK_AND_LENIENT = (
    "--dpkgopt=force-unsafe-io",
    '--aptopt=Acquire::Check-Valid-Until "false"',  # a mirror may lag behind by more than the week of a test release
    *('--aptopt=Acquire::Retries "3"', '--aptopt=Acquire::http::Timeout "30"'),
)
PAUSES = (10, 30)  # seconds before a root or its Python packages are tried again
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # variables that name a file
PASSED_ON = (*CERTIFICATES, "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
MNT_DETACH = 2
LAST_LINES = 15  # of mmdebstrap that are shown if it fails


class Impossible(Exception):
    """A root cannot be made or entered. The message says why and what helps."""


def check_host() -> None:
    """Raise `Impossible` unless this host has what making and entering a root needs."""
    if os.geteuid() != 0:
        raise Impossible("only root can make and enter the root of another release")
    for program, package in (("mmdebstrap", "mmdebstrap"), ("unshare", "util-linux"), ("git", "git")):
        if shutil.which(program) is None:
            raise Impossible(f"this host has no `{program}`\n  help: apt-get install {package}")


@contextmanager
def lock(root: Path) -> Iterator[None]:
    """Keep other processes from the root, and wait for one that is there."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_name(f"{root.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- make a root -----------------------------------------------------------------------------------------


def provide(
    root: Path,
    release: str,
    packages: Sequence[str],
    *,
    mirror: str = "",
    renew: bool = False,
    more: Sequence[str] = (),
) -> None:
    """Make the root of a release with these packages, unless it is there. `more` are options of mmdebstrap."""
    wanted = "\n".join((*packages, *more))
    if renew or text_of(root / "made") != wanted:
        _make(root, release, ["--variant=apt", f"--include={','.join(packages)}", *more], mirror or mirror_of_host())
        (root / "made").write_text(wanted)


def _make(root: Path, release: str, options: Sequence[str], mirror: str) -> None:
    """Make the root of a release beside its place, and move it there when it is complete."""
    started, new = time.monotonic(), root.with_name(f"{root.name}.new")
    shutil.rmtree(root, ignore_errors=True)
    if not at_last(lambda: _try_to_make(new, release, options, mirror), f"making the root of `{release}`"):
        raise Impossible(
            f"the root of `{release}` cannot be made from `{mirror}`\n"
            "  help: check the network, or name a Debian mirror with MIRROR=URL"
        )
    new.rename(root)
    print(f"{Path(sys.argv[0]).name}: {root.name}: made in {time.monotonic() - started:.0f} s", flush=True)


def _try_to_make(new: Path, release: str, options: Sequence[str], mirror: str) -> bool:
    """Make a root, and return whether that worked; the end of what mmdebstrap said is shown if not."""
    shutil.rmtree(new, ignore_errors=True)
    command = ["mmdebstrap", *QUICK_AND_LENIENT, *options, release, str(new), mirror]
    with new.with_suffix(".log").open("w+") as log:
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode
        log.seek(0)
        last = log.readlines()[-LAST_LINES:]
    if status:
        shutil.rmtree(new, ignore_errors=True)
        print(*last, sep="", end="", file=sys.stderr, flush=True)
    return status == 0


def at_last(attempt: Callable[[], bool], what: str) -> bool:
    """Try what needs a mirror again after each pause, and return whether it worked: mirrors have their moments."""
    for pause in PAUSES:
        if attempt():
            return True
        print(f"{what} failed; it is tried again in {pause} s", file=sys.stderr, flush=True)
        time.sleep(pause)
    return attempt()


def mirror_of_host() -> str:
    """Return the Debian mirror that apt uses on this host, and one for everybody on a host with another system."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    try:
        uris = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    except FileNotFoundError:
        uris = []
    for uri in uris:
        if uri.rstrip("/").endswith("/debian"):
            return uri
    return "http://deb.debian.org/debian"


def text_of(file: Path) -> str:
    """Return the text of a file, empty if there is none."""
    return file.read_text() if file.exists() else ""


# --- fill a root -----------------------------------------------------------------------------------------


def copy_checkout(to: Path) -> None:
    """Copy the files of the checkout that git has or would add."""
    shutil.rmtree(to, ignore_errors=True)
    command = ["git", "-C", CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        raise Impossible(f"git cannot list the files of the checkout: {listed.stderr.strip()}")
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, to / name, follow_symlinks=False)


def use_pip_of_host(root: Path) -> None:
    """Let pip reach packages in the root as it does on this host."""
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    settings = _settings_of_pip()
    (root / "etc/pip.conf").write_text(
        "[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())
    )
    for file in {SYSTEM_CERTIFICATES, settings.get("cert", ""), *(os.environ.get(name, "") for name in CERTIFICATES)}:
        if Path(file).is_file():
            (root / file.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, root / file.lstrip("/"))


def _settings_of_pip() -> dict[str, str]:
    """Return the settings of pip on this host, without those that name directories of this host."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    settings = {}
    for line in lines:
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        words = [word for word in value.strip("'").split() if name == "cert" or not word.startswith(("file:", "/"))]
        if words:
            settings[name] = " ".join(words)
    return settings


# --- run in a root ---------------------------------------------------------------------------------------


def run_in(root: Path, directory: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
    """Run a command as root in a directory of the root, and return its exit status.

    It has mount and process namespaces of its own, and its processes end with it. Network, control groups and devices
    are those of the host.
    """
    files = Path(tempfile.mkdtemp(dir=root.parent))  # on a disk, because the service warns about a log in memory
    files.chmod(0o1777)
    variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    variables |= {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"} | dict(environment or {})
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    try:
        words = [*unshare, sys.executable, __file__, str(root), str(files), directory, *command]
        return subprocess.run(words, env=variables, stdin=subprocess.DEVNULL, check=False).returncode
    finally:
        shutil.rmtree(files, ignore_errors=True)


def enter(root: str, files: str, directory: str, command: Sequence[str]) -> int:
    """Make the directory the root, and be its process 1 while the command runs."""
    _mount("--make-rprivate", "/")
    _mount("--bind", root, root)
    _mount("-t", "proc", "proc", f"{root}/proc")
    _mount("--rbind", "/sys", f"{root}/sys")
    _mount("--rbind", "/dev", f"{root}/dev")
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{root}/run")
    _mount("--bind", files, f"{root}/tmp")
    os.chdir(root)
    library = ctypes.CDLL(None, use_errno=True)  # not each release has the programs of these names
    if library.pivot_root(b".", b".") or library.umount2(b".", MNT_DETACH):
        raise OSError(ctypes.get_errno(), "pivot_root or umount failed")
    os.chdir(directory)
    child = os.fork()
    if child == 0:
        os.execvpe(command[0], command, os.environ)
    while True:
        pid, status = os.wait()  # of orphans too
        if pid == child:
            return os.waitstatus_to_exitcode(status) & 255


def _mount(*arguments: str) -> None:
    """Mount a file system."""
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    raise SystemExit(enter(*sys.argv[1:4], sys.argv[4:]))
