"""Stand-ins with behaviour: each keeps the promises of its port, and a contract suite holds it to them."""

from __future__ import annotations

from tests.fakes.transport import FakeTransport

__all__ = ["FakeTransport"]
