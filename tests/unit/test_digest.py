from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from weir.core.digest import sha256


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("data", [b"", b"abc", b"x" * 1_000_000])
def test_it_is_sha_256(data: bytes) -> None:
    digest = sha256()
    digest.update(data[:1])
    digest.update(data[1:])
    assert digest.digest() == sha256(data).digest() == hashlib.sha256(data).digest()


def test_a_run_does_not_load_openssl() -> None:
    modules = "weir.cli.run, weir.wiring.component, weir.transports.mqtt311, weir.sources.directory, weir.sources.stdin"
    assert run(f"import sys, {modules}; print('_hashlib' in sys.modules)") == "False"


def test_a_python_without_it_inside_takes_that_of_hashlib() -> None:
    without = "import sys; sys.modules['_sha2'] = sys.modules['_sha256'] = None"
    assert run(f"{without}; from weir.core.digest import sha256; print(sha256.__name__)") == "openssl_sha256"
