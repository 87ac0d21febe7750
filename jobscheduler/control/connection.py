"""One connection of the control socket: a request with a bounded head, and an answer in JSON."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote_to_bytes

from jobscheduler.control.request_head import MAX_HEAD_BYTES, BoundedHead, HeadTooLong

IDLE_TIMEOUT_S = 10.0  # seconds that a client may stay silent
MAX_BODY_BYTES = 256 * 1024  # of a request


@dataclass(frozen=True, slots=True)
class Request:
    """A request, and the process and the user that sent it, from the kernel."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    uid: int = 0
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it is sent: status, body, and headers beyond those of every answer."""

    status: HTTPStatus
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


Application = Callable[[Request], AbstractContextManager[Reply]]
"""Returns the reply; the context lasts until that is sent, or the client has left."""


class ConnectionHandler(BaseHTTPRequestHandler):
    """Answers the one request of a connection."""

    timeout = IDLE_TIMEOUT_S
    requestline, request_version = "", "HTTP/1.0"  # until the first line has been read

    def __init__(self, application: Application, *connection: Any) -> None:
        """`connection` is what the server passes; the request is answered before this returns."""
        self._application = application
        super().__init__(*connection)

    def handle(self) -> None:
        """Answer one request. An error of the connection ends only this connection."""
        self.rfile = BoundedHead(self.rfile)
        with suppress(OSError, ValueError):
            try:
                self.raw_requestline = self.rfile.readline()
                if self.parse_request():
                    self._answer()
            except HeadTooLong:
                self.send_error(431, f"the head of a request has at most {MAX_HEAD_BYTES} bytes")

    def _answer(self) -> None:
        pid, uid, _ = peer_of(self.connection)
        size = self._body_size()
        if size > MAX_BODY_BYTES:
            self.send_error(413, f"the body of a request has at most {MAX_BODY_BYTES} bytes")
            return
        path, _, query = self.path.partition("?")
        path = unquote_to_bytes(path.encode("latin-1")).decode("utf-8", "replace")  # `parse_request` decodes latin-1
        with self._application(Request(self.command, path, query, self.rfile.read(size), uid, pid)) as reply:
            self._send(reply.status, reply.status.phrase, reply.body, reply.headers)

    def _body_size(self) -> int:
        """Return how many bytes the body has; too many if the client does not say that in a number."""
        text = str(self.headers.get("Content-Length") or "0")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else MAX_BODY_BYTES + 1

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a malformed request in JSON."""
        del explain
        body = json.dumps({"error": {"message": (message or "bad request").lower(), "help": None}}).encode() + b"\n"
        self._send(code, "Bad Request", body)

    def _send(self, code: int, phrase: str, body: bytes, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.send_response(code, phrase)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        """Write nothing to standard error: important events go to the log."""


def peer_of(connection: socket.socket) -> tuple[int, int, int]:
    """Return process, user and group of the client, from the kernel."""
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid
