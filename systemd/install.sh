#!/bin/sh
# install.sh install | uninstall | wheels
#
# Installs the scheduler of this checkout as a systemd service, upgrades it, or removes it. `make install`,
# `make uninstall` and `make wheels` call it.
#
#   PREFIX/releases/RELEASE    a virtual environment with the scheduler in it; one per install
#   PREFIX/current             a link to the present release
#   PREFIX/former              a link to the release before
#   PREFIX/schemas             a link to its schema, for editors
#   BINDIR/jobscheduler
#   /usr/local/share/man/..., bash-completion/..., zsh/... and /usr/share/fish/...
#                              links to the manual pages and the completion of shells in PREFIX/current/usr
#   UNITDIR/jobscheduler.service
#   USERUNITDIR/jobscheduler.service    for users' own services
#   /etc/scheduler/scheduler.toml    settings; kept once edited
#   /etc/default/jobscheduler  variables for the service; kept once edited
#   /etc/scheduler/jobs.d, /var/log/scheduler    made if missing, never removed
#
# A release is made and tried beside the present one, and one rename of a link replaces that: an install that
# fails, wherever it fails, leaves the old one working. The release before stays, because a service that has not been
# restarted yet may still read files of it.
#
# Environment: PREFIX (/opt/jobscheduler), DESTDIR (put in front of every path that is written; nothing of the host
# is touched), PYTHON (the interpreter), UNITDIR, USERUNITDIR; EXTRAS (`http`, `notify`, `web`, `database`, `cluster`, or several as `http,web`) and PACKAGES (further ones with task
# types, as pip takes them), both remembered by later installs unless they are set again, to nothing if need be. The unit stands in /usr/lib/systemd/system, because everything in
# /etc/systemd/system belongs to the administrator: what `systemctl edit` writes there wins, and survives an upgrade.
# For packages: BINDIR (/usr/local/bin), and RELEASE, the name of the release (by default the time).
set -eu
umask 022
cd "$(dirname "$0")/.."

PREFIX=${PREFIX:-/opt/jobscheduler}
UNITDIR=${UNITDIR:-/usr/lib/systemd/system}
USERUNITDIR=${USERUNITDIR:-/usr/lib/systemd/user}
DESTDIR=${DESTDIR:-}
PYTHON=${PYTHON:-}
UNIT=jobscheduler.service
BINDIR=${BINDIR:-/usr/local/bin}
RELEASE=${RELEASE:-}
LINK=$BINDIR/jobscheduler
SETTINGS=/etc/scheduler/scheduler.toml
VARIABLES=/etc/default/jobscheduler
JOBS=/etc/scheduler/jobs.d
LOGS=/var/log/scheduler

fail() {
    echo "error: $1" >&2
    shift
    for line; do echo "  help: $line" >&2; done
    exit 1
}

say() { echo "$*"; }

. systemd/releases.sh

# --- before anything is written ---------------------------------------------------------------------------

check_paths() {
    for path in "$PREFIX" "$UNITDIR" "$USERUNITDIR"; do
        case $path in
            *[!A-Za-z0-9/._-]* | *..* | //* | /) fail "\`$path\` will not do as PREFIX, UNITDIR or USERUNITDIR" ;;
            /*) ;;
            *) fail "PREFIX, UNITDIR and USERUNITDIR have to be absolute paths, and \`$path\` is not" ;;
        esac
    done
    PREFIX=${PREFIX%/}
    case $DESTDIR in
        '' | /*) ;;
        *) DESTDIR=$PWD/$DESTDIR ;;
    esac
    DESTDIR=${DESTDIR%/}
}

check_user() {
    [ -n "$DESTDIR" ] || [ "$(id -u)" = 0 ] || fail "\`make $1\` writes to $PREFIX, /etc and ${UNITDIR%/*}, and only root may" \
        "sudo make $1" "or set DESTDIR to a directory of yours, to make a package or to look at what it would do"
}

# The unit of a package stands at the same place.
check_package() {
    if [ -z "$DESTDIR" ] && dpkg-query --search "$UNITDIR/$UNIT" >/dev/null 2>&1; then
        fail "the package \`jobscheduler\` is installed here" "apt remove jobscheduler, which keeps jobs, log and settings"
    fi
}

# The system's own interpreter first: a service should not depend on one that lives in somebody's home.
choose_python() {
    if [ -n "$PYTHON" ]; then
        PYTHON=$(scripts/suitable-python "$PYTHON")
    else
        PYTHON=$(scripts/suitable-python /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11)
    fi
}

is_ours() { case $(readlink "$1" 2>/dev/null) in "$PREFIX"/*) return 0 ;; *) return 1 ;; esac; }

# --- building ---------------------------------------------------------------------------------------------

# The environments of releases carry no pip, they are never changed. The interpreter's own pip fills them, if it is
# new enough to fill another environment than its own (22.3); otherwise one in an environment made for the purpose.
choose_pip() {
    tools=$PYTHON
    if ! "$PYTHON" -m pip --python "$PYTHON" --version >/dev/null 2>&1; then
        "$PYTHON" -m venv "$work/tools"
        tools=$work/tools/bin/python
    fi
}

pip() { PIP_ROOT_USER_ACTION=ignore "$tools" -m pip --quiet --disable-pip-version-check --no-input "$@"; }

# Where packages come from: wheels/ and nothing else if it is filled.
packages() { if ls wheels/*.whl >/dev/null 2>&1; then echo "--no-index --find-links wheels"; fi; }

no_packages() {
    [ -n "$(packages)" ] || fail "a package could not be had" \
        "without internet: run \`make wheels\` elsewhere and copy the checkout with its wheels/ here"
    fail "the packages in wheels/ do not suffice" \
        "\`make wheels\` again, with $("$PYTHON" --version) on the same architecture, or remove wheels/"
}

# Built from a copy: a build leaves directories behind, and in a checkout that other builds have used it would pack
# files that are no longer in the sources.
copy_sources() {
    mkdir "$1"
    cp -R pyproject.toml requirements.txt README.md LICENSE jobscheduler schemas "$1"
    find "$1" -name __pycache__ -type d -prune -exec rm -rf {} +
}

# --- install ----------------------------------------------------------------------------------------------

install_() {
    check_paths
    check_user install
    check_package
    choose_python
    at=$DESTDIR$PREFIX
    if [ -e "$DESTDIR$LINK" ] || [ -L "$DESTDIR$LINK" ]; then
        is_ours "$DESTDIR$LINK" || fail "\`$LINK\` is there and belongs to something else" "move it away"
    fi
    # In order of time, so that the newest is the last one listed.
    name=${RELEASE:-$(date -u +%Y%m%dT%H%M%SZ)-$$}
    release=$at/releases/$name
    former=$(readlink "$at/current" 2>/dev/null || true)
    extras=${EXTRAS-$(cat "$at/current/extras" 2>/dev/null || true)}
    further=${PACKAGES-$(cat "$at/current/packages" 2>/dev/null || true)}
    work=$(mktemp -d)
    trap 'rm -rf "$work" ${release:+"$release"}' EXIT
    trap 'exit 1' HUP INT TERM

    mkdir -p "$at/releases"
    make_release
    make_directories
    put_in_force
    carried=$(carry_over)
    release=
    remove_old_releases
    tell_systemd
    report
}

make_release() {
    "$PYTHON" -m venv --without-pip "$release"
    choose_pip
    copy_sources "$work/sources"
    # shellcheck disable=SC2046 # `packages` gives words
    pip wheel $(packages) --no-deps --wheel-dir "$work/built" "$work/sources" || no_packages
    # shellcheck disable=SC2046
    pip --python "$release/bin/python" install $(packages) "$(ls "$work"/built/*.whl)${extras:+[$extras]}" $further || no_packages
    echo "$extras" >"$release/extras"
    echo "$further" >"$release/packages"
    cp -R schemas docs README.md RUNNING.md CHANGELOG.md LICENSE systemd/jobscheduler.default systemd/scheduler.toml systemd/hardened.conf systemd/needrestart.conf systemd/releases.sh "$release"
    rm -rf "$release/schemas/__init__.py" "$release/schemas/__pycache__"
    make_shared
    # It has to work before it replaces what works. All of it is loaded, and the command runs.
    (cd / && "$release/bin/python" -c 'import jobscheduler.service' && "$release/bin/jobscheduler" --version >/dev/null)
    [ -z "$DESTDIR" ] || settle_paths
}

# Below `usr` each file has the place below /usr at which man and the shells look for it. Only fish does not look in
# /usr/local/share, unless the session has XDG_DATA_DIRS.
make_shared() {
    "$release/bin/python" -B -m manual "$release/usr/local/share/man"
    shared bash local/share/bash-completion/completions/jobscheduler
    shared zsh local/share/zsh/site-functions/_jobscheduler
    shared fish share/fish/vendor_completions.d/jobscheduler.fish
}

shared() {
    mkdir -p "$release/usr/${2%/*}"
    cp "jobscheduler/cli/shells/jobscheduler.$1" "$release/usr/$2"
}

# The files below `usr` of a release, as far as it has them.
shared_files() { if [ -d "$1/usr" ]; then (cd "$1" && find usr -type f | sort); fi; }

# A virtual environment knows where it stands; below DESTDIR that is not where it is going to be.
settle_paths() {
    "$PYTHON" - "$release" "$DESTDIR" <<'PYTHON_PROGRAM'
import pathlib, sys

release, staging = pathlib.Path(sys.argv[1]), sys.argv[2].encode()
for file in [release / "pyvenv.cfg", *(release / "bin").iterdir()]:
    if file.is_file() and not file.is_symlink() and staging in (data := file.read_bytes()):
        file.write_bytes(data.replace(staging, b""))
PYTHON_PROGRAM
    # Compiled modules carry their paths too, and pip notes where it found the package.
    "$release/bin/python" -m compileall -q -f -s "$DESTDIR" "$release/lib"
    find "$release" -name direct_url.json -delete
    # The list of files has its hash, by which no two builds of a package would be the same.
    find "$release" -path '*.dist-info/RECORD' -exec sed -i '/^[^,]*direct_url\.json,/d' {} +
}

make_directories() {
    # Ones that are there keep the owner and mode that their administrator gave them.
    for path in "${JOBS%/*}" "$JOBS" "$LOGS" "$BINDIR" "$UNITDIR" "$USERUNITDIR" "${VARIABLES%/*}"; do
        [ ! -d "$DESTDIR$path" ] || continue
        mkdir -p "$DESTDIR$path"
        case $path in "${JOBS%/*}"*) chmod 0750 "$DESTDIR$path" ;; esac # job files may have passwords in them
    done
}

# Everything is prepared under other names, so that what remains are renames.
put_in_force() {
    rm -f "$DESTDIR$LINK.new"
    ln -s "$PREFIX/current/bin/jobscheduler" "$DESTDIR$LINK.new"
    sed "s|/opt/jobscheduler|$PREFIX|g" systemd/$UNIT >"$DESTDIR$UNITDIR/.$UNIT.new"
    sed "s|/opt/jobscheduler|$PREFIX|g" systemd/user/$UNIT >"$DESTDIR$USERUNITDIR/.$UNIT.new"
    has_settings=
    if [ -e "$DESTDIR$SETTINGS" ]; then has_settings=yes; fi
    kept=
    prepare "$SETTINGS" scheduler.toml
    prepare "$VARIABLES" jobscheduler.default
    point_at "releases/$name"
    mv -T "$DESTDIR$LINK.new" "$DESTDIR$LINK"
    link_shared
    mv "$DESTDIR$UNITDIR/.$UNIT.new" "$DESTDIR$UNITDIR/$UNIT"
    mv "$DESTDIR$USERUNITDIR/.$UNIT.new" "$DESTDIR$USERUNITDIR/$UNIT"
    for path in "$SETTINGS" "$VARIABLES"; do
        [ ! -e "$DESTDIR$path.new" ] || mv "$DESTDIR$path.new" "$DESTDIR$path"
    done
}

# A link of each file; one of the administrator's own is kept, and a file system that cannot be written is told. What
# only the former release had is removed.
link_shared() {
    for file in $(shared_files "$at/current"); do
        path=$DESTDIR/$file
        if ! is_ours "$path" && { [ -e "$path" ] || [ -L "$path" ]; }; then
            say "/$file belongs to something else and is kept as it is"
        elif ! { mkdir -p "${path%/*}" && ln -sfn "$PREFIX/current/$file" "$path"; } 2>/dev/null; then
            say "/$file cannot be written and is left out"
        fi
    done
    for file in $(shared_files "$at/$former"); do
        [ -e "$at/current/$file" ] || unlink_shared "$file"
    done
}

unlink_shared() { if is_ours "$DESTDIR/$1"; then rm -f "$DESTDIR/$1"; fi; }

# A new file beside one that is missing or as the former release brought it; one that was edited is kept.
prepare() {
    rm -f "$DESTDIR$1.new"
    if [ ! -e "$DESTDIR$1" ] || cmp -s "$DESTDIR$1" "$at/$former/$2"; then
        cp "systemd/$2" "$DESTDIR$1.new"
    else
        kept="$kept $1"
    fi
}

# Where settings were variables, the first settings file gets them. From then on each file is its administrator's.
carry_over() {
    case $kept in
        *"$VARIABLES"*) [ -n "$has_settings" ] || (cd / && "$release/bin/python" -m jobscheduler.cli.carry_over "$DESTDIR" "$VARIABLES" "$SETTINGS") ||
            say "warning: the settings in $VARIABLES could not be carried over to $SETTINGS; they go on working" ;;
    esac
}

systemd_runs() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

tell_systemd() {
    if systemd_runs; then systemctl daemon-reload; fi
}

report() {
    say "installed $("$PYTHON" -c 'import sys, tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])') in $PREFIX"
    if [ -n "$carried" ]; then
        say "$carried"
    else
        for path in $kept; do say "$path has been edited and is kept as it is"; done
    fi
    if ! systemd_runs; then
        [ -n "$DESTDIR" ] || say "systemd does not run here; the service is $PREFIX/current/bin/jobscheduler serve"
    elif systemctl --quiet is-active $UNIT; then
        say "the service still runs the former release: systemctl restart jobscheduler"
    elif systemctl --quiet is-enabled $UNIT 2>/dev/null; then
        say "start it: systemctl start jobscheduler"
    else
        say "start it, now and at boot: systemctl enable --now jobscheduler"
    fi
}

# --- uninstall --------------------------------------------------------------------------------------------

uninstall() {
    check_paths
    check_user uninstall
    at=$DESTDIR$PREFIX
    [ -e "$at/releases" ] || [ -e "$DESTDIR$UNITDIR/$UNIT" ] || fail "nothing is installed in $PREFIX" \
        "name the place with PREFIX=... if it was installed elsewhere"
    if systemd_runs && [ -e "$UNITDIR/$UNIT" ]; then systemctl --quiet disable --now $UNIT; fi
    if cmp -s "$DESTDIR$SETTINGS" "$at/current/scheduler.toml"; then rm -f "$DESTDIR$SETTINGS"; fi
    if cmp -s "$DESTDIR$VARIABLES" "$at/current/jobscheduler.default"; then rm -f "$DESTDIR$VARIABLES"; fi
    if is_ours "$DESTDIR$LINK"; then rm -f "$DESTDIR$LINK"; fi
    for file in $(shared_files "$at/current"); do unlink_shared "$file"; done
    rm -f "$DESTDIR$UNITDIR/$UNIT" "$DESTDIR$USERUNITDIR/$UNIT" "$at/current" "$at/former" "$at/schemas"
    rm -rf "$at/releases"
    [ ! -d "$at" ] || rmdir "$at" 2>/dev/null || say "kept $PREFIX, which holds other files"
    tell_systemd
    say "removed the scheduler"
    for path in "$JOBS" "$LOGS" "$SETTINGS" "$VARIABLES" "$VARIABLES.old" "/etc/systemd/system/$UNIT" "/etc/systemd/system/$UNIT.d"; do
        [ ! -e "$DESTDIR$path" ] || say "kept $path"
    done
}

# --- wheels -----------------------------------------------------------------------------------------------

wheels() {
    choose_python
    work=$(mktemp -d)
    trap 'rm -rf "$work" wheels.new' EXIT
    trap 'exit 1' HUP INT TERM
    choose_pip
    copy_sources "$work/sources"
    rm -rf wheels.new
    # Also what building the project on the other side takes, and every extra, from where both are written.
    "$PYTHON" - >"$work/more.txt" <<'PYTHON_PROGRAM'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
extras = project["project"].get("optional-dependencies", {})
print(*project["build-system"]["requires"], "wheel", *(one for extra in extras.values() for one in extra), sep="\n")
PYTHON_PROGRAM
    # shellcheck disable=SC2086 # PACKAGES is a list of words
    pip wheel --wheel-dir wheels.new -r requirements.txt -r "$work/more.txt" "$work/sources" ${PACKAGES:-}
    rm -rf wheels
    mv wheels.new wheels
    say "wheels/ holds $(ls wheels | wc -l) packages"
}

case ${1:-} in
    install) install_ ;;
    uninstall) uninstall ;;
    wheels) wheels ;;
    *) fail "unknown verb \`${1:-}\`" "$0 install | uninstall | wheels" ;;
esac
