"""Turns: which of the streams that have something to send is next.

Owns the order among streams: the highest priority first, those of one priority in turns, and now and then the lowest,
so that nobody starves. Knows nothing of what they send, nor of why one has nothing more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from weir.forwarder.stream import Stream

LOWEST_EVERY = 16  # so often the lowest priority that waits has its turn


class Turns:
    """Who is next, over one pass after the other; looked up for every message, so it costs the same for any number."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._waiting: dict[int, list[Stream]] = {}  # by priority
        self._number = 0

    def begin(self, streams: Iterable[Stream]) -> None:
        """Begin a pass with those that have something to send."""
        waiting: defaultdict[int, list[Stream]] = defaultdict(list)
        for stream in streams:
            waiting[stream.settings.priority].append(stream)
        self._waiting = dict(waiting)

    def next(self) -> Stream | None:
        """Give the stream whose turn it is; None if nobody is left."""
        if not self._waiting:
            return None
        round_, step = divmod(self._number, LOWEST_EVERY)
        choose, cursor = (min, round_) if step == LOWEST_EVERY - 1 else (max, self._number - round_)
        equals = self._waiting[choose(self._waiting)]
        return equals[cursor % len(equals)]

    @property
    def is_one_left(self) -> bool:
        """Tell whether only one stream is left: it need not be asked for each message whether it is its turn."""
        return len(self._waiting) == 1 and all(len(equals) == 1 for equals in self._waiting.values())

    def went(self, messages: int) -> None:
        """Count messages that went."""
        self._number += messages

    def has_no_more(self, stream: Stream) -> None:
        """Leave a stream out for the rest of the pass."""
        equals = self._waiting[stream.settings.priority]
        equals.remove(stream)
        if not equals:
            del self._waiting[stream.settings.priority]
