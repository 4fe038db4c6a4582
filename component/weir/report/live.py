"""The live line of a terminal while a backlog drains: done, left, rate, and when it will be done.

Owns the only use of rich. Shown on stderr, and only where that is a terminal.
"""

from __future__ import annotations

from rich.console import Console  # noqa: TID253 - this module is imported only for a person at a terminal
from rich.live import Live  # noqa: TID253 - as above
from rich.text import Text  # noqa: TID253 - as above

from weir.core.view import View
from weir.report.stats import SENT
from weir.report.times import duration

REFRESH_SECONDS = 0.25
RATE_SECONDS = 5.0  # the rate is that of the last seconds


class LiveLine:
    """One line, redrawn in place; gone when nothing is left."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._at = 0.0
        self._seen: list[tuple[float, int]] = []

    def due(self, now: float) -> bool:
        """Tell whether it is time to draw again."""
        return now - self._at >= REFRESH_SECONDS

    def show(self, view: View, now: float) -> None:
        """Draw where it stands; `now` is monotonic."""
        self._at = now
        done = sum(stream.counts[name] for stream in view.streams.values() for name in SENT)
        left = sum(stream.queue_records + stream.in_flight for stream in view.streams.values())
        unread = sum(stream.bytes_unread for stream in view.streams.values())
        self._seen = [seen for seen in self._seen if now - seen[0] <= RATE_SECONDS] + [(now, done)]
        if left or unread:
            self._draw(done, left, unread, view.held_by)
        else:
            self.close()

    def _draw(self, done: int, left: int, unread: int, held_by: str | None) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        rate = (after - before) / (end - begin) if end > begin else 0.0
        more = f" and {unread:,} bytes not read yet" if unread else ""
        eta = f"  ETA {duration(left / rate)}" if rate and not unread else ""
        held = f"  held by {held_by}" if held_by else ""
        self._live.update(Text(f"{done:,} done  {left:,} left{more}  {rate:,.0f}/s{eta}{held}"), refresh=True)

    def close(self) -> None:
        """Take the line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None
