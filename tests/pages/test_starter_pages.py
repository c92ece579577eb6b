from __future__ import annotations

import sys
from pathlib import Path

import pytest

from samplemind_core import starter

sys.path.insert(0, str(Path(__file__).parents[1] / "starter"))
from starter_model import put_starter


@pytest.fixture(autouse=True)
def _put(tmp_path, monkeypatch):
    put_starter(tmp_path, monkeypatch)
    yield
    starter.starter_card.cache_clear()


def test_sounds_have_names_before_any_training(visit, space):
    app = visit("classify")
    assert not app.exception
    assert not app.error
    assert app.selectbox(key="choose-checkpoint").options == ["Starter: trained on synthesised drums only"]
    said = "\n".join(item.value for item in [*app.markdown, *app.caption])
    assert "only ever heard synthesised drums" in said
    assert "right on 90.0 % of synthesised drums in kits it never heard, on 50.0 % of real ones" in said
    assert [item.key for item in app.button] == ["classify-train"]


def test_a_copy_without_a_starter_leads_to_training(visit, space):
    starter.CARD.unlink()
    starter.starter_card.cache_clear()
    app = visit("classify")
    assert not app.exception
    assert [item.key for item in app.button] == ["classify-train"]
    assert not app.selectbox


def test_diagnostics_offers_it_for_datasets_that_know_its_classes(visit, seeded):
    from samplemind_core.ui.diagnostics.picking import datasets

    app = visit("diagnostics")
    assert not app.exception
    assert "Starter: trained on synthesised drums only" in app.selectbox(key="choose-a").options
    assert list(datasets()) == ["d1"]
