"""A network namespace with one link to the host, which a test takes down and up again. Root only."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.job_files import unavailable


class NetworkNamespace:
    """A namespace; `host` is the address of the host in it."""

    def __init__(self) -> None:
        self._name = f"js{secrets.token_hex(4)}"
        net = f"10.213.{secrets.randbelow(250)}."
        self.host, self._own = f"{net}1", f"{net}2"

    def make(self) -> None:
        """Make it, with its link."""
        here, there = f"{self._name}a", f"{self._name}b"
        self._ip(f"netns add {self._name}")
        self._ip(f"link add {here} type veth peer name {there}")
        self._ip(f"link set {there} netns {self._name}")
        self._ip(f"addr add {self.host}/30 dev {here}")
        self._ip(f"link set {here} up")
        self._ip(f"-n {self._name} addr add {self._own}/30 dev {there}")
        self._ip(f"-n {self._name} link set {there} up")

    def remove(self) -> None:
        """Remove it; its link goes with it."""
        subprocess.run(["ip", "netns", "del", self._name], check=False, capture_output=True)

    @property
    def prefix(self) -> list[str]:
        """The beginning of a command that is run in it."""
        return ["ip", "netns", "exec", self._name]

    def cut(self) -> None:
        """Take the link down: what is sent is lost without a word."""
        self._ip(f"link set {self._name}a down")

    def mend(self) -> None:
        """Take it up again."""
        self._ip(f"link set {self._name}a up")

    def _ip(self, words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True, capture_output=True, timeout=20)


@contextmanager
def network_namespace() -> Iterator[NetworkNamespace]:
    """Make a namespace for a test; it fails where it has to be tested, and is skipped elsewhere."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        unavailable("needs root and `ip`: `apt-get install iproute2`")
    made = NetworkNamespace()
    try:
        made.make()
        yield made
    finally:
        made.remove()
