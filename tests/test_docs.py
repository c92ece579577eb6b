"""The docs name everything there is, and the table of settings is the code's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from samplemind_core.cli import app
from samplemind_core.config import PRESETS, SECTIONS
from samplemind_core.settings import Limits, Settings
from samplemind_core.settings_table import render

ROOT = Path(__file__).resolve().parents[1]
SETTINGS_PAGE = ROOT / "docs" / "SETTINGS.md"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
VARIABLES = {f"SAMPLEMIND_{name.upper()}" for group in (Settings, Limits) for name in group.model_fields} - {
    "SAMPLEMIND_LIMITS"  # a group of the others
}


@pytest.fixture(scope="module")
def prose() -> str:
    """README and docs, without the generated page."""
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page != SETTINGS_PAGE)


def test_the_page_of_settings_is_up_to_date() -> None:
    if SETTINGS_PAGE.read_text(encoding="utf-8") != render():
        pytest.fail("docs/SETTINGS.md is out of date: python -m samplemind_core.settings_table > docs/SETTINGS.md")


def test_the_page_of_settings_names_every_setting() -> None:
    text = render()
    paths = [f"{section}.{name}" for section, model in SECTIONS.items() for name in model.model_fields]
    missing = [name for name in [*paths, *VARIABLES] if text.count(f"| `{name}` |") < 1]
    assert missing == []
    assert all(f"**{name}**" in text for name in PRESETS)


def test_every_command_is_in_the_docs(prose: str) -> None:
    command = get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    missing = [name for name in command.commands if not re.search(rf"python -m samplemind_core {name}\b", prose)]
    assert missing == []


def test_the_docs_name_no_command_that_is_gone(prose: str) -> None:
    command = get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    named = set(re.findall(r"python -m samplemind_core ([a-z][a-z-]*)", prose))
    assert named <= set(command.commands)


def test_the_docs_name_no_variable_that_is_gone(prose: str) -> None:
    assert set(re.findall(r"SAMPLEMIND_[A-Z_]*[A-Z]", prose)) <= VARIABLES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert broken == []
