"""The unit: right by systemd's own reading, true to the product, and as confined as it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config.schema import Configuration
from tests.deploy.product import ROOT, accept

UNIT = ROOT / "deploy" / "systemd" / "straightwire.service"
PROGRAM = "/opt/straightwire/bin/straightwire"
#: Of ten, in tenths; systemd calls what is below 2 "OK", and most services "UNSAFE".
EXPOSURE = 14

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def settings(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)


@analyze
def test_systemd_has_nothing_to_say(tmp_path):
    """The unit as it is, but for the place of the program, which must exist."""
    unit = tmp_path / UNIT.name
    program = str(Path(sys.executable).with_name("straightwire"))
    unit.write_text(UNIT.read_text("utf-8").replace(PROGRAM, program))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@analyze
def test_it_is_confined():
    ran = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-200:]


def test_each_command_is_the_products():
    commands = [*settings("ExecStartPre"), *settings("ExecStart"), *settings("ExecReload")]
    for command in commands:
        program, *arguments = command.split()
        if program == PROGRAM:
            accept([str(ROOT / "config.example.yaml") if a.startswith("/etc/") else a for a in arguments])
        else:
            assert command == "/bin/kill -HUP $MAINPID"


def test_systemd_is_told_by_the_product_when_it_serves():
    assert settings("Type") == ["notify"]


def test_what_need_not_exist_may_be_missing():
    assert all(file.startswith("-") for file in settings("EnvironmentFile"))


def test_there_are_two_files_for_each_of_ten_thousand_streams():
    assert int(settings("LimitNOFILE")[0]) >= 2 * 10_000


def test_streams_have_time_to_end():
    assert int(settings("TimeoutStopSec")[0]) > Configuration().drain


def test_a_wrong_configuration_is_not_tried_again():
    assert settings("RestartPreventExitStatus") == ["2"]
