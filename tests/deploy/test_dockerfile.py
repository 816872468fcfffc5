"""What the image is made from, read without building it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")


def versions(text: str) -> dict[str, str]:
    pinned = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {plain(name): version for name, version in pinned}


def plain(name: str) -> str:
    """Write a package's name as the index compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_the_image_gets_the_versions_that_are_tested():
    locked, tested = versions(LOCK), versions((ROOT / "constraints.txt").read_text("utf-8"))
    assert {name: tested.get(name) for name in locked} == locked


def test_the_image_gets_what_the_proxy_needs():
    metadata = (ROOT / "pyproject.toml").read_text("utf-8")
    needed = re.search(r"^dependencies = \[(.*?)^\]", metadata, re.MULTILINE | re.DOTALL)[1]
    names = {plain(name) for name in re.findall(r'^    "([\w.-]+)', needed, re.MULTILINE)}
    assert names <= set(versions(LOCK))


def test_each_file_that_is_installed_is_known_by_its_hash():
    requirements = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(requirements) == len(versions(LOCK))
    assert [each for each in requirements if "--hash=sha256:" not in each] == []
    assert "--require-hashes" in (ROOT / "Dockerfile").read_text("utf-8")


def test_the_lock_names_no_place_to_download_from():
    assert "://" not in LOCK
    assert not re.search(r"^--", LOCK, re.MULTILINE)


def test_the_engine_is_given_no_more_than_the_dockerfile_takes():
    taken = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    admitted = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    copied = {source for sources in taken for source in sources.split()}
    assert {source.removesuffix("/gather.py") for source in copied} == set(admitted)
