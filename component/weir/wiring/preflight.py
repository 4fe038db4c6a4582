"""The checks of a configuration that have to look at files.

Owns the rules on credentials and directories as they are on this machine. It must not change anything, and never shows
what a file holds. A watched directory that is missing is no problem: it may be mounted later.
"""

from __future__ import annotations

import os
import select
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from weir.core.errors import Problem
from weir.core.quoting import LONGEST_PATH, escaped
from weir.core.settings import Settings
from weir.core.ways import IPC_SOCKET

MOST_PEM_BYTES = 2**20
CERTIFICATE = "CERTIFICATE"
PRIVATE_KEY = "PRIVATE KEY"
ROOT = 0
STANDARD_INPUT = 0
OTHERS = 0o077
WRITABLE_BY_OTHERS = 0o022


def preflight(settings: Settings, *, connecting: bool = True) -> list[Problem]:
    """Give everything on this machine that stands in the way of these settings."""
    problems = [*_directories(settings), *_state(settings.state.path), *_standard_input(settings)]
    problems += _metrics_file(settings)
    return [*_credentials(settings), *problems] if connecting else problems


def _credentials(settings: Settings) -> Iterator[Problem]:
    connection = settings.connection
    if connection.certificate is not None:
        yield from _pem("connection.certificate", connection.certificate, CERTIFICATE)
    if connection.private_key is not None:
        yield from _pem("connection.privateKey", connection.private_key, PRIVATE_KEY)
        yield from _kept_private("connection.privateKey", connection.private_key)
    if connection.ca is not None:
        yield from _pem("connection.ca", connection.ca, CERTIFICATE)


def _pem(key: str, path: str, label: str) -> Iterator[Problem]:
    """Say what keeps the client from using this file."""
    # What stands in the place of the key's path may be the key itself, which is not for a log.
    name = "" if label == PRIVATE_KEY else f"{escaped(path)} "
    allowed = f"(allowed: a PEM file with a {label.lower()})"
    try:
        fault = _pem_fault(_content(path), label)
    except FileNotFoundError:
        fault = "does not exist"
    except PermissionError:
        fault = "may not be read by this user"
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    if fault:
        yield Problem(key, f"{name}{fault} {allowed}")


def _content(path: str) -> bytes | None:
    """Give what a regular file holds. To open anything else might wait for ever."""
    file = Path(path)
    if not stat.S_ISREG(file.stat().st_mode):
        return None
    with file.open("rb") as opened:
        return opened.read(MOST_PEM_BYTES)


def _pem_fault(content: bytes | None, label: str) -> str | None:
    if content is None:
        return "is not a regular file"
    if b"-----BEGIN " not in content:
        return "is not in PEM form"
    if f"{label}-----".encode() not in content:
        return f"holds no {label.lower()}"
    if label == PRIVATE_KEY and b"ENCRYPTED" in content:
        return "is protected by a passphrase, and nobody is there to enter it"
    return None


def _kept_private(key: str, path: str) -> Iterator[Problem]:
    try:
        status = Path(path).stat()
    except OSError:
        return  # said already
    if not stat.S_ISREG(status.st_mode):
        return
    if status.st_mode & OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        yield Problem(key, f"can be used by others, mode {mode:04o} (allowed: chmod 600 {shlex.quote(path)})")
    if status.st_uid not in {ROOT, os.geteuid()}:
        yield Problem(
            key, f"belongs to another user (allowed: chown {os.geteuid()} {shlex.quote(path)}, then chmod 600)"
        )


def _directories(settings: Settings) -> Iterator[Problem]:
    state = os.path.realpath(settings.state.path)
    watched: dict[str, str] = {}
    for name, stream in settings.streams.items():
        if not stream.enabled or stream.source.path is None:
            continue
        key = f"streams.{name}.source.path"
        source = os.path.realpath(stream.source.path)
        if Path(source).exists() and not Path(source).is_dir():
            yield Problem(key, "is not a directory (allowed: a directory, or one that comes later)")
        other = watched.setdefault(source, name)
        if settings.streams[other].source.path != stream.source.path:  # the same path is refused without looking
            yield Problem(key, f"leads to the directory that stream {other} watches (allowed: one stream a directory)")
        if _within(state, source) or _within(source, state):
            message = (
                f"shares its place with the directory that stream {name} watches (allowed: neither inside the other)"
            )
            yield Problem("state.path", message)


def _standard_input(settings: Settings) -> Iterator[Problem]:
    """Say that nothing can come from standard input: a nucleus connects it to nothing."""
    if not os.environ.get(IPC_SOCKET) or not _is_over(STANDARD_INPUT):
        return
    for name, stream in settings.streams.items():
        if stream.enabled and stream.source.type == "stdin":
            message = (
                "standard input is at its end from the start, as a nucleus leaves it "
                "(allowed: directory, or a recipe that runs `producer | exec venv/bin/python3 -u -m weir.cli run`)"
            )
            yield Problem(f"streams.{name}.source.type", message)


def _is_over(descriptor: int) -> bool:
    try:
        status = os.fstat(descriptor)
        if stat.S_ISCHR(status.st_mode):
            return os.path.samestat(status, Path(os.devnull).stat())
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return any(events & select.POLLHUP and not events & select.POLLIN for _, events in poll.poll(0))
    except OSError:
        return True  # it is closed


def _metrics_file(settings: Settings) -> Iterator[Problem]:
    """Say why the file cannot be replaced where it is to be. That is done by a rename, so the directory matters."""
    key, path = "report.metricsFile", settings.report.metrics_file
    if path is None:
        return
    directory = os.path.realpath(Path(path).parent)
    allowed = "(allowed: a file in a directory that this user may write to)"
    taken = [(stream.source.path, f"that stream {name} watches") for name, stream in settings.streams.items()]
    owner = next(
        (whose for other, whose in [*taken, (settings.state.path, "of the state")] if _is_in(directory, other)), None
    )
    if Path(path).is_dir():
        yield Problem(key, f"{escaped(path)} is a directory {allowed}")
    elif not Path(directory).is_dir():
        yield Problem(key, f"the directory {escaped(directory)} does not exist {allowed}")
    elif owner is not None:
        yield Problem(key, f"lies in the directory {owner} (allowed: a file elsewhere)")
    elif not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        yield Problem(key, f"the directory {escaped(directory)} may not be written to by this user {allowed}")


def _is_in(directory: str, other: str | None) -> bool:
    return other is not None and directory == os.path.realpath(other)


def _within(inner: str, outer: str) -> bool:
    return Path(inner).is_relative_to(outer)


def _state(path: str) -> Iterator[Problem]:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        yield from _made_in(next(above for above in Path(path).parents if above.exists()))
        return
    except OSError as error:
        yield Problem("state.path", f"cannot be used: {error.strerror} (allowed: a directory)")
        return
    if stat.S_ISLNK(mode):
        yield Problem("state.path", "is a symbolic link (allowed: the directory itself)")
    elif not stat.S_ISDIR(mode):
        yield Problem("state.path", "is not a directory (allowed: a directory, or nothing yet)")
    elif mode & WRITABLE_BY_OTHERS:
        shown = f"{stat.S_IMODE(mode):04o}"
        yield Problem("state.path", f"can be changed by others, mode {shown} (allowed: chmod 700 {shlex.quote(path)})")


def _made_in(directory: Path) -> Iterator[Problem]:
    """Say why the state cannot be made below this directory. A disk that may only be read just now is waited for."""
    if os.access(directory, os.W_OK | os.X_OK, effective_ids=True) or os.statvfs(directory).f_flag & os.ST_RDONLY:
        return
    shown = escaped(str(directory), LONGEST_PATH)
    yield Problem(
        "state.path", f"cannot be made, {shown} may not be written to by this user (allowed: a place where it may)"
    )
