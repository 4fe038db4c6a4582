"""`python -m weir.operation_queue`: a command like the others, so it lives with them."""

import sys

from weir.cli.operation_queue import main

sys.exit(main())
