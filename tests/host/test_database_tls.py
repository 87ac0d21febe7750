"""The way to a server: the password goes to no stranger, TLS is enforced when it is asked for, URLs are not guessed."""

from __future__ import annotations

import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jobscheduler.config import BadSetting, load_settings
from jobscheduler.database import DatabaseConfigError, JobTable, Unavailable
from jobscheduler.database.engine import Database
from tests.support.databases import QUOTED, Server, running

SECRET = "TopSecretPassword"
_CAPABILITIES = 0x00000001 | 0x00000008 | 0x00000200 | 0x00002000 | 0x00008000 | 0x00080000
_CLIENT_SSL = 0x00000800


class Stranger:
    """A server that takes the place of another one and asks for the password, by one method. It has no TLS."""

    def __init__(self, method: str, greeting: str = "mysql_native_password") -> None:
        self._method, self._greeting = method.encode(), greeting.encode()
        self.heard = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Wait until the client has gone."""
        self._thread.join(20)
        self._listening.close()

    def _serve(self) -> None:
        client, _ = self._listening.accept()
        with client:
            client.settimeout(10)
            low, high = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
            greeting = (
                b"\x0a8.0.30\0" + struct.pack("<I", 7) + b"abcdefgh\0" + struct.pack("<HBHHB", low, 45, 2, high, 21)
            )
            greeting += b"\0" * 10 + b"ijklmnopqrst\0" + self._greeting + b"\0"
            self._send(client, 0, greeting)
            self._hear(client)
            if self._method != self._greeting:
                self._send(client, 2, b"\xfe" + self._method + b"\0" + b"abcdefghijklmnopqrst\0")
                self._hear(client)
            if self._method == b"caching_sha2_password":
                self._send(client, 2 if self._method == self._greeting else 4, b"\x01\x04")
                self._hear(client)
            if self._method == b"dialog":
                self._send(client, 4, b"\x02Password: ")
                self._hear(client)

    @staticmethod
    def _send(client: socket.socket, number: int, data: bytes) -> None:
        client.sendall(struct.pack("<I", len(data))[:3] + bytes([number]) + data)

    def _hear(self, client: socket.socket) -> None:
        with suppress(OSError):
            self.heard += client.recv(4096)


@pytest.mark.parametrize(
    ("method", "greeting"),
    [
        ("mysql_clear_password", "mysql_native_password"),
        ("dialog", "mysql_native_password"),
        ("sha256_password", "mysql_native_password"),
        ("sha256_password", "sha256_password"),
        ("caching_sha2_password", "caching_sha2_password"),
        ("caching_sha2_password", "mysql_native_password"),
        ("mysql_old_password", "mysql_native_password"),
    ],
)
def test_a_server_that_asks_for_the_password_itself_does_not_get_it(method: str, greeting: str) -> None:
    """Nor a key of its own to encrypt it with: another server may have taken the place of the right one."""
    stranger = Stranger(method, greeting)
    try:
        with pytest.raises(Unavailable, match=f"asks for the password itself \\(`{method}`\\)") as caught:
            JobTable(f"mysql://scheduler:{SECRET}@127.0.0.1:{stranger.port}/jobs").list()
    finally:
        stranger.close()
    assert SECRET.encode() not in stranger.heard
    assert b"\x01\0\0\x05\x02" not in stranger.heard  # the request for a key
    assert "ssl_ca=FILE" in str(caught.value.help)


def test_a_server_without_tls_is_refused_when_tls_is_asked_for(tmp_path: Path) -> None:
    """Whichever option asks for it."""
    authority = Certificates(tmp_path)
    for option in (f"ssl_ca={authority.ca}", "ssl_verify_cert=true", "ssl_verify_identity=true"):
        stranger = Stranger("mysql_clear_password")
        try:
            with pytest.raises(Unavailable, match="SSL is required"):
                JobTable(f"mysql://scheduler:{SECRET}@127.0.0.1:{stranger.port}/jobs?{option}").list()
        finally:
            stranger.close()
        assert stranger.heard == b""


class Certificates:
    """An authority, and a server's certificate by it for one name."""

    def __init__(self, base: Path, name: str = "127.0.0.1") -> None:
        base.chmod(0o755)
        self.ca, key = base / f"ca-{name}.pem", base / f"ca-{name}.key"
        self.certificate, self.key = base / f"server-{name}.pem", base / f"server-{name}.key"
        new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        _run(*new, "-keyout", key, "-out", self.ca, "-subj", "/CN=an authority")
        kind = "IP" if name[0].isdigit() else "DNS"
        signed = ["-CA", self.ca, "-CAkey", key, "-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}"]
        signed += ["-addext", "basicConstraints=critical,CA:false"]
        _run(*new, "-keyout", self.key, "-out", self.certificate, *signed)
        self.key.chmod(0o644)


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    """Those of the right server, where its user can read them."""
    with tempfile.TemporaryDirectory(prefix="jobscheduler-tls-", dir="/tmp") as base:
        yield Certificates(Path(base))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[Server]:
    """A server with TLS, and a user that may not come without."""
    with running(f"--ssl-cert={certificates.certificate}", f"--ssl-key={certificates.key}") as made:
        made.sql("ALTER USER tester@'127.0.0.1' REQUIRE SSL")
        yield made


def test_tls_is_verified_by_the_authority_and_the_name(
    server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    """Another authority, another name or no TLS at all: no connection. An unverified one is for who asks for it."""
    url = server.fresh()
    assert JobTable(f"{url}?ssl_ca={certificates.ca}").init() is True
    assert JobTable(f"{url}?ssl_ca={certificates.ca}").list() == []
    other = Certificates(tmp_path)
    with pytest.raises(Unavailable, match="certificate verify failed"):
        JobTable(f"{url}?ssl_ca={other.ca}").list()
    by_name = url.replace("127.0.0.1", "localhost") + f"?ssl_ca={certificates.ca}"
    with pytest.raises(Unavailable, match="not valid for 'localhost'"):
        JobTable(by_name).list()
    assert JobTable(f"{url}?ssl_verify_cert=false").list() == []
    with pytest.raises(Unavailable, match="Access denied"):
        JobTable(f"{url}?ssl_disabled=true").list()
    with pytest.raises(Unavailable, match="the files of TLS cannot be used") as caught:
        JobTable(f"{url}?ssl_ca={tmp_path}/none.pem").list()
    assert "none.pem" in str(caught.value)


def test_an_unknown_option_of_tls_is_refused() -> None:
    """A misspelt one would leave the connection open to all."""
    for option in ("ssl_mode=REQUIRED", "ssl=true", "sslca=/etc/ca.pem"):
        with pytest.raises(DatabaseConfigError, match="unknown option `ssl") as caught:
            Database(f"mysql://me:{SECRET}@db.example/jobs?{option}")
        assert "ssl_ca=FILE" in str(caught.value.problem.help)
    with pytest.raises(DatabaseConfigError, match="neither `true` nor `false`"):
        Database("mysql://me@db.example/jobs?ssl_verify_cert=perhaps")


@pytest.mark.parametrize(
    ("rest", "is_exposed"),
    [
        ("db.example/jobs", True),
        ("192.0.2.1/jobs?ssl_verify_cert=false", True),
        ("db.example/jobs?ssl_ca=/etc/ca.pem&ssl_disabled=true", True),
        ("db.example/jobs?ssl_ca=/etc/ca.pem", False),
        ("127.0.0.1/jobs", False),
        ("[::1]/jobs", False),
        ("localhost/jobs", False),
        ("db.example/jobs?unix_socket=/run/mysqld/mysqld.sock", False),
    ],
)
def test_a_server_elsewhere_without_verified_tls_is_warned_of(rest: str, is_exposed: bool) -> None:
    """On loopback and over a Unix socket there is nothing to protect on the way."""
    found = Database(f"mysql://me:{SECRET}@{rest}").exposure()
    assert (found is not None) == is_exposed
    if found is not None:
        assert "is not protected by verified TLS" in found.message
        assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:Top@SecretPassword@127.0.0.1/jobs",
        "mysql://me:Top@Secret/Password@127.0.0.1/jobs",
        "mysql://me:Top?x@SecretPassword/jobs",
        "mysql://me:Top/x@SecretPassword/jobs",
        "mysql://127.0.0.1:3306/jobs?password=Top@SecretPassword",
        "mysql://me@there@SecretPassword/jobs",
        "postgresql+psycopg://me:Top@SecretPassword@127.0.0.1/jobs",
    ],
)
def test_a_url_in_which_a_part_of_the_password_could_pass_for_the_host_is_refused(url: str) -> None:
    """No part of it is repeated, and no name asked for; the help says what to write."""
    with pytest.raises(DatabaseConfigError) as caught:
        Database(url)
    assert "Secret" not in repr(caught.value.problem)
    assert "`@` as `%40`" in str(caught.value.problem.help)


def test_a_password_with_a_bare_slash_is_seen_on_the_command_line() -> None:
    """It is refused there as any other."""
    with pytest.raises(BadSetting, match="shows a password there"):
        load_settings({"database_url": "mysql://me:Top/x@SecretPassword/jobs"}, {})


def test_an_escaped_password_is_taken_as_it_is_meant() -> None:
    """`@`, `/` and `?`."""
    database = Database("mysql://me:Top%40Sec%2Fret%3F@127.0.0.1/jobs")
    assert database._url.password == "Top@Sec/ret?"
    assert str(database) == "mysql://127.0.0.1/jobs"
    assert QUOTED not in str(database)
