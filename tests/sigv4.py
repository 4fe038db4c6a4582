"""A second opinion on signatures: version 4, in the query of a request that opens a WebSocket to IoT Core.

Owns the check as a server makes it, from the published rules and with the standard library alone; it shares no code
with the client that signs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlsplit

_EMPTY_BODY = hashlib.sha256(b"").hexdigest()
_SIGNATURE, _TOKEN = "X-Amz-Signature", "X-Amz-Security-Token"


class Request(NamedTuple):
    """The head of an HTTP request; the names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


def parse(head: bytes) -> Request:
    first, *lines = head.decode("ascii").strip().split("\r\n")
    method, target, _ = first.split(" ")
    fields = (line.partition(":") for line in lines)
    return Request(method, target, {name.strip().lower(): value.strip() for name, _, value in fields})


def signature(request: Request, secret: str) -> str:
    """Compute what the signature must be; the session token of IoT Core is not part of what is signed."""
    query = request.query
    signed = {name: value for name, value in query.items() if name not in {_SIGNATURE, _TOKEN}}
    canonical_query = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in sorted(signed.items()))
    names = query["X-Amz-SignedHeaders"].split(";")
    headers = "".join(f"{name}:{request.headers[name]}\n" for name in names)
    path = urlsplit(request.target).path
    canonical = "\n".join((request.method, path, canonical_query, headers, ";".join(names), _EMPTY_BODY))
    _, scope = query["X-Amz-Credential"].split("/", 1)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, digest))
    key = ("AWS4" + secret).encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
