"""One MQTT 3.1.1 connection object of the library, from its making to its end.

Owns what the library tells of it. It must not know of attempts by other objects, of limits or of records. What the
library does not say in one place:

- It brings a lost connection back by itself, with everything that was in flight (`clean_session=False`; with a clean
  session the operations in flight stay in the statistics for ever). It never repeats a first attempt that failed.
- Between `Interrupted` and the next `Connected` it makes its attempts in silence; only why a handshake could not even
  begin is told, as `ConnectFailed`.
- An object that is up, or connecting *again* by itself, takes `disconnect()` at once: from then on it sends no CONNECT
  and no PUBLISH. Only what its native thread had already scheduled goes out before. It reports the end when its socket
  is closed, which while it waits between two attempts of its own is only when the next one is due, so up to
  reconnectMaxSeconds later.
- An object in its *first* attempt refuses `disconnect()` and goes on. If the attempt fails, the object is dead by
  itself; if it succeeds, it is disconnected on the spot. It then first sends what had been published to it.
- An object that was never connected, or whose first attempt failed, sends nothing.

So when the wait for the end is cut short, what can still go out is only what was published to an object that had never
been up.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from awscrt import mqtt
from awscrt.exceptions import AwsCrtError

from weir.core.events import Connected, ConnectFailed, Interrupted
from weir.core.ports import Operation, Post, Settled, Statistics
from weir.transports.publishing import Publish
from weir.transports.reasons import TURNED_AWAY, name_of, reason


class Client311:
    """Fulfils `succession.ConnectionObject`; `make` makes the library's object, whose callbacks are ours."""

    def __init__(
        self,
        generation: int,
        post: Post,
        settled: Settled,
        make: Callable[[Client311], mqtt.Connection],
        publish: Publish,
    ) -> None:
        """Speak of itself as of this generation."""
        self.was_up = False
        self._generation = generation
        self._post = post
        self._settled = settled
        self._make = make
        self._publish = publish
        self._native: mqtt.Connection | None = None
        self._attempt: Future[Any] | None = None  # the last one that we asked for
        self._fault: str | None = None  # what kept the handshake of the attempt that is being made from beginning

    # -- called by the loop's thread ----------------------------------------------------------------------------------

    @property
    def native(self) -> mqtt.Connection | None:
        """Give the library's object, for whoever shares it."""
        return self._native

    @property
    def gave_up(self) -> bool:
        """Tell whether the attempt failed, which the library does not repeat."""
        return self._attempt is not None and self._attempt.done() and self._attempt.exception() is not None

    @property
    def holds_nothing(self) -> bool:
        """Tell whether it would be missed by nobody."""
        return self._native is None or self.statistics().incomplete == 0

    def try_to_connect(self) -> None:
        """Make an attempt; what came of it is posted, also where it could not even begin."""
        try:
            if self._native is None:
                self._native = self._make(self)
            self._attempt = self._native.connect()
        except (OSError, ValueError, RuntimeError, AwsCrtError) as error:  # the files, as they are now, do not do
            self._attempt = Future()
            self._attempt.set_exception(error)
        self._attempt.add_done_callback(self._attempted)

    def publish(self, topic: str, payload: bytes, qos: int, _record_id: bytes | None) -> Operation:
        """Hand over one message. Raises `Refused`."""
        if self._native is None:
            raise RuntimeError("there is no connection object to publish to")
        return self._publish(self._native, topic, payload, qos, self._settled)

    def statistics(self) -> Statistics:
        """Read the client's statistics."""
        if self._native is None:
            return Statistics(0, 0, 0, 0)
        now = self._native.get_stats()
        return Statistics(
            now.incomplete_operation_count,
            now.incomplete_operation_size,
            now.unacked_operation_count,
            now.unacked_operation_size,
        )

    def leave(self, *, politely: bool = True) -> Future[None]:  # noqa: ARG002 - the library knows no other way
        """Disconnect for good; the future resolves, always without an error, once the object can send no more."""
        gone: Future[None] = Future()
        native, attempt = self._native, self._attempt
        if native is None or attempt is None:
            gone.set_result(None)
            return gone

        def disconnect(_attempt: Future[Any]) -> None:
            # An error says that there is nothing to disconnect; the object is held by this closure until then.
            native.disconnect().add_done_callback(lambda _: gone.set_result(None))

        attempt.add_done_callback(disconnect)
        return gone

    def let_go(self) -> None:
        """Drop the library's object, which knows us by its callbacks: neither would ever end before the other."""
        self._native = self._attempt = None  # the attempt remembers whom it told, and they the object

    # -- called by native threads -------------------------------------------------------------------------------------

    def handshake_failed(self, why: str) -> None:
        """Tell why an attempt is about to fail: at once, or of a first attempt when it has failed, in one event."""
        if self.was_up:
            self._post(ConnectFailed(self._generation, why))
        else:
            self._fault = why

    def connected(self, *, callback_data: mqtt.OnConnectionSuccessData, **_: object) -> None:
        """Tell that the connection is up, for the first time or again."""
        self.was_up = True
        self._post(Connected(self._generation, callback_data.session_present))

    def interrupted(self, *, error: BaseException, **_: object) -> None:
        """Tell that the connection was lost."""
        self._post(Interrupted(self._generation, reason(error)))

    def _attempted(self, attempt: Future[Any]) -> None:
        """Tell that a first attempt failed; of success the client tells `connected`."""
        error = attempt.exception()
        if error is not None:
            fault, self._fault = self._fault, None
            turned_away = fault is None and name_of(error) in TURNED_AWAY
            self._post(ConnectFailed(self._generation, fault or reason(error), turned_away))
