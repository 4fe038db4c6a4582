"""The bill of materials of a release, as CycloneDX JSON.

Owns that document. It says only what the files themselves say, so two runs over the same files give the same bytes:
there is no time in it, and its serial number is made from the hashes. It must not know where the files come from.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import HeaderParser
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

SPEC = "1.5"

MOST_LICENCE_CHARACTERS = 100  # some packages give the whole text in that place


class Wheel(NamedTuple):
    """A wheel, and what it says of itself."""

    file: str
    sha256: str
    name: str
    version: str
    licence: str | None
    requires: tuple[str, ...]  # names of packages, extras left out

    @property
    def url(self) -> str:
        """Give the package URL."""
        return f"pkg:pypi/{self.name}@{self.version}"


def read(path: Path) -> Wheel:
    """Give what a wheel says of itself."""
    with zipfile.ZipFile(path) as archive:
        (metadata,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        said = HeaderParser().parsestr(archive.read(metadata).decode())
    required = [line for line in said.get_all("Requires-Dist", []) if "extra ==" not in line]
    return Wheel(
        file=path.name,
        sha256=digest(path),
        name=_normal(said["Name"]),
        version=said["Version"],
        licence=_licence(said),
        requires=tuple(sorted({_normal(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in required})),
    )


def digest(path: Path) -> str:
    """Give the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def document(name: str, version: str, artifacts: Iterable[Path], wheels: Iterable[Wheel]) -> dict[str, Any]:
    """Give the bill of materials of a component: its artifacts, and the packages in them with the file of each."""
    packages = {url: list(files) for url, files in groupby(sorted(set(wheels), key=_order), lambda one: one.url)}
    names = {files[0].name: url for url, files in packages.items()}
    main = {
        "type": "application",
        "bom-ref": f"{name}@{version}",
        "name": name,
        "version": version,
        "components": [_file(one.name, digest(one)) for one in sorted(artifacts)],
    }
    body = {
        "metadata": {"component": main},
        "components": [_package(url, files) for url, files in packages.items()],
        "dependencies": [
            {"ref": main["bom-ref"], "dependsOn": [names["weir"]]},
            *({"ref": url, "dependsOn": _depends(files[0], names)} for url, files in packages.items()),
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(body, sort_keys=True))
    return {"bomFormat": "CycloneDX", "specVersion": SPEC, "serialNumber": f"urn:uuid:{serial}", "version": 1} | body


def _order(wheel: Wheel) -> tuple[str, str]:
    return wheel.url, wheel.file


def _package(url: str, files: list[Wheel]) -> dict[str, Any]:
    one = files[0]
    return {
        "type": "library",
        "bom-ref": url,
        "name": one.name,
        "version": one.version,
        **({"licenses": [{"license": {"name": one.licence}}]} if one.licence else {}),
        "purl": url,
        "components": [_file(wheel.file, wheel.sha256) for wheel in files],
    }


def _file(name: str, sha256: str) -> dict[str, Any]:
    return {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": sha256}]}


def _depends(wheel: Wheel, names: dict[str, str]) -> list[str]:
    return [names[required] for required in wheel.requires if required in names]


def _licence(said: Message) -> str | None:
    licence = said["License-Expression"] or said["License"]
    return licence if licence and len(licence) <= MOST_LICENCE_CHARACTERS and "\n" not in licence else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
