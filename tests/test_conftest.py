"""The rules of the test run itself, tried on a small run inside this one."""

from pathlib import Path

import pytest

SOME_SKIPPED = """
import pytest

def test_runs():
    assert True is not False

@pytest.mark.skip(reason="nothing to run it with")
def test_left_out():
    raise AssertionError

@pytest.mark.xfail(reason="known, and run all the same")
def test_known_to_fail():
    raise AssertionError
"""

A_SWEEP = """
import pytest
from coverage import Coverage

@pytest.mark.sweep
def test_sweep():
    assert Coverage.current() is None

def test_other():
    assert Coverage.current() is not None
"""


@pytest.fixture
def inner_run(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    return pytester


def test_skipped_test_fails_ci(inner_run, monkeypatch):
    monkeypatch.setenv("CI", "true")
    inner_run.makepyfile(test_some=SOME_SKIPPED)

    result = inner_run.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*skipped, which CI does not allow*", "test_some.py::test_left_out"])
    result.stdout.no_fnmatch_line("test_some.py::test_known_to_fail")


def test_skipped_module_fails_ci(inner_run, monkeypatch):
    monkeypatch.setenv("CI", "true")
    inner_run.makepyfile(test_absent="import pytest\npytest.importorskip('no_such_module')\n")
    inner_run.makepyfile(test_present="def test_runs():\n    pass\n")

    result = inner_run.runpytest_inprocess()

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*skipped, which CI does not allow*", "test_absent.py"])


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_skipped_test_is_allowed_outside_ci(inner_run, monkeypatch, value):
    monkeypatch.setenv("CI", value)
    inner_run.makepyfile(test_some=SOME_SKIPPED)

    assert inner_run.runpytest_inprocess().ret == pytest.ExitCode.OK


def test_run_without_skips_passes_ci(inner_run, monkeypatch):
    monkeypatch.setenv("CI", "true")
    inner_run.makepyfile(test_some="def test_runs():\n    pass\n")

    assert inner_run.runpytest_inprocess().ret == pytest.ExitCode.OK


@pytest.mark.parametrize("workers", [0, 1])
def test_sweep_is_not_measured(inner_run, workers):
    inner_run.makeini("[pytest]\nmarkers = sweep\nasyncio_default_fixture_loop_scope = function\n")
    inner_run.makepyfile(test_some=A_SWEEP)

    result = inner_run.runpytest_subprocess("--cov=test_some", "--numprocesses", str(workers))

    result.assert_outcomes(passed=2)
