"""One connection to the nucleus, from its attempt to its end, and the calls that were made on it.

Owns the socket, the greeting, the deadline of every call, and what a failure of the SDK means. It must not know what is
asked, when the next connection is made, or who wants to know.

Calls are made, given up and looked at by the loop's thread. A native thread resolves them and notes the loss of the
connection; for that the loop is woken. The nucleus may take longer than a deadline and still do what it was asked to:
such a call has failed for whoever made it, and is counted here until the nucleus does answer or can no longer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoResultYet
from functools import partial
from typing import Any

from awscrt import io
from awscrt.exceptions import AwsCrtError
from awsiot import eventstreamrpc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.client import GreengrassCoreIPCClient

from weir.core.nucleus import ConnectionGone, NotAllowed, NotFound, NotSent, NucleusFailed
from weir.transports.reasons import name_of

_LONGEST_TEXT = 300  # characters of what a nucleus says of an error

# The SDK logs every failure as an error, which Python prints where nobody has set up logging, and payloads for
# debugging. All that matters of it reaches us as an exception.
logging.getLogger("awsiot.eventstreamrpc").disabled = True

TEXTS = {
    "AWS_ERROR_FILE_INVALID_PATH": "there is no such socket",
    "AWS_IO_SOCKET_CLOSED": "the nucleus closed the connection",
    "AWS_IO_SOCKET_CONNECTION_REFUSED": "nothing listens at the socket",
    "AWS_IO_SOCKET_INVALID_ADDRESS": "the path of the socket is too long, or no path",
    "AWS_IO_SOCKET_TIMEOUT": "no answer from the socket",
    "AWS_ERROR_NO_PERMISSION": "the socket may not be used by this user",
    "AccessDeniedError": "the nucleus refused the connection",
    "ConnectionClosedError": "the connection was closed",
    "StreamClosedError": "the nucleus closed the connection, or the stream of this call",
}
_OF_THE_CONNECTION = (
    AwsCrtError,
    OSError,
    eventstreamrpc.AccessDeniedError,
    eventstreamrpc.ConnectionClosedError,
    eventstreamrpc.EventStreamError,
    eventstreamrpc.StreamClosedError,
)


class Call(Future[Any]):
    """An answer that is on its way; whoever waits for it waits at most so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - as the class it extends
        """Give the answer, or raise the `NucleusFailed` that came instead."""
        seconds = self._seconds if timeout is None else timeout
        try:
            return super().result(seconds)
        except NoResultYet:
            raise _late(seconds) from None

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Give the `NucleusFailed` that came instead of an answer, None if none did."""
        seconds = self._seconds if timeout is None else timeout
        try:
            return super().exception(seconds)
        except NoResultYet:
            return _late(seconds)


def failed(error: NucleusFailed) -> Call:
    """Give a call that failed before it was made."""
    call = Call(0.0)
    call.set_exception(error)
    return call


class NucleusLink:
    """One connection object of the SDK, and its `LifecycleHandler`."""

    def __init__(
        self,
        bootstrap: io.ClientBootstrap,
        socket: str,
        greeting: dict[str, str],
        seconds: float,
        wake: Callable[[], object],
        *,
        ends_streams: bool,
    ) -> None:
        """Begin to connect; `seconds` is how long the nucleus may take to answer, this and every call.

        Not every nucleus ends the stream of a call once it has answered it: then we do, else the stream is kept, here
        and there, until the connection ends. To do both is an error of the protocol.
        """
        self.greeted = False  # the socket was there; a failure from here on is a refusal
        self.told = False  # for whoever keeps this link: somebody knows that it is up
        self.seconds = seconds
        self._ends_streams = ends_streams
        self._greeting = json.dumps(greeting).encode()
        self._wake = wake
        self._loss: BaseException | None = None
        self._gave_up = False
        # Used by the loop's thread and by native ones without a lock: to take one call out is one step of the
        # interpreter, and whoever took it out of the first decides its outcome.
        self._calls: dict[Call, float] = {}  # and their deadlines, in order
        self._late: set[Call] = set()
        options = io.SocketOptions()
        options.domain = io.SocketDomain.Local
        options.connect_timeout_ms = max(1, int(seconds * 1000))
        self._connection = eventstreamrpc.Connection(
            host_name=socket,
            port=0,  # a Unix socket has none
            bootstrap=bootstrap,
            socket_options=options,
            connect_message_amender=self._greet,
        )
        self._client = GreengrassCoreIPCClient(self._connection)
        self.attempt = self._connect()
        self.attempt.add_done_callback(lambda _: wake())

    # -- the connection -----------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Tell whether it has come up; it may have been lost since."""
        return self.attempt.done() and self.attempt.exception() is None

    def ended(self) -> BaseException | None:
        """Say why there is no connection any more, None while there is one, or may yet be."""
        if self.attempt.done() and (error := self.attempt.exception()) is not None:
            return _late(self.seconds) if self._gave_up else error
        return self._loss

    def give_up(self) -> None:
        """Wait no longer for the nucleus to accept the connection."""
        self._gave_up = True
        self._connection.close()

    def leave(self) -> Future[None]:
        """Close the connection; the future resolves, always without an error, once nothing can be sent any more."""
        gone: Future[None] = Future()

        def say(_closed: Future[Any]) -> None:
            gone.set_result(None)
            self._wake()

        self._connection.close().add_done_callback(say)
        return gone

    def abandon(self) -> None:
        """Fail every call that has no answer: there is no connection that one could come by."""
        for call in list(self._calls):
            if self._calls.pop(call, None) is not None:
                call.set_exception(ConnectionGone("the connection to the nucleus was lost before it answered"))
        self._late.clear()

    def _connect(self) -> Future[Any]:
        attempt: Future[Any]
        try:
            attempt = self._connection.connect(self)
        except (OSError, ValueError, RuntimeError, AwsCrtError) as error:
            attempt = Future()
            attempt.set_exception(error)
        return attempt

    def _greet(self) -> eventstreamrpc.MessageAmendment:
        self.greeted = True
        return eventstreamrpc.MessageAmendment(payload=self._greeting)

    # -- the lifecycle handler: called by a native thread -------------------------------------------------------------

    def on_connect(self) -> None:
        """Nothing: the attempt's future tells."""

    def on_disconnect(self, reason: BaseException | None) -> None:
        """Note that a connection that was up is gone."""
        self._loss = reason or eventstreamrpc.ConnectionClosedError()
        self._wake()

    def on_error(self, error: BaseException) -> bool:  # noqa: ARG002 - the SDK passes it
        """Have the connection closed: an error of the protocol is not one of a call."""
        return True

    def on_ping(self, headers: object, payload: bytes) -> None:
        """Nothing: no nucleus wants an answer."""

    # -- calls --------------------------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> int:
        """Count the calls that have failed at their deadline and may still be carried out."""
        return len(self._late)

    def call(
        self,
        operation: Callable[[GreengrassCoreIPCClient], Any],
        request: Any,  # noqa: ANN401 - one of the SDK's shapes, which has no types
        answer: Callable[[Any], object],
        deadline: float,
        *,
        subscribes: bool,
    ) -> Call:
        """Make one call; `answer` takes what is wanted out of the SDK's response. Subscriptions stay open."""
        call = Call(self.seconds)
        try:
            made = operation(self._client)
            made.activate(request)
        except (RuntimeError, ValueError, AwsCrtError) as error:
            call.set_exception(NotSent(f"not sent to the nucleus: {reason(error)}"))
            return call
        self._calls[call] = deadline
        response = made.get_response()
        response.add_done_callback(partial(self._answered, call, answer))
        if not subscribes and not self._ends_streams:
            response.add_done_callback(lambda _: made.close())
        return call

    def expire(self, now: float) -> float | None:
        """Fail the calls whose time is up; say when the next one's will be."""
        for call, deadline in list(self._calls.items()):
            if deadline > now:
                return deadline
            self._late.add(call)  # before it is taken out: an answer in this moment must find it in one of the two
            if self._calls.pop(call, None) is None:
                self._late.discard(call)
            else:
                call.set_exception(_late(self.seconds))
        return None

    def _answered(self, call: Call, answer: Callable[[Any], object], response: Future[Any]) -> None:
        mine = self._calls.pop(call, None)
        self._late.discard(call)
        if mine is None:
            return  # it has failed already
        error = response.exception()
        if error is None:
            call.set_result(answer(response.result()))
        else:
            call.set_exception(_meaning(error))


def reason(error: BaseException) -> str:
    """Say why a call or a connection failed, in one line: the name to search for, and what is known of it."""
    if isinstance(error, NucleusFailed):
        return str(error)
    name = name_of(error)
    if name in TEXTS:
        return f"{name} ({TEXTS[name]})"
    said = getattr(error, "message", None)  # lite never says anything
    text = " ".join(str(said).split())[:_LONGEST_TEXT] if said else ""
    return f"{name}: {text}" if text and text != name else name


def _late(seconds: float) -> ConnectionGone:
    return ConnectionGone(f"the nucleus gave no answer within {seconds:g} s")


def _meaning(error: BaseException) -> NucleusFailed:
    if isinstance(error, model.ResourceNotFoundError):
        return NotFound(reason(error))
    if isinstance(error, model.UnauthorizedError):
        return NotAllowed(reason(error))
    if isinstance(error, _OF_THE_CONNECTION):
        return ConnectionGone(reason(error))
    return NucleusFailed(reason(error))
