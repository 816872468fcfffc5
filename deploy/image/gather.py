"""Gathers a root file system that holds an interpreter, its environment, and nothing else.

    python gather.py TARGET

The Dockerfile's first stage runs it, with the interpreter of the environment that is to be taken. Every file
keeps its path, so that neither scripts nor links have to be changed.
"""

import compileall
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from py_compile import PycInvalidationMode

#: What no server imports, at the top of the standard library.
NOT_NEEDED = {"dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages"}
NOT_NEEDED |= {"test", "tkinter", "turtle.py", "turtledemo"}
#: What nobody imports, wherever it is.
NOT_COPIED = shutil.ignore_patterns("__pycache__", "config-3*", "_test*.so", "_tkinter*.so", "xx*.so", "*.a")

#: What the C library asks for.
WRITTEN = {
    "/etc/passwd": "straightwire:x:65532:65532::/nonexistent:/nonexistent\n",
    "/etc/group": "straightwire:x:65532:\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
}


def main(target: Path) -> None:
    """Gather, and tell what each part weighs."""
    environment = Path(sys.prefix)
    library = Path(sysconfig.get_path("stdlib"))
    interpreter = Path(sys.executable).resolve()
    shutil.copytree(library, inside(target, library), symlinks=True, ignore=not_needed(library))
    shutil.copytree(environment, inside(target, environment), symlinks=True, ignore=NOT_COPIED)
    copy(interpreter, target)
    for link in inside(target, environment / "bin").glob("python*"):
        link.unlink()
        link.symlink_to(interpreter)
    modules = [path for path in target.rglob("*.so*") if path.is_file()]
    for needed in sorted(set().union(*map(libraries, [interpreter, *modules]))):
        copy(needed, target)
    copy(Path("/etc/ld.so.cache"), target)
    copy_authorities(target)
    for path, text in WRITTEN.items():
        inside(target, Path(path)).write_text(text)
    # The image is read-only: compiled now or never. No source changes any more, so none is looked at.
    compileall.compile_dir(
        target, maxlevels=20, quiet=1, stripdir=target, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )
    tell_weights(target, library, environment)


def inside(target: Path, path: Path) -> Path:
    """Return where `path` is below `target`; its folder exists then."""
    there = target / path.relative_to("/")
    there.parent.mkdir(parents=True, exist_ok=True)
    return there


def not_needed(library: Path) -> Callable[[str, list[str]], set[str]]:
    """Return what `copytree` leaves out of the standard library."""
    return lambda folder, names: (
        NOT_COPIED(folder, names) | (NOT_NEEDED.intersection(names) if Path(folder) == library else set())
    )


def copy(file: Path, target: Path) -> None:
    """Copy a file, or what a link leads to."""
    shutil.copy2(file, inside(target, file))


def libraries(binary: Path) -> set[Path]:
    """Return the shared libraries that a program or module loads, the loader among them."""
    told = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout  # noqa: S603, S607
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", told)}


def copy_authorities(target: Path) -> None:
    """Copy the certificates that https upstreams are verified by, to where OpenSSL looks for them."""
    paths = ssl.get_default_verify_paths()
    known = Path(paths.openssl_cafile)
    bundle = known if known.exists() else Path("/etc/ssl/certs/ca-certificates.crt")
    shutil.copy2(bundle.resolve(), inside(target, known))


def tell_weights(target: Path, library: Path, environment: Path) -> None:
    """Print the megabytes of each part, the packages one by one, the heaviest first."""
    packages = inside(target, Path(sysconfig.get_path("purelib")))
    weights = {path.name: weight(path) for path in packages.iterdir() if path.is_dir()}
    parts = {
        "all": weight(target),
        "the standard library": weight(inside(target, library)),
        "the environment": weight(inside(target, environment)),
    } | dict(sorted(weights.items(), key=lambda item: -item[1])[:8])
    for name, size in parts.items():
        sys.stdout.write(f"{size / 1e6:7.1f} MB  {name}\n")


def weight(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
