"""What a running process cannot change any more: where it listens, and how many processes it is."""

from proxy.config.schema import Configuration


def keep(old: Configuration, new: Configuration) -> tuple[Configuration, list[str]]:
    """Return a new configuration with what lasts of the old one, and the keys that this has kept.

    Args:
        old: in force.
        new: to come into force.
    """
    kept = [f"listen.{key}" for key in ("host", "port", "path") if differs(key, old.listen, new.listen)]
    listen = {key: getattr(old.listen, key) for key in ("host", "port", "path")}
    if (old.listen.tls is None) != (new.listen.tls is None):
        kept.append("listen.tls")
        listen["tls"] = old.listen.tls
    kept += [key for key in ("admin", "workers") if differs(key, old, new)]
    lasting = {"listen": new.listen.model_copy(update=listen), "admin": old.admin, "workers": old.workers}
    return new.model_copy(update=lasting), kept


def differs(key: str, old: object, new: object) -> bool:
    """Tell whether a key has another value now."""
    return bool(getattr(old, key) != getattr(new, key))
