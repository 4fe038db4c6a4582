"""What a forwarder answers over the control socket.

Owns the commands and their answers. Knows nothing of sockets; it is asked by the loop's own thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from weir.control.protocol import Message
from weir.core.errors import StoreFailed
from weir.core.view import View
from weir.forwarder.forwarder import Forwarder
from weir.report import status
from weir.wiring import aside
from weir.wiring.assembly import CLOCK


class Running(Protocol):
    """What is asked."""

    forwarder: Forwarder

    def view(self) -> View:
        """Show it as it is now."""


def answer(running: Running, request: Message) -> Message:
    """Answer one request. Raises ValueError where it makes no sense."""
    forwarder = running.forwarder
    answers: dict[str, Callable[[], Message]] = {
        "status": lambda: _status(running),
        "verify": lambda: {**_status(running), "law": forwarder.ledger.store.law()},
        "losses": lambda: {"losses": status.losses(forwarder.ledger.store.losses())},
        "pause": lambda: _pause(forwarder, paused=True),
        "resume": lambda: _pause(forwarder, paused=False),
        aside.COMMAND: lambda: _aside(forwarder, request),
    }
    command = request.get("command")
    if command not in answers:
        raise ValueError(f"no such command; there are {', '.join(answers)}")
    try:
        return answers[command]()
    except StoreFailed as failure:
        return {"error": f"the store is being opened anew, ask again soon ({failure})", "degraded": "storeFailing"}


def _status(running: Running) -> Message:
    return {"status": status.document(running.view(), CLOCK.wall())}


def _pause(forwarder: Forwarder, *, paused: bool) -> Message:
    forwarder.paused = paused
    return {"paused": paused}


def _aside(forwarder: Forwarder, request: Message) -> Message:
    return aside.answer(
        request,
        forwarder.ledger.store.quarantine,
        forwarder.replay,
        lambda numbers, not_kept: forwarder.purge(numbers, not_kept=not_kept),
    )
