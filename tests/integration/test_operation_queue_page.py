"""The page about the operation queue: its example is run, its policy is read, its table is compared."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.broker import Broker
from tests.conditions import DEADLINE_SECONDS
from weir.core.modes import MODE_NAMES
from weir.operation_queue import Account

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operation-queue.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_runs_as_it_is(broker: Broker) -> None:
    settings = broker.connection()
    files = [settings.certificate, settings.private_key, settings.ca]
    arguments = [broker.endpoint, broker.port, *files, "gw-17-queue", "gw-17/readings"]
    observer = broker.observe()
    command = [sys.executable, "-W", "error", "-c", block("python"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=4 * DEADLINE_SECONDS)
    assert not done.returncode, done.stderr
    assert "acknowledged: 102 left: 0" in done.stdout
    assert "dropped" not in done.stdout
    assert [message.payload for message in observer.wait_for(100)] == [b"reading %d" % number for number in range(100)]


def test_the_policy_allows_no_more_than_one_client_and_one_topic() -> None:
    statements = json.loads(block("json"))["Statement"]
    actions = {
        action
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    assert actions == {"iot:Connect", "iot:Publish", "iot:Receive", "iot:Subscribe"}
    assert all("*" not in one["Resource"] for one in statements)


def test_the_modes_and_the_account_are_those_of_the_code() -> None:
    assert re.findall(r"^\| (\d) \| `(.+?)`", PAGE, re.MULTILINE) == [
        (str(i), name) for i, name in enumerate(MODE_NAMES)
    ]
    law = re.search(r"taken = (.+)", PAGE)
    assert law is not None
    assert law[1].split(" + ") == list(Account._fields[1:8])
