"""The control socket: one request, one answer, and no client can hold the loop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conditions import eventually
from weir.control.protocol import CONNECT_SECONDS, MAX_BYTES, Message, address, ask
from weir.control.server import CLIENTS, ControlServer
from weir.forwarder.inbox import Inbox


class Loop:
    """A loop that only waits, in a thread of its own, with a control server on its inbox."""

    def __init__(self, directory: Path) -> None:
        self.inbox = Inbox()
        self.asked: list[Message] = []
        self.server = ControlServer(directory, self.inbox, self._answer)
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _answer(self, request: Message) -> Message:
        self.asked.append(request)
        if request.get("command") != "status":
            raise ValueError("no such command")
        return {"status": "fine", "padding": "x" * int(request.get("size", 0))}

    def _run(self) -> None:
        while not self._ended:
            self.inbox.wait(1.0, 1)

    def close(self) -> None:
        self._ended = True
        self.inbox.wake()
        self._thread.join(CONNECT_SECONDS)
        self.server.close()
        self.inbox.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    return deep


@pytest.fixture
def loop(directory: Path) -> Iterator[Loop]:
    loop = Loop(directory)
    yield loop
    loop.close()


@pytest.mark.usefixtures("loop")
def test_an_answer_comes_though_the_path_is_longer_than_a_socket_may_have(directory: Path) -> None:
    assert len(str(directory)) > 107
    assert ask(directory, {"command": "status"}) == {"status": "fine", "padding": ""}


@pytest.mark.usefixtures("loop")
def test_a_large_answer_comes_whole(directory: Path) -> None:
    answer = ask(directory, {"command": "status", "size": 500_000})
    assert answer is not None
    assert len(answer["padding"]) == 500_000


@pytest.mark.usefixtures("loop")
def test_a_request_that_is_none_is_answered_with_what_is_wrong(directory: Path) -> None:
    assert ask(directory, {"command": "destroy"}) == {"error": "no such command"}
    with address(directory) as where, socket.socket(socket.AF_UNIX) as client:
        client.connect(where)
        client.sendall(b"[1]\n")
        assert b"error" in client.recv(1 << 16)


def test_nobody_listening_is_no_answer(tmp_path: Path, directory: Path) -> None:
    assert ask(directory, {"command": "status"}) is None
    assert ask(tmp_path / "nowhere", {"command": "status"}) is None


def test_a_socket_left_by_a_process_that_was_killed_is_taken_over(directory: Path) -> None:
    with address(directory) as where, socket.socket(socket.AF_UNIX) as left:
        left.bind(where)
    loop = Loop(directory)
    assert ask(directory, {"command": "status"}) is not None
    loop.close()


@pytest.mark.usefixtures("loop")
def test_the_socket_is_for_its_owner_only(directory: Path) -> None:
    assert (directory / "control").stat().st_mode & 0o777 == 0o600


def test_clients_that_say_nothing_or_hang_up_or_flood_hold_nobody_up(loop: Loop, directory: Path) -> None:
    with address(directory) as where:
        silent = [socket.socket(socket.AF_UNIX) for _ in range(CLIENTS + 4)]
        for client in silent:
            client.connect(where)
        for client in silent[::2]:
            client.close()
        assert ask(directory, {"command": "status"}) is not None
        flood = socket.socket(socket.AF_UNIX)
        flood.connect(where)
        flood.settimeout(CONNECT_SECONDS)
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            flood.sendall(b"x" * (8 * MAX_BYTES))
        assert ask(directory, {"command": "status"}) is not None
        for client in (*silent, flood):
            client.close()
    eventually(lambda: len(loop.asked) == 2, what="both requests were answered")
