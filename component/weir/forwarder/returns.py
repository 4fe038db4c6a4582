"""What comes back: messages that did not go, and whose records wait again or are set aside.

Owns that records which shared a message stay together, and that one which nobody takes is divided until the record at
fault is alone. Knows nothing of why a message came back.
"""

from __future__ import annotations

from weir.core.batching import Slice
from weir.forwarder.window import Sent, halves, parts, records


def wait_again(sent: Sent) -> None:
    """Let the records of a message wait again, in their old places."""
    stream = sent[0].stream
    for run, low, high in parts(sent):
        stream.line.give_back(run.span, low, high)
    if stream.batches is not None:
        stream.batches.keep_together(Slice(run.span, low, high) for run, low, high in parts(sent))


def refuse(sent: Sent, why: str, wall: float) -> None:
    """Set a record aside that nobody takes; of several divide them, and let them wait again."""
    if records(sent) == 1:
        run, index = sent[:2]
        run.stream.set_aside(run.span, index, "refused", why, wall)
        return
    for half in halves(sent):
        wait_again(half)
