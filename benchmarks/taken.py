"""What a broker has taken, by its own count: a subscriber would take CPU from those that are timed."""

from __future__ import annotations

from benchmarks.workload import RECORD_BYTES
from tests.broker import Broker

EVERY_SECOND = "sys_interval 1"  # for the broker's configuration: it says its counts so often, or half as often
_HEARTBEAT = "$SYS/broker/uptime"
_HEARTBEATS = 3  # what the second of them counted is in: whoever had ended before the first is counted whole
_MESSAGES, _BYTES = "$SYS/broker/publish/messages/received", "$SYS/broker/publish/bytes/received"


class Taken:
    """The count of one broker, which must run with EVERY_SECOND."""

    def __init__(self, broker: Broker) -> None:
        self._observer = broker.observe("$SYS/broker/#")
        self._records = 0
        self.more()

    def more(self) -> int:
        """Wait until the count is complete; give how many records came since it was asked for last.

        Each counts, alone or as a line of a larger message, also one that came before.
        """
        begun = len(self._observer.messages)
        self._observer.wait_for(lambda: self._heartbeats(begun) >= _HEARTBEATS)
        values = {message.topic: message.payload for message in self._observer.messages}
        line = RECORD_BYTES + 1  # the end of the last line of a message is left out
        before, self._records = self._records, (int(values[_BYTES]) + int(values[_MESSAGES])) // line
        return self._records - before

    def _heartbeats(self, begun: int) -> int:
        return sum(message.topic == _HEARTBEAT for message in self._observer.messages[begun:])
