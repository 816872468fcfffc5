"""The model of the configuration: every key, its type, its default, its meaning.

The descriptions end up in the JSON Schema that editors show beside a key.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from proxy.config.addresses import Network, Origin, UpstreamUrl, UrlPath, split_path
from proxy.config.files import ReadablePath, SocketPath
from proxy.config.scalars import WHOLE, Json, Switch
from proxy.config.secrets import KeyDigest, Secret
from proxy.config.units import Duration, Size

#: The route of all models that no other pattern takes, and of requests without a model.
CATCH_ALL = "*"

Port = Annotated[int, Field(ge=0, le=65535), WHOLE]
Count = Annotated[int, Field(ge=0), WHOLE]
#: More than any machine has processors for: a slip of the pen must not use all of its memory.
Processes = Annotated[int, Field(ge=1, le=1024), WHOLE]
Switches = Mapping[str, Switch]


class Section(BaseModel):
    """What all sections share: they cannot be changed, and refuse keys they do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ListenTls(Section):
    """The certificate shown to clients; read again at SIGHUP."""

    certificate: ReadablePath = Field(description="PEM file, the certificate and its chain")
    key: ReadablePath | None = Field(default=None, description="PEM file; null: in the certificate's file")


class Listen(Section):
    """Where clients connect."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address; 0.0.0.0 or ::, all")
    port: Port = Field(default=8081, description="0: any free one")
    path: SocketPath | None = Field(default=None, description="a unix socket instead of host and port")
    tls: ListenTls | None = Field(default=None, description="speak HTTPS")


class Admin(Section):
    """Where /healthz, /readyz and /metrics are."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address; 0.0.0.0 or ::, all")
    port: Port = Field(default=9091, description="0: any free one")


class Timeouts(Section):
    """How long to wait for an upstream; 0: for ever."""

    connect: Duration = Field(default=5.0, description="for a connection")
    first_byte: Duration = Field(default=600.0, description="for an answer, and for its first word")
    idle: Duration = Field(default=120.0, description="between two events, or bytes, from then on")


class Parameters(Section):
    """Changes to the JSON of requests."""

    default: Mapping[str, Json] = Field(default={}, description="set where the client gave none")
    set: Mapping[str, Json] = Field(default={}, description="set whatever the client gave")
    drop: tuple[str, ...] = Field(default=(), description="removed")


class UpstreamTls(Section):
    """How an https upstream is verified, and how it can verify us."""

    ca: ReadablePath | None = Field(default=None, description="PEM file; null: the system's authorities")
    certificate: ReadablePath | None = Field(default=None, description="PEM file, to show to the upstream")
    key: ReadablePath | None = Field(default=None, description="PEM file; null: in the certificate's file")
    verify: Switch = Field(default=True, description="false: trust any certificate")

    @model_validator(mode="after")
    def _key_of_a_certificate(self) -> "UpstreamTls":
        if self.key is not None and self.certificate is None:
            raise ValueError("has a key without a certificate")
        return self


class Health(Section):
    """How an upstream is asked whether it lives."""

    path: UrlPath = Field(default="/v1/models", description="below the upstream's url")
    interval: Duration = Field(default=10.0, description="time between two questions; 0: never ask")


class Upstream(Section):
    """A server behind the proxy."""

    url: UpstreamUrl = Field(description="http or https, with or without a trailing /v1")
    api_key: Secret | None = Field(
        default=None, description="sent upstream; null: the client's Authorization passes"
    )
    dialect: str = Field(default="openai", description="a preset of request translations")
    timeouts: Timeouts = Field(default_factory=Timeouts)
    max_connections: Count = Field(default=0, description="0: no limit")
    on_missing_finish: Literal["error", "stop"] = Field(
        default="error", description="what a stream becomes that ends without a finish reason"
    )
    repairs: Switches = Field(default={}, description="over the global ones")
    translations: Switches = Field(default={}, description="over those of the dialect")
    parameters: Parameters = Field(default_factory=Parameters)
    headers: Mapping[str, Secret] = Field(default={}, description="added to each request")
    tls: UpstreamTls = Field(default_factory=UpstreamTls)
    health: Health = Field(default_factory=Health)

    @cached_property
    def base(self) -> str:
        """The URL to which `/v1/…` is appended."""
        server, path = split_path(self.url)
        return server + path.rstrip("/").removesuffix("/v1").rstrip("/")


class Model(Section):
    """Where requests for a model go."""

    upstream: str = Field(description="one of upstreams")
    model: str | None = Field(default=None, min_length=1, description="its name there; null: the same")


class ClientKey(Section):
    """A key that clients may show, as text or with a name for the log."""

    name: str | None = Field(default=None, min_length=1, description="for the log")
    key: KeyDigest = Field(description="plain, ${ENV}, file:… or sha256:…")

    @model_validator(mode="before")
    @classmethod
    def _a_key_alone_has_no_name(cls, data: Any) -> Any:
        return data if isinstance(data, dict) else {"key": data}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the key alone, of which pydantic cannot know."""
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}


class Clients(Section):
    """Who may use the proxy, and how long it waits for them."""

    api_keys: tuple[ClientKey, ...] = Field(default=(), description="empty: everybody")
    idle: Duration = Field(
        default=75.0, description="for a request, its body, and taking its answer; 0: for ever"
    )

    @model_validator(mode="after")
    def _keys_differ(self) -> "Clients":
        seen: dict[KeyDigest, int] = {}
        for position, entry in enumerate(self.api_keys, start=1):
            if entry.key in seen:
                raise ValueError(f"api_keys {position} and {seen[entry.key]} are the same")
            seen[entry.key] = position
        return self


class Cors(Section):
    """Which web pages may use the proxy."""

    origins: tuple[Origin, ...] = Field(default=(), description='such as https://chat.example; "*": all')


class Limits(Section):
    """What is too much; 0: nothing is."""

    request_body: Size = Field(default=32 * 2**20, description="of a request to be read; above it 413")
    event: Size = Field(default=2**20, description="one event of a stream; above it the stream fails")
    response_body: Size = Field(default=64 * 2**20, description="of an answer to be rewritten")
    streams: Count = Field(default=0, description="requests at once; above it 503")


class Log(Section):
    """What is written about each request."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info")
    format: Literal["text", "json"] = Field(default="text", description="for people, or for machines")
    output: Literal["stderr", "stdout"] = Field(default="stderr", description="where lines are written")


class Configuration(Section):
    """straightwire's configuration."""

    listen: Listen = Field(default_factory=Listen)
    admin: Admin | None = Field(default_factory=Admin, description="null: none")
    workers: Processes = Field(default=1, description="processes")
    upstreams: Mapping[str, Upstream] = Field(default={}, description="the servers behind, by name")
    models: Mapping[str, Model] = Field(
        default={}, description="exact names first, then patterns in the order written"
    )
    clients: Clients = Field(default_factory=Clients)
    cors: Cors = Field(default_factory=Cors)
    limits: Limits = Field(default_factory=Limits)
    trusted_proxies: tuple[Network, ...] = Field(
        default=(), description="networks whose X-Forwarded-… is believed"
    )
    keep_alive: Duration = Field(default=0.0, description="comment lines in silent streams; 0: none")
    open_after: Duration = Field(default=30.0, description="the response is opened, event or no event")
    drain: Duration = Field(default=30.0, description="for running streams at the end")
    repairs: Switches = Field(default={}, description="true or false by name, over their defaults")
    log: Log = Field(default_factory=Log)
    tracing: Switch = Field(
        default=False, description="OpenTelemetry spans, sent where OTEL_EXPORTER_OTLP_ENDPOINT says"
    )

    @model_validator(mode="before")
    @classmethod
    def _everything_to_the_only_upstream(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("models", {}) != {}:
            return data
        upstreams = data.get("upstreams")
        if not isinstance(upstreams, Mapping) or len(upstreams) != 1:
            return data
        return data | {"models": {CATCH_ALL: {"upstream": next(iter(upstreams))}}}

    def repairs_of(self, upstream: str) -> dict[str, bool]:
        """Return the switches for one upstream: its own over the global ones."""
        return {**self.repairs, **self.upstreams[upstream].repairs}
