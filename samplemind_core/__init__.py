"""SampleMind: train, understand and use CNN classifiers of audio samples.

>>> from samplemind_core import Workspace, build_config  # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Threads of the network's arithmetic that wait in a loop make training ten times slower as soon as
# anything else wants a core (measured on two cores). Must be said before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from samplemind_core.config import build_config
    from samplemind_core.inference.classifier import Classifier
    from samplemind_core.workspace import Workspace

__all__ = ["Classifier", "Workspace", "__version__", "build_config"]
__version__ = "0.1.0"

_HOMES = {
    "Classifier": "samplemind_core.inference.classifier",
    "Workspace": "samplemind_core.workspace",
    "build_config": "samplemind_core.config",
}


def __getattr__(name: str) -> Any:
    # Importing the package is free; what it offers is imported when it is asked for.
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'samplemind_core' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
