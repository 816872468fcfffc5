"""What a user installs: built from the tree, put where nothing else is, and used."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from proxy import __version__

ROOT = Path(__file__).parents[1]
NAME = f"straightwire-{__version__}"
#: What belongs to the repository, not to the product's source.
OF_THE_REPOSITORY = (".github/", ".gitattributes", ".gitignore", ".editorconfig")
#: What a build would not find in a fresh checkout.
LEFT_BEHIND = (".git", ".venv*", ".*_cache", "*.egg-info", "__pycache__", "build", ".build", "dist")
PATIENCE = 300


def ran(*command, cwd=None):
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("STRAIGHTWIRE_")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution, and the wheel that is made of it and not of the tree."""
    tree, folder = tmp_path_factory.mktemp("tree") / "straightwire", tmp_path_factory.mktemp("dist")
    # A build leaves traces in its tree.
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, tree)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The commands of an environment in which there is nothing but the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    ran(*pip, "install", "--constraint", ROOT / "constraints.txt", built / f"{NAME}-py3-none-any.whl")
    ran(*pip, "check")
    return folder / "bin"


def test_the_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
        metadata = wheel.read(f"{NAME}.dist-info/METADATA").decode()
    ours = {name for name in names if not name.startswith(f"{NAME}.dist-info/")}
    there = [
        path for path in (ROOT / "proxy").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    assert ours == {str(path.relative_to(ROOT)) for path in there}
    assert f"{NAME}.dist-info/licenses/LICENSE" in names
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nDescription-Content-Type: text/markdown\n" in metadata


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no repository")
def test_the_source_distribution_holds_all_that_the_repository_does(built):
    with tarfile.open(built / f"{NAME}.tar.gz") as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    tracked = ran("git", "ls-files", "--cached", cwd=ROOT).splitlines()
    missing = {name for name in tracked if not name.startswith(OF_THE_REPOSITORY)} - names
    assert missing == set()


def test_the_version_stands_in_one_place(installed):
    assert ran(installed / "straightwire", "--version") == f"straightwire, version {__version__}\n"
    assert re.search(r"^## ", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    tracked = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'dynamic = ["version"]' in tracked


def test_what_is_installed_works_away_from_the_tree(installed, tmp_path):
    told = ran(installed / "straightwire", "demo", cwd=tmp_path)
    assert "data: [DONE]" in told
    assert "event-line" in told
    assert len(ran(installed / "python", "-m", "proxy", "repairs", cwd=tmp_path).splitlines()) > 100


def test_an_installation_can_tell_what_it_is_made_of(installed, tmp_path):
    """A bill of materials, as `make dist` writes it, names what is installed, each with its version."""
    bill = tmp_path / "bill.json"
    ran(
        *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"),
        *("--pyproject", ROOT / "pyproject.toml", "--output-file", bill, installed / "python"),
    )
    parts = {part["name"].lower(): part["version"] for part in json.loads(bill.read_text())["components"]}
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    for name in ("aiohttp", "orjson", "PyYAML", "pydantic", "structlog"):
        assert parts[name.lower()] == pinned[name]
    assert "pytest" not in parts


@pytest.mark.parametrize(
    "file", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda file: file.stem
)
def test_a_workflow_runs_what_there_is(file):
    text = file.read_text("utf-8")
    workflow = yaml.safe_load(text)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    commands = "\n".join(step.get("run", "") for step in steps)
    assert set(re.findall(r"\bmake ([a-z-]+)", commands)) <= set(targets)
    for script in re.findall(r"(?<![\w/])\.ci/\w+", commands):
        assert os.access(ROOT / script, os.X_OK)
