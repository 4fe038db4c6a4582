"""Makes what a deployment of this version needs, as `make artifacts` and as the build command of GDK.

    artifacts/NAME/VERSION/                  one file of wheels for each architecture, and the bill of materials
    greengrass-build/artifacts/NAME/VERSION/ the same once more, where GDK wants it
    greengrass-build/recipes/recipe.json     the recipe of this checkout

Owns these directories: what else lies in them is removed. Two runs give the same bytes, wherever they take place. It
must not know how a recipe or a wheel is made.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from scripts import sbom, wheelhouse

ROOT = Path(__file__).resolve().parent.parent
EARLIEST = (1980, 1, 1, 0, 0, 0)  # of the times that a zip file can tell
SBOM = "sbom.cdx.json"


def main() -> int:
    """Make everything, or say in one line why not."""
    ((name, about),) = json.loads((ROOT / "gdk-config.json").read_text(encoding="utf-8"))["component"].items()
    version = about["version"]
    built = ROOT / "greengrass-build"
    places = [ROOT / "artifacts" / name / version, built / "artifacts" / name / version]
    try:
        recipe = _recipe(version)
        with tempfile.TemporaryDirectory() as scratch:
            made = _make(name, version, Path(scratch))
            for place in places:
                _fill(place, made)
    except wheelhouse.NotHad as error:
        print(f"artifacts: {error}", file=sys.stderr)  # noqa: T201 - it speaks to a person at a terminal
        return 1
    (built / "recipes").mkdir(parents=True, exist_ok=True)
    (built / "recipes" / "recipe.json").write_text(recipe, encoding="utf-8")
    for path in sorted(places[0].iterdir()):
        print(f"{path.stat().st_size:>12,}  {path.relative_to(ROOT)}")  # noqa: T201 - as above
    return 0


def _recipe(version: str) -> str:
    """Give the recipe of this checkout, variant or not, if it is of this version."""
    text = (ROOT / "recipe.json").read_text(encoding="utf-8")
    found = json.loads(text)["ComponentVersion"]
    if found != version:
        raise wheelhouse.NotHad(
            f"recipe.json is of version {found}, gdk-config.json of {version}: run python -m scripts.recipe"
        )
    return text


def _make(name: str, version: str, scratch: Path) -> list[Path]:
    """Give the finished files, made in a scratch directory."""
    own = wheelhouse.build(ROOT, scratch / "own")
    downloaded = wheelhouse.download(ROOT / "requirements" / "run.txt", scratch / "downloaded")
    archives = []
    for architecture, wheels in downloaded.items():
        archives.append(scratch / f"wheels-{architecture}.zip")
        _pack([own, *wheels], archives[-1])
    every = [sbom.read(wheel) for wheel in [own, *(one for wheels in downloaded.values() for one in wheels)]]
    bill = scratch / SBOM
    bill.write_text(json.dumps(sbom.document(name, version, archives, every), indent=1) + "\n", encoding="utf-8")
    return [*archives, bill]


def _pack(wheels: Iterable[Path], into: Path) -> None:
    """Put each wheel into one file once; they are compressed already."""
    with zipfile.ZipFile(into, "x", zipfile.ZIP_STORED) as archive:
        for name, wheel in sorted({wheel.name: wheel for wheel in wheels}.items()):
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a plain file of Unix, wherever it is made
            archive.writestr(entry, wheel.read_bytes())


def _fill(place: Path, files: Iterable[Path]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, place / file.name)


if __name__ == "__main__":
    sys.exit(main())
