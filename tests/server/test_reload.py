"""A new configuration in a proxy that runs: for new requests at once, for those that run never."""

import asyncio
import io
import json

import pytest
import trustme

from proxy.errors import ConfigurationError
from tests.plain_client import PlainClient
from tests.scripted import EMPTY, LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.operating import ADMIN, LIVES, get, ready
from tests.server.papers import Papers, spoil
from tests.server.running import configured, running
from tests.server.streams import DONE, PATH, QUESTION, ROLE, STOP, WHOLE, begin, held, serves, stays

STREAM = serves(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
NEVER = {"interval": 0}


async def test_stream_keeps_the_configuration_under_which_it_came():
    async def slow(talk: Talk) -> None:
        await held(talk)
        await talk.closed()  # with the last request of its generation

    async with (
        Scripted(slow) as old,
        Scripted(STREAM) as new,
        running(old) as proxy,
        PlainClient(proxy.url) as early,
        PlainClient(proxy.url) as late,
    ):
        await begin(early)
        await proxy.reload(configured(new.url))
        await late.post(PATH, QUESTION)
        await late.head()
        assert await late.chunks() == WHOLE
        assert len(new.requests) == 1

        old.talks[0].go.set()
        assert b"".join(await early.chunks()) == STOP + DONE
        await soon(old.talks[0].gone.wait())
        await early.post(PATH, QUESTION)  # the connection is the same, the request a new one
        await early.head()
        assert await early.chunks() == WHOLE
        assert len(old.talks) == 1


async def test_keys_are_asked_of_new_requests():
    async with Scripted(held) as upstream, running(upstream) as proxy, PlainClient(proxy.url) as client:
        await begin(client)
        await proxy.reload(configured(upstream.url, clients={"api_keys": ["sk-new"]}))
        upstream.talks[0].go.set()
        assert b"".join(await client.chunks()) == STOP + DONE

        await client.post(PATH, QUESTION)
        assert (await client.error())[0].status == 401


async def test_places_are_those_of_all_generations():
    async with (
        Scripted(held) as upstream,
        running(upstream) as proxy,
        PlainClient(proxy.url) as first,
        PlainClient(proxy.url) as second,
    ):
        await begin(first)
        await proxy.reload(configured(upstream.url, limits={"streams": 1}))
        await second.post(PATH, QUESTION)
        assert (await second.error())[0].status == 503

        upstream.talks[0].go.set()
        await first.chunks()
        await begin(second)
        upstream.talks[1].go.set()
        await second.chunks()


async def test_stop_waits_for_the_streams_of_every_generation():
    async with (
        Scripted(held) as upstream,
        running(upstream, drain="20s") as proxy,
        PlainClient(proxy.url) as first,
        PlainClient(proxy.url) as second,
    ):
        await begin(first)
        await proxy.reload(configured(upstream.url, drain="20s"))
        await begin(second)
        stopping = asyncio.ensure_future(proxy.stop())
        for talk, client in zip(upstream.talks, (first, second), strict=True):
            talk.go.set()
            assert b"".join(await client.chunks()) == STOP + DONE
        await soon(stopping)


async def test_drain_is_the_new_one():
    async with (
        Scripted(stays(STREAM_HEAD, chunk(ROLE))) as upstream,
        running(upstream, drain="1h") as proxy,
        PlainClient(proxy.url) as client,
    ):
        await begin(client)
        await proxy.reload(configured(upstream.url, drain="50ms"))
        await soon(proxy.stop())
        assert b"proxy_stopped" in b"".join(await client.chunks())


async def test_ready_throughout_where_the_upstream_stays():
    async with Scripted(LIVES) as upstream, running(upstream, admin=ADMIN) as proxy:
        await ready(proxy.admin_url, expected=200)
        await proxy.reload(configured(upstream.url, admin=ADMIN, open_after="1s"))
        assert await get(proxy.admin_url, "/readyz") == (200, "ready\n")
        assert len(upstream.talks) == 1


async def test_upstream_that_is_another_one_is_asked_first():
    async def silent(talk: Talk) -> None:
        await soon(talk.go.wait())
        await LIVES(talk)

    async with Scripted(LIVES) as old, Scripted(silent) as new, running(old, admin=ADMIN) as proxy:
        await ready(proxy.admin_url, expected=200)
        await proxy.reload(configured(new.url, admin=ADMIN))
        assert await get(proxy.admin_url, "/readyz") == (503, "not ready: No upstream has answered yet.\n")
        await soon(new.called.wait())
        new.talks[0].go.set()
        await ready(proxy.admin_url, expected=200)


async def test_metrics_follow_the_upstreams():
    async with (
        Scripted(LIVES, held) as upstream,
        running(upstream, admin=ADMIN) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await ready(proxy.admin_url, expected=200)
        await begin(client)
        other = {"upstreams": {"other": {"url": upstream.url, "health": NEVER}}}
        await proxy.reload(configured(upstream.url, admin=ADMIN, **other))
        _, page = await get(proxy.admin_url, "/metrics")
        assert 'straightwire_streams_in_flight{upstream="other"} 0.0' in page
        assert 'straightwire_streams_in_flight{upstream="local"} 1.0' in page
        assert "straightwire_upstream_up{" not in page

        upstream.talks[1].go.set()
        await client.chunks()
        _, page = await get(proxy.admin_url, "/metrics")
        assert 'straightwire_streams_in_flight{upstream="local"}' not in page
        assert 'straightwire_streams_total{outcome="complete",upstream="local"} 1.0' in page


async def test_log_follows():
    log = io.StringIO()
    async with (
        Scripted(serves(EMPTY)) as upstream,
        running(upstream, logged=log) as proxy,
        PlainClient(proxy.url) as client,
    ):
        for level in ("error", "debug"):
            await proxy.reload(configured(upstream.url, log={"level": level, "format": "json"}))
            await client.request("GET", f"/{level}")
            await client.head()

    assert "/debug" in log.getvalue()
    assert "/error" not in log.getvalue()
    assert json.loads(log.getvalue().splitlines()[-1])["path"] == "/debug"


async def test_what_needs_a_restart_is_told_and_the_rest_comes_into_force():
    log = io.StringIO()
    changes = {
        "listen": {"host": "127.0.0.2", "port": 1},
        "admin": {"port": 1},
        "workers": 3,
        "tracing": True,
    }
    async with (
        Scripted(serves(EMPTY)) as upstream,
        running(upstream, logged=log, log={"format": "json"}) as proxy,
        PlainClient(proxy.url) as client,
    ):
        settings = changes | {"log": {"format": "json"}, "clients": {"api_keys": ["sk-new"]}}
        await proxy.reload(configured(upstream.url, **settings))
        await client.request("GET", "/x")
        assert (await client.error())[0].status == 401

    told = [json.loads(line) for line in log.getvalue().splitlines()]
    kept = [line["key"] for line in told if line["event"] == "kept"]
    assert kept == ["listen.host", "listen.port", "admin", "workers", "tracing"]


async def test_configuration_whose_certificate_is_none_leaves_the_old_one(tmp_path):
    (tmp_path / "broken.pem").write_text("nonsense")
    async with (
        Scripted(serves(EMPTY)) as upstream,
        running(upstream) as proxy,
        PlainClient(proxy.url) as client,
    ):
        broken = configured(
            "http://127.0.0.1:9",
            upstreams={
                "before": {"url": "http://127.0.0.1:9"},
                "local": {"url": "https://127.0.0.1:9", "tls": {"ca": str(tmp_path / "broken.pem")}},
            },
            models={"*": {"upstream": "local"}},
            clients={"api_keys": ["sk-new"]},
        )
        with pytest.raises(ConfigurationError):
            await proxy.reload(broken)
        await client.request("GET", "/x")
        assert (await client.head()).status == 200


async def test_certificate_in_front_is_read_again(tmp_path):
    old, new = Papers(trustme.CA(), tmp_path), Papers(trustme.CA(), tmp_path)
    certificate, key = old.issue()
    settings = {"listen": {"port": 0, "tls": {"certificate": certificate, "key": key}}}
    async with (
        Scripted(held, serves(EMPTY)) as upstream,
        running(upstream, **settings) as proxy,
        PlainClient(proxy.url, tls=old.client()) as early,
    ):
        await begin(early)
        new.issue()  # over the same files
        await proxy.reload(configured(upstream.url, **settings))
        async with PlainClient(proxy.url, tls=new.client()) as late:
            await late.request("GET", "/x")
            assert (await late.head()).status == 200
        upstream.talks[0].go.set()
        assert b"".join(await early.chunks()) == STOP + DONE

        spoil(key)
        with pytest.raises(ConfigurationError):
            await proxy.reload(configured(upstream.url, **settings))
        async with PlainClient(proxy.url, tls=new.client()) as late:
            await late.request("GET", "/x")
            assert (await late.head()).status == 200
