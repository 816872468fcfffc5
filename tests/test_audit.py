"""scripts/audit.sh: what was found, what was not, and that no answer is neither."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "audit.sh"


def audit(folder: Path, imitation: str) -> subprocess.CompletedProcess[str]:
    """Run it with a script in the place of pip-audit."""
    pip_audit = folder / "pip-audit"
    pip_audit.write_text(f"#!/bin/sh\n{imitation}\n")
    pip_audit.chmod(0o755)
    return subprocess.run([SCRIPT, pip_audit], capture_output=True, text=True, check=False)


def test_nothing_is_known(tmp_path):
    ended = audit(tmp_path, '[ -f constraints.txt ] && echo "No known vulnerabilities found" >&2')
    assert ended.returncode == 0
    assert "no vulnerability is known" in ended.stderr


def test_vulnerabilities_are_shown(tmp_path):
    ended = audit(tmp_path, 'echo "aiohttp 3.0.0 PYSEC-2021-76 3.7.4"; exit 1')
    assert (ended.returncode, ended.stdout) == (1, "aiohttp 3.0.0 PYSEC-2021-76 3.7.4\n")
    assert "constraints.txt" in ended.stderr


@pytest.mark.parametrize(
    "words", ["aiohttp: Dependency not found on PyPI and could not be audited", "Could not connect to PyPI"]
)
def test_no_answer_is_no_result(tmp_path, words):
    ended = audit(tmp_path, f'echo "ERROR: {words}" >&2; exit 1')
    assert (ended.returncode, ended.stdout) == (2, "")
    cause, what_to_do = ended.stderr.splitlines()
    assert words in cause
    assert "no result" in what_to_do
    assert "Try again where it can be reached" in what_to_do
