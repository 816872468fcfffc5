"""What one of several workers may take of a limit that holds for all of them."""

from proxy.config.schema import Configuration, Upstream


def share(configuration: Configuration, number: int) -> Configuration:
    """Return the configuration of one worker: it may make its share of the connections to an upstream.

    Args:
        configuration: of the whole proxy.
        number: of the worker, from 1.
    """
    upstreams = {
        name: _part(upstream, number, configuration.workers)
        for name, upstream in configuration.upstreams.items()
    }
    return configuration.model_copy(update={"upstreams": upstreams, "admin": None})


def _part(upstream: Upstream, number: int, workers: int) -> Upstream:
    if not upstream.max_connections:
        return upstream
    part, rest = divmod(upstream.max_connections, workers)
    return upstream.model_copy(update={"max_connections": max(part + (number <= rest), 1)})
