"""The names of upstreams: what is remembered of them, and what is made of servers that fail."""

import asyncio
import socket
import threading

import pytest

from proxy.server.upstreams.resolver import Resolver
from tests.scripted import PATIENCE, soon

AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
GONE = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


class System:
    """The system's lookup, which says what a test wants it to say."""

    def __init__(self, monkeypatch):
        self.says = ["192.0.2.1"]
        self.asked = 0
        self.go = threading.Event()
        self.go.set()
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, host, port, family, kind, flags):
        self.asked += 1
        assert self.go.wait(PATIENCE)
        if isinstance(self.says, Exception):
            raise self.says
        return [(socket.AF_INET, kind, 6, "", (address, port)) for address in self.says]


@pytest.fixture
def system(monkeypatch):
    return System(monkeypatch)


async def ask(resolver, host="upstream.test"):
    return [found["host"] for found in await soon(resolver.resolve(host, 80))]


async def test_those_who_ask_at_once_share_a_lookup(system):
    resolver = Resolver(5.0)
    system.go.clear()
    asking = [asyncio.create_task(ask(resolver)) for _ in range(9)]
    impatient = asyncio.create_task(ask(resolver))
    await asyncio.sleep(0)
    impatient.cancel()
    system.go.set()

    assert await asyncio.gather(*asking) == [["192.0.2.1"]] * 9
    assert (system.asked, resolver.answers) == (1, 1)


async def test_addresses_are_remembered_and_take_turns(system):
    resolver = Resolver(5.0)
    system.says = ["192.0.2.1", "192.0.2.2"]

    assert [(await ask(resolver))[0] for _ in range(3)] == ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
    assert system.asked == 1


async def test_addresses_are_looked_up_again_after_a_while(system, clock):
    resolver = Resolver(5.0)
    await ask(resolver)
    system.says = ["192.0.2.2"]
    clock.advance(9)
    assert await ask(resolver) == ["192.0.2.1"]
    clock.advance(2)
    assert await ask(resolver) == ["192.0.2.2"]


async def test_addresses_that_cannot_be_reached_are_looked_up_again(system):
    resolver = Resolver(5.0)
    await ask(resolver)
    system.says = ["192.0.2.2"]
    resolver.forget()
    assert await ask(resolver) == ["192.0.2.2"]


async def test_what_was_found_holds_while_the_servers_of_names_fail(system):
    resolver = Resolver(5.0)
    await ask(resolver)
    resolver.forget()
    system.says = AGAIN
    assert await ask(resolver) == await ask(resolver) == ["192.0.2.1"]
    assert system.asked == 2


async def test_what_was_found_holds_while_the_servers_of_names_are_silent(system):
    resolver = Resolver(0.1)  # half of which is waited
    await ask(resolver)
    resolver.forget()
    system.go.clear()
    assert await ask(resolver) == ["192.0.2.1"]
    system.says = ["192.0.2.2"]
    system.go.set()
    async with asyncio.timeout(PATIENCE):
        while resolver.answers < 2:  # noqa: ASYNC110 - nobody is told of what comes late
            await asyncio.sleep(0)
    assert await ask(resolver) == ["192.0.2.2"]


@pytest.mark.parametrize("error", [AGAIN, GONE])
async def test_name_of_which_nothing_is_known(system, error):
    resolver = Resolver(5.0)
    system.says = error
    with pytest.raises(socket.gaierror, match=error.args[1]):
        await ask(resolver)


async def test_lookup_for_which_there_is_no_thread(system, monkeypatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver, start = Resolver(5.0), threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OSError, match="no thread"):
        await ask(resolver)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert await ask(resolver) == ["192.0.2.1"]
    resolver.forget()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert await ask(resolver) == ["192.0.2.1"]  # what was found holds on
    assert system.asked == 1


async def test_name_that_is_known_to_be_gone(system):
    resolver = Resolver(5.0)
    await ask(resolver)
    resolver.forget()
    system.says = GONE
    with pytest.raises(socket.gaierror):
        await ask(resolver)


async def test_name_that_cannot_be_one(monkeypatch):
    monkeypatch.undo()
    with pytest.raises(OSError, match="label"):
        await ask(Resolver(5.0), "x" * 64 + ".test")
