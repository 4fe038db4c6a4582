"""This machine's own vitals, from /proc: one reading each of load, memory, processor, network and uptime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

Reading = dict[str, float]

_PROC = Path("/proc")


def readings() -> Iterator[tuple[str, Reading]]:
    """Give what can be read here, by name; not every container has all of it."""
    for name, read in _READERS.items():
        try:
            reading = read()
        except (OSError, ValueError, IndexError):
            continue
        yield name, reading


def _load() -> Reading:
    one, five, fifteen, *_ = _words("loadavg")
    return {"1min": float(one), "5min": float(five), "15min": float(fifteen)}


def _memory() -> Reading:
    lines = (line.split() for line in (_PROC / "meminfo").read_text().splitlines())
    kibibytes = {words[0].rstrip(":"): int(words[1]) for words in lines}
    return {f"{name}KiB": kibibytes[name] for name in ("MemTotal", "MemAvailable") if name in kibibytes}


def _processor() -> Reading:
    _, user, nice, system, idle, *_ = _words("stat")
    return {"user": int(user), "nice": int(nice), "system": int(system), "idle": int(idle)}  # in clock ticks


def _network() -> Reading:
    received = sent = 0
    for line in (_PROC / "net" / "dev").read_text().splitlines()[2:]:
        words = line.partition(":")[2].split()
        received += int(words[0])
        sent += int(words[8])
    return {"receivedBytes": received, "sentBytes": sent}


def _uptime() -> Reading:
    return {"seconds": float(_words("uptime")[0])}


def _words(name: str) -> list[str]:
    return (_PROC / name).read_text().partition("\n")[0].split()


_READERS: dict[str, Callable[[], Reading]] = {
    "load": _load,
    "memory": _memory,
    "processor": _processor,
    "network": _network,
    "uptime": _uptime,
}
