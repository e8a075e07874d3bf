"""One request to a platform's interface."""

import re
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from msgspec import Struct

_MOST_BYTES = 64 << 20
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')


class PollError(Exception):
    """An interface gave no usable answer. ``retry_after``: seconds that it asks to be left alone for."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.retry_after = retry_after


class Page(Struct, frozen=True):
    """An answer: its body, and the address of the next one where a link names it."""

    body: bytes
    next_url: str | None


class _NoRedirect(HTTPRedirectHandler):
    """A redirect is an error: secrets in headers must not follow it to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = build_opener(_NoRedirect)


def fetch(url: str, query: Mapping[str, str], headers: Mapping[str, str], seconds: float) -> Page:
    """GET; raises PollError. No text of it holds a header or a query."""
    full = f"{url}{'&' if '?' in url else '?'}{urlencode(query)}" if query else url
    host = urlsplit(url).netloc
    request = Request(full, headers={"Accept": "application/json", "User-Agent": "orderpulse", **headers})
    try:
        with _OPENER.open(request, timeout=seconds) as answer:
            body: bytes = answer.read(_MOST_BYTES + 1)
            link = answer.headers.get("Link", "")
    except HTTPError as error:
        raise PollError(f"{host} answers {error.code}", _seconds(error.headers.get("Retry-After", ""))) from None
    except (OSError, HTTPException) as error:
        raise PollError(f"{host} does not answer: {type(error).__name__}") from None
    if len(body) > _MOST_BYTES:
        raise PollError(f"{host} answers with more than {_MOST_BYTES} bytes: ask for smaller pages")
    return Page(body, _next_url(link, url))


def _next_url(link: str, url: str) -> str | None:
    """Raises PollError for a link to another host, which must not be given our secrets."""
    found = _NEXT.search(link)
    if found is None:
        return None
    target: str = urljoin(url, found[1])
    if urlsplit(target)[:2] != urlsplit(url)[:2]:
        raise PollError(f"{urlsplit(url).netloc} names a next page at another host")
    return target


def _seconds(text: str) -> float | None:
    try:
        return min(max(float(text), 0.0), 3600.0)
    except ValueError:
        return None
