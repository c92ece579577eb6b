"""``python -m samplemind_core``."""

from __future__ import annotations

import sys

try:
    from samplemind_core.cli import main  # takes a moment, in which somebody may think better of it

    main()
except KeyboardInterrupt:
    sys.exit(130)
