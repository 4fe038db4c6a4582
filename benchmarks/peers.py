"""Other ways to send the lines of a file at QoS 1, on the same broker: how fast, and how much of it arrives.

The rate is that of a whole process, from its start to its end, since not all of them tell more; nobody subscribes while
it runs. Only a bridge has no end: it is timed by a subscriber, and stands beside the bare client with one. What arrives
is counted afterwards, in runs of their own: undisturbed, and with a SIGKILL when a third has arrived. Weir and the
bridge are then started again, since they have something to go on from.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from benchmarks import peer_tools
from benchmarks.bridge import bridged
from benchmarks.figures import RATIO, Figure, ratios
from benchmarks.gateway import LINES, Gateway, end_process
from benchmarks.interleaved import CEILING, Way, ceiling, interleaved
from benchmarks.peer_tools import Peer
from benchmarks.processes import ROOT, TIMEOUT_SECONDS, Run, environment
from benchmarks.work import Missing, Work
from benchmarks.workload import write_records
from tests.broker import Broker
from tests.observer import Observer

PEERS = "peers"
WEIR, WEIR_BATCHES = "Weir, one record a message", "Weir, 500 records a message"
BRIDGE, WATCHED = "mosquitto bridge (with a subscriber)", "the bare client (with a subscriber)"
_QUIET_SECONDS = 5.0  # nothing more arrives after so long
_TOOLS = (peer_tools.mosquitto_pub, peer_tools.mqttjs, peer_tools.paho, peer_tools.aiomqtt)


def measure(work: Work) -> list[Figure]:
    """Measure rates in one interleaved run, and then what arrives."""
    found = list(_peers(work))
    with work.broker(PEERS) as broker:
        return _Peers(work, broker, found).measure()


def _peers(work: Work) -> Iterable[Peer]:
    for tool in _TOOLS:
        try:
            yield tool()
        except Missing as missing:
            work.skip(f"{PEERS}: {missing}")


class _Peers:
    def __init__(self, work: Work, broker: Broker, peers: list[Peer]) -> None:
        self._work = work
        self._broker = broker
        self._peers = peers
        self._records = work.sizes.records
        self._inbox = work.directory / f"{PEERS}-inbox"
        self._inbox.mkdir()
        self._file = self._inbox / "records.jsonl"
        write_records(self._file, self._records)
        self._topics = 0

    def measure(self) -> list[Figure]:
        ways: dict[str, Way[float]] = {
            CEILING: self._whole(lambda place: ceiling(self._broker, self._records)(place).whole_seconds),
            WEIR: self._whole(lambda place: self._weir(place, {}).whole_seconds),
            WEIR_BATCHES: self._whole(lambda place: self._weir(place, LINES).whole_seconds),
            **{peer.name: self._whole(self._seconds_of(peer)) for peer in self._peers},
        }
        rates = interleaved(self._work, PEERS, ways, _told) | self._watched_rates()
        figures = [Figure(PEERS, "the bare client, a second", "1/s", rates[CEILING])]
        for name, values in rates.items():
            if name not in {CEILING, WATCHED}:
                against = rates[WATCHED if name == BRIDGE else CEILING]
                figures.append(Figure(PEERS, f"{name}: rate", RATIO, ratios(values, against)))
        return figures + self._arrivals()

    def _whole(self, seconds: Callable[[Path], float]) -> Way[float]:
        return lambda place: self._records / seconds(place)

    def _weir(self, place: Path, settings: Mapping[str, object]) -> Run:
        return Gateway(place, self._broker, settings=settings).drain_directory(self._inbox, self._records)

    def _seconds_of(self, peer: Peer) -> Callable[[Path], float]:
        def seconds(place: Path) -> float:
            begun = time.monotonic()
            process = self._start(peer, "telemetry/peer", place)
            if process.wait(TIMEOUT_SECONDS):
                raise RuntimeError(f"{peer.name}: {(place / 'log').read_text(errors='replace')}")
            return time.monotonic() - begun

        return seconds

    def _start(self, peer: Peer, topic: str, place: Path) -> subprocess.Popen[bytes]:
        with (place / "log").open("wb") as log:
            return subprocess.Popen(
                peer.command(self._broker, topic, self._file),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment() | peer.environment,
            )

    # -- with a subscriber --------------------------------------------------------------------------------------------

    def _watched_rates(self) -> dict[str, list[float]]:
        with self._work.broker("watched") as broker:
            observer = broker.observe()  # one for all: the broker keeps what comes for one that has gone

            def bare(place: Path) -> float:
                observer.messages.clear()
                return self._records / ceiling(broker, self._records)(place).whole_seconds

            def bridge(place: Path) -> float:
                observer.messages.clear()
                with bridged(place, broker) as bridge:
                    begun = time.monotonic()
                    bridge.feed("telemetry/peer", self._file).wait(TIMEOUT_SECONDS)
                    arrived, last = self._arrived(observer)
                    return arrived / (last - begun)

            try:
                return interleaved(self._work, f"{PEERS}, with a subscriber", {WATCHED: bare, BRIDGE: bridge}, _told)
            except Missing as missing:
                self._work.skip(f"{PEERS}: {missing}")
                return {}

    def _observed(self) -> tuple[Observer, str]:
        self._topics += 1
        topic = f"telemetry/peer-{self._topics}"
        return self._broker.observe(topic), topic

    def _arrived(self, observer: Observer, most: int | None = None) -> tuple[int, float]:
        """Wait until all is there, or nothing more comes; give how many different ones, and when the last one came."""
        count, last = 0, time.monotonic()
        while count < (most or self._records) and time.monotonic() < last + _QUIET_SECONDS:
            time.sleep(0.02)
            if len(observer.messages) > count:
                count, last = len(observer.messages), time.monotonic()
        return len({message.payload for message in observer.messages}), last

    # -- what arrives -------------------------------------------------------------------------------------------------

    def _arrivals(self) -> list[Figure]:
        figures: list[Figure] = []
        for kill in (False, True):
            how = "after a SIGKILL in the middle" if kill else "of what it was given"
            runs = {peer.name: self._peer_run(peer, kill=kill) for peer in self._peers}
            runs |= {BRIDGE: self._bridge_run(kill=kill), WEIR: self._weir_run(kill=kill)}
            figures += [self._arrival(f"{name}: arrived {how}", run) for name, run in runs.items()]
        return [figure for figure in figures if figure.values]

    def _arrival(self, name: str, run: Callable[[Path, Observer, str], None]) -> Figure:
        observer, topic = self._observed()
        place = self._work.directory / f"arrival-{self._topics}"
        place.mkdir()
        try:
            run(place, observer, topic)
            arrived = 100 * self._arrived(observer)[0] / self._records
            self._work.say(f"{name}: {arrived:.2f} %")
            return Figure(PEERS, name, "%", [arrived])
        except Missing:
            return Figure(PEERS, name, "%", [])
        finally:
            observer.close()

    def _wait_for_a_third(self, observer: Observer) -> None:
        observer.wait_for(lambda: len(observer.messages) >= self._records // 3)

    def _peer_run(self, peer: Peer, *, kill: bool) -> Callable[[Path, Observer, str], None]:
        def run(place: Path, observer: Observer, topic: str) -> None:
            process = self._start(peer, topic, place)
            if kill:
                self._wait_for_a_third(observer)
                end_process(process, signal.SIGKILL)
            else:
                process.wait(TIMEOUT_SECONDS)

        return run

    def _bridge_run(self, *, kill: bool) -> Callable[[Path, Observer, str], None]:
        def run(place: Path, observer: Observer, topic: str) -> None:
            with bridged(place, self._broker) as bridge:
                feeder = bridge.feed(topic, self._file)
                if kill:
                    self._wait_for_a_third(observer)
                    bridge.kill()
                    bridge.start()  # and the feeder connects again
                self._arrived(observer)
                end_process(feeder, signal.SIGKILL)

        return run

    def _weir_run(self, *, kill: bool) -> Callable[[Path, Observer, str], None]:
        def run(place: Path, observer: Observer, topic: str) -> None:
            gateway = Gateway(place, self._broker, topic=topic)
            if kill:
                with gateway.running(["--watch", self._inbox]) as process:
                    self._wait_for_a_third(observer)
                    end_process(process, signal.SIGKILL)
            with gateway.running(["--watch", self._inbox]):
                self._arrived(observer, 2 * self._records if kill else None)

        return run


def _told(rate: float) -> str:
    return f"{rate:,.0f} records a second"
