"""The course on the Learn page: one module for each chapter, which holds it as ``CHAPTER``."""

from __future__ import annotations

import importlib
import pkgutil

from samplemind_core.ui.learn.lesson import Chapter, figure, hear, question, source

__all__ = ["CHAPTERS", "Chapter", "figure", "hear", "question", "source"]

_HELPERS = {"bench", "lesson", "memory", "small", "stage", "voices"}


def _chapters() -> tuple[Chapter, ...]:
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name not in _HELPERS]
    found = [importlib.import_module(f"{__name__}.{name}").CHAPTER for name in names]
    return tuple(sorted(found, key=lambda chapter: chapter.number))


CHAPTERS: tuple[Chapter, ...] = _chapters()
"""The chapters there are, in their order."""
