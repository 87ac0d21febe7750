"""Send one notification to several receivers: a program of its own, which the task starts and ends at its limit.

Apprise bounds no answer as a whole, so a receiver that sends a byte a second would keep a thread for ever. Here each
receiver has a process of its own, forked when the library is loaded. It writes one line of JSON to standard output.
Nothing but the standard library and Apprise is imported, and secrets come through standard input alone.
"""

import contextlib
import json
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any

MAX_GROWTH_BYTES = 128 * 1024**2  # of each process beyond the loaded library: a receiver may answer without end
MAX_ANSWER_CHARS = 700  # of an answer; a line has to fit into a pipe at once
MAX_ERROR_CHARS = 300
_POLL_S = 0.02  # between two looks whether a receiver has answered

Request = dict[str, Any]


class Probe(logging.Handler):
    """Keeps what the library logs and what its HTTP requests led to."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.warnings: list[str] = []
        self.socket_errors: list[str] = []
        self.error: BaseException | None = None
        self.status: int | None = None
        self.answer = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning, or the text of an error that the library logs for engineers alone."""
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            self.warnings.append(text)
        elif "Exception:" in text:
            self.socket_errors.append(text.partition("Exception:")[2].strip())

    def watch_requests(self) -> None:
        """Note the answer or the error of each HTTP request of this process."""
        import requests  # noqa: PLC0415 - comes with the library

        original = requests.Session.request

        def request(*arguments: Any, **options: Any) -> Any:
            try:
                answer = original(*arguments, **options)
            except BaseException as error:
                self.error = error
                raise
            self.status, self.answer = answer.status_code, answer.text[:MAX_ANSWER_CHARS]
            return answer

        requests.Session.request = request  # type: ignore[method-assign]

    def describe(self) -> str:
        """Return why nothing was sent, without the address."""
        if self.error is not None:
            return _describe(self.error)
        if self.status is not None and self.status >= 400:
            return f"the receiver answered with status {self.status}"
        texts = [*self.socket_errors[-1:], *self.warnings[-1:]]
        return texts[0][:MAX_ERROR_CHARS] if texts else "the receiver did not take it"


def _describe(error: BaseException) -> str:
    """Return a sentence about an error of a connection; its own text names the address."""
    causes = [*_causes(error)]
    names = {type(one).__name__ for one in causes}
    if any(isinstance(one, socket.gaierror) for one in causes) or "NameResolutionError" in names:
        return "the name of its server cannot be resolved"
    if any(isinstance(one, ConnectionRefusedError) for one in causes):
        return "its server refuses the connection"
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return "no TLS with its server: the certificate or the protocol is not accepted"
    if names & {"ConnectTimeout", "ReadTimeout", "ConnectTimeoutError", "ReadTimeoutError", "TimeoutError"}:
        return "its server did not answer in time"
    if any(isinstance(one, MemoryError) for one in causes):
        return "its server sent an answer without end"
    if any(isinstance(one, ConnectionError | OSError) for one in causes):
        return "its server closed the connection, or cannot be reached"
    return f"the request failed: {type(error).__name__}"


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error with all that it wraps."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting and len(found) < 20:
        one = waiting.pop()
        if one not in found:
            found.append(one)
            wrapped = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
            waiting += [each for each in wrapped if isinstance(each, BaseException)]
    return found


def asset() -> Any:
    """Return the settings of the library: no pictures from elsewhere, no files, no threads, no further programs."""
    from apprise import AppriseAsset  # noqa: PLC0415 - an extra

    wanted: dict[str, Any] = {
        "app_id": "jobscheduler",
        "app_desc": "jobscheduler",
        "app_url": "",
        "image_url_mask": "",
        "image_url_logo": "",
        "async_mode": False,
        "http_redirects": False,
        "pgp_autogen": False,
        "pem_autogen": False,
    }
    known = {key: value for key, value in wanted.items() if hasattr(AppriseAsset, key)}
    return AppriseAsset(plugin_paths=[], storage_mode="memory", **known)


def deliver(url: str, request: Request) -> Request:
    """Send to one receiver; return what came of it."""
    from apprise import Apprise, NotifyFormat  # noqa: PLC0415 - an extra

    probe = Probe()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [probe], False
    logger.setLevel(logging.DEBUG)
    probe.watch_requests()
    plugin: Any = Apprise.instantiate(url, asset=asset())
    if plugin is None:
        return {"ok": False, "error": "it is not an address that Apprise understands"}
    plugin.overflow_mode = "truncate"
    sender = Apprise(asset=asset())
    sender.add(plugin)
    texts: Request = {"title": str(request["title"]), "body": str(request["body"]), "notify_type": str(request["type"])}
    is_sent = bool(sender.notify(body_format=NotifyFormat.TEXT, **texts))
    error = None if is_sent else probe.describe()
    return {"ok": is_sent, "error": error, "status": probe.status, "answer": probe.answer}


def _write(number: int, result: Request) -> None:
    line = json.dumps({"number": number, **result})
    os.write(1, line.encode() + b"\n")


def _child(number: int, url: str, request: Request) -> None:
    """Send to one receiver, in a process of its own."""
    try:
        _write(number, deliver(url, request))
    except BaseException as error:
        _write(number, {"ok": False, "error": _describe(error)})
    os._exit(0)


def main() -> None:
    """Read the request, send to each receiver, and end at the limit whatever they do."""
    request = json.load(sys.stdin)
    until = time.monotonic() + request["timeout"]
    from apprise import Apprise  # noqa: PLC0415 - an extra

    Apprise.instantiate("json://localhost")  # loads what every receiver needs, once
    _bound_memory()
    if time.monotonic() >= until:
        return  # nothing is sent of which it would be said that it was not
    numbers = {_start(number, url, request): number for number, url in enumerate(request["urls"])}
    while numbers and time.monotonic() < until:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            time.sleep(_POLL_S)
        elif os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            _write(numbers[pid], {"ok": False, "error": f"the process that sends it was ended by {name}"})
        numbers.pop(pid, None)
    for pid in numbers:
        os.kill(pid, signal.SIGKILL)


def _bound_memory() -> None:
    """Let this process and those for the receivers grow by so much and no more."""
    with contextlib.suppress(ValueError, OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + MAX_GROWTH_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _start(number: int, url: str, request: Request) -> int:
    pid = os.fork()
    if pid == 0:
        _child(number, url, request)
    return pid


if __name__ == "__main__":
    main()
