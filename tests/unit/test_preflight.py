"""Settings against the files of a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.certificates import Certificates
from weir.core.configuration import Surroundings, parse
from weir.wiring.preflight import preflight


def surroundings(here: Path) -> Surroundings:
    return Surroundings(
        thing_name="gw-17", host_name="host", work_path=str(here), under_nucleus=False, root_ca_path=None
    )


def complaints(here: Path, document: object, *, connecting: bool = True) -> list[str]:
    return [str(problem) for problem in preflight(parse(document, surroundings(here)), connecting=connecting)]


def with_credentials(certificate: object, key: object, ca: object = None) -> dict[str, object]:
    paths = {"certificate": str(certificate), "privateKey": str(key), "ca": None if ca is None else str(ca)}
    return {"connection": paths}


def test_what_is_all_right_is_passed_over(tmp_path: Path, certificates: Certificates) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "weir-state").mkdir(mode=0o700)
    client = certificates.client

    assert complaints(tmp_path, with_credentials(client.certificate, client.key, certificates.ca)) == []


def test_a_watched_directory_and_a_state_that_are_not_there_yet_are_all_right(tmp_path: Path) -> None:
    assert complaints(tmp_path, {"streams": {"a": {"source": {"path": "later/mounted"}}}}) == []


def test_a_credential_that_cannot_be_used_is_refused_and_only_that_of_a_key_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.pem").touch(mode=0o600)

    found = complaints(Path("/proc/self/cwd"), with_credentials("..", "empty.pem", "absent"))

    assert [line.split(" (")[0] for line in found] == [
        "connection.certificate: /proc/self/cwd/.. is not a regular file",
        "connection.privateKey: is not in PEM form",
        "connection.ca: /proc/self/cwd/absent does not exist",
    ]


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path, certificates: Certificates) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, mode=0o600)

    (line,) = complaints(tmp_path, with_credentials(certificates.client.certificate, fifo))

    assert line.startswith("connection.privateKey: is not a regular file")


def test_a_certificate_in_the_place_of_a_key_is_told(tmp_path: Path, certificates: Certificates) -> None:
    client = certificates.client

    found = complaints(tmp_path, with_credentials(client.key, client.certificate))

    assert "holds no certificate" in found[0]
    assert found[1].startswith("connection.privateKey: holds no private key")


def test_a_key_with_a_passphrase_is_refused(tmp_path: Path, certificates: Certificates) -> None:
    key = tmp_path / "device.key"
    key.touch(mode=0o600)
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")

    (line,) = complaints(tmp_path, with_credentials(certificates.client.certificate, key))

    assert "passphrase" in line


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("here/weir.prom", None),
        ("weir.prom", None),
        ("absent/weir.prom", "does not exist"),
        ("file/weir.prom", "does not exist"),
        ("here", "is a directory"),
        ("inbox/weir.prom", "lies in the directory that stream telemetry watches"),
        ("link/weir.prom", "lies in the directory that stream telemetry watches"),
        ("weir-state/weir.prom", "lies in the directory of the state"),
    ],
)
def test_a_metrics_file_needs_a_directory_of_its_own_that_is_there(
    tmp_path: Path, path: str, complaint: str | None
) -> None:
    for name in ("here", "inbox", "weir-state"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("inbox")

    found = complaints(tmp_path, {"report": {"metricsFile": path}}, connecting=False)

    assert len(found) == (complaint is not None)
    assert all(line.startswith("report.metricsFile: ") and str(complaint) in line for line in found)


def test_a_metrics_file_in_a_directory_that_may_not_be_written_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weir-state").mkdir(mode=0o700)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # root may write everywhere

    (line,) = complaints(tmp_path, {"report": {"metricsFile": "weir.prom"}}, connecting=False)

    assert "may not be written to by this user" in line


def test_a_state_that_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # as above

    (line,) = complaints(tmp_path, {"state": {"path": "a/b"}})

    assert line.startswith(f"state.path: cannot be made, {tmp_path} may not be written to by this user")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_key_that_others_can_use_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, certificates: Certificates, mode: int
) -> None:
    key = tmp_path / "device key.pem"
    key.write_text(Path(certificates.client.key).read_text())
    key.chmod(mode)

    (line,) = complaints(tmp_path, with_credentials(certificates.client.certificate, key))

    assert line.startswith(f"connection.privateKey: can be used by others, mode {mode:04o}")
    assert f"chmod 600 '{key}'" in line


def test_a_link_to_a_key_that_others_can_use_is_refused_as_well(tmp_path: Path, certificates: Certificates) -> None:
    key, link = tmp_path / "device.key", tmp_path / "link.key"
    key.write_text(Path(certificates.client.key).read_text())
    key.chmod(0o644)
    link.symlink_to(key)

    (line,) = complaints(tmp_path, with_credentials(certificates.client.certificate, link))

    assert line.startswith("connection.privateKey: can be used by others, mode 0644")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path, certificates: Certificates) -> None:
    key = tmp_path / "device.key"
    key.write_text(Path(certificates.client.key).read_text())
    key.chmod(0o600)
    os.chown(key, 12345, -1)

    (line,) = complaints(tmp_path, with_credentials(certificates.client.certificate, key))

    assert line.startswith("connection.privateKey: belongs to another user")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_credential_that_may_not_be_read_is_refused(tmp_path: Path, certificates: Certificates) -> None:
    certificate = tmp_path / "device.pem"
    certificate.touch(mode=0)

    (line,) = complaints(tmp_path, with_credentials(certificate, certificates.client.key))

    assert line.startswith("connection.certificate: ")
    assert "may not be read by this user" in line


def test_a_dry_run_needs_no_credentials(tmp_path: Path) -> None:
    document = with_credentials(tmp_path / "absent", tmp_path / "absent")

    assert complaints(tmp_path, document, connecting=False) == []


@pytest.mark.parametrize(
    ("source", "state"), [("in", "in"), ("in", "in/state"), ("state/in", "state"), ("in", "link"), ("link/in", "in")]
)
def test_a_state_that_shares_its_place_with_a_watched_directory_is_refused(
    tmp_path: Path, source: str, state: str
) -> None:
    (tmp_path / "in").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("in")

    found = complaints(tmp_path, {"streams": {"a": {"source": {"path": source}}}, "state": {"path": state}})

    assert any(line.startswith("state.path: shares its place") and "stream a " in line for line in found)


def test_a_neighbour_with_a_longer_name_is_not_inside(tmp_path: Path) -> None:
    assert complaints(tmp_path, {"streams": {"a": {"source": {"path": "in"}}}, "state": {"path": "in-state"}}) == []


def test_a_stream_that_is_not_enabled_watches_nothing(tmp_path: Path) -> None:
    stream = {"enabled": False, "source": {"path": "weir-state"}}

    assert complaints(tmp_path, {"streams": {"a": stream}}) == []


def test_two_ways_to_one_watched_directory_are_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")

    (line,) = complaints(tmp_path, {"streams": {"a": {"source": {"path": "in"}}, "b": {"source": {"path": "link"}}}})

    assert line.startswith("streams.b.source.path: leads to the directory that stream a watches")


def test_a_file_in_the_place_of_a_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "inbox").touch()
    (tmp_path / "weir-state").touch()

    found = complaints(tmp_path, {})

    assert found[0].startswith("streams.telemetry.source.path: is not a directory")
    assert found[1].startswith("state.path: is not a directory")


def test_a_state_behind_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "weir-state").symlink_to("elsewhere")

    (line,) = complaints(tmp_path, {})

    assert line.startswith("state.path: is a symbolic link")


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_state_that_others_can_change_is_refused(tmp_path: Path, mode: int) -> None:
    state = tmp_path / "weir-state"
    state.mkdir()
    state.chmod(mode)

    (line,) = complaints(tmp_path, {})

    assert line.startswith(f"state.path: can be changed by others, mode {mode:04o}")
    assert f"chmod 700 {state}" in line


def test_a_state_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    (line,) = complaints(tmp_path, {"state": {"path": "file/state"}})

    assert line.startswith("state.path: cannot be used")
