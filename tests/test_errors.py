from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from samplemind_core import errors

TREE = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.SampleMindError)]


@pytest.mark.parametrize("cls", TREE)
@pytest.mark.parametrize("advice", ["Do that.", ""])
def test_an_error_survives_the_way_between_processes(cls: type[errors.SampleMindError], advice: str) -> None:
    error = cls("This came.", advice)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is cls
        assert (again.problem, again.advice) == ("This came.", advice)
        assert str(again) == str(error)


def test_the_text_is_problem_and_advice() -> None:
    assert str(errors.AudioError("This came.", "Do that.")) == "This came. Do that."
    assert str(errors.AudioError("This came.")) == "This came."


def test_the_drawn_tree_is_the_real_one() -> None:
    lines = (errors.__doc__ or "").splitlines()
    root = next(number for number, line in enumerate(lines) if line.strip() == "SampleMindError")
    drawn: list[tuple[str, str]] = []
    parents = {0: "SampleMindError"}
    for line in lines[root + 1 :]:
        branch = max(line.find("├── "), line.find("└── "))
        if branch < 0:
            break
        depth = (branch - 4) // 4 + 1
        name = line[branch + 4 :].split()[0]
        parents[depth] = name
        drawn.append((name, parents[depth - 1]))
    real = [(cls.__name__, cls.__mro__[1].__name__) for cls in TREE if cls is not errors.SampleMindError]
    assert sorted(drawn) == sorted(real)


@pytest.mark.parametrize("cls", TREE)
def test_every_error_says_what_it_is(cls: type) -> None:
    assert cls.__dict__.get("__doc__")
