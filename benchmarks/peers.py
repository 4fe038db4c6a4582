"""Other ways to send the lines of a file at QoS 1, on the same broker: how fast, and how much of it arrives.

The fast ones send all of the file, or their start would be most of what is timed; those with one record a message that
are no faster than the bare client send its head. Each stands beside the bare client with the same number of messages in
the same round. The time is that of a whole process, from its start to its end, since not all of them tell more, and a
rate is of the records that the broker has taken by its own count: not all of them deliver what they are given. Only a
bridge has no end: it is timed by a subscriber, and stands beside the bare client with one.

What arrives when there is a SIGKILL after a third is counted in runs of their own. Weir and the bridge are then started
again, since they have something to go on from.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks import peer_tools
from benchmarks.bridge import bridged
from benchmarks.figures import RATIO, Figure, ratios
from benchmarks.gateway import BATCH, LINES, Gateway, end_process
from benchmarks.interleaved import Way, ceiling, interleaved
from benchmarks.peer_tools import Peer
from benchmarks.processes import ROOT, TIMEOUT_SECONDS, environment
from benchmarks.taken import EVERY_SECOND, Taken
from benchmarks.work import Missing, Work
from benchmarks.workload import write_records
from tests.broker import Broker
from tests.observer import Observer

PEERS = "peers"
WEIR, WEIR_BATCHES, BRIDGE = "Weir, one record a message", "Weir, 500 records a message", "mosquitto bridge"
ALL, HEAD, WATCHED = "all records", "the head", "the head, with a subscriber"  # what the bare client is given
_KILLED = "arrived after a SIGKILL in the middle"
_QUIET_SECONDS = 5.0  # nothing more arrives after so long
_AIMS = {WEIR_BATCHES: "ahead of every other", WEIR: "ahead of paho-mqtt, aiomqtt and the bridge"}
_FAST = (peer_tools.mosquitto_pub, peer_tools.mqttjs)
_SLOW = (peer_tools.paho, peer_tools.aiomqtt)


class Sent(NamedTuple):
    """What became of the records that a program was given."""

    given: int
    arrived: int
    seconds: float

    @property
    def rate(self) -> float:
        """Give records a second, of those that arrived."""
        return self.arrived / self.seconds

    @property
    def per_cent(self) -> float:
        """Give how many of them arrived."""
        return 100 * self.arrived / self.given


class Given:
    """Records in a file, alone in its directory."""

    def __init__(self, inbox: Path, records: int) -> None:
        inbox.mkdir()
        self.inbox, self.file, self.records = inbox, inbox / "records.jsonl", records
        write_records(self.file, records)


Whole = Callable[[Path, Given], None]  # the life of a program that sends what it is given, in a directory for it
Killed = Callable[[Path, Observer, str], None]  # the same with a SIGKILL when a third has come to the observer


def measure(work: Work) -> list[Figure]:
    """Measure rates in one interleaved run, and then what arrives after a SIGKILL."""
    fast, slow = list(_found(work, _FAST)), list(_found(work, _SLOW))
    with work.broker(PEERS, EVERY_SECOND) as broker:
        return _Peers(work, broker, fast, slow).measure()


def _found(work: Work, tools: Iterable[Callable[[], Peer]]) -> Iterator[Peer]:
    for tool in tools:
        try:
            yield tool()
        except Missing as missing:
            work.skip(f"{PEERS}: {missing}")


class _Peers:
    def __init__(self, work: Work, broker: Broker, fast: list[Peer], slow: list[Peer]) -> None:
        self._work = work
        self._broker = broker
        self._taken = Taken(broker)
        self._fast, self._slow = fast, slow
        self._all = Given(work.directory / "all", work.sizes.batched)
        self._head = Given(work.directory / "head", work.sizes.records)  # records are the same, only fewer
        self._topics = 0

    def measure(self) -> list[Figure]:
        on_all = {
            ALL: self._bare,
            WEIR_BATCHES: self._weir(LINES),
            **{peer.name: self._peer(peer) for peer in self._fast},
        }
        on_head = {HEAD: self._bare, WEIR: self._weir({}), **{peer.name: self._peer(peer) for peer in self._slow}}
        ways = {name: self._timed(whole, self._all) for name, whole in on_all.items()}
        ways |= {name: self._timed(whole, self._head) for name, whole in on_head.items()}
        sent = interleaved(self._work, PEERS, ways, _told) | self._watched()
        beside = dict.fromkeys(on_all, ALL) | dict.fromkeys(on_head, HEAD) | {BRIDGE: WATCHED}
        killed = self._killed()
        bare = [
            Figure(PEERS, f"the bare client, {name}: a second", "1/s", _rates(sent[name]))
            for name in (ALL, HEAD, WATCHED)
            if name in sent
        ]
        ours = [name for name in sent if name not in {ALL, HEAD, WATCHED}]
        return [*bare, *(figure for name in ours for figure in _figures(name, sent[name], sent[beside[name]], killed))]

    # -- rates --------------------------------------------------------------------------------------------------------

    def _timed(self, whole: Whole, given: Given) -> Way[Sent]:
        def way(place: Path) -> Sent:
            begun = time.monotonic()
            whole(place, given)
            seconds = time.monotonic() - begun
            return Sent(given.records, self._taken.more(), seconds)

        return way

    def _bare(self, place: Path, given: Given) -> None:
        ceiling(self._broker, given.records)(place)

    def _weir(self, settings: Mapping[str, object]) -> Whole:
        def whole(place: Path, given: Given) -> None:
            Gateway(place, self._broker, settings=settings).drain_directory(given.inbox, given.records)

        return whole

    def _peer(self, peer: Peer) -> Whole:
        def whole(place: Path, given: Given) -> None:
            process = self._start(peer, "telemetry/peer", given.file, place)
            try:
                if process.wait(TIMEOUT_SECONDS):
                    raise RuntimeError(f"{peer.name}: {(place / 'log').read_text(errors='replace')}")
            finally:
                end_process(process, signal.SIGKILL)

        return whole

    def _start(self, peer: Peer, topic: str, file: Path, place: Path) -> subprocess.Popen[bytes]:
        with (place / "log").open("wb") as log:
            return subprocess.Popen(
                peer.command(self._broker, topic, file),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment() | peer.environment,
            )

    # -- with a subscriber --------------------------------------------------------------------------------------------

    def _watched(self) -> dict[str, list[Sent]]:
        records = self._head.records
        with self._work.broker("watched") as broker:
            observer = broker.observe()  # one for all: the broker keeps what comes for one that has gone

            def bare(place: Path) -> Sent:
                _forget(observer)
                return Sent(records, records, ceiling(broker, records)(place).whole_seconds)

            def bridge(place: Path) -> Sent:
                _forget(observer)
                with bridged(place, broker) as bridge:
                    begun = time.monotonic()
                    bridge.feed("telemetry/peer", self._head.file).wait(TIMEOUT_SECONDS)
                    last = _wait_for_rest(observer, records)
                    return Sent(records, _different(observer), last - begun)

            try:
                return interleaved(self._work, f"{PEERS}, with a subscriber", {WATCHED: bare, BRIDGE: bridge}, _told)
            except Missing as missing:
                self._work.skip(f"{PEERS}: {missing}")
                return {}

    # -- what arrives after a SIGKILL ---------------------------------------------------------------------------------

    def _killed(self) -> dict[str, float]:
        runs: dict[str, Killed] = {peer.name: self._kill_peer(peer) for peer in (*self._fast, *self._slow)}
        runs |= {BRIDGE: self._kill_bridge, WEIR: self._kill_weir({}, 1), WEIR_BATCHES: self._kill_weir(LINES, BATCH)}
        arrived: dict[str, float] = {}
        for name, run in runs.items():
            self._topics += 1
            topic, place = f"telemetry/peer-{self._topics}", self._work.directory / f"killed-{self._topics}"
            place.mkdir()
            observer = self._broker.observe(topic)
            try:
                run(place, observer, topic)
            except Missing:  # it was said where the rates were measured
                continue
            finally:
                observer.close()
            arrived[name] = 100 * _different(observer) / self._head.records
            self._work.say(f"{PEERS}: {name}: {_KILLED}: {arrived[name]:.2f} %")
        return arrived

    def _kill_peer(self, peer: Peer) -> Killed:
        def run(place: Path, observer: Observer, topic: str) -> None:
            process = self._start(peer, topic, self._head.file, place)
            self._wait_for_a_third(observer)
            end_process(process, signal.SIGKILL)
            _wait_for_rest(observer)

        return run

    def _kill_bridge(self, place: Path, observer: Observer, topic: str) -> None:
        with bridged(place, self._broker) as bridge:
            feeder = bridge.feed(topic, self._head.file)
            self._wait_for_a_third(observer)
            bridge.kill()
            bridge.start()  # and the feeder connects again
            _wait_for_rest(observer)
            end_process(feeder, signal.SIGKILL)

    def _kill_weir(self, settings: Mapping[str, object], a_message: int) -> Killed:
        def run(place: Path, observer: Observer, topic: str) -> None:
            gateway = Gateway(place, self._broker, topic=topic, settings=settings)
            with gateway.running(["--watch", self._head.inbox]) as process:
                self._wait_for_a_third(observer, a_message)
                end_process(process, signal.SIGKILL)
            with gateway.running(["--watch", self._head.inbox]):
                _wait_for_rest(observer)

        return run

    def _wait_for_a_third(self, observer: Observer, a_message: int = 1) -> None:
        third = self._head.records // 3 // a_message
        observer.wait_for(lambda: len(observer.messages) > third)


def _forget(observer: Observer) -> None:
    """Forget what came, with what the one before has sent and is still on its way."""
    observer.arrived()
    observer.messages.clear()


def _wait_for_rest(observer: Observer, most: int | None = None) -> float:
    """Wait until so many messages are there, or nothing more comes; give when the last one came."""
    count, last = 0, time.monotonic()
    while (most is None or count < most) and time.monotonic() < last + _QUIET_SECONDS:
        time.sleep(0.02)
        if len(observer.messages) > count:
            count, last = len(observer.messages), time.monotonic()
    return last


def _figures(name: str, sent: list[Sent], bare: list[Sent], killed: Mapping[str, float]) -> list[Figure]:
    return [
        Figure(PEERS, f"{name}: rate", RATIO, ratios(_rates(sent), _rates(bare)), _AIMS.get(name, "")),
        Figure(PEERS, f"{name}: arrived of what it was given", "%", [each.per_cent for each in sent]),
        *([Figure(PEERS, f"{name}: {_KILLED}", "%", [killed[name]])] if name in killed else []),
    ]


def _rates(sent: list[Sent]) -> list[float]:
    return [each.rate for each in sent]


def _different(observer: Observer) -> int:
    """Count the different records, alone or as lines of larger messages."""
    return len({line for message in list(observer.messages) for line in message.payload.split(b"\n")})


def _told(sent: Sent) -> str:
    return f"{sent.rate:,.0f} records a second, {sent.per_cent:.2f} % arrived"
