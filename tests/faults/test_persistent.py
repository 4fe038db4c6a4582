"""A fault that is there when the process starts, and stays: it must be waited for, since a supervisor that sees the
process end again and again gives it up.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.conditions import eventually
from tests.faults.disks import Disk, Memory, filled, run
from tests.faults.frame import Trial
from tests.faults.shim import BEFORE, Board
from tests.faults.test_crash import begin_counted
from tests.faults.test_disk import SMALL, judged

Begin = Callable[..., Trial]
Fault = Callable[[Disk], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def read_only(disk: Disk) -> Iterator[None]:
    """Let nothing be written to a disk on which nothing is open."""
    run("mount", "-o", "remount,ro", str(disk.path))
    yield
    run("mount", "-o", "remount,rw", str(disk.path))


FAULTS: dict[str, Fault] = {"full": filled, "read-only": read_only}


def outlasts(trial: Trial) -> None:
    """Start it, and see that it stays: it says what is wrong, or it can work all the same."""
    trial.start()
    process = trial.forwarder.process
    assert process is not None
    said = ("event=degraded reason=storeFailing", "event=started")
    eventually(
        lambda: process.poll() is not None or any(what in trial.log() for what in said), what="it says how it is"
    )
    assert process.poll() is None, trial.log()


def comes_back(trial: Trial) -> None:
    """Go on to the end without another start."""
    process = trial.forwarder.process
    trial.finish(clean=False)
    assert trial.forwarder.process is process


@pytest.mark.parametrize("lived", [False, True], ids=["first start", "later start"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_takes_nothing_from_the_start_is_waited_for(
    begin: Begin, make_disk: Callable[..., Disk], fault: str, *, lived: bool
) -> None:
    disk = make_disk(Memory, SMALL)
    trial = begin(disk.path)
    if lived:
        trial.start()
        trial.do(next(trial.steps))
        trial.forwarder.kill()
        trial.kills += 1
    else:
        next(trial.steps).action()
    with FAULTS[fault](disk):
        outlasts(trial)
    comes_back(trial)
    judged(trial, f"{fault} disk from the start")


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_calls_that_all_fail_from_the_start_are_waited_for(begin: Begin, board: Board, error: int) -> None:
    trial = begin_counted(begin, board)
    board.always(BEFORE, error=error)
    next(trial.steps).action()
    outlasts(trial)
    board.arm(0, BEFORE)
    comes_back(trial)
    judged(trial, f"every call fails from the start ({errno.errorcode[error]})")


Damage = Callable[[Path, Path, Certificates], object]  # of the certificate, the key and the authority in use


def no_certificate(certificate: Path, _key: Path, _certificates: Certificates) -> None:
    certificate.write_text("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")


def key_of_another(_certificate: Path, key: Path, certificates: Certificates) -> None:
    shutil.copy(certificates.stranger.key, key)


FILES: dict[str, Damage] = {"no certificate": no_certificate, "the key of another": key_of_another}


@pytest.mark.parametrize("damage", FILES)
def test_credentials_that_do_not_do_from_the_start_are_waited_for(
    begin: Begin, certificates: Certificates, tmp_path: Path, damage: str
) -> None:
    trial = begin()
    used = tmp_path / "used.pem", tmp_path / "used.key"

    def put_right() -> None:
        shutil.copy(certificates.client.certificate, used[0])
        shutil.copy(certificates.client.key, used[1])

    put_right()
    FILES[damage](*used, certificates)
    trial.forwarder.configuration["connection"] |= {"certificate": str(used[0]), "privateKey": str(used[1])}
    trial.link_up()
    trial.start()
    next(trial.steps).action()
    trial.until(lambda _: trial.log_of("connect_failed") > 1, "it tries again")
    assert "do not fit together" in trial.log()
    put_right()
    comes_back(trial)
    judged(trial, f"{damage} from the start")


@pytest.mark.parametrize("lived", [False, True], ids=["first start", "later start"])
def test_a_state_that_may_not_be_used_from_the_start_is_waited_for(begin: Begin, *, lived: bool) -> None:
    trial = begin()
    lock = trial.forwarder.state / "lock"
    if lived:
        trial.start()
        trial.do(next(trial.steps))
        trial.forwarder.kill()
        trial.kills += 1
        lock.unlink()
    else:
        next(trial.steps).action()
    lock.mkdir(parents=True, mode=0o700)
    lock.parent.chmod(0o700)
    outlasts(trial)
    lock.rmdir()
    comes_back(trial)
    judged(trial, "unusable state from the start")


def test_too_few_descriptors_for_good_are_refused_in_one_line(begin: Begin) -> None:
    trial = begin()
    trial.forwarder.prefix = ["prlimit", "--nofile=12:12"]
    trial.start()
    assert trial.ended() == 78, trial.log()
    [line] = trial.log().splitlines()
    assert line.startswith("open files: this process may have 12 (allowed: ")


def test_too_few_descriptors_are_made_more_where_that_is_allowed(begin: Begin) -> None:
    trial = begin()
    trial.forwarder.prefix = ["prlimit", "--nofile=12:1024"]
    trial.start()
    assert trial.live(), trial.log()
