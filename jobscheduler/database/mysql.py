"""Connections to MySQL and MariaDB through PyMySQL: TLS as the URL asks for it, and no password to a stranger.

PyMySQL takes TLS that is offered, verified or not, and gives the password in clear to a server that asks for it. Here
that needs a Unix socket or TLS that was verified; challenges are answered as ever.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from pymysql import _auth as auth
from pymysql.connections import Connection
from sqlalchemy.engine import URL

from jobscheduler.database.errors import Unavailable
from jobscheduler.database.setup import DatabaseConfigError
from jobscheduler.model import Problem

_FILES = {"ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_key_password", "ssl_cipher"}
_SWITCHES = {"ssl_verify_cert", "ssl_verify_identity", "ssl_check_hostname", "ssl_disabled"}
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_FULL_AUTHENTICATION = b"\x04"  # caching_sha2_password: the server wants the password itself


def without_tls(url: URL) -> tuple[URL, Mapping[str, str]]:
    """Split the options of TLS off a URL.

    Raises:
        CannotUse: there is no such option, or it cannot have this value.

    """
    options = {name: str(value) for name, value in url.query.items() if name.startswith("ssl")}
    for name, value in options.items():
        if name not in _FILES | _SWITCHES:
            help_ = "`ssl_ca=FILE` asks for TLS and says which authorities are believed"
            raise DatabaseConfigError(Problem(f"the URL of the database has an unknown option `{name}`", help=help_))
        if name in _SWITCHES and value.lower() not in _WORDS:
            raise DatabaseConfigError(Problem(f"`{name}` in the URL of the database is neither `true` nor `false`"))
    return url.difference_update_query(tuple(options)), options


def is_verified(options: Mapping[str, str]) -> bool:
    """Tell whether these options have the server prove that it is the right one."""
    return bool(options) and not _is(options, "ssl_disabled", False) and _is(options, "ssl_verify_cert", True)


def tls_context(options: Mapping[str, str]) -> ssl.SSLContext | None:
    """Make the context of TLS for these options, None if they ask for none.

    Raises:
        Unavailable: a file cannot be used.

    """
    if not options or _is(options, "ssl_disabled", False):
        return None
    try:
        made = ssl.create_default_context(cafile=options.get("ssl_ca"), capath=options.get("ssl_capath"))
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT  # servers make themselves certificates that it refuses
        if "ssl_cert" in options:
            made.load_cert_chain(options["ssl_cert"], options.get("ssl_key"), options.get("ssl_key_password", ""))
        if "ssl_cipher" in options:
            made.set_ciphers(options["ssl_cipher"])
    except (OSError, ValueError) as error:
        named = ", ".join(
            f"`{options[name]}`" for name in ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key") if name in options
        )
        why = getattr(error, "strerror", None) or type(error).__name__
        raise Unavailable(f"the files of TLS cannot be used ({named}): {why}", "they have to be PEM files") from None
    made.check_hostname = _is(options, "ssl_verify_identity", True) and _is(options, "ssl_check_hostname", True)
    if not _is(options, "ssl_verify_cert", True):
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def _is(options: Mapping[str, str], name: str, default: bool) -> bool:
    return _WORDS.get(options.get(name, "").lower(), default)


def connect(options: Mapping[str, str], arguments: Mapping[str, Any]) -> Connection:
    """Connect as a URL says. `options` are those of TLS, `arguments` all others.

    Raises:
        Unavailable: a file of TLS cannot be used, or the server wants to have the password itself and may not.

    """
    made = tls_context(options)
    given: dict[str, Any] = {**arguments, "auth_plugin_map": _PLUGINS}
    if made is not None:
        given["ssl"] = made
    elif "ssl_disabled" in options:
        given["ssl_disabled"] = _is(options, "ssl_disabled", False)
    return _GuardedConnection(**given)


class _GuardedConnection(Connection):  # type: ignore[misc]
    """A connection that gives the password itself only where nobody else can take it."""

    @property
    def may_have_password(self) -> bool:
        """Whether the other side is known: by the file system, or by its certificate."""
        if self.unix_socket:
            return True
        return bool(self.ssl and self._ssl_required and self.ctx.verify_mode == ssl.CERT_REQUIRED)

    def _request_authentication(self) -> None:
        if self._auth_plugin_name == "sha256_password":  # PyMySQL sends the password with its first answer
            refuse_clear_password(self, "sha256_password")
        super()._request_authentication()


def refuse_clear_password(connection: Any, method: str) -> None:
    """Refuse to give the password itself to a server that may be another one.

    Raises:
        Unavailable: it may.

    """
    if not connection.may_have_password:
        raise Unavailable(
            f"the server asks for the password itself (`{method}`), and the connection is not protected",
            "add `?ssl_ca=FILE` to the URL, so that the server has to prove who it is, or `?unix_socket=PATH`",
        )


class _Plugin:
    """One way to authenticate. PyMySQL makes one of each connection."""

    method = ""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def answer(self, data: bytes) -> Any:
        """Send an answer; return the next packet."""
        self.connection.write_packet(data)
        packet = self.connection._read_packet()
        packet.check_error()
        return packet


class _ClearPassword(_Plugin):
    method = "mysql_clear_password"

    def authenticate(self, _: Any) -> Any:
        refuse_clear_password(self.connection, self.method)
        return self.answer(self.connection.password + b"\0")


class _DialogPassword(_Plugin):
    method = "dialog"

    def authenticate(self, _: Any) -> Any:
        refuse_clear_password(self.connection, self.method)
        raise AttributeError  # PyMySQL answers the questions itself then


class _Sha256(_Plugin):
    method = "sha256_password"

    def authenticate(self, packet: Any) -> Any:
        refuse_clear_password(self.connection, self.method)
        return auth.sha256_password_auth(self.connection, packet)


class _OldPassword(_Plugin):
    """Answers with so weak a hash that the password can be had from it."""

    method = "mysql_old_password"

    def authenticate(self, packet: Any) -> Any:
        refuse_clear_password(self.connection, self.method)
        return self.answer(auth.scramble_old_password(self.connection.password, packet.read_all()) + b"\0")


class _CachingSha2(_Plugin):
    """Answers the challenge; the password itself is asked for when the server has not seen the user since its start.

    Encrypted with a key that the server has just sent it is as good as in clear for another server.
    """

    method = "caching_sha2_password"

    def authenticate(self, packet: Any) -> Any:
        connection = self.connection
        if connection.password and packet.is_auth_switch_request():
            connection.salt = packet.read_all().removesuffix(b"\0")
            packet = self.answer(auth.scramble_caching_sha2(connection.password, connection.salt))
        is_known = connection.server_public_key is not None
        if connection.password and not is_known and packet.get_all_data()[1:2] == _FULL_AUTHENTICATION:
            refuse_clear_password(connection, self.method)
        return auth.caching_sha2_password_auth(connection, packet)


_PLUGINS: Mapping[str, type[_Plugin]] = {
    one.method: one for one in (_ClearPassword, _DialogPassword, _Sha256, _OldPassword, _CachingSha2)
}
