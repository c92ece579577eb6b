"""``python -m samplemind_core``."""

from __future__ import annotations

from samplemind_core.cli import main

main()
