"""Places that several processes share."""

import os

from proxy.server.processes.places import Places, shared_memory


def test_each_sees_what_all_have_taken():
    memory = shared_memory(3)
    first, second = Places(0, memory), Places(2, memory)
    first.take()
    second.take()
    second.take()
    assert (first.taken, second.taken) == (3, 3)

    second.leave()
    assert first.taken == 2
    os.close(memory)


def test_nobody_takes_the_place_of_one_that_has_ended():
    memory = shared_memory(2)
    watching, ended, alive = Places(0, memory), Places(1, memory), Places(0, memory)
    ended.take()
    ended.take()
    alive.take()
    watching.vacate(1)
    assert alive.taken == 1
    os.close(memory)
