"""docs/reliability.md has a row for each fault that is tested, and a test for each of its rows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
#: The road that a test takes comes first among its cases, or is its only one.
ROAD = re.compile(r"(?<=\[)(?:direct|plain)-|\[(?:direct|plain)\]$")


def collected() -> set[str]:
    """Return the tests of tests/faults as pytest finds them, by file, name and case, whatever the road."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests/faults"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [line for line in found.stdout.splitlines() if line.startswith("tests/")]
    return {ROAD.sub("", line.removeprefix("tests/faults/"), count=1) for line in lines}


def named() -> list[str]:
    """Return what the page names, in the same form; the link above each table tells the file."""
    rows = []
    file = ""
    for line in PAGE.splitlines():
        if link := re.search(r"\]\(\.\./tests/faults/(\w+\.py)\)", line):
            file = link[1]
        elif test := re.search(r"\| `(test_[^`]+)` \|$", line):
            rows.append(f"{file}::{test[1]}")
    return rows


def shows(row: str, test: str) -> bool:
    """Tell whether a row stands for a test: for all its cases, or for those that begin with one."""
    return test == row or test.startswith((f"{row}[", f"{row.removesuffix(']')}-"))


@pytest.mark.parametrize(
    ("row", "test", "stands"),
    [
        ("a.py::test_x", "a.py::test_x", True),
        ("a.py::test_x", "a.py::test_x[one]", True),
        ("a.py::test_x[one]", "a.py::test_x[one-stream]", True),
        ("a.py::test_x[one]", "a.py::test_x[two-stream]", False),
        ("a.py::test_x", "a.py::test_x_y", False),
    ],
)
def test_a_row_stands_for_its_cases(row: str, test: str, stands: bool) -> None:
    assert shows(row, test) is stands


def test_the_page_of_faults_is_what_is_tested() -> None:
    rows, tests = named(), collected()
    assert len(set(rows)) == len(rows)
    assert [row for row in rows if not any(shows(row, test) for test in tests)] == []
    assert sorted(test for test in tests if not any(shows(row, test) for row in rows)) == []
