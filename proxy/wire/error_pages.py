"""Errors that come as a page of HTML, mostly from what stands between a server and the network."""

import html
import re
from typing import Final

#: How much of a page an error quotes, in characters.
MAX_PAGE: Final = 500

_PAGE: Final = re.compile(r"\s*(?:<!--.*?-->\s*)*<(?:!doctype|html|head|body|h1|center)\b", re.I | re.S)
_TITLE: Final = re.compile(r"<(title|h1)[^>]*>(.*?)</\1\s*>", re.I | re.S)
_UNSEEN: Final = re.compile(r"<(script|style)\b.*?</\1\s*>", re.I | re.S)
_TAG: Final = re.compile(r"<[^>]*>")


def is_page(text: str) -> bool:
    """The text is a page, and none of a server's own words."""
    return _PAGE.match(text) is not None


def message(page: str, status: int | None) -> str:
    """Say in a sentence what a page says: its title, else what of it can be seen.

    Args:
        page: the page.
        status: the HTTP status that came with it, where there was one.
    """
    title = _TITLE.search(page)
    words = title.group(2) if title else _UNSEEN.sub(" ", page)
    seen = " ".join(html.unescape(_TAG.sub(" ", words)).split())[:MAX_PAGE]
    said = f"with an HTML page: {seen}" if seen else "with an HTML page"
    return f"The upstream answered {status or 'the request'} {said}"
