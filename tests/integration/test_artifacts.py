"""The artifacts: built as GDK builds them, twice to the same bytes, and installed by the recipe without a network."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

import weir
from scripts import recipe as recipe_script
from scripts import sbom, wheelhouse
from tests.conditions import eventually
from tests.nucleus import CLASSIC, LITE, Behaviour, NucleusStandIn

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ["component", "scripts", "requirements", "recipe.json", "pyproject.toml", "LICENSE", "gdk-config.json"]
NAME = "io.weir.Forwarder"
VERSION = weir.__version__
PLACE = Path("artifacts") / NAME / VERSION
FILES = ["sbom.cdx.json", "wheels-aarch64.zip", "wheels-amd64.zip"]
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "aarch64"}.get(platform.machine())


class Built(NamedTuple):
    """Two checkouts in which everything was built."""

    first: Path
    second: Path


def copy_of_the_sources(into: Path) -> Path:
    """Copy what a build needs: it writes into its checkout, and that shall not be ours."""
    into.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, into / name)
    return into


def start_build(checkout: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the build in one checkout, after GDK has made the directories that it makes."""
    (checkout / "greengrass-build" / "recipes").mkdir(parents=True)
    (checkout / "greengrass-build" / PLACE).mkdir(parents=True)
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.artifacts"],
        cwd=checkout,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def has_an_index(scratch: Path) -> bool:
    """Say whether pip can get anything at all here."""
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(scratch), "packaging"]
    return subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, check=False).returncode == 0


def build(into: Path) -> str:
    """Build twice, in two places and with two times in the environment, and give what went wrong."""
    places = [into / "first", into / "a second place"]
    builds = []
    for number, place in enumerate(places):
        builds.append(start_build(copy_of_the_sources(place), SOURCE_DATE_EPOCH=str(1_700_000_000 + number)))
    said = [one.communicate()[0] for one in builds]
    if any(one.returncode for one in builds):
        return "skip" if not has_an_index(into / "probe") else "\n".join(said)
    return ""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Give what was built, once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "artifacts-built"
    shared.mkdir(exist_ok=True)
    outcome = shared / "outcome"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not outcome.exists():
            outcome.write_text(build(shared), encoding="utf-8")
    failure = outcome.read_text(encoding="utf-8")
    if failure == "skip":
        pytest.skip("pip reaches no package index here, so there are no wheels to build artifacts from")
    assert not failure
    return Built(shared / "first", shared / "a second place")


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_everything_is_where_gdk_and_the_local_command_lines_look(built: Built) -> None:
    build_directory = built.first / "greengrass-build"

    assert sorted(path.name for path in (built.first / PLACE).iterdir()) == FILES
    assert sorted(path.name for path in (build_directory / PLACE).iterdir()) == FILES
    assert [path.name for path in (build_directory / "recipes").iterdir()] == ["recipe.json"]
    assert (build_directory / "recipes" / "recipe.json").read_bytes() == (ROOT / "recipe.json").read_bytes()


def test_every_artifact_of_the_recipe_was_built(built: Built) -> None:
    recipe = json.loads((built.first / "greengrass-build" / "recipes" / "recipe.json").read_text(encoding="utf-8"))
    wanted = [one["Uri"].rpartition("/")[2] for manifest in recipe["Manifests"] for one in manifest["Artifacts"]]

    assert sorted(wanted) == [name for name in FILES if name.endswith(".zip")]


def test_gdk_is_told_to_build_so() -> None:
    config = json.loads((ROOT / "gdk-config.json").read_text(encoding="utf-8"))
    (about,) = config["component"].values()

    assert about["build"] == {"build_system": "custom", "custom_build_command": ["make", "artifacts"]}
    assert re.search(r"^artifacts: .*\n\t@.* -m scripts\.artifacts$", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_two_builds_in_two_places_give_the_same_bytes(built: Built) -> None:
    for name in FILES:
        first, second = ((place / PLACE / name).read_bytes() for place in built)
        assert first == second, name
        assert first == (built.first / "greengrass-build" / PLACE / name).read_bytes()


def tags(architecture: str, python: str) -> Iterator[Tag]:
    major, minor = python.split(".")
    machine = wheelhouse.MACHINES[architecture]
    platforms = [f"manylinux_2_{libc}_{machine}" for libc in range(35, 16, -1)]  # what Ubuntu 22.04 takes
    yield from cpython_tags((int(major), int(minor)), platforms=platforms)
    yield from compatible_tags((int(major), int(minor)), f"cp{major}{minor}", platforms)


@pytest.mark.parametrize("architecture", wheelhouse.MACHINES)
@pytest.mark.parametrize("python", wheelhouse.PYTHONS)
def test_every_python_on_every_architecture_finds_all_it_needs(built: Built, architecture: str, python: str) -> None:
    supported = set(tags(architecture, python))
    found: dict[str, set[str]] = {}
    needed: list[Requirement] = [Requirement(f"weir=={VERSION}")]
    for file, content in contents(built.first / PLACE / f"wheels-{architecture}.zip").items():
        name, version, _, of = parse_wheel_filename(file)
        if of & supported:
            found.setdefault(name, set()).add(str(version))
            needed += requirements_of(content)

    assert len(found) == 5
    for requirement in needed:
        (pinned,) = found[requirement.name]
        assert requirement.specifier.contains(pinned), str(requirement)


def requirements_of(wheel: bytes) -> list[Requirement]:
    with zipfile.ZipFile(io.BytesIO(wheel)) as file:
        (metadata,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        lines = BytesHeaderParser().parsebytes(file.read(metadata)).get_all("Requires-Dist", [])
    return [one for one in map(Requirement, lines) if one.marker is None or "extra" not in str(one.marker)]


def test_only_locked_wheels_and_our_own_are_in_them(built: Built, tmp_path: Path) -> None:
    locked = set(re.findall(r"sha256:([0-9a-f]{64})", (ROOT / "requirements" / "run.txt").read_text()))
    for architecture in wheelhouse.MACHINES:
        for name, content in contents(built.first / PLACE / f"wheels-{architecture}.zip").items():
            (tmp_path / name).write_bytes(content)
            assert sbom.digest(tmp_path / name) in locked or name == f"weir-{VERSION}-py3-none-any.whl"


def test_the_bill_of_materials_names_every_file_with_its_hash(built: Built, tmp_path: Path) -> None:
    bill: dict[str, Any] = json.loads((built.first / PLACE / "sbom.cdx.json").read_text(encoding="utf-8"))
    main = bill["metadata"]["component"]
    told = {file["name"]: file["hashes"][0]["content"] for one in bill["components"] for file in one["components"]}
    there: dict[str, bytes] = {}
    for architecture in wheelhouse.MACHINES:
        archive = built.first / PLACE / f"wheels-{architecture}.zip"
        assert {"name": archive.name, "type": "file", "hashes": [hashed(archive)]} in main["components"]
        there |= contents(archive)

    assert (bill["bomFormat"], main["name"], main["version"]) == ("CycloneDX", NAME, VERSION)
    assert told.keys() == there.keys()
    for name, content in there.items():
        (tmp_path / name).write_bytes(content)
        assert told[name] == sbom.digest(tmp_path / name)
    assert "timestamp" not in bill["metadata"]
    assert all(one["licenses"] for one in bill["components"])
    assert {one["ref"] for one in bill["dependencies"]} == {main["bom-ref"], *(c["purl"] for c in bill["components"])}


def hashed(path: Path) -> dict[str, str]:
    return {"alg": "SHA-256", "content": sbom.digest(path)}


# ---- on a device


class Device(NamedTuple):
    """A work path, and the scripts of the recipe as a nucleus starts them in it: without any network."""

    work: Path
    install: str
    run: str

    def start(self, script: str) -> subprocess.CompletedProcess[str]:
        command = [*without_network(), "/bin/sh", "-c", script]
        return subprocess.run(
            command, cwd=self.work, env=self.environment(), capture_output=True, text=True, timeout=120, check=False
        )

    def environment(self) -> dict[str, str]:
        interpreter = Path(getattr(sys, "_base_executable", sys.executable)).parent
        return {"PATH": f"{interpreter}:{os.defpath}:/bin", "HOME": str(self.work), "PIP_NO_INDEX": "1"}

    @contextlib.contextmanager
    def running(self, script: str, nucleus: NucleusStandIn) -> Iterator[subprocess.Popen[bytes]]:
        """Run a script as its nucleus does, without any input and in a group of its own: lite has it in a file."""
        command = ["/bin/sh", "-c", script]
        if nucleus.kind is LITE:
            command = ["/bin/sh", str(self.work.parent / "ggl.script.run")]
            Path(command[1]).write_text(script, encoding="utf-8")
        with (self.work.parent / "run.log").open("wb") as log:
            process = subprocess.Popen(
                [*without_network(), *command],
                cwd=self.work,
                env=self.environment() | nucleus.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)

    def log(self) -> str:
        return (self.work.parent / "run.log").read_text(encoding="utf-8")


def without_network() -> list[str]:
    """Give the words before a command that take the network from it, where this user may do that."""
    words = ["unshare", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if allowed and allowed.returncode == 0 else []


@pytest.fixture
def device(built: Built, tmp_path: Path) -> Device:
    recipe = json.loads((built.first / "greengrass-build" / "recipes" / "recipe.json").read_text(encoding="utf-8"))
    manifests = [one for one in recipe["Manifests"] if one["Platform"]["architecture"] == ARCHITECTURE]
    if not manifests:
        pytest.skip(f"there are no artifacts for {platform.machine()}")
    ((install, run),) = ((one["Lifecycle"]["install"], one["Lifecycle"]["run"]) for one in manifests)
    work = tmp_path / "a work path"
    work.mkdir()
    artifacts = f"{built.first / PLACE}/"  # as lite gives it, with a slash
    return Device(work, install["Script"].replace("{artifacts:path}", artifacts), run["Script"])


def test_the_recipe_installs_from_the_artifacts_alone_and_again_does_nothing(device: Device) -> None:
    (device.work / "venv-0.0.1").mkdir()  # of an older version, which may still run
    done = device.start(device.install)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (device.work / "venv-0.0.1").exists()

    run = device.start(re.sub(r" run\Z", " --version", device.run))
    assert (run.returncode, run.stdout) == (0, f"weir {VERSION}\n"), run.stderr
    assert sorted(path.name for path in device.work.iterdir()) == ["venv", f"venv-{VERSION}"]
    imports = "import awscrt.mqtt, awsiot.greengrasscoreipc.clientv2, msgspec, yaml; print(awscrt.__file__)"
    imported = device.start(f"venv/bin/python3 -c '{imports}'; venv/bin/weir --version")
    assert str(device.work) in imported.stdout
    assert imported.stdout.endswith(f"weir {VERSION}\n"), imported.stderr

    again = device.start(device.install)
    assert (again.returncode, again.stdout) == (0, f"weir {VERSION}\n"), again.stderr


def run_of(recipe: dict[str, Any]) -> str:
    (script,) = {manifest["Lifecycle"]["run"]["Script"] for manifest in recipe["Manifests"]}
    return str(script)


def configuration_of(recipe: dict[str, Any]) -> dict[str, Any]:
    configuration: dict[str, Any] = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    return configuration


@pytest.mark.parametrize("kind", [CLASSIC, LITE], ids=lambda kind: str(kind.name))
def test_the_scripts_of_the_recipe_take_it_from_its_artifacts_to_the_nucleus_and_to_an_end_in_order(
    device: Device, kind: Behaviour
) -> None:
    assert device.start(device.install).returncode == 0
    recipe = json.loads((ROOT / "recipe.json").read_text(encoding="utf-8"))
    producer = recipe_script.recipe(recipe_script.component(ROOT), producer="(echo one; echo two; exec sleep 600)")
    runs = [(recipe, [b"from", b"the inbox"]), (producer, [b"one", b"two"])]
    (device.work / "inbox").mkdir()
    (device.work / "inbox" / "a.log").write_bytes(b"from\nthe inbox\n")
    for variant, records in runs:
        with (
            NucleusStandIn(kind, component=NAME, configuration=configuration_of(variant)) as nucleus,
            device.running(run_of(variant), nucleus) as process,
        ):
            eventually(lambda: process.poll() is not None or len(nucleus.published) == 2, what="records arrive")
            assert [message.payload for message in nucleus.published] == records, device.log()
            os.killpg(process.pid, signal.SIGTERM)  # both nuclei tell the whole group
            assert process.wait(60) == 0, device.log()
            assert "event=stopped" in device.log()


def test_an_installation_that_was_cut_short_is_made_anew(device: Device) -> None:
    broken = device.work / f"venv-{VERSION}" / "bin"
    broken.mkdir(parents=True)
    (device.work / "wheels").mkdir()
    (device.work / "wheels" / "half.whl").write_bytes(b"")

    done = device.start(device.install)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (device.work / "wheels").exists()


def test_an_installation_without_its_artifacts_fails_and_says_so(device: Device) -> None:
    done = device.start(device.install.replace("wheels-", "gone-"))

    assert done.returncode != 0
    assert "gone-" in done.stderr
