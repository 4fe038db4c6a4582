"""A Greengrass nucleus stand-in: the IPC server side, for tests of components with the unmodified client library.

One server; what differs between the classic nucleus and nucleus lite is in two tables (`tables`). README.md says what
it does, what it does not do, and how to use it. Nothing here imports the client library or the component under test.
"""

from tests.nucleus.cloud import Published
from tests.nucleus.standin import Deployment, NucleusStandIn
from tests.nucleus.tables import CLASSIC, KINDS, LITE, Behaviour

__all__ = ["CLASSIC", "KINDS", "LITE", "Behaviour", "Deployment", "NucleusStandIn", "Published"]
