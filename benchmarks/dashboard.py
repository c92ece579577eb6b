"""A dashboard as a person starts it, on a free port, for as long as it is measured."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

START_DEADLINE_S = 120.0


@contextmanager
def dashboard(workspace: Path) -> Iterator[tuple[int, int]]:
    """Yield port and process id of a dashboard that works on a folder and starts no workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = os.environ | {"SAMPLEMIND_WORKSPACE": str(workspace), "SAMPLEMIND_WORKER": "external"}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port),
               "--server.address", "127.0.0.1", "--server.headless", "true"]  # fmt: skip
    root = Path(__file__).resolve().parents[1]
    started = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while not _answers(port):
            if time.monotonic() > deadline or started.poll() is not None:
                raise SystemExit("The dashboard did not start.")
            time.sleep(0.2)
        yield port, started.pid
    finally:
        started.kill()
        started.wait()


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
