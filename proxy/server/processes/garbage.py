"""Python's search for cyclic garbage, kept from holding streams up.

Nothing that belongs to a request is left in a cycle when it has ended: counting references frees it. The
search would walk through all that is alive, again and again while streams open, and each time all would wait.
"""

import gc
from typing import Final

#: How many more objects have to be alive for a search among the newest, which is short if they are few;
#: how many of these searches lead to a wider one, and how many of those to one through everything.
_THRESHOLDS: Final = (5_000, 400, 20)


def hold_back() -> None:
    """Search seldom from now on, and never again through what is alive now; to be called after the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
