"""Reasons: the client's own names, words for them, and nothing else."""

from __future__ import annotations

from importlib import import_module

from awscrt.exceptions import AwsCrtError

from weir.transports.reasons import TEXTS, name_of, reason

CLIENT = import_module("_awscrt")  # the native part: the only one to ask for the name of every error
KNOWN = {CLIENT.get_error_name(code) for block in range(16) for code in range(block * 1024, block * 1024 + 256)}


def test_every_name_is_one_that_the_client_library_knows() -> None:
    assert set(TEXTS) <= KNOWN


def test_a_failure_is_named_and_explained() -> None:
    error = AwsCrtError(code=1047, name="AWS_IO_SOCKET_CONNECTION_REFUSED", message="socket connection refused.")
    assert reason(error) == "AWS_IO_SOCKET_CONNECTION_REFUSED (nothing listens at that address and port)"


def test_what_is_raised_at_once_is_named_in_its_text() -> None:
    error = RuntimeError("5128 (AWS_ERROR_MQTT_INVALID_TOPIC): Topic or filter is invalid.")
    assert name_of(error) == "AWS_ERROR_MQTT_INVALID_TOPIC"
    assert reason(error) == "AWS_ERROR_MQTT_INVALID_TOPIC"


def test_a_file_is_named_by_its_path() -> None:
    assert (
        reason(FileNotFoundError(2, "No such file or directory", "/etc/key")) == "No such file or directory: /etc/key"
    )


def test_of_anything_else_only_the_type_is_told() -> None:
    assert reason(ValueError("-----BEGIN PRIVATE KEY-----")) == "ValueError"
    assert reason(RuntimeError("-----BEGIN PRIVATE KEY-----")) == "RuntimeError"
