"""`python -m weir.operation_queue`, as a person runs it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.broker import Broker
from tests.conditions import DEADLINE_SECONDS
from tests.integration.http_proxy import http_proxy
from weir.core.modes import MODE_NAMES


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "weir.operation_queue", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=4 * DEADLINE_SECONDS)


def connecting(broker: Broker, **changes: str) -> list[str]:
    settings = broker.connection()
    flags = {
        "--endpoint": str(settings.endpoint),
        "--port": str(broker.port),
        "--cert": str(settings.certificate),
        "--key": str(settings.private_key),
        "--ca_file": str(settings.ca),
    }
    return [part for pair in (flags | changes).items() for part in pair]


def test_it_publishes_receives_it_all_back_and_gives_an_account(broker: Broker) -> None:
    observer = broker.observe("test/#")
    done = run(*connecting(broker), "--client_id", "test-program", "--count", "25")
    assert not done.returncode, done.stderr
    lines = done.stdout.splitlines()
    assert lines == [
        f"connected to localhost:{broker.port} as test-program",
        "operations: 27 queued, 27 acknowledged, 0 failed, 0 dropped, 0 left",
        "messages: 25 to publish, 25 received back",
        "disconnected",
    ]
    assert observer.wait_for(25)[0].payload == b"Hello World! [1]"
    assert done.stderr == ""


@pytest.mark.parametrize("flag", ["--queue_mode", "--queue-mode"])
def test_a_mode_that_drops_says_how_many(broker: Broker, flag: str) -> None:
    done = run(
        *connecting(broker), flag, "1", "--queue-limit", "1", "--count=500", "--topic", "test/other", "--message", "m"
    )
    assert not done.returncode, done.stderr
    found = re.search(r"(\d+) queued, (\d+) acknowledged, 0 failed, (\d+) dropped, 0 left", done.stdout)
    assert found is not None
    queued, acknowledged, dropped = map(int, found.groups())
    assert queued == 502 == acknowledged + dropped
    assert f"500 to publish, {500 - dropped} received back" in done.stdout


def test_it_finds_its_way_through_a_proxy(broker: Broker) -> None:
    with http_proxy() as (port, targets):
        done = run(*connecting(broker), "--proxy_host", "127.0.0.1", "--proxy-port", str(port))
        assert not done.returncode, done.stderr
        assert "10 received back" in done.stdout
        assert targets == [f"localhost:{broker.port}"]


def test_the_client_library_can_be_made_to_talk(broker: Broker) -> None:
    done = run(*connecting(broker), "--count", "1", "--verbosity", "Debug")
    assert not done.returncode
    assert "[DEBUG]" in done.stderr


def test_what_does_not_work_is_said_in_one_line(broker: Broker) -> None:
    broker.kill()
    done = run(*connecting(broker))
    assert done.returncode == 1
    why = "AWS_IO_SOCKET_CONNECTION_REFUSED (nothing listens at that address and port)"
    assert done.stderr == f"could not connect to localhost:{broker.port}: {why}\n"
    done = run(*connecting(broker, **{"--cert": "/nowhere/device.pem"}))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("flag", "value"), [("--queue_mode", "6"), ("--queue_limit", "0"), ("--count", "many")])
def test_a_flag_that_makes_no_sense_is_refused(flag: str, value: str) -> None:
    done = run("--endpoint", "e", "--cert", "c", "--key", "k", flag, value)
    assert done.returncode == 2
    assert flag.replace("_", "-") in done.stderr


def test_help_explains_each_mode() -> None:
    text = run("--help").stdout
    for number, name in enumerate(MODE_NAMES):
        assert re.search(rf"^  {number}  {name} +\w", text, re.MULTILINE)
    assert "numbered 1 and 3 the other way round" in text
