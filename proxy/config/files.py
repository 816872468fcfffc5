"""Files that the configuration names. Relative paths start at the configuration file's directory."""

import stat
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, ValidationInfo

# Linux allows 107 bytes and the closing NUL (unix(7), sun_path).
_LONGEST_SOCKET_PATH: Final = 107


def resolve(value: object, info: ValidationInfo) -> Path:
    """Make a path absolute; `info.context["directory"]`, else the working directory, is its start.

    Raises:
        ValueError: it is not text, is empty, or holds a NUL.
    """
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ValueError("must be a path")
    directory: Path = (info.context or {}).get("directory") or Path.cwd()
    return directory / Path(value).expanduser()


def readable(value: object, info: ValidationInfo) -> Path:
    """Check that a file can be read now, so that nothing fails later for lack of it.

    Raises:
        ValueError: it cannot, with the system's reason.
    """
    path = resolve(value, info)
    read_start(path, 1)
    return path


def read_start(path: Path, size: int) -> bytes:
    """Return at most `size` bytes of a regular file; raises ValueError with the system's reason."""
    try:
        # A pipe or a terminal could hold up the start for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"cannot be read: {path} is not a regular file")
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise ValueError(f"cannot be read: {path}: {error.strerror}") from error


def socket_path(value: object, info: ValidationInfo) -> Path:
    """Check that a unix socket can stand at a path.

    Raises:
        ValueError: the path is too long, or its directory does not exist.
    """
    path = resolve(value, info)
    if len(bytes(path)) > _LONGEST_SOCKET_PATH:
        raise ValueError(f"is longer than {_LONGEST_SOCKET_PATH} bytes, the most for a unix socket")
    if not path.parent.is_dir():
        raise ValueError(f"the directory {path.parent} does not exist")
    return path


#: Paths, as keys of the schema.
ReadablePath = Annotated[Path, BeforeValidator(readable)]
SocketPath = Annotated[Path, BeforeValidator(socket_path)]
