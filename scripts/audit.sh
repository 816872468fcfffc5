#!/bin/sh
# Asks PyPI for known vulnerabilities in the pinned versions.
#
#   scripts/audit.sh PIP_AUDIT
#
# Exit status: 0 none is known, 1 there are some, 2 there was no answer. pip-audit has one status for the last
# two, but tells of vulnerabilities on its standard output alone.
set -eu

cd "$(dirname "$0")/.."

say() { printf 'straightwire: %s\n' "$*" >&2; }

if found=$("$1" --strict --no-deps --disable-pip --requirement constraints.txt); then
    say "no vulnerability is known in what constraints.txt pins"
    exit 0
fi
if [ -n "$found" ]; then
    printf '%s\n' "$found"
    say "raise these versions in constraints.txt (make pins does it for all)"
    exit 1
fi
say "the audit has no result: PyPI gave no answer (see above). It has to be PyPI itself: a mirror" \
    "or a proxy without its list of vulnerabilities says \"not found\". Try again where it can be reached," \
    "with HTTPS_PROXY=http://… if need be"
exit 2
