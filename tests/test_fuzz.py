"""What `make fuzz` begins with, and what it has ever found, holds."""

import pytest

from fuzz.seeds import FOUND, seeds
from fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_break_nothing(target: str) -> None:
    assert seeds(target)
    for seed in seeds(target):
        TARGETS[target](seed)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", [b"", b"\0", b"\xff" * 9], ids=["nothing", "a-byte", "bytes"])
def test_shortest_inputs_break_nothing(target: str, seed: bytes) -> None:
    TARGETS[target](seed)


def test_everything_that_was_found_belongs_to_a_target() -> None:
    found = [file.name for file in FOUND.glob("*") if file.name != "README.md"]
    assert [name for name in found if name.partition("-")[0] not in TARGETS] == []
