"""A process tree is charged with what its members themselves say that they took."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import processes

#: Each says what it knows of itself once it is ready, and stays until it is told to go.
BURNING = """
import sys, time
end = time.process_time() + 0.3
while time.process_time() < end: pass
print(time.process_time(), flush=True)
sys.stdin.readline()
"""
WITH_A_CHILD = f"""
import resource, subprocess, sys
command, pipe = [sys.executable, "-c", {BURNING!r}], subprocess.PIPE
child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
print(child.stdout.readline(), end="", flush=True)
sys.stdin.readline()
child.communicate("\\n")
ended = resource.getrusage(resource.RUSAGE_CHILDREN)
print(ended.ru_utime + ended.ru_stime, flush=True)
sys.stdin.readline()
"""
HOLDING = """
import sys
held = b"x" * 100_000_000
print(len(held), flush=True)
sys.stdin.readline()
"""
WITH_A_HOLDER = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {HOLDING!r}])
"""


@contextmanager
def started(program):
    """Start a program, and give it."""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def say_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_process_takes_what_its_own_clock_says():
    with started(BURNING) as process:
        said = float(process.stdout.readline())
        assert said <= processes.cpu_seconds(process.pid) < said + 0.05


def test_a_child_is_charged_to_its_parent_while_it_runs_and_after_it_has_ended():
    with started(WITH_A_CHILD) as process:
        said = float(process.stdout.readline())
        (child,) = set(processes.tree(process.pid)) - {process.pid}
        parents_own = processes.cpu_seconds(process.pid) - processes.cpu_seconds(child)
        assert parents_own > 0
        assert said < processes.cpu_seconds(child) < said + 0.05
        say_on(process)
        ended = float(process.stdout.readline())
        assert processes.tree(process.pid) == [process.pid]
        after = processes.cpu_seconds(process.pid)
        assert parents_own + ended - 0.03 < after < parents_own + ended + 0.1


def test_memory_of_a_child_counts():
    with started(WITH_A_HOLDER) as process:
        process.stdout.readline()
        (child,) = set(processes.tree(process.pid)) - {process.pid}
        alone, both = processes.resident_bytes(child), processes.resident_bytes(process.pid)
        pages = int(Path(f"/proc/{child}/statm").read_text().split()[1])
        assert alone == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.01)
        assert alone > 100_000_000
        assert alone + 4_000_000 < both < alone + 40_000_000


def test_a_process_that_has_ended_is_told():
    with started("print()") as process:
        process.stdout.read()
    with pytest.raises(ProcessLookupError, match=f"process {process.pid} has ended"):
        processes.cpu_seconds(process.pid)
