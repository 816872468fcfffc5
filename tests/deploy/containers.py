"""The image, built without an engine from a base that is made here, and run as an engine would run it.

An engine gives a program a root of its own, makes it process 1 and hands it the environment, the user and the
command that stand in the image. buildah reads these; `unshare` and `chroot` do the rest.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from proxy import __version__

ROOT = Path(__file__).parents[2]
#: Kept between runs, since Debian's packages take a minute; git ignores it, `make clean` removes it.
CACHE = ROOT / "build" / "image"
TOOLS = ("buildah", "chroot", "debootstrap", "mount", "unshare")
PATIENCE = 60

BASE, IMAGE = "localhost/straightwire-base", "localhost/straightwire"
STORE = ("--storage-driver", "vfs", "--root", str(CACHE / "root"), "--runroot", str(CACHE / "run"))
#: What the Dockerfile takes.
SOURCES = (
    "Dockerfile",
    "LICENSE",
    "deploy/image",
    "proxy",
    "pyproject.toml",
    "requirements.lock",
)


def missing() -> str | None:
    """Say why no image can be built and run here; None: it can."""
    if os.geteuid() != 0:
        return "to build and run an image without an engine takes root"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    return None if _archive() else "apt knows no archive of Debian's or Ubuntu's to make a base image from"


@dataclass(frozen=True)
class Image:
    """What stands in the image: its tag, and its configuration as an engine reads it."""

    tag: str
    config: dict[str, Any]

    @classmethod
    def built(cls) -> Self:
        """Return the image of this tree; whoever comes first builds it."""
        tag = f"{IMAGE}:{_checksum()}"
        with _alone():
            if not _exists(BASE):
                _make_base()
            if not _exists(tag):
                _build(tag)
            described = json.loads(_buildah("inspect", "--type", "image", tag))
        return cls(tag, described["Docker"]["config"])

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """Give a copy of the root file system, with places for what engines lend, while the context lasts."""
        with _alone():
            container = _buildah("from", "--pull-never", self.tag)
            path = Path(_buildah("mount", container))
            for place in ("dev", "proc"):
                (path / place).mkdir()
            (path / "dev" / "null").touch()
        try:
            yield path
        finally:
            with _alone():
                _buildah("rm", container)


class Container:
    """A program of the image, as process 1 on a root that cannot be written, until its context ends.

    Args:
        image: whose environment, user and command count.
        root: where it is unpacked.
        arguments: for its entry point; none: those of the image.
        user: instead of the image's.
        writable: leave the root as it is, to see whether it is written.
        environ: added to the image's.
    """

    def __init__(
        self,
        image: Image,
        root: Path,
        *arguments: str,
        user: str | None = None,
        writable: bool = False,
        **environ: str,
    ):
        unshare, mount, chroot = (str(shutil.which(tool)) for tool in ("unshare", "mount", "chroot"))
        lock = "" if writable else f"{mount} --bind {root} {root} && {mount} -o remount,bind,ro {root} &&"
        lend = f"{mount} -t proc proc {root}/proc && {mount} --bind /dev/null {root}/dev/null &&"
        enter = f'{lock} {lend} exec {chroot} --userspec={user or image.config["User"]} --groups= {root} "$@"'
        self.process = subprocess.Popen(
            [
                *(unshare, "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", enter, "sh"),
                *image.config["Entrypoint"],
                *(arguments or image.config["Cmd"]),
            ],
            cwd=root,
            env=dict(variable.split("=", 1) for variable in image.config["Env"]) | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for inner in self._inner():  # not unshare: what changes its user outlives it
            os.kill(inner, signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE)

    def line(self) -> str:
        """Return the next line of its standard output."""
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return line

    def signal(self, number: int) -> None:
        """Send a signal to its process 1, as an engine's `stop` does."""
        (inner,) = self._inner()
        os.kill(inner, number)

    def _inner(self) -> list[int]:
        """Return process 1 of the container as this machine numbers it; nothing if it has ended."""
        outer = self.process.pid
        if self.process.poll() is not None:
            return []
        return [int(pid) for pid in Path(f"/proc/{outer}/task/{outer}/children").read_text().split()]

    def end(self) -> tuple[int, str, str]:
        """Wait for it; return its exit status, and what it has yet to say on both outputs."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


def _make_base() -> None:
    """Put Python on a minimal Debian, of the release and from the archive that this machine uses."""
    site, release, components = _archive()
    base = CACHE / "base"
    shutil.rmtree(base, ignore_errors=True)
    packages = "--include=python3,python3-venv,ca-certificates"
    _run("debootstrap", "--variant=minbase", packages, f"--components={components}", release, str(base), site)
    container = _buildah("from", "scratch")
    _buildah("add", "--quiet", container, str(base), "/")
    _buildah("commit", "--quiet", "--rm", container, BASE)
    shutil.rmtree(base)


def _build(tag: str) -> None:
    """Build the image. pip in there is to trust the authorities that this machine trusts."""
    authorities = Path(os.environ.get("PIP_CERT", "/etc/ssl/certs/ca-certificates.crt"))
    settings = CACHE / "pip.conf"
    settings.write_text("[global]\n" + ("cert = /run/authorities.crt\n" if authorities.exists() else ""))
    lent = {settings: "/etc/pip.conf", authorities: "/run/authorities.crt"}
    _buildah(
        *("build", "--isolation", "chroot", "--format", "docker", "--tag", tag),
        *("--build-arg", f"BASE={BASE}", "--build-arg", f"VERSION={__version__}"),
        *(f"--volume={here}:{there}:ro" for here, there in lent.items() if here.exists()),
        str(ROOT),
    )


def _archive() -> tuple[str, str, str] | None:
    """Return the site, release and components that apt is set to on this machine."""
    if shutil.which("apt-get") is None:
        return None
    words = "$(ORIGIN) $(SITE) $(CODENAME) $(COMPONENT)"
    lines = _run("apt-get", "indextargets", "--format", words, "Created-By: Packages").split("\n")
    found = [line.split() for line in lines if line.startswith(("Debian ", "Ubuntu "))]
    if not found:
        return None
    _, site, release, _ = found[0]
    return site, release, ",".join(dict.fromkeys(each[3] for each in found if each[1:3] == [site, release]))


def _checksum() -> str:
    digest = hashlib.sha256()
    for source in SOURCES:
        path = ROOT / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _alone() -> Iterator[None]:
    """Keep the other processes of the test run away from the store."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _exists(name: str) -> bool:
    return name in _buildah("images", "--format", "{{.Name}} {{.Name}}:{{.Tag}}").split()


def _buildah(command: str, *arguments: str) -> str:
    return _run("buildah", *STORE, command, *arguments)


def _run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(command)}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    return ran.stdout.strip()
