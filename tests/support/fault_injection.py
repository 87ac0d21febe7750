"""The service with a part that can be broken from outside: what is named in the file `SABOTAGE` happens, once.

Not a test; `test_files_watching.py` runs it in place of main.py.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from jobscheduler.cli import main
from jobscheduler.jobs import reconciler, watcher

ORDER = Path(os.environ["SABOTAGE"])


def fail_while_ordered(name: str) -> None:
    """Raise, as long as the order is this one."""
    if ORDER.exists() and ORDER.read_text() == name:
        raise RuntimeError(f"{name} is broken")


def obey() -> None:
    """Carry out an order that is one deed."""
    while True:
        time.sleep(0.01)
        try:
            order = ORDER.read_text()
        except FileNotFoundError:
            continue
        for thread in threading.enumerate():
            if (order == "observer dies" and isinstance(thread, watcher.BaseObserver)) or (
                order == "emitter dies" and type(thread).__name__ == "InotifyEmitter"
            ):
                ORDER.unlink()
                thread.stop()  # type: ignore[attr-defined]
                break


class Breakable(reconciler.Reconciler):
    """Passes that fail to order, or only those that the Observer asks for."""

    def sync_items(self, names: Any) -> None:
        """Fail if the handler is to fail."""
        if threading.current_thread() is not threading.main_thread():
            fail_while_ordered("handler")
        super().sync_items(names)

    def _sync(self, names: set[str] | None) -> None:
        fail_while_ordered("pass")
        super()._sync(names)


if __name__ == "__main__":
    import jobscheduler.service.parts as built

    built.Reconciler = Breakable  # type: ignore[misc]
    threading.Thread(target=obey, daemon=True).start()
    raise SystemExit(main(default="serve"))
