"""`python -m weir.cli` is `weir`."""

from __future__ import annotations

import sys

from weir.cli.main import main

sys.exit(main())
