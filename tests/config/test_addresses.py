import ipaddress

import pytest

from proxy.config.addresses import host_and_port
from proxy.config.schema import Upstream

from .conftest import Load, Mistakes


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080"),
        ("https://host/api", "https://host/api"),
        ("https://host/api/", "https://host/api"),
        ("https://host/api/v1", "https://host/api"),
        ("https://host/openai/v1//", "https://host/openai"),
        ("https://host/v1/v1", "https://host/v1"),
        ("https://host/v1beta", "https://host/v1beta"),
        ("http://v1", "http://v1"),
        ("http://v1/", "http://v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080"),
        ("HTTP://Host", "HTTP://Host"),
    ],
)
def test_base(url: str, base: str) -> None:
    assert Upstream(url=url).base == base


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("127.0.0.1:8080", "must begin with http:// or https://"),
        ("localhost", "must begin with http:// or https://"),
        ("ftp://host", "must begin with http:// or https://"),
        ("http:host", "must begin with http:// or https://"),
        ("http://", "has no host; write it such as http://127.0.0.1:8080"),
        ("http:///v1", "has no host; write it such as http://127.0.0.1:8080"),
        ("http://:8080", "has no host; write it such as http://127.0.0.1:8080"),
        ("http://host:port", "is not a URL: its host or port cannot be read"),
        ("http://host:70000", "is not a URL: its host or port cannot be read"),
        ("http://[::1", "is not a URL: its host or port cannot be read"),
        ("http://host:0", "has port 0, at which nothing can answer"),
        ("http://sk-1@host", "must not hold a user or password; give the key as api_key"),
        ("http://user:sk-1@host", "must not hold a user or password; give the key as api_key"),
        ("http://host/?key=sk-1", "must end with the path, without ? and #"),
        ("http://host/v1?", "must end with the path, without ? and #"),
        ("http://host/#x", "must end with the path, without ? and #"),
        ("http://host/v1/chat/completions", "is that of an endpoint; give the server's, up to /v1 at most"),
        ("http://host/v1/models/", "is that of an endpoint; give the server's, up to /v1 at most"),
        ('"http://my host"', "must not hold spaces or other than ASCII characters"),
        ("http://hôst", "must not hold spaces or other than ASCII characters"),
        ("[http://host]", "must be a URL such as http://127.0.0.1:8080"),
        ('""', "must be a URL such as http://127.0.0.1:8080"),
        ("null", "must be a URL such as http://127.0.0.1:8080"),
    ],
)
def test_no_url(url: str, what: str, mistakes: Mistakes) -> None:
    quoted = url if url[0] in '["n' else f'"{url}"'
    assert mistakes(f"upstreams:\n  a:\n    url: {quoted}") == [f"config.yaml:3: upstreams.a.url: {what}"]


def test_origins(load_text: Load, mistakes: Mistakes) -> None:
    start = "upstreams: {a: {url: http://x}}\ncors:\n  origins:\n"
    text = start + '    - "*"\n    - https://Chat.Example\n    - http://localhost:3000\n'
    assert load_text(text).cors.origins == ("*", "https://chat.example", "http://localhost:3000")
    items = ["chat.example", "https://chat.example/", "https://a b", "https://u@chat.example", "[]"]
    text = start + "".join(f"    - {item}\n" for item in items)
    assert mistakes(text) == [
        "config.yaml:4: cors.origins.0: must begin with http:// or https://",
        "config.yaml:5: cors.origins.1: must end after host and port: browsers send no path there",
        "config.yaml:6: cors.origins.2: must be an origin such as https://chat.example, not 'https://a b'",
        "config.yaml:7: cors.origins.3: must not hold a user",
        "config.yaml:8: cors.origins.4: must be an origin such as https://chat.example, not a list",
    ]


def test_networks(load_text: Load, mistakes: Mistakes) -> None:
    start = "upstreams: {a: {url: http://x}}\ntrusted_proxies: "
    assert load_text(start + '[10.0.0.0/8, 192.168.1.1, "FD00:0::/8"]').trusted_proxies == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("192.168.1.1/32"),
        ipaddress.ip_network("fd00::/8"),
    )
    assert mistakes(start + "[10.0.0.1/8, localhost, null]") == [
        "config.yaml:2: trusted_proxies.0: has bits set after its mask; did you mean 10.0.0.0/8?",
        "config.yaml:2: trusted_proxies.1: must be a network such as 10.0.0.0/8, not 'localhost'",
        "config.yaml:2: trusted_proxies.2: must be a network such as 10.0.0.0/8, not an empty value",
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8081", ("127.0.0.1", "8081")),
        ("localhost:0", ("localhost", "0")),
        ("[::1]:8081", ("::1", "8081")),
        (":8081", ("0.0.0.0", "8081")),
    ],
)
def test_host_and_port(text: str, address: tuple[str, str]) -> None:
    assert host_and_port(text) == address


@pytest.mark.parametrize("text", ["", "8081", "localhost", "::1", "::1:8081"])
def test_no_host_and_port(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be HOST:PORT such as 127\.0\.0\.1:8081, not '"):
        host_and_port(text)


def test_a_health_path(mistakes: Mistakes) -> None:
    assert mistakes("upstreams:\n  a:\n    url: http://x\n    health: {path: healthz}") == [
        "config.yaml:4: upstreams.a.health.path: must be a path such as /v1/models, not 'healthz'"
    ]
