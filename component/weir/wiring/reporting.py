"""What is done beside forwarding, in every turn of the loop: saying how it goes, and looking at what may go wrong.

Owns when each is due: the live line, the stats line, the metrics file, the status as a message, and a look at the dates
that a connection depends on. Knows nothing of what any of them holds. None of it ever stops the forwarding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from weir.core.errors import StoreFailed
from weir.core.quoting import LONGEST_PATH, escaped
from weir.core.settings import Settings
from weir.core.view import View
from weir.forwarder.forwarder import Forwarder
from weir.forwarder.health import Health
from weir.report import metrics, status
from weir.report.log import Log
from weir.report.stats import Stats
from weir.wiring.assembly import CLOCK
from weir.wiring.dates import Dates

LOOK_SECONDS = 1.0
METRICS_SECONDS = 15.0  # between two metrics files, at most: Prometheus asks every 15 s to a minute


class Display(Protocol):
    """What shows the work at a terminal while it goes on."""

    def due(self, now: float) -> bool:
        """Tell whether it is time to show anything; `now` is monotonic."""

    def show(self, view: View, now: float) -> None:
        """Show where it stands."""

    def close(self) -> None:
        """Take away what is shown."""


class Running(Protocol):
    """What is reported on. Its settings and its forwarder may be others the next time."""

    settings: Settings
    forwarder: Forwarder
    health: Health

    def view(self) -> View:
        """Show it as it is now. Raises StoreFailed."""


class Reporting:
    """All that is said of one run from time to time."""

    def __init__(self, running: Running, log: Log, display: Display | None) -> None:
        """Begin with everything due but the stats, which tell of the time since they were told last."""
        self._running = running
        self._log = log
        self._display = display
        self._stats = Stats()
        self._dates = Dates(None)
        self._dates_of: str | None = None
        self._look_at = 0.0
        self._stats_at: float | None = None
        self._metrics_at = 0.0
        self._topic_at = 0.0

    def advance(self) -> None:
        """Do what is due."""
        now = CLOCK.monotonic()
        try:
            if self._display is not None and self._display.due(now):
                self._display.show(self._running.view(), now)
            if now >= self._look_at:
                self._look_at = now + LOOK_SECONDS
                self._look(now, CLOCK.wall())
        except StoreFailed:
            return  # the loop will find it out, and open the store anew; then there is something to say again

    def _look(self, now: float, wall: float) -> None:
        self._log.flush(now)
        self._judge_dates(now, wall)
        report = self._running.settings.report
        if self._stats_at is None or now >= self._stats_at:
            fields = self._stats.fields(self._running.view(), now, wall)
            if self._stats_at is not None:
                self._log("stats", **fields)
            self._stats_at = now + report.log_seconds
        if now >= self._metrics_at:
            written = self._write_metrics()
            self._metrics_at = now + (min(METRICS_SECONDS, report.log_seconds) if written else LOOK_SECONDS)
        if report.topic is not None and now >= self._topic_at and self._running.forwarder.link.state == "online":
            self._topic_at = now + report.topic_seconds
            self._offer_status(wall)

    def apply(self) -> None:
        """Let other settings be followed at once."""
        self._metrics_at = self._topic_at = 0.0

    def close(self) -> None:
        """Say what only the end knows."""
        self._log.flush()
        self._write_metrics()

    def hide(self) -> None:
        """Take away what is drawn on a terminal."""
        if self._display is not None:
            self._display.close()

    def _judge_dates(self, now: float, wall: float) -> None:
        connection = self._running.settings.connection
        path = None if connection.transport == "ipc" else connection.certificate
        if path != self._dates_of:
            self._dates, self._dates_of = Dates(path), path
        self._running.health.judge_all(wall, self._dates.verdicts(now, wall))

    def _write_metrics(self) -> bool:
        path, fault = self._running.settings.report.metrics_file, None
        if path is not None:
            try:
                metrics.replace(Path(path), metrics.exposition(self._running.view()))
            except OSError as error:
                fault = f"see to {escaped(path, LONGEST_PATH)} (report.metricsFile): {error.strerror}"
        self._running.health.judge_all(CLOCK.wall(), {"metricsFileFailing": fault})
        return fault is None

    def _offer_status(self, wall: float) -> None:
        running = self._running
        topic = running.settings.report_topic
        if topic is not None:
            most = running.forwarder.transport.message_bytes - len(topic.encode())
            running.forwarder.beside.offer(topic, status.message(status.document(running.view(), wall), most))
