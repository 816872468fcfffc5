"""The metrics, as Prometheus reads them from a running proxy."""

from prometheus_client.parser import text_string_to_metric_families

from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, chunk, soon
from tests.server.operating import ADMIN, NEVER, get
from tests.server.running import running
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, THREE, TWO, serves

Samples = dict[tuple[str, tuple[str, ...]], float]


async def samples(url: str | None) -> Samples:
    """Return every sample by name and the values of its labels, in their names' order."""
    _, page = await get(url, "/metrics")
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


async def ended(url: str | None, count: int) -> Samples:
    """Wait until so many requests have ended: the client may have their last byte before."""
    while True:
        found = await soon(samples(url))
        if sum(value for (name, _), value in found.items() if name == "straightwire_requests_total") >= count:
            return found


async def test_stream_in_flight_and_when_it_has_ended(clock):
    repeated = ONE.replace(b'"delta":{', b'"delta":{"role":"assistant",')

    async def script(talk):
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        for data in (repeated + TWO, THREE):
            await soon(talk.go.wait())
            talk.go.clear()
            await talk.send(chunk(data))
        await talk.send(chunk(STOP + DONE), LAST_CHUNK)

    async with (
        Scripted(script) as upstream,
        running(upstream, admin=ADMIN, upstream_health=NEVER) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        await client.head()
        await client.chunk()
        running_now = await samples(proxy.admin_url)
        assert running_now["straightwire_streams_in_flight", ("local",)] == 1
        assert ("straightwire_streams_total", ("complete", "local")) not in running_now
        clock.advance(3)
        upstream.talks[0].go.set()
        await client.chunk()
        await client.chunk()
        clock.advance(7)
        upstream.talks[0].go.set()
        await client.chunks()
        found = await ended(proxy.admin_url, 1)

    assert found["straightwire_streams_in_flight", ("local",)] == 0
    assert found["straightwire_streams_total", ("complete", "local")] == 1
    assert found["straightwire_requests_total", ("200", "chat", "local")] == 1
    assert found["straightwire_repairs_total", ("repeated-role", "local")] == 1
    assert found["straightwire_time_to_first_event_seconds_count", ("local",)] == 1
    assert 10 <= found["straightwire_request_seconds_sum", ("local",)] < 20
    # Which reads the events come in is the sockets' affair; the two long silences are not.
    gap = "straightwire_event_gap_seconds"
    assert 10 <= found[f"{gap}_sum", ("local",)] < 20
    assert found[f"{gap}_bucket", ("10.0", "local")] - found[f"{gap}_bucket", ("2.5", "local")] == 2
    assert found[f"{gap}_bucket", ("+Inf", "local")] == found[f"{gap}_count", ("local",)]


async def test_ends_of_streams_are_told_apart():
    async with (
        Scripted(serves(STREAM_HEAD, chunk(ROLE), LAST_CHUNK)) as upstream,
        running(upstream, admin=ADMIN, upstream_health=NEVER) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        await client.head()
        await client.chunks()
        found = await ended(proxy.admin_url, 1)

    assert found["straightwire_streams_total", ("upstream_truncated", "local")] == 1


async def test_labels_never_hold_what_a_client_chooses():
    async with (
        Scripted(serves(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as upstream,
        running(
            upstream,
            admin=ADMIN,
            upstream_health=NEVER,
            models={"m": {"upstream": "local"}, "*": {"upstream": "local"}},
        ) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.request("PROPFIND", "/chosen/path?chosen=1", X_Request_Id="chosen")
        await client.body(await client.head())
        await client.post(PATH, QUESTION | {"model": "chosen", "stream": False})
        await client.error()
        await ended(proxy.admin_url, 2)
        _, page = await get(proxy.admin_url, "/metrics")

    assert 'endpoint="other"' in page
    assert "chosen" not in page.lower()


async def test_request_that_is_sent_away_counts_for_its_endpoint():
    async with (
        Scripted(serves(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as upstream,
        running(upstream, admin=ADMIN, upstream_health=NEVER, clients={"api_keys": ["key"]}) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        await client.error()
        await client.request("GET", "/models")
        await client.body(await client.head())
        await client.request("GET", "/metrics")
        await client.body(await client.head())
        found = await ended(proxy.admin_url, 3)

    assert {
        labels: value for (name, labels), value in found.items() if name == "straightwire_requests_total"
    } == {("401", "chat", ""): 1, ("401", "models", ""): 1, ("401", "other", ""): 1}


async def test_two_proxies_count_apart():
    async with (
        Scripted(serves(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as upstream,
        running(upstream, admin=ADMIN, upstream_health=NEVER) as first,
        running(upstream, admin=ADMIN, upstream_health=NEVER) as second,
        PlainClient(first.url) as client,
    ):
        await client.request("GET", "/")
        await client.head()
        counted = ("straightwire_requests_total", ("200", "other", "local"))
        assert counted in await ended(first.admin_url, 1)
        assert counted not in await samples(second.admin_url)
