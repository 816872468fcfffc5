"""An upstream, with all that the configuration says of its requests and its answers."""

from dataclasses import dataclass

from proxy.config.schema import Configuration
from proxy.server.answers.silence import Patience
from proxy.server.upstreams.upstream import Upstream
from proxy.wire.plan import Plan, compile_plan
from proxy.wire.translations import Translator, compile_translations


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one answer may take. 0 is no limit, each time.

    Attributes:
        body: the size of a whole body that is rewritten, in bytes.
        event: the size of one event, in bytes.
    """

    body: int
    event: int


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests go.

    Attributes:
        upstream: the server.
        translator: puts requests into words that it understands.
        plan: the repairs of its answers.
        patience: how long a stream of its may be silent.
        bounds: what an answer of its may take.
    """

    upstream: Upstream
    translator: Translator
    plan: Plan
    patience: Patience
    bounds: Bounds


def destination(name: str, configuration: Configuration) -> Destination:
    """Make the destination that the configuration calls `name`. To be called while the event loop runs."""
    settings, limits = configuration.upstreams[name], configuration.limits
    timeouts = settings.timeouts
    upstream = Upstream(name, settings)
    return Destination(
        upstream,
        compile_translations(settings.dialect, settings.translations, settings.parameters),
        compile_plan(
            configuration.repairs_of(name),
            missing_finish=settings.on_missing_finish,
            secrets=upstream.secrets,
        ),
        Patience(configuration.open_after, configuration.keep_alive, timeouts.first_byte, timeouts.idle),
        Bounds(limits.response_body, limits.event),
    )
