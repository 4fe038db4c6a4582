"""What a hostile neighbour could try on a process that runs: its network, its state, its log and its privileges."""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker, Observer
from tests.certificates import Certificates
from tests.conditions import eventually
from tests.device import Device
from weir.cli.main import main
from weir.core import keys
from weir.core.events import ConnectFailed
from weir.transports.mqtt5 import Mqtt5Transport
from weir.transports.mqtt311 import Mqtt311Transport

NOBODY = 65_534
SOURCE = Path(main.__code__.co_filename).resolve().parents[1]
CANARY = "canary-4711-in-every-record"
SHELL_WORDS = ("$(touch naughty)", "`touch naughty`", "; touch naughty", "' ; touch naughty '", '"; touch naughty; "')


# -- the network ------------------------------------------------------------------------------------------------------


class OldServer:
    """A TLS server that speaks no newer version than it is told; `fault` is how a handshake ended."""

    def __init__(self, certificates: Certificates, newest: ssl.TLSVersion) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if newest < ssl.TLSVersion.TLSv1_2:
            self.context.set_ciphers("ALL:@SECLEVEL=0")  # without it the server itself would refuse
        self.context.minimum_version = ssl.TLSVersion.TLSv1
        self.context.maximum_version = newest
        self.context.load_cert_chain(certificates.server.certificate, certificates.server.key)
        self.context.load_verify_locations(certificates.ca)
        self.context.verify_mode = ssl.CERT_REQUIRED  # the client hangs up on a server that asks for no certificate
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.spoken: list[str | None] = []
        self.faults: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(plain, server_side=True) as secure:
                    self.spoken.append(secure.version())
            except OSError as error:
                self.faults.append(str(error))


@pytest.mark.filterwarnings("ignore:.*TLSv1.*is deprecated:DeprecationWarning")  # that it is old is the point
@pytest.mark.parametrize(
    ("newest", "spoken"), [(ssl.TLSVersion.TLSv1_1, []), (ssl.TLSVersion.TLSv1_2, ["TLSv1.2"])], ids=["1.1", "1.2"]
)
@pytest.mark.parametrize("protocol", [Mqtt311Transport, Mqtt5Transport])
def test_nothing_older_than_tls_1_2_is_spoken(
    certificates: Certificates,
    stopped_broker: Broker,
    newest: ssl.TLSVersion,
    spoken: list[str],
    protocol: type[Mqtt311Transport | Mqtt5Transport],
) -> None:
    server = OldServer(certificates, newest)
    heard: list[object] = []
    settings = stopped_broker.connection(port=server.port)
    transport = protocol(settings, "gateway", heard.append, lambda _: None)
    with contextlib.closing(server.listener):
        transport.start()
        eventually(lambda: server.faults or server.spoken, what="a handshake ended")
        transport.close(0)
    assert server.spoken[:1] == spoken, server.faults
    assert not [event for event in heard if not isinstance(event, ConnectFailed)]
    if not spoken:
        assert "PROTOCOL" in server.faults[0]


def test_no_setting_and_no_line_of_code_switches_off_the_verification_of_the_broker() -> None:
    words = re.compile(r"verif|insecure|trust|skip|disable", re.IGNORECASE)
    assert [key.path for key in keys.KEYS if words.search(key.path)] == []
    for path in SOURCE.rglob("*.py"):
        assert not re.findall(r"verify_peer *=(?! *True)|CERT_NONE|check_hostname *= *False", path.read_text()), path


def test_nobody_can_connect_to_it(device: Device) -> None:
    device.start()
    device.until(lambda status: status["state"] == "online")
    proc = Path(f"/proc/{device.pid}")
    ours = {str(entry.readlink()) for entry in (proc / "fd").iterdir() if entry.is_symlink()}
    listening = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        rows = [line.split() for line in (proc / "net" / table).read_text().splitlines()[1:]]
        listening += [row for row in rows if f"socket:[{row[9]}]" in ours and row[3] in {"0A", "07"}]
    assert listening == []


# -- the state directory ----------------------------------------------------------------------------------------------


class Careless(Device):
    """A device that is started with no umask at all."""

    def command(self, *words: str) -> list[str]:
        return ["sh", "-c", 'umask 0; exec "$@"', "sh", *super().command(*words)]


def test_the_state_and_its_socket_are_for_their_owner_only_whatever_the_umask(
    tmp_path: Path, broker: Broker, observer: Observer
) -> None:
    device = Careless(tmp_path, broker)
    try:
        (device.inbox / "a.jsonl").write_bytes(b'{"a":1}\nnot JSON\n')
        device.start(streams__telemetry__source__format="jsonl")
        observer.wait_for(1)
        device.until(lambda status: status["records"]["quarantinedTotal"] == 1)
        found = {path: stat.S_IMODE(path.lstat().st_mode) for path in (device.state, *device.state.rglob("*"))}
        assert found[device.state] == 0o700
        assert any(stat.S_ISSOCK(path.lstat().st_mode) for path in found)
        assert {path.name: oct(mode) for path, mode in found.items() if mode & 0o077} == {}
        assert device.terminate() == 0
        assert not [path for path in device.state.rglob("*") if path.lstat().st_mode & 0o077]
    finally:
        device.close()


# -- what is told -----------------------------------------------------------------------------------------------------


def test_neither_key_nor_payload_is_found_where_it_does_not_belong(device: Device, observer: Observer) -> None:
    """Not in the log, at its most talkative; not in metrics, status or losses; the key not in the state either."""
    good = [json.dumps({"n": number, "secret": CANARY}).encode() for number in range(50)]
    bad = [f'{{"secret": "{CANARY}", }}'.encode(), b'{"topic": "bad"}']
    metrics = device.directory / "weir.prom"
    (device.inbox / "a.jsonl").write_bytes(b"".join(line + b"\n" for line in [*good, *bad]))
    assert device.broker is not None
    key = Path(device.broker.certificates.client.key)
    device.start(
        log__level="DEBUG",
        report__metricsFile=metrics,
        streams__telemetry__queue__mode=3,
        streams__telemetry__queue__maxRecords=10,
        report__logSeconds=1,
    )
    observer.wait_for(len(good))
    device.until(lambda status: status["records"]["pending"] == 0 and status["records"]["quarantinedTotal"] == 1)
    eventually(metrics.exists, what="the metrics are there")
    told = device.log() + metrics.read_text() + "".join(device.ask(word).stdout for word in ("status", "losses"))
    told += device.ask("quarantine", "list").stdout
    assert device.terminate() == 0
    told += device.log()
    assert CANARY not in told
    forms = forms_of(key)
    assert not [form for form in forms if form in told.encode()]
    for path in device.state.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [form for form in forms if form in content], path


def forms_of(key: Path) -> list[bytes]:
    """Give what would betray a key: a line of it, and its bytes."""
    lines = [line for line in key.read_bytes().splitlines() if line and not line.startswith(b"-----")]
    return [lines[1], base64.b64decode(b"".join(lines))[20:60]]


def test_a_key_given_in_the_place_of_its_path_is_not_repeated(device: Device) -> None:
    assert device.broker is not None
    key = Path(device.broker.certificates.client.key).read_text()
    assert device.run("--once", connection__privateKey=key) == 78
    assert not [line for line in key.splitlines() if line and line in device.log()]


@pytest.mark.parametrize("word", SHELL_WORDS)
def test_no_value_of_the_configuration_reaches_a_shell(device: Device, word: str) -> None:
    (device.inbox / "a.log").write_bytes(b"a\n")
    code = device.run("--once", "--drain-timeout", "5", thingName=word, streams__telemetry__source__pattern=word)
    assert code in {0, 78}
    assert not list(device.directory.rglob("naughty"))


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "subprocess", "pty", "telnetlib", "ftplib"}
FORBIDDEN_ATTRIBUTES = {("os", "system"), ("os", "popen"), ("yaml", "load"), ("yaml", "unsafe_load")}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_the_code_runs_no_code_and_no_command_that_it_is_given(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            assert not FORBIDDEN_MODULES & {name.split(".")[0] for name in names}
        if not isinstance(node, ast.Call):
            continue
        assert not (isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS)
        assert "shell" not in {keyword.arg for keyword in node.keywords}
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            assert (node.func.value.id, node.func.attr) not in FORBIDDEN_ATTRIBUTES


class Dumping(Device):
    """A device whose core would be written to the disk, as far as the system decides it."""

    def command(self, *words: str) -> list[str]:
        return ["prlimit", "--core=unlimited", *super().command(*words)]


def test_no_core_with_the_key_in_it_is_left_behind(tmp_path: Path, broker: Broker) -> None:
    device = Dumping(tmp_path, broker)
    try:
        device.start()
        device.until(lambda status: status["state"] == "online")
        limits = Path(f"/proc/{device.pid}/limits").read_text().splitlines()
        assert [line.split()[4] for line in limits if line.startswith("Max core file size")] == ["0"]
        assert device.terminate() == 0
    finally:
        device.close()


# -- what it may use --------------------------------------------------------------------------------------------------


class Confined(Device):
    """A device of a user without privileges, on a root file system that cannot be written to but for its own place."""

    def command(self, *words: str) -> list[str]:
        place = str(self.directory)
        script = f'mount --bind "{place}" "{place}" && mount -o remount,bind,ro / && exec "$@"'
        # The interpreter may lie in the home of root: to read it is no privilege that matters here.
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
        user += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
        user += ["--bounding-set=-all,+dac_read_search"]
        command = super().command(*words)
        return ["unshare", "--mount", "sh", "-c", script, "sh", *user, *command] if words[0] == "run" else command

    def root_is_read_only(self) -> bool:
        """Tell how the running process sees its root."""
        mounts = [line.split() for line in Path(f"/proc/{self.pid}/mounts").read_text().splitlines()]
        return [mount[3].split(",")[0] for mount in mounts if mount[1] == "/"][-1] == "ro"


@pytest.fixture
def confined(broker: Broker) -> Iterator[Confined]:
    if os.geteuid() != 0:
        pytest.skip("SKIP: only root can become another user")
    probe = subprocess.run(
        ["unshare", "--mount", "mount", "-o", "remount,bind,ro", "/"], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"SKIP: no mount namespace here: {probe.stderr.decode().strip()}")
    place = Path(tempfile.mkdtemp(prefix="weir-confined-"))
    device = Confined(place / "gateway", broker)
    for path in (place, *place.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    yield device
    device.close()
    shutil.rmtree(place)


def test_it_runs_as_nobody_in_particular_on_a_root_that_cannot_be_written_to(
    confined: Confined, observer: Observer
) -> None:
    (confined.inbox / "a.log").write_bytes(b"a\nb\n")
    confined.start()
    observer.wait_for(2)
    facts = Path(f"/proc/{confined.pid}/status").read_text()
    assert f"Uid:\t{NOBODY}\t{NOBODY}" in facts
    assert confined.root_is_read_only()
    assert confined.terminate() == 0, confined.log()
    assert confined.status("--verify")["records"]["delivered"] == 2
    assert {path.lstat().st_uid for path in confined.state.rglob("*")} == {NOBODY}
