"""`python -m weir.operation_queue`: the operation queue at work, on a connection of its own.

Owns the flags, the order of what is done, and the account that is printed. What the queue does is the queue's, how the
connection is opened is the transports'.
"""

from __future__ import annotations

import argparse
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from weir.cli.main import INTERRUPTED, _hyphened
from weir.core.modes import MODE_NAMES
from weir.core.settings import ConnectionSettings
from weir.operation_queue import ConnectionEvents, MqttOperationQueue, Operation, Publish, QueueFull
from weir.operation_queue.settings import mode_of
from weir.transports import plain
from weir.transports.reasons import reason

PATIENCE_SECONDS = 30.0  # without any progress
FAILED = 1

MODES = (
    "enters at the back; a full queue drops the one at the back: the newest that waits is replaced",
    "enters at the front; a full queue drops the one at the back: freshest first, the oldest falls off",
    "enters at the front; a full queue drops the one at the front: the freshest that waits is replaced",
    "enters at the back; a full queue drops the one at the front: in order, the oldest falls off",
    "enters at the back; a full queue is an error to the caller, here: it waits for room and nothing is lost",
    "enters at the front; a full queue is an error, as in 4",
)
EPILOG = "\n".join(
    [
        "queue modes, by number or by name (operations are taken from the front):",
        *(f"  {number}  {name:<19} {text}" for number, (name, text) in enumerate(zip(MODE_NAMES, MODES, strict=True))),
        "The program that these come from numbered 1 and 3 the other way round.",
        "",
        "In every flag _ and - are the same.",
    ]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and give its exit code: 0 if all that was not dropped came back, else 1."""
    try:
        arguments = _parser().parse_args(_hyphened(sys.argv[1:] if argv is None else argv))
        if arguments.verbosity != plain.VERBOSITIES[0]:
            plain.log_to_stderr(arguments.verbosity)
        return _run(arguments)
    except SystemExit as leaving:  # argparse has said what it had to say
        return leaving.code if isinstance(leaving.code, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: argparse.Namespace) -> int:
    events = ConnectionEvents()
    where = f"{arguments.endpoint}:{arguments.port}"
    try:
        connection = plain.new_connection(
            _settings(arguments),
            on_success=events.connected,
            on_interrupted=events.lost,
            on_closed=events.lost,
        )
        connection.connect().result(PATIENCE_SECONDS)
    except Exception as error:  # noqa: BLE001 - files and network fail in many ways, and each is one line
        print(f"could not connect to {where}: {reason(error)}", file=sys.stderr)
        return FAILED
    print(f"connected to {where} as {arguments.client_id}")
    try:
        return Conversation(connection, events, arguments).hold()
    finally:
        connection.disconnect().result(PATIENCE_SECONDS)
        print("disconnected")


class Conversation:
    """Subscribe, publish, receive, unsubscribe: every operation through the queue."""

    def __init__(self, connection: Any, events: ConnectionEvents, arguments: argparse.Namespace) -> None:  # noqa: ANN401 - the client's
        self._arguments = arguments
        self._moved = threading.Event()
        self._expected = {f"{arguments.message} [{number}]": number for number in range(1, arguments.count + 1)}
        self._received: set[str] = set()
        self._lost: set[str] = set()  # dropped or failed: will not come back
        self._done: set[Operation] = set()  # what is not a publish, once it has an outcome
        self._queue = MqttOperationQueue(
            connection=connection,
            events=events,
            limit=arguments.queue_limit,
            mode=arguments.queue_mode,
            on_sent=self._tell,
            on_acknowledged=self._acknowledged,
            on_failed=self._failed,
            on_dropped=self._dropped,
            on_leak=lambda leaked: print(f"the client counts {leaked.incomplete} operations that no longer exist"),
        )

    def hold(self) -> int:
        """Do all of it; give the exit code."""
        queue, topic = self._queue, self._arguments.topic
        queue.start()
        subscribe = queue.subscribe(topic, plain.AT_LEAST_ONCE, self._receive)
        good = self._until(lambda: subscribe in self._done)
        for message in self._expected:
            good = good and self._publish(topic, message)
        good = good and self._until(lambda: len(self._received | self._lost) == len(self._expected))
        self._put(lambda: self._unsubscribe(topic))
        left = queue.stop(PATIENCE_SECONDS, drain=True)
        self._account(len(left.waiting) + len(left.outstanding))
        return 0 if good and not queue.account().failed and not any(left) else FAILED

    def _publish(self, topic: str, message: str) -> bool:
        return self._put(lambda: self._queue.publish(topic, message, plain.AT_LEAST_ONCE))

    def _unsubscribe(self, topic: str) -> None:
        self._queue.unsubscribe(topic)

    def _put(self, put: Callable[[], object]) -> bool:
        """Put an operation into the queue, waiting for room where the mode says that a full queue is an error."""
        while True:
            self._moved.clear()
            try:
                put()
            except QueueFull:
                if not self._moved.wait(PATIENCE_SECONDS):
                    return False
            else:
                return True

    def _until(self, condition: Callable[[], object]) -> bool:
        """Wait for the condition; give up after PATIENCE_SECONDS in which nothing moved."""
        while not condition():
            self._moved.clear()
            if not condition() and not self._moved.wait(PATIENCE_SECONDS):
                print(f"nothing moved for {PATIENCE_SECONDS:g} s (held by: {self._queue.held_by})", file=sys.stderr)
                return False
        return True

    # -- what the queue and the client tell ---------------------------------------------------------------------------

    def _tell(self, _operation: Operation) -> None:
        self._moved.set()

    def _acknowledged(self, operation: Operation, _answer: object) -> None:
        self._finish(operation)

    def _failed(self, operation: Operation, error: BaseException) -> None:
        print(f"{type(operation).__name__.lower()} to {operation.topic} failed: {reason(error)}", file=sys.stderr)
        self._lose(operation)

    def _dropped(self, operation: Operation) -> None:
        self._lose(operation)

    def _lose(self, operation: Operation) -> None:
        if isinstance(operation, Publish):
            self._lost.add(str(operation.payload))
        self._finish(operation)

    def _finish(self, operation: Operation) -> None:
        if not isinstance(operation, Publish):
            self._done.add(operation)
        self._moved.set()

    def _receive(self, *, payload: bytes, **_: object) -> None:
        text = payload.decode(errors="replace")
        if text in self._expected:
            self._received.add(text)
            self._moved.set()

    def _account(self, left: int) -> None:
        account = self._queue.account()
        print(
            f"operations: {account.taken} queued, {account.acknowledged} acknowledged, {account.failed} failed, "
            f"{account.dropped} dropped, {left} left\n"
            f"messages: {self._arguments.count} to publish, {len(self._received)} received back"
        )


# -- the command line -------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m weir.operation_queue",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Connect, and through an operation queue: subscribe, publish, receive it all back, unsubscribe.",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("--endpoint", required=True, metavar="HOST", help="the broker; for IoT Core the data endpoint of the account")
    add("--cert", required=True, type=_path, metavar="FILE", help="the certificate of the client, PEM")
    add("--key", required=True, type=_path, metavar="FILE", help="the private key of that certificate, PEM")
    add("--ca-file", type=_path, metavar="FILE", help="who vouches for the broker (default: the system's store)")
    add(
        "--client-id",
        default=f"test-{uuid.uuid4()}",
        metavar="ID",
        help="the MQTT client id (default: test- and a random id)",
    )
    add("--topic", default="test/topic", help="where to subscribe and publish (default: test/topic)")
    add("--message", default="Hello World!", help="what to publish, each with its number (default: Hello World!)")
    add("--count", type=_at_least_one, default=10, metavar="N", help="how many messages (default: 10)")
    add("--queue-mode", type=_mode, default=4, metavar="N", help="0 to 5 or a name, see below (default: 4)")
    add(
        "--queue-limit",
        type=_limit,
        default=10,
        metavar="N",
        help="how many operations may wait, or none (default: 10)",
    )
    add(
        "--port",
        type=_at_least_one,
        default=8883,
        metavar="N",
        help="its port (default: 8883; 443 speaks MQTT by ALPN)",
    )
    add("--proxy-host", metavar="HOST", help="an HTTP proxy on the way")
    add("--proxy-port", type=_at_least_one, default=8080, metavar="N", help="its port (default: 8080)")
    add(
        "--verbosity",
        choices=plain.VERBOSITIES,
        default=plain.VERBOSITIES[0],
        help="how much the client library writes to standard error (default: %(default)s)",
    )
    return parser


def _settings(arguments: argparse.Namespace) -> ConnectionSettings:
    return ConnectionSettings(
        transport="mqtt",
        protocol="mqtt311",
        endpoint=arguments.endpoint,
        port=arguments.port,
        certificate=arguments.cert,
        private_key=arguments.key,
        ca=arguments.ca_file,
        client_id=arguments.client_id,
        keep_alive_seconds=30,
        ping_timeout_seconds=10,
        operation_timeout_seconds=90.0,
        reconnect_min_seconds=1,
        reconnect_max_seconds=30,
        proxy_host=arguments.proxy_host,
        proxy_port=arguments.proxy_port,
    )


def _path(text: str) -> str:
    return str(Path(text).absolute())


def _mode(text: str) -> int | str:
    mode = int(text) if text.isdecimal() else text
    try:
        mode_of(mode, None, None)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return mode


def _limit(text: str) -> int | None:
    return None if text == "none" else _at_least_one(text)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)
