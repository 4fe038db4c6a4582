"""The settings of this process: from its command line, its configuration file and its environment.

Owns the order in which these are heard: the file, then the short flags, then every --set, then --state. It must not
know what a value means.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from weir.core.configuration import Surroundings, judge, require_connection
from weir.core.errors import ConfigurationRefused, Problem
from weir.core.keys import DEFAULT_STREAM
from weir.core.settings import Settings
from weir.core.values import is_null
from weir.core.ways import IPC_SOCKET, Offers, choose, offered
from weir.wiring import configfile
from weir.wiring.configfile import Document
from weir.wiring.preflight import preflight

STATE_PATH = ("state", "path")

# The short flags by the key they set; those of the second table set it in the one stream there is.
CONNECTION_FLAGS = {
    "endpoint": "connection.endpoint",
    "port": "connection.port",
    "cert": "connection.certificate",
    "key": "connection.privateKey",
    "ca_file": "connection.ca",
    "client_id": "connection.clientId",
    "protocol": "connection.protocol",
}
STREAM_FLAGS = {
    "watch": "source.path",
    "topic": "topic",
    "qos": "qos",
    "queue_mode": "queue.mode",
    "queue_limit": "queue.maxRecords",
}


def load(arguments: argparse.Namespace) -> Settings:
    """Give the settings that a command line asks for, or raise ConfigurationRefused."""
    return accepted(document_of(arguments), connecting=not getattr(arguments, "dry_run", False))


def accepted(document: object, *, connecting: bool = True, offers: Offers | None = None) -> Settings:
    """Give the settings of a document, or raise ConfigurationRefused with everything that is wrong, files included.

    Where nothing is sent, nothing that only a connection needs is asked for. `offers` are what the environment and a
    nucleus have beside the document, by default what the environment has.
    """
    settings, findings = judge(document, surroundings(os.environ))
    with_files = connecting
    if connecting:
        offers = offered(os.environ) if offers is None else offers
        missing = require_connection(settings, offers)
        findings.follow(missing)
        with_files = bool(missing) or choose(settings.connection, offers).kind != "ipc"
    findings.follow(preflight(settings, connecting=with_files))
    if findings.problems:
        raise ConfigurationRefused(findings.problems)
    return settings


def surroundings(environment: Mapping[str, str]) -> Surroundings:
    """Give what the defaults depend on. A nucleus starts a component in its work path."""
    try:
        work_path = str(Path.cwd())
    except FileNotFoundError:
        raise ConfigurationRefused([Problem("work path", "the current directory is gone")]) from None
    return Surroundings(
        thing_name=environment.get("AWS_IOT_THING_NAME") or None,
        host_name=socket.gethostname(),
        work_path=work_path,
        under_nucleus=bool(environment.get(IPC_SOCKET)),
        root_ca_path=environment.get("GG_ROOT_CA_PATH") or None,
    )


def document_of(arguments: argparse.Namespace, base: Document | None = None) -> Document:
    """Give the document that the command line describes, on top of a file or of the `base` that is given."""
    given = vars(arguments)
    document = configfile.read(given["config"]) if given.get("config") is not None else base or {}
    document = _with_flags(document, given)
    document = configfile.assign_all(document, given.get("set") or ())
    return _with_state(document, given.get("state"))


def _with_state(document: Document, state: str | None) -> Document:
    """Set the state directory: --state, else what is configured, else WEIR_STATE, where the other commands look too."""
    if state is not None:
        return configfile.assign(document, STATE_PATH, state, origin="--state")
    section = document.get("state")
    configured = isinstance(section, dict) and not is_null(section.get("path"))
    if configured or not (is_null(section) or isinstance(section, dict)) or not os.environ.get("WEIR_STATE"):
        return document
    return configfile.assign(document, STATE_PATH, os.environ["WEIR_STATE"], origin="WEIR_STATE")


def _with_flags(document: Document, given: Mapping[str, object]) -> Document:
    for name, path in CONNECTION_FLAGS.items():
        if given.get(name) is not None:
            document = configfile.assign(document, path.split("."), given[name], origin=_flag(name))
    wanted = {name: {STREAM_FLAGS[name]: given[name]} for name in STREAM_FLAGS if given.get(name) is not None}
    if "watch" in wanted:
        wanted["watch"]["source.type"] = "directory"
    if given.get("stdin"):
        wanted["stdin"] = {"source.type": "stdin", "source.path": None}
    for name, values in wanted.items():
        document = _with_stream_flag(document, _flag(name), values)
    return document


def _with_stream_flag(document: Document, flag: str, values: Mapping[str, object]) -> Document:
    stream = _only_stream(document, flag)
    for path, value in values.items():
        document = configfile.assign(document, ["streams", stream, *path.split(".")], value, origin=flag)
    return document


def _only_stream(document: Document, flag: str) -> str:
    streams = document.get("streams")
    if not isinstance(streams, dict) or not streams:
        return DEFAULT_STREAM
    if len(streams) > 1:
        message = f"the configuration has {len(streams)} streams (allowed: --set streams.NAME.key=value)"
        raise ConfigurationRefused([Problem(flag, message)])
    return str(next(iter(streams)))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
