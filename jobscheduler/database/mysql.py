"""Connect to MySQL and MariaDB through PyMySQL: with TLS as the URL asks, and without sending a password to a stranger.

PyMySQL accepts any offered TLS, verified or not, and sends the password in clear to a server that asks for it. Here
a clear password needs a Unix socket or verified TLS; challenges are answered as usual.

What we override and use of PyMySQL's private members, and why:

| class        | member                       | why                                                           |
|--------------|------------------------------|---------------------------------------------------------------|
| `Connection` | `_request_authentication`    | `sha256_password` sends the password before a plugin is asked |
| `Connection` | `_auth_plugin_name`          | which method the server has asked for                         |
| `Connection` | `_ssl_required`              | whether the connection is protected by now                    |
| `Connection` | `_read_packet`               | a plugin has no other way to get the answer to its own        |
| `_auth`      | `sha256_password_auth`       | PyMySQL's answer, once the server is known                    |
| `_auth`      | `caching_sha2_password_auth` | as above                                                      |
| `_auth`      | `scramble_caching_sha2`      | the answer to a challenge, without the password               |

`tests/unit/test_library_members.py` fails when a release changes one of them, or when this list is incomplete.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, NoReturn

from pymysql import _auth as auth
from pymysql.connections import Connection
from sqlalchemy.engine import URL

from jobscheduler.database.errors import Unavailable
from jobscheduler.database.setup import DatabaseConfigError
from jobscheduler.model import Problem

_FILES = {"ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_key_password", "ssl_cipher"}
_SWITCHES = {"ssl_verify_cert", "ssl_verify_identity", "ssl_check_hostname", "ssl_disabled"}
_SWITCH_VALUES = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_FULL_AUTHENTICATION = b"\x04"  # caching_sha2_password: the server wants the password itself


def without_tls(url: URL) -> tuple[URL, Mapping[str, str]]:
    """Split the TLS options off a URL.

    Raises:
        DatabaseConfigError: there is no such option, or it cannot have this value.

    """
    options = {name: str(value) for name, value in url.query.items() if name.startswith("ssl")}
    for name, value in options.items():
        if name not in _FILES | _SWITCHES:
            help_ = "`ssl_ca=FILE` asks for TLS and says which authorities are believed"
            raise DatabaseConfigError(Problem(f"the URL of the database has an unknown option `{name}`", help=help_))
        if name in _SWITCHES and value.lower() not in _SWITCH_VALUES:
            raise DatabaseConfigError(Problem(f"`{name}` in the URL of the database is neither `true` nor `false`"))
    return url.difference_update_query(tuple(options)), options


def is_verified(options: Mapping[str, str]) -> bool:
    """Return whether these options make the server prove its identity."""
    return bool(options) and not _is(options, "ssl_disabled", False) and _is(options, "ssl_verify_cert", True)


def tls_context(options: Mapping[str, str]) -> ssl.SSLContext | None:
    """Build the TLS context for these options, None if they ask for none.

    Raises:
        Unavailable: a file cannot be used.

    """
    if not options or _is(options, "ssl_disabled", False):
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca"), capath=options.get("ssl_capath"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # strict mode refuses the self-made certificates of servers
        if "ssl_cert" in options:
            context.load_cert_chain(options["ssl_cert"], options.get("ssl_key"), options.get("ssl_key_password", ""))
        if "ssl_cipher" in options:
            context.set_ciphers(options["ssl_cipher"])
    except (OSError, ValueError) as error:
        files = ", ".join(
            f"`{options[name]}`" for name in ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key") if name in options
        )
        why = getattr(error, "strerror", None) or type(error).__name__
        raise Unavailable(f"the files of TLS cannot be used ({files}): {why}", "they have to be PEM files") from None
    context.check_hostname = _is(options, "ssl_verify_identity", True) and _is(options, "ssl_check_hostname", True)
    if not _is(options, "ssl_verify_cert", True):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _is(options: Mapping[str, str], name: str, default: bool) -> bool:
    return _SWITCH_VALUES.get(options.get(name, "").lower(), default)


def connect(options: Mapping[str, str], arguments: Mapping[str, Any]) -> Connection:
    """Connect as the URL says. `options` are those of TLS, `arguments` all others.

    Raises:
        Unavailable: a TLS file cannot be used, or the server asks for a clear password on an unprotected connection.

    """
    context = tls_context(options)
    parameters: dict[str, Any] = {**arguments, "auth_plugin_map": _PLUGINS}
    if context is not None:
        parameters["ssl"] = context
    elif "ssl_disabled" in options:
        parameters["ssl_disabled"] = _is(options, "ssl_disabled", False)
    return _GuardedConnection(**parameters)


class _GuardedConnection(Connection):  # type: ignore[misc]
    """A connection that sends a clear password only where no other party can take it."""

    @property
    def may_have_password(self) -> bool:
        """Whether the server is known: by the file system, or by its certificate."""
        if self.unix_socket:
            return True
        return bool(self.ssl and self._ssl_required and self.ctx.verify_mode == ssl.CERT_REQUIRED)

    def read_packet(self) -> Any:
        """Return the next packet of the server."""
        return self._read_packet()

    def _request_authentication(self) -> None:
        if self._auth_plugin_name == "sha256_password":  # PyMySQL sends the password with its first answer
            refuse_clear_password(self, "sha256_password")
        super()._request_authentication()


def refuse_clear_password(connection: Any, method: str) -> None:
    """Refuse to send a clear password to a server whose identity is not proven.

    Raises:
        Unavailable: the identity is not proven.

    """
    if not connection.may_have_password:
        raise Unavailable(
            f"the server asks for the password itself (`{method}`), and the connection is not protected",
            "add `?ssl_ca=FILE` to the URL, so that the server has to prove who it is, or `?unix_socket=PATH`",
        )


class _Plugin:
    """One method of authentication. PyMySQL makes an instance for each connection."""

    method = ""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def answer(self, data: bytes) -> Any:
        """Send an answer; return the next packet."""
        self.connection.write_packet(data)
        packet = self.connection.read_packet()
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
        raise AttributeError  # makes PyMySQL answer the questions itself


class _Sha256(_Plugin):
    method = "sha256_password"

    def authenticate(self, packet: Any) -> Any:
        refuse_clear_password(self.connection, self.method)
        return auth.sha256_password_auth(self.connection, packet)


class _OldPassword(_Plugin):
    """Refuse: this method's hash is so weak that the password can be computed from it, and PyMySQL has none."""

    method = "mysql_old_password"

    def authenticate(self, _: Any) -> NoReturn:
        refuse_clear_password(self.connection, self.method)
        raise Unavailable(
            f"the server has only the old, weak hash of the user's password (`{self.method}`)",
            "set the password anew with another method, such as `mysql_native_password`",
        )


class _CachingSha2(_Plugin):
    """Answer the challenge. The server asks for the password itself if it has not seen the user since its start.

    Encrypting that with a key that the server has just sent is no protection: a false server can send its own key.
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
    plugin.method: plugin for plugin in (_ClearPassword, _DialogPassword, _Sha256, _OldPassword, _CachingSha2)
}
