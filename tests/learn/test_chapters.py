"""Every chapter opens, answers its controls and its question, and types no number that it could compute."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from samplemind_core.ui import learn
from samplemind_core.ui.learn import CHAPTERS, memory

SLUGS = [chapter.slug for chapter in CHAPTERS]
MODULES = sorted(Path(learn.__file__).parent.glob("*.py"))
# A decimal fraction or a percentage inside words. Years and counts of classes are no results.
TYPED_NUMBER = re.compile(r"\d[.,]\d|\d\s?%")


def text(app) -> str:
    return "\n".join(str(part.value) for part in [*app.title, *app.subheader, *app.markdown, *app.caption, *app.error])


def test_chapters_have_their_own_numbers_and_addresses():
    assert SLUGS
    assert len(set(SLUGS)) == len(SLUGS)
    numbers = [chapter.number for chapter in CHAPTERS]
    assert numbers == sorted(set(numbers))


def test_the_contents_offer_every_chapter(visit):
    app = visit("learn")
    assert not app.exception
    assert {f"learn-open-{slug}" for slug in SLUGS} <= {button.key for button in app.button}
    app.button(key=f"learn-open-{SLUGS[-1]}").click().run()
    assert SLUGS[-1] in app.query_params["chapter"]
    assert app.title[0].value == CHAPTERS[-1].title


def test_a_link_to_a_chapter_that_is_gone_shows_those_there_are(visit):
    app = visit("learn", chapter="astrology")
    assert "not here" in text(app)
    assert f"learn-open-{SLUGS[0]}" in {button.key for button in app.button}


@pytest.mark.parametrize("slug", SLUGS)
def test_a_chapter_opens_and_its_question_marks_it_done(visit, slug):
    app = visit("learn", chapter=slug)
    assert not app.exception
    assert not app.error
    radio = app.radio(key=f"learn-question-{slug}")
    done = []
    for option in radio.options:
        app.radio(key=f"learn-question-{slug}").set_value(option).run()
        assert not app.exception
        done.append(slug in app.session_state["learn-done"] if "learn-done" in app.session_state else False)
    assert any(done)
    assert "check_circle" in text(app) or "replay" in text(app)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_control_of_a_chapter_can_be_moved(visit, slug):
    app = visit("learn", chapter=slug)
    for kind in ("slider", "toggle", "select_slider", "button"):
        for key in [item.key for item in getattr(app, kind)]:
            found = [item for item in getattr(app, kind) if item.key == key]
            if not found or key in ("learn-contents", "learn-next", "learn-previous"):
                continue  # it comes and goes with another
            (item,) = found
            if kind == "slider":
                item.set_value(item.max)
            elif kind == "select_slider":
                item.set_value(item.options[-1])
            elif kind == "toggle":
                item.set_value(not item.value)
            else:
                item.click()
            app.run()
            assert not app.exception, key
            assert not app.error, key


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_numbers_are_computed_not_typed(path):
    typed = [
        f"{path.name}:{line}: {string!r}" for line, string in spoken(path.read_text()) if TYPED_NUMBER.search(string)
    ]
    assert typed == []


def test_the_check_finds_a_typed_number():
    code = 'st.markdown(f"The loss is 0.69, not {loss:.2f}.")\nsource("Smith 2015, arXiv:1506.01186", "https://x/1.2")'
    assert [string for _, string in spoken(code) if TYPED_NUMBER.search(string)] == ["The loss is 0.69, not "]


def spoken(code: str) -> list[tuple[int, str]]:
    """Return line and text of every string that a reader may see; names of sources and formats are none."""
    tree = ast.parse(code)
    silent = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "source":
            silent |= {id(part) for part in ast.walk(node)}
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            silent |= {id(part) for part in ast.walk(node.format_spec)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [(node.lineno, node.value) for node in strings if id(node) not in silent]


def test_what_a_browser_kept_may_be_anything():
    for kept in ("", "null", "[1, null]", '{"a": 1}', "nonsense", '["loss", 3]'):
        assert memory._parsed(kept) <= {"loss"}
