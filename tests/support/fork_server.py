"""Run the program in a process that is forked and not started anew: what it imports is imported once for all tests.

`ForkedProcess` is a `subprocess.Popen` whose child comes from a server: a Python process with one thread that has
imported the product and called nothing of it. The child gets arguments, environment, directory, standard streams, umask
and signal mask of its caller, and no other descriptor; `test_fork_server.py` holds it against an executed one.

A test may have a forked process run with other constants, such as a shorter patience with what hangs (then its case is
the same and takes less time), and with code of its own before ours, such as one that injects a fault.

What only an executed process can show is started with `subprocess`: a change of what the interpreter reads at its start
(`PYTHON…`, `LD_…`, the locale), a program before ours (`setpriv`, `unshare`), faults that are in place before imports.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import zoneinfo
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
MAIN = str(ROOT / "main.py")

_IMPORTS = (
    "jobscheduler.cli.serve",
    "jobscheduler.cli.explain",
    "jobscheduler.cli.history",
    "jobscheduler.cli.list",
    "jobscheduler.cli.next",
    "jobscheduler.cli.run",
    "jobscheduler.cli.status",
    "jobscheduler.cli.validate",
    "jobscheduler.service",
    "jobscheduler.tasks.command.task",  # this and what follows is imported by a service when it is needed
    "jobscheduler.web.server",
    "jobscheduler.web.app",
    "waitress.server",
    "concurrent.futures.thread",
    "encodings.idna",
    "encodings.utf_8_sig",
)
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_")
_MAX_REQUEST = 150_000  # bytes: a message of a socket pair has to fit its buffer


# --- what tests use ------------------------------------------------------------------------------------------------


def can_fork(command: Sequence[Any], env: dict[str, str] | None) -> bool:
    """Whether a forked process would be the same as this command with this environment."""
    variables = os.environ if env is None else env
    return (
        [str(word) for word in command[:2]] == [sys.executable, MAIN]
        and _read_at_start(variables) == _read_at_start(own_environment())
        and len(json.dumps([[str(word) for word in command], dict(variables)])) < _MAX_REQUEST
    )


def start_program(
    command: Sequence[Any],
    *,
    env: dict[str, str] | None = None,
    constants: dict[str, float] | None = None,
    code: str = "",
    **options: Any,
) -> Any:
    """Start a command as `subprocess.Popen` does, forked where that makes no difference."""
    words = [str(word) for word in command]
    if can_fork(command, env):
        return ForkedProcess(words, env=env, constants=constants, code=code, **options)
    if constants or code:
        raise ValueError("only a forked process can have other constants, or code of its own")
    return subprocess.Popen(words, env=env, **options)


def run_program(
    command: Sequence[Any], *, timeout: float | None = 60, env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a command and return what it said, as `subprocess.run(capture_output=True)` does."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with start_program(command, env=env, **options) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


class ForkedProcess(subprocess.Popen):  # type: ignore[type-arg]
    """A process of the fork server. Its arguments are those of `subprocess.Popen`, `main.py` is its program.

    `constants` are values that it has instead of ours, such as `{"util.hang_guard.TIMEOUT_S": 0.5}`, in seconds; `code`
    runs before the program, when all of it is imported.
    """

    def __init__(
        self, args: Sequence[str], *, constants: dict[str, float] | None = None, code: str = "", **options: Any
    ) -> None:
        self._changes = {"constants": constants or {}, "code": code}
        super().__init__(args, **options)

    def _execute_child(self, *arguments: Any) -> None:
        args, _, _, _, _, cwd, env, _, _, _, stdin, to_stdin, from_stdout, stdout, from_stderr, stderr, *_ = arguments
        ours, theirs = socket.socketpair()
        try:
            streams = [number if given == -1 else given for number, given in enumerate((stdin, stdout, stderr))]
            request = {
                "argv": args[1:],
                "env": dict(os.environ if env is None else env),
                "cwd": os.fspath(cwd or os.getcwd()),
                "umask": _umask(),
                **self._changes,
                "mask": sorted(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            }
            _server().sendmsg(
                [json.dumps(request).encode("utf-8", "surrogateescape")],
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _packed([theirs.fileno(), *streams]))],
            )
            theirs.close()
            word, descriptors, *_ = socket.recv_fds(ours, 4, 1)
            self.pid = int.from_bytes(word, "little")
            self._reply, self._pidfd = ours, descriptors[0]
            self._child_created = True
        finally:
            self._close_pipe_fds(stdin, to_stdin, from_stdout, stdout, from_stderr, stderr)  # type: ignore[attr-defined]

    def _internal_poll(self, _deadstate: Any = None, **_: Any) -> int | None:
        return self._ended_within(0)

    def _wait(self, timeout: float | None) -> int:
        status = self._ended_within(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def _ended_within(self, seconds: float | None) -> int | None:
        if self.returncode is None and (descriptor := self._reply.fileno()) >= 0:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if poll.poll(None if seconds is None else max(seconds, 0) * 1000):
                self._take_status()
        return self.returncode

    def _take_status(self) -> None:
        with self._waitpid_lock:  # type: ignore[attr-defined] # another thread may wait for it too
            if self.returncode is None:
                status = self._reply.recv(4)
                self.returncode = os.waitstatus_to_exitcode(int.from_bytes(status, "little")) if status else -9
                self._reply.close()
                os.close(self._pidfd)

    def __del__(self, *_: Any, **__: Any) -> None:
        """Close what belongs to a process that no test waits for: one that a test has killed by its number."""
        if getattr(self, "returncode", 0) is None and hasattr(self, "_pidfd"):
            with suppress(OSError):
                self.poll()
            if self.returncode is None:
                self._reply.close()
                os.close(self._pidfd)

    def send_signal(self, number: int) -> None:
        """Send it to this process, never to another that has its number by now."""
        if self.poll() is None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                self.wait()


def _umask() -> int:
    """Read the umask of this process without a moment in which it is another."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    raise AssertionError("the kernel does not tell the umask")


def _packed(descriptors: list[int]) -> bytes:
    return b"".join(one.to_bytes(4, sys.byteorder) for one in descriptors)


def _read_at_start(variables: Any) -> dict[str, str]:
    read = {name: value for name, value in variables.items() if name.startswith(_READ_AT_START)}
    return {name: value for name, value in read.items() if name != "PYTHONTZPATH"}  # `_become` has it read anew


@cache
def own_environment() -> dict[str, str]:
    """Return the environment with which the server is started: that of the tests before the first of them."""
    return dict(os.environ)


_lock = threading.Lock()
_control: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []


def _server() -> socket.socket:
    """Return the way to the server of this process; it ends when this process does."""
    with _lock:
        if _control and _control[0][1].poll() is not None:
            _control.pop()[0].close()  # a test has killed all children of this process
        if not _control:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=own_environment(),
                cwd=ROOT,
            )
            theirs.close()
            _control.append((ours, process))
            atexit.register(_end)
        return _control[0][0]


def _end() -> None:
    while _control:
        control, process = _control.pop()
        control.close()
        process.wait()


# --- the server ----------------------------------------------------------------------------------------------------


def _serve(control: socket.socket) -> dict[str, Any]:
    """Fork a process for each request, and return its request in that process. Tell the caller how it ended."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    children: dict[int, tuple[int, socket.socket]] = {}  # pidfd -> process, caller
    while True:
        for ready, _ in poll.poll():
            if ready in children:
                process, caller = children.pop(ready)
                poll.unregister(ready)
                _, status = os.waitpid(process, 0)
                _tell(caller, status.to_bytes(4, "little"), [])
                caller.close()
                os.close(ready)
                continue
            text, descriptors, *_ = socket.recv_fds(control, _MAX_REQUEST * 2, 4)
            if not text:
                os._exit(0)  # the caller is gone
            request: dict[str, Any] = json.loads(text.decode("utf-8", "surrogateescape"))
            process = os.fork()
            if process == 0:
                request["streams"] = descriptors[1:]
                return request
            for one in descriptors[1:]:
                os.close(one)
            caller = socket.socket(fileno=descriptors[0])
            pidfd = os.pidfd_open(process)
            children[pidfd] = process, caller
            poll.register(pidfd, select.POLLIN)
            _tell(caller, process.to_bytes(4, "little"), [pidfd])


def _tell(caller: socket.socket, word: bytes, descriptors: list[int]) -> None:
    with suppress(OSError):  # the caller is gone
        socket.send_fds(caller, [word], descriptors)


def _become(request: dict[str, Any]) -> None:
    """Make this process what an executed one would be."""
    for number, stream in enumerate(request["streams"]):
        os.dup2(stream, number)
    os.closerange(3, 1 << 16)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    signal.pthread_sigmask(signal.SIG_SETMASK, request["mask"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    sys.argv[:] = request["argv"]
    encoding, errors = sys.stdin.encoding, sys.stdout.errors
    sys.stdin = open(0, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
    for name, value in request["constants"].items():
        _set_constant(name, value)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


def _set_constant(name: str, value: float) -> None:
    """Give a constant another value in each module that has imported it, and where it is the default of a parameter.

    It may be an attribute of one, too, which is then set.
    """
    module, constant = _split(f"jobscheduler.{name}")
    if "." in constant:
        owner, _, attribute = constant.partition(".")
        setattr(getattr(sys.modules[module], owner), attribute, value)
        return
    former = getattr(sys.modules[module], constant)
    new: Any = timedelta(seconds=value) if isinstance(former, timedelta) else type(former)(value)
    ours = [one for path, one in list(sys.modules.items()) if path.startswith("jobscheduler.")]
    for holder in [vars(one) for one in ours if getattr(one, constant, None) is former]:
        for function in _functions_in(holder):
            defaults = function.__defaults__ or ()
            function.__defaults__ = tuple(new if one is former else one for one in defaults) or None
            named = function.__kwdefaults__ or {}
            function.__kwdefaults__ = {key: new if one is former else one for key, one in named.items()} or None
        holder[constant] = new


def _split(path: str) -> tuple[str, str]:
    """Part a dotted path into the module, which is imported, and what is meant in it."""
    words = path.split(".")
    for count in range(len(words) - 1, 0, -1):
        with suppress(ModuleNotFoundError):
            module = ".".join(words[:count])
            import_module(module)
            return module, ".".join(words[count:])
    raise AssertionError(f"there is no module in {path}")


def _functions_in(holder: dict[str, Any]) -> list[FunctionType]:
    """Return the functions of a module, and those of its classes."""
    inside = [vars(one).values() for one in holder.values() if isinstance(one, type)]
    return [one for group in (holder.values(), *inside) for one in group if isinstance(one, FunctionType)]


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    for _name in _IMPORTS:
        import_module(_name)
    from jobscheduler import cli

    gc.collect()
    gc.freeze()  # else each process copies all of this as soon as it collects its garbage
    _control_socket = socket.socket(fileno=int(sys.argv[1]))
    _request = _serve(_control_socket)
    _control_socket.detach()
    _become(_request)
    exec(_request["code"], {})
    _status = cli.main(default="serve")
    threading._shutdown()
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):  # then the interpreter has to say so
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status)
    raise SystemExit(_status)
