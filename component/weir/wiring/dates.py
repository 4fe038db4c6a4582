"""The dates that a connection depends on: those of the certificate, and this machine's clock.

Owns when the certificate is looked at, and what is wrong with either. A clock that is not set makes every certificate
look wrong, so it is judged first.
"""

from __future__ import annotations

from pathlib import Path

from weir.core.certificate import Validity, validity
from weir.core.quoting import LONGEST_PATH, escaped
from weir.report.times import rfc3339
from weir.wiring.preflight import MOST_PEM_BYTES

LOOK_SECONDS = 2.0  # between two looks at whether the file is another one
EXPIRING_SECONDS = 14 * 86_400.0
CLOCK_SET = 1_577_836_800.0  # 2020-01-01T00:00:00Z: before it no clock of a machine that runs this can be right

Verdicts = dict[str, str | None]


class Dates:
    """Looks at one certificate, if there is one."""

    def __init__(self, certificate: str | None) -> None:
        """Take its path, None where none is used; nothing is read yet."""
        self._path = None if certificate is None else Path(certificate)
        self._look_at = 0.0
        self._seen: tuple[int, int, int] | None = None
        self._validity: Validity | None = None

    def verdicts(self, now: float, wall: float) -> Verdicts:
        """Judge clock and certificate; `now` is monotonic, `wall` the clock that is judged."""
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look()
        return judged(escaped(str(self._path), LONGEST_PATH), self._validity, wall)

    def _look(self) -> None:
        """Read the certificate if it is another one; of one that cannot be read the connection tells."""
        if self._path is None:
            return
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._seen:
                return
            self._seen, self._validity = seen, None
            with self._path.open("rb") as file:
                self._validity = validity(file.read(MOST_PEM_BYTES))
        except (OSError, ValueError):
            self._validity = None


def judged(certificate: str, valid: Validity | None, wall: float) -> Verdicts:
    """Say what is wrong at this wall time with the clock, and with a certificate of this name."""
    clock = expired = expiring = None
    if wall < CLOCK_SET:
        clock = f"set this machine's clock, by NTP for one: it says {rfc3339(wall)}"
    elif valid is not None and wall < valid.not_before:
        clock = (
            f"set this machine's clock, by NTP for one: it says {rfc3339(wall)}, and {certificate} begins at "
            f"{rfc3339(valid.not_before)}"
        )
    elif valid is not None and wall >= valid.not_after:
        expired = f"replace {certificate}: it expired at {rfc3339(valid.not_after)}"
    elif valid is not None and wall >= valid.not_after - EXPIRING_SECONDS:
        expiring = f"replace {certificate}: it expires at {rfc3339(valid.not_after)}"
    return {"clockNotSet": clock, "certificateExpired": expired, "certificateExpiring": expiring}
