#!/bin/sh
# Makes a virtual environment with the pinned versions in it, from nothing but a Python.
#
#   scripts/venv.sh DIRECTORY run|test
#
# `run` installs what the proxy needs, `test` also what its tests need. A second call is quick: it does
# nothing as long as the files that decide are, by checksum, those of the last call that succeeded.
# PYTHON names the interpreter; without it the newest of Python 3.11 to 3.14 is taken.
set -eu

venv=$1
purpose=$2
pins=constraints.txt

say() { printf 'straightwire: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

cd "$(dirname "$0")/.."

# A name on the PATH proves little (version managers leave stubs there), so each is started.
usable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1
}

has_venv() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.11 to 3.14 that starts; name another"
        printf '%s\n' "$PYTHON"
        return
    fi
    without_venv=
    for candidate in python3.14 python3.13 python3.12 python3.11 python3 python; do
        usable "$candidate" || continue
        if has_venv "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        without_venv=${without_venv:-$candidate}
    done
    [ -n "$without_venv" ] || die "needs Python 3.11 to 3.14, and found $(found_instead);" \
        "install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3"
    printf '%s\n' "$without_venv"
}

found_instead() {
    python3 --version 2>/dev/null || printf 'no python3'
}

# Debian and Ubuntu keep ensurepip, without which there is no pip in the environment, in a package of its own.
provide_venv() {
    has_venv "$1" && return
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing the Debian package $package, which Python needs for virtual environments"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package"; } >/dev/null \
            || die "apt-get could not install $package; install it, then try again"
        has_venv "$1" && return
    fi
    die "$1 cannot make virtual environments; install $package (Debian, Ubuntu: sudo apt install $package), then try again"
}

# An environment does not survive being moved, nor a change of interpreter.
origin() {
    pwd -P
    [ -z "${PYTHON:-}" ] || "$PYTHON" -c 'import sys; print(sys.version)' 2>/dev/null || true
}

works() {
    [ -f "$venv/.origin" ] && [ "$(cat "$venv/.origin")" = "$(origin)" ] && "$venv/bin/python" -c '' 2>/dev/null
}

case $purpose in
    run) what=. ;;
    test) what='.[dev]' ;;
    *) die "venv.sh: the second argument is run or test, not $purpose" ;;
esac
current=$(cksum pyproject.toml "$pins" scripts/venv.sh)

if works; then
    # What the tests need includes what the proxy needs.
    for stamp in "$venv/.made-for-test" "$venv/.made-for-$purpose"; do
        [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$current" ] && exit 0
    done
else
    python=$(choose_python)
    provide_venv "$python"
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" || die "could not make $venv; remove it and try again"
    origin >"$venv/.origin"
fi

say "installing the pinned packages into $venv; this takes up to a minute, once"
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check install --constraint "$pins" "$@"; }
# setuptools stands in the environment, so that the build uses the pinned one.
{ pip setuptools && pip --no-build-isolation --editable "$what"; } \
    || die "pip could not install the packages (see above); it needs a package index that it can reach"
printf '%s\n' "$current" >"$venv/.made-for-$purpose"
