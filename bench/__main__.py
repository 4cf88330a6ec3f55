"""`make bench`: see `parse_and_judge`."""

from __future__ import annotations

import sys

from bench.parse_and_judge import main

if __name__ == "__main__":
    sys.exit(main())
