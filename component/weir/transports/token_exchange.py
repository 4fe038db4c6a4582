"""Short-lived credentials of the device's role, from the token exchange service that a nucleus offers its components.

Owns the one request and what it may cost: it is made without a proxy and without following anybody elsewhere, takes
5 s at most, and reads an answer of 64 KiB at most. It blocks, so it is never made on the loop's thread or on one that
serves a connection. Neither a key nor the token, nor any of what was answered, gets into an error.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from weir.core.errors import WeirError
from weir.core.quoting import quoted

DEADLINE_SECONDS = 5.0
MOST_ANSWER_BYTES = 65_536
AHEAD_SECONDS = 300.0  # so long before they expire credentials are not used again: clocks differ, connections take time
LONGEST_KEPT_SECONDS = 3600.0  # whatever Expiration says: our clock may be wrong

_HEADER_VALUE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_OK = 200
_REFUSALS = {
    401: "it does not accept this component's token",
    403: "it does not accept this component's token, or nobody may have this role",
    404: "there is no such address, or no role alias is configured",
    500: "it could not get credentials, perhaps the device is offline or its role alias is wrong",
}


class TokenExchangeFailed(WeirError):
    """The token exchange service gave no credentials; ask again later."""


class Credentials(NamedTuple):
    """What a request is signed with. It never shows what it holds."""

    access_key_id: str
    secret_access_key: str
    session_token: str

    def __repr__(self) -> str:
        """Say what this is, and no more."""
        return "Credentials(…)"


class _Answer(msgspec.Struct, rename="pascal"):
    access_key_id: str
    secret_access_key: str
    token: str
    expiration: str | None = None


class _Target(NamedTuple):
    scheme: str
    host: str
    port: int | None
    path: str


class TokenExchange:
    """One token exchange service, and the credentials it gave last while they are good."""

    def __init__(
        self,
        uri: str,
        authorization: str | None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the service at `uri`, showing it `authorization` if there is one; nothing is asked yet."""
        self._uri = uri
        self._authorization = authorization
        self._wall = wall
        self._monotonic = monotonic
        self._kept: tuple[Credentials, float] | None = None  # with the monotonic time until which they are used

    def forget(self) -> None:
        """Fetch the next credentials, whatever was kept."""
        self._kept = None

    def credentials(self) -> Credentials:
        """Give credentials that are good for some minutes; blocks for 5 s at most, raises TokenExchangeFailed."""
        kept = self._kept
        if kept is not None and self._monotonic() < kept[1]:
            return kept[0]
        answer = _read(_fetch(_target(self._uri), self._headers()))
        credentials = Credentials(answer.access_key_id, answer.secret_access_key, answer.token)
        # Where they seem to have expired already, our clock may be wrong: they are used, but not a second time. Where
        # they seem to last for ever, too; so the time they are kept is short, and measured by a clock nobody sets.
        seconds = min(_seconds_left(answer.expiration, self._wall()) - AHEAD_SECONDS, LONGEST_KEPT_SECONDS)
        self._kept = (credentials, self._monotonic() + seconds) if seconds > 0 else None
        return credentials

    def _headers(self) -> dict[str, str]:
        if not self._authorization:
            return {}
        if not _HEADER_VALUE.fullmatch(self._authorization):  # http.client would say so too, but show it
            raise TokenExchangeFailed("AWS_CONTAINER_AUTHORIZATION_TOKEN is no value of an HTTP header")
        return {"Authorization": self._authorization}


def _target(uri: str) -> _Target:
    """Take the address apart; credentials travel in the clear to this very machine only."""
    no_address = TokenExchangeFailed("AWS_CONTAINER_CREDENTIALS_FULL_URI is no http or https address")
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise no_address from None
    if not host or parts.scheme not in {"http", "https"} or parts.username is not None or not _PRINTABLE.fullmatch(uri):
        raise no_address
    if parts.scheme == "http" and not _is_loopback(host):
        raise TokenExchangeFailed(
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI leads to {quoted(host)} in the clear (allowed: this machine, or https)"
        )
    return _Target(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _fetch(target: _Target, headers: dict[str, str]) -> bytes:
    """Ask once; give the body, or say in one line why there is none."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    try:
        status, body = _ask(target, headers, deadline)
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(error, TimeoutError) or time.monotonic() >= deadline:
            raise _too_slow() from None
        what = error.strerror if isinstance(error, OSError) else None
        raise TokenExchangeFailed(f"token exchange service does not answer: {what or type(error).__name__}") from None
    if time.monotonic() >= deadline:  # cut off in the middle, an answer may seem to be whole
        raise _too_slow()
    if status != _OK:
        meaning = f" ({_REFUSALS[status]})" if status in _REFUSALS else ""
        raise TokenExchangeFailed(f"token exchange service refused: HTTP {status}{meaning}")
    return body


def _ask(target: _Target, headers: dict[str, str], deadline: float) -> tuple[int, bytes]:
    with contextlib.closing(_connection(target)) as connection:
        connection.connect()
        with _cut_off_at(deadline, connection.sock):
            connection.request("GET", target.path, headers=headers)
            with connection.getresponse() as answer:
                return answer.status, answer.read(MOST_ANSWER_BYTES + 1)


def _connection(target: _Target) -> http.client.HTTPConnection:
    # This client knows no proxies and follows no redirect, which urllib would do with the token in its hand.
    if target.scheme == "http":
        return http.client.HTTPConnection(target.host, target.port, timeout=DEADLINE_SECONDS)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(target.host, target.port, timeout=DEADLINE_SECONDS, context=context)


@contextlib.contextmanager
def _cut_off_at(deadline: float, connected: socket.socket) -> Iterator[None]:
    """End the conversation at that time, however slowly it goes on: the socket's own timeout begins with each byte."""

    def cut_off() -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connected, socket.SHUT_RDWR)  # the plain one: that of TLS is not for another thread

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _too_slow() -> TokenExchangeFailed:
    return TokenExchangeFailed(f"token exchange service did not answer within {DEADLINE_SECONDS:g} s")


def _read(body: bytes) -> _Answer:
    if len(body) > MOST_ANSWER_BYTES:
        raise TokenExchangeFailed(f"token exchange service answered with more than {MOST_ANSWER_BYTES} bytes")
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, ValueError):
        answer = None
    if answer is None or not all(
        map(_PRINTABLE.fullmatch, (answer.access_key_id, answer.secret_access_key, answer.token))
    ):
        raise TokenExchangeFailed(
            "token exchange service answered with something else than AccessKeyId, SecretAccessKey and Token as JSON"
        )
    return answer


def _seconds_left(expiration: str | None, now: float) -> float:
    """Say how long credentials last by our clock; 0 where it is not said in a form we know."""
    try:
        moment = datetime.fromisoformat((expiration or "").replace("Z", "+00:00"))
        known = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
        return known.timestamp() - now
    except (ValueError, OverflowError):
        return 0.0
