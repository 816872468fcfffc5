"""TLS: towards upstreams, and in front, with the certificates that the configuration names."""

import ssl
from pathlib import Path
from typing import Final

from proxy.config.schema import ListenTls, UpstreamTls
from proxy.errors import ConfigurationError

#: An encrypted key must not make the start wait at a terminal for a password that nobody types.
_NO_PASSWORD: Final = ""


def towards(tls: UpstreamTls, place: str) -> ssl.SSLContext:
    """Return how an upstream is verified, and verifies us.

    Args:
        tls: its section in the configuration.
        place: where that stands, for the message.

    Raises:
        ConfigurationError: a file is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{place}.ca: {tls.ca} holds no PEM certificates") from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate is not None:
        _load(context, tls.certificate, tls.key, place)
    context.set_alpn_protocols(["http/1.1"])
    return context


def in_front(tls: ListenTls) -> ssl.SSLContext:
    """Return how we show ourselves to clients; raises ConfigurationError as `renew` does."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    renew(context, tls)
    context.set_alpn_protocols(["http/1.1"])
    return context


def renew(context: ssl.SSLContext, tls: ListenTls) -> None:
    """Read the certificate and its key again; connections that stand keep theirs.

    Raises:
        ConfigurationError: they are not what they should be. The old ones stay in use.
    """
    _load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), tls.certificate, tls.key, "listen.tls")
    _load(context, tls.certificate, tls.key, "listen.tls")


def _load(context: ssl.SSLContext, certificate: Path, key: Path | None, place: str) -> None:
    try:
        context.load_cert_chain(certificate, key, _NO_PASSWORD)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"{place}: {certificate} and {key or 'itself'} are no certificate with its key, both PEM and the"
            f" key not encrypted{_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    if not isinstance(error, ssl.SSLError):
        return f": {error}"
    # What OpenSSL has no word for, it calls by a line of its own source.
    return f": {error.reason.lower().replace('_', ' ')}" if error.reason else ""
