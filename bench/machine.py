"""The conditions: the machine, the versions, and how busy the machine was with other things."""

import os
import platform
import re
import subprocess
import sysconfig
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.targets import find_nginx
from proxy import __version__

#: Where others take more of the machine than this, absolute figures say little.
_BUSY = 0.15

#: What a build of Python keeps of how it was configured and compiled.
_BUILD_FLAGS = ("CONFIG_ARGS", "PY_CFLAGS", "PY_CFLAGS_NODIST", "PY_CORE_LDFLAGS")


def conditions() -> dict[str, Any]:
    """Return what the figures depend on, as far as the machine tells it."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "versions": {
            "straightwire": __version__,
            "commit": _commit(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("aiohttp", "uvloop", "orjson")},
            "nginx": _nginx_version(),
        },
        "python_build": python_build(),
    }


@dataclass(frozen=True)
class Weather:
    """A moment on the machine's clocks, to tell how busy it was since. All are seconds."""

    moment: float
    #: Of CPU: what all of the machine's processes took, what those of the bench took, what the host withheld.
    busy: float
    ours: float
    stolen: float

    @classmethod
    def now(cls) -> "Weather":
        fields = [int(field) / 100 for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        user, nice, system, _idle, _waiting, interrupt, soft, stolen = fields
        times = os.times()
        ours = times.user + times.system + times.children_user + times.children_system
        return cls(time.monotonic(), user + nice + system + interrupt + soft, ours, stolen)

    def since(self) -> dict[str, Any]:
        """Return the load average, and the shares of the machine that went to others than the bench.

        Call it when the bench's children have ended: before that, what they took is not known.
        """
        now = Weather.now()
        others = (now.busy - self.busy) - (now.ours - self.ours)
        capacity = (now.moment - self.moment) * (os.cpu_count() or 1)
        return {
            "seconds": round(now.moment - self.moment),
            "load_average": [round(load, 2) for load in os.getloadavg()],
            "others_share": round(max(0.0, others / capacity), 3),
            "stolen_share": round((now.stolen - self.stolen) / capacity, 3),
        }


def told(weather: dict[str, Any]) -> str:
    """Say how busy the machine was with other things, and what that means for the figures."""
    others, stolen = weather["others_share"], weather["stolen_share"]
    said = (
        f"Other work took {others:.0%} of the machine's cores meanwhile, and its host withheld {stolen:.0%}."
    )
    if others + stolen > _BUSY:
        said += (
            " That is much: ratios hold better than absolute figures, and latencies hold worst; measure again"
            " on a quiet machine."
        )
    return said


def built(build: dict[str, Any]) -> str:
    """Say how the interpreter was built, as far as it tells."""
    profile, link = ("with" if build[key] else "without" for key in ("profile_guided", "link_time"))
    how = f"{build['compiler']} with {build['level']}"
    return f"Python built by {how}, {profile} profile-guided and {link} link-time optimisation"


def python_build() -> dict[str, Any]:
    """Return how this interpreter was compiled.

    A distribution may have used a profile without having it configured; its interpreter does not tell then.
    """
    words = (
        " ".join(str(sysconfig.get_config_var(name) or "") for name in _BUILD_FLAGS).replace("'", "").split()
    )
    levels = [word for word in words if word.startswith("-O")]
    return {
        "compiler": platform.python_compiler(),
        "level": levels[-1] if levels else "no -O",
        "profile_guided": any(word.startswith(("--enable-optimizations", "-fprofile-use")) for word in words),
        "link_time": any(word.startswith(("--with-lto", "-flto")) for word in words),
    }


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip()


def _nginx_version() -> str:
    said = subprocess.run([find_nginx(), "-v"], capture_output=True, text=True, check=False).stderr
    return said.rpartition("/")[2].strip()
