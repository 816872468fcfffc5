"""What a process and its children cost: CPU from their own clocks, memory from the kernel's account."""

import re
import time
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that a process and its children have taken.

    Read from the POSIX clock of each process, in nanoseconds, all threads included. Children that have ended
    and been waited for count through their parent, in hundredths of a second.

    Raises:
        ProcessLookupError: There is no such process.
    """
    total = 0.0
    for member in tree(pid):
        try:
            total += time.clock_gettime(_clock_of(member)) + _reaped_seconds(member)
        except OSError as error:
            if member == pid:
                raise ProcessLookupError(f"process {pid} has ended") from error
    return total


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children; pages that they share count in each."""
    total = 0
    for member in tree(pid):
        rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        found = re.search(r"^Rss:\s+(\d+) kB", rollup, re.MULTILINE)
        total += int(found[1]) * 1024 if found else 0
    return total


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    members = [pid]
    for member in members:  # grows while it is walked
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            members += map(int, children.read_text().split())
    return members


def _clock_of(pid: int) -> int:
    # What clock_getcpuclockid(3) returns on Linux: the process above, CPUCLOCK_SCHED in the lowest bits.
    return (~pid << 3) | 2


def _reaped_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[13]), int(fields[14])
    return (user + system) / 100
