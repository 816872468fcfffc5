"""scripts/venv.sh on machines that lack something: one line that says what to do, and no more.

The machines are made of stubs: the PATH holds the few tools that the script uses and an imitation of
Python, `id` and apt-get. Nothing is downloaded or installed.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "venv.sh"
TOOLS = ["cat", "cksum", "dirname", "sh"]

OLD_PYTHON = """
[ "$1" = --version ] && echo "Python 3.9.2"
[ "$1" = --version ]
"""

#: Starts and is new enough, but can make no environment; it has ensurepip if a file beside it says so.
PYTHON = """
here=${0%/*}
case "$*" in
    *ensurepip*) [ -f "$here/has-ensurepip" ] ;;
    *-venv*) echo python3.12-venv ;;
    --version) echo "Python 3.12.1" ;;
    *"-m venv"*) echo "$*" >>"$here/calls"; exit 1 ;;
esac
"""

APT_GET = """
here=${0%/*}
echo "apt-get $*" >>"$here/calls"
[ "$1" = update ] || : >"$here/has-ensurepip"
"""


class Machine:
    def __init__(self, path: Path):
        self.path = path
        self.bin = path / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.add("id", "echo 1000")

    def add(self, name: str, script: str) -> None:
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def run(self, *, purpose: str = "run", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, self.path / "venv", purpose],
            env={"PATH": str(self.bin), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        file = self.bin / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def assert_one_line(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert [word for word in words if word not in result.stderr] == []


def test_no_python(machine):
    assert_one_line(machine.run(), "needs Python 3.11 to 3.14", "found no python3", "apt install python3")


def test_old_python(machine):
    machine.add("python3", OLD_PYTHON)

    assert_one_line(machine.run(), "needs Python 3.11 to 3.14", "found Python 3.9.2")


def test_named_python_is_not_replaced_by_another(machine):
    machine.add("python3", PYTHON)
    machine.add("oldpython", OLD_PYTHON)

    assert_one_line(machine.run(PYTHON="oldpython"), "PYTHON=oldpython is not a Python 3.11 to 3.14")


def test_python_without_venv_for_a_user(machine):
    machine.add("python3", PYTHON)
    machine.add("apt-get", APT_GET)

    assert_one_line(machine.run(), "sudo apt install python3.12-venv")
    assert machine.calls == []


def test_python_without_venv_for_root_is_completed(machine):
    machine.add("python3", PYTHON)
    machine.add("apt-get", APT_GET)
    machine.add("id", "echo 0")

    result = machine.run()

    assert "installing the Debian package python3.12-venv" in result.stderr
    assert machine.calls == [
        "apt-get update -qq",
        "apt-get install -y -qq python3.12-venv",
        f"-m venv --clear {machine.path / 'venv'}",
    ]


def test_python_with_venv_goes_before_a_newer_one_without(machine):
    machine.add("python3.14", "case $2 in *ensurepip*) exit 1 ;; esac")
    machine.add("python3", PYTHON)
    (machine.bin / "has-ensurepip").touch()

    result = machine.run()

    assert "with Python 3.12.1" in result.stderr
    assert machine.calls == [f"-m venv --clear {machine.path / 'venv'}"]


def test_unknown_purpose_is_refused(machine):
    assert_one_line(machine.run(purpose="play"), "run or test, not play")
