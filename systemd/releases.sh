# Which of the releases below PREFIX is in force. Read by install.sh and by the scripts of the Debian package.
#
#   releases/RELEASE    each version in a folder of its own
#   current, former     links to the present one and to the one before, to which one can go back
#   schemas             a link to the schema of the present one
#
# `at` is DESTDIR and PREFIX; processes name their files by PREFIX.

# Put a release in force, such as `releases/0.1.0`. Each link changes by one rename: there is always a present release.
point_at() {
    present=$(readlink "$at/current" || true)
    if [ -n "$present" ] && [ "$present" != "$1" ]; then point former "$present"; fi
    point current "$1"
    point schemas current/schemas
}

point() {
    ln -sfn "$2" "$at/.$1"
    mv -T "$at/.$1" "$at/$1"
}

# The release before stays, because a service that was not restarted yet may still read files of it.
remove_old_releases() {
    for old in "$at"/releases/*; do
        case releases/${old##*/} in "$(readlink "$at/current")" | "$(readlink "$at/former")") continue ;; esac
        is_in_use "$PREFIX/releases/${old##*/}" || rm -rf "$old"
    done
}

# A process of a release has its path in the command line, because the script names the interpreter there.
is_in_use() { [ -z "$DESTDIR" ] && grep -qsF -- "$1/" /proc/[0-9]*/cmdline; }

# Return whether this is run by a job of the host's service, which waits for its jobs when it stops.
is_job_of_the_service() { grep -v '/user@' /proc/self/cgroup | grep -q '/jobscheduler\.service\(/\|$\)'; }
