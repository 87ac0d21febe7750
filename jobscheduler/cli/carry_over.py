"""Carry the settings of an environment file over to a settings file: for an installation that brings the first one.

    python -m jobscheduler.cli.carry_over DESTDIR ENVIRONMENT_FILE SETTINGS_FILE

No verb: `systemd/install.sh` calls it. A crash in between leaves both files saying the same.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from jobscheduler.config.carry_over import carry_over
from jobscheduler.util.text import plural


def _replace(file: Path, text: str, like: Path) -> None:
    """Replace a file at once, with owner and mode of another."""
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(text.encode("utf-8", "surrogateescape"))
    state = like.stat()
    os.chown(new, state.st_uid, state.st_gid)
    new.chmod(state.st_mode & 0o7777)
    new.replace(file)


def _copy(file: Path) -> Path:
    """Copy a file under a name that is free; return that."""
    names = (file.with_name(f"{file.name}.old{number or ''}") for number in range(1000))
    copy = next(name for name in names if not os.path.lexists(name))
    shutil.copy2(file, copy)
    os.chown(copy, file.stat().st_uid, file.stat().st_gid)
    return copy


def main(destination: str, environment_name: str, settings_name: str) -> None:
    """Carry over, and say what became of each variable. Nothing is written if there is nothing to carry."""
    environment, settings = (Path(os.path.realpath(destination + name)) for name in (environment_name, settings_name))
    former = environment.read_bytes().decode("utf-8", "surrogateescape")
    made = carry_over(former, settings.read_text("utf-8"), settings_name)
    if made.keys:
        _replace(settings, made.settings, like=settings)
        copy = str(_copy(environment)).removeprefix(destination)
        _replace(environment, made.environment, like=environment)
        count = plural(len(made.keys), "setting")
        print(f"{count} carried over to {settings_name}: {', '.join(made.keys)}")
        print(f"{environment_name} points there; what it was is {copy}")
    for variable, reason in made.left:
        print(f"warning: {variable} stays in {environment_name}: {reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
