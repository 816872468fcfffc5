"""Python's search for cyclic garbage, kept from holding the start and the streams up.

What a start imports stays. Nothing that belongs to a request is left in a cycle when it has ended: counting
references frees it. The search would walk through all that is alive, again and again while modules are
imported and streams open, and each time all would wait.
"""

import gc
from typing import Final

#: How many more objects have to be alive for a search among the newest, which is short if they are few;
#: how many of these searches lead to a wider one, and how many of those to one through everything.
#:
#: Measured from 700 to 20,000, and without any search: the first number changes neither what a request takes
#: nor a frame, but how long all wait at a time while 2,000 streams open, each of some hundred objects: 0.4 ms
#: at most with this one, 3 ms with 5,000. A wider search after 20 short ones took 18 ms while 1,500 opened,
#: one through everything, after Python's own numbers, 60; none of them freed anything. So the wider one comes
#: after two million objects, more than 20,000 streams have: it is for a cycle that nobody knows of yet.
_THRESHOLDS: Final = (1_000, 2_000, 20)


def hold_back() -> None:
    """Search seldom from now on; to be called before a start, of which it takes a tenth otherwise."""
    gc.set_threshold(*_THRESHOLDS)


def spare_what_lives() -> None:
    """Search seldom from now on, and never again through what is alive now; to be called after the start.

    Not even a last time: among 64,000 objects that search found 29, in 30 ms.
    """
    hold_back()
    gc.freeze()
