"""Streams cut anywhere, as reads bring them."""

import itertools


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return the pieces of `data` between these places, sorted; one beyond the end is the end."""
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]
