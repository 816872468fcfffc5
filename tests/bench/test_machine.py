"""The conditions of a measuring: how Python was built, and how busy the machine was with other things."""

import os
import subprocess
import sys

import pytest

from bench import machine
from bench.machine import Weather

PLAIN = {"CONFIG_ARGS": "'--prefix=/usr' '--enable-shared'", "PY_CFLAGS": "-g -O2 -fwrapv -O3 -Wall"}


@pytest.mark.parametrize(
    ("told", "profile_guided", "link_time"),
    [
        ({}, False, False),
        ({"CONFIG_ARGS": "'--enable-optimizations' '--with-lto'"}, True, True),
        ({"CONFIG_ARGS": "'--prefix=/usr' '--with-lto=thin'"}, False, True),
        ({"PY_CFLAGS_NODIST": "-std=c11 -fprofile-use -fprofile-correction"}, True, False),
        ({"PY_CORE_LDFLAGS": "-Wl,-O1 -flto=auto -O3"}, False, True),
        ({"PY_CFLAGS_NODIST": None}, False, False),
    ],
)
def test_a_build_tells_how_it_was_optimised(monkeypatch, told, profile_guided, link_time):
    monkeypatch.setattr("sysconfig.get_config_var", {**PLAIN, **told}.get)
    monkeypatch.setattr("platform.python_compiler", lambda: "GCC 12.2.0")
    assert machine.python_build() == {
        "compiler": "GCC 12.2.0",
        "level": "-O3",
        "profile_guided": profile_guided,
        "link_time": link_time,
    }


def test_a_build_is_told_in_words():
    build = {"compiler": "GCC 12.2.0", "level": "-O3", "profile_guided": True, "link_time": False}
    assert machine.built(build) == (
        "Python built by GCC 12.2.0 with -O3, with profile-guided and without link-time optimisation"
    )


def test_the_weather_is_what_others_took_of_all_cores(monkeypatch):
    began = Weather(moment=100.0, busy=50.0, ours=20.0, stolen=5.0)
    monkeypatch.setattr(Weather, "now", lambda: Weather(moment=110.0, busy=62.0, ours=24.0, stolen=7.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    found = began.since()
    assert (found["seconds"], found["others_share"], found["stolen_share"]) == (10, 0.4, 0.1)


def test_what_the_bench_and_its_children_take_is_no_weather():
    before = Weather.now()
    child = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", child], check=True)
    between = Weather.now()
    assert between.ours >= before.ours + 0.15
    while (now := Weather.now()).ours < between.ours + 0.2:
        pass
    assert now.busy >= before.busy + 0.3, "all of the machine's, ours among it"
    assert now.moment > before.moment


@pytest.mark.parametrize(
    ("others", "stolen", "much"), [(0.01, 0.0, False), (0.1, 0.1, True), (0.2, 0.0, True)]
)
def test_a_machine_that_was_busy_is_told(others, stolen, much):
    said = machine.told({"others_share": others, "stolen_share": stolen})
    assert said.startswith(
        f"Other work took {others:.0%} of the machine's cores meanwhile, and its host withheld {stolen:.0%}."
    )
    assert ("measure again on a quiet machine" in said) is much
