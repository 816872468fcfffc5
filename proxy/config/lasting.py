"""What a running process cannot change any more: where it listens, how many processes it is, its traces."""

from typing import Final

from proxy.config.schema import Configuration

_LASTING: Final = ("admin", "workers", "tracing")


def keep(old: Configuration, new: Configuration) -> tuple[Configuration, list[str]]:
    """Return a new configuration with what lasts of the old one, and the keys that this has kept.

    Args:
        old: in force.
        new: to come into force.
    """
    kept = [f"listen.{key}" for key in ("host", "port", "path") if _differs(key, old.listen, new.listen)]
    listen = {key: getattr(old.listen, key) for key in ("host", "port", "path")}
    if (old.listen.tls is None) != (new.listen.tls is None):
        kept.append("listen.tls")
        listen["tls"] = old.listen.tls
    kept += [key for key in _LASTING if _differs(key, old, new)]
    lasting = {key: getattr(old, key) for key in _LASTING}
    return new.model_copy(update=lasting | {"listen": new.listen.model_copy(update=listen)}), kept


def _differs(key: str, old: object, new: object) -> bool:
    """Tell whether a key has another value now."""
    return bool(getattr(old, key) != getattr(new, key))
