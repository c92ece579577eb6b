from __future__ import annotations

import pytest

from samplemind_core.ui.hints import HINTS, chapters
from samplemind_core.ui.learn import CHAPTERS


def test_hints_lead_to_chapters_that_exist():
    slugs = {chapter.slug for chapter in CHAPTERS}
    assert slugs <= chapters()
    assert {hint.chapter for hint in HINTS.values()} & chapters() <= slugs


@pytest.mark.parametrize(
    ("page", "query", "concepts"),
    [
        ("train", {"new": "1"}, {"epoch", "batch_size", "learning_rate", "optimiser", "log_mel"}),
        ("train", {"run": "r1"}, {"loss", "accuracy", "overfitting"}),
        ("data", {}, {"split"}),
    ],
)
def test_words_of_the_field_are_explained_where_they_stand(visit, seeded, page, query, concepts):
    app = visit(page, **query)
    assert not app.exception
    said = {str(part.value) for part in app.markdown}
    assert {HINTS[concept].text for concept in concepts} <= said
