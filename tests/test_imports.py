"""What a fresh interpreter loads: pages paint before torch is there, so nothing on their way may import it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "librosa", "numba", "sklearn", "scipy.signal", "pandas")
ROOT = Path(__file__).resolve().parents[1]


def _loaded(code: str, tmp_path: Path) -> set[str]:
    """Return the names of the modules that a fresh interpreter has loaded after some code."""
    ask = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    environment = os.environ | {"SAMPLEMIND_WORKSPACE": str(tmp_path / "workspace"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ask],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import samplemind_core, samplemind_core.workspace, samplemind_core.store, samplemind_core.charts",
        "import samplemind_core.server",
        "import samplemind_core.cli",
        "from samplemind_core.ui.places import navigation",  # all that the router imports
        "from samplemind_core import Workspace\nassert Workspace().runs() == Workspace().datasets() == []",
    ],
    ids=["core", "server", "cli", "router", "empty-workspace"],
)
def test_nothing_heavy_is_loaded(code: str, tmp_path: Path) -> None:
    loaded = _loaded(code, tmp_path)
    assert "samplemind_core" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_the_check_itself_sees_what_is_loaded(tmp_path: Path) -> None:
    assert "scipy.signal" in _loaded("import scipy.signal", tmp_path)


def test_the_package_alone_imports_nothing_of_itself(tmp_path: Path) -> None:
    loaded = _loaded("import samplemind_core", tmp_path)
    assert {name for name in loaded if name.startswith("samplemind_core")} == {"samplemind_core"}


@pytest.mark.parametrize("module", ["samplemind_core.workspace", "samplemind_core.store", "samplemind_core.charts"])
def test_core_does_not_know_streamlit(module: str, tmp_path: Path) -> None:
    assert "streamlit" not in _loaded(f"import {module}", tmp_path)


def test_what_the_package_offers_is_there(tmp_path: Path) -> None:
    code = "import samplemind_core as s\nfor name in s.__all__: assert getattr(s, name) is not None, name"
    assert "samplemind_core.workspace" in _loaded(code, tmp_path)


def test_what_the_router_imports_is_light(tmp_path: Path) -> None:
    lines = (ROOT / "samplemind_core" / "router.py").read_text(encoding="utf-8").splitlines()
    imports = [line for line in lines if line.startswith(("import ", "from ")) and "__future__" not in line]
    assert imports
    assert _loaded("\n".join(imports), tmp_path).isdisjoint(HEAVY)
