"""`python -m fuzz.search TARGET OPTION … CORPUS`: one search, by atheris, which ends its process."""

import sys

import atheris

with atheris.instrument_imports(include=["proxy"]):
    from fuzz.targets import TARGETS

if __name__ == "__main__":
    _, target, *options = sys.argv
    atheris.Setup([sys.argv[0], *options], TARGETS[target])
    atheris.Fuzz()
