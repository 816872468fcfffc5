"""deploy/compose: valid by the Compose specification's schema, and true to the product."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from proxy import __version__
from tests.deploy.product import ROOT, accept, image_environment, serving

FILE = ROOT / "deploy" / "compose" / "compose.yaml"
SERVICES = yaml.safe_load(FILE.read_text("utf-8"))["services"]


def test_it_is_valid_by_the_published_schema():
    check = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    ran = subprocess.run([*check, FILE], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def test_the_proxy_asks_where_localai_listens(monkeypatch):
    environ = image_environment() | SERVICES["straightwire"]["environment"]
    configuration = serving(environ, monkeypatch)
    (upstream,) = configuration.upstreams.values()
    assert upstream.url == f"http://{SERVICES['localai']['environment']['LOCALAI_ADDRESS']}"
    assert upstream.url == f"http://{accept(SERVICES['demo']['command'])['listen']}"
    assert accept(SERVICES["demo"]["command"])["alone"] is True


def test_clients_reach_the_proxy_alone(monkeypatch):
    configuration = serving(image_environment() | SERVICES["straightwire"]["environment"], monkeypatch)
    assert SERVICES["straightwire"]["ports"] == [f"8081:{configuration.listen.port}"]
    for name in ("localai", "demo"):
        assert SERVICES[name]["network_mode"] == "service:straightwire"
        assert "ports" not in SERVICES[name]


def test_one_profile_at_a_time_is_behind_it():
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert profiles == {"straightwire": None, "localai": ["localai"], "demo": ["demo"]}


def test_the_health_check_is_a_command_of_the_product():
    kind, program, *arguments = SERVICES["straightwire"]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "straightwire")
    accept(arguments)


def test_a_model_has_time_to_load_before_the_proxy_counts_as_ill():
    health = SERVICES["straightwire"]["healthcheck"]
    assert int(health["start_period"].removesuffix("m")) >= 10


def test_streams_have_time_to_end(monkeypatch):
    configuration = serving(image_environment() | SERVICES["straightwire"]["environment"], monkeypatch)
    assert float(SERVICES["straightwire"]["stop_grace_period"].removesuffix("s")) > configuration.drain


@pytest.mark.parametrize("name", ["straightwire", "demo"])
def test_what_is_ours_runs_confined_and_in_this_version(name):
    service = SERVICES[name]
    assert service["image"] == f"straightwire:{__version__}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"])
