"""One connection of the control socket: a request with a bounded head, and an answer in JSON."""

from __future__ import annotations

import io
import json
import socket
import struct
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler

from jobscheduler.control.request_head import MAX_HEAD_BYTES, BoundedHead, HeadTooLong

IDLE_TIMEOUT_S = 10.0  # seconds that a client may stay silent

ServerHandler.http_version = "1.0"  # one request for each connection


class ConnectionHandler(WSGIRequestHandler):
    """Answers the one request of a connection."""

    timeout = IDLE_TIMEOUT_S
    requestline, request_version = "", "HTTP/1.0"  # until the first line has been read

    def get_environ(self) -> dict[str, Any]:
        """Add the client's `control.uid` and `control.pid`, from the kernel."""
        pid, uid, _ = peer_of(self.connection)
        return {**super().get_environ(), "control.uid": uid, "control.pid": pid}

    def handle(self) -> None:
        """Answer one request. An error of the connection ends only this connection."""
        self.rfile = BoundedHead(self.rfile)
        with suppress(OSError, ValueError):
            try:
                super().handle()
            except HeadTooLong:
                self.send_error(431, f"the head of a request has at most {MAX_HEAD_BYTES} bytes")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a malformed request in JSON."""
        del explain
        body = json.dumps({"error": {"message": (message or "bad request").lower(), "help": None}}).encode() + b"\n"
        self.send_response(code, "Bad Request")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def get_stderr(self) -> Any:
        """Return a buffer that drops what wsgiref prints about clients that do not read their answer."""
        return io.StringIO()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        """Write nothing to standard error: important events go to the log."""


def peer_of(connection: socket.socket) -> tuple[int, int, int]:
    """Return process, user and group of the client, from the kernel."""
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid
