"""What shows only when a configuration is put to use: certificates, their keys, and packages."""

from collections.abc import Callable
from functools import partial

from proxy.config.schema import Configuration
from proxy.errors import ConfigurationError
from proxy.server import tls
from proxy.server.operator import tracing


def mistakes(configuration: Configuration) -> list[str]:
    """Return what would end `serve` at its start, although the file is right; each begins with its key."""
    tries: list[Callable[[], object]] = []
    if configuration.listen.tls:
        tries.append(partial(tls.in_front, configuration.listen.tls))
    for name, upstream in configuration.upstreams.items():
        if upstream.base.startswith("https:"):
            tries.append(partial(tls.towards, upstream.tls, f"upstreams.{name}.tls"))
    if configuration.tracing:
        tries.append(tracing.require)
    found: list[str] = []
    for attempt in tries:
        try:
            attempt()
        except ConfigurationError as error:
            found += error.mistakes
    return found
