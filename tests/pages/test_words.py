from __future__ import annotations

import math

import pytest

from samplemind_core.ui import words
from samplemind_core.ui.answers import csv_text
from samplemind_core.ui.parts import safe
from samplemind_core.ui.settings_form import describe


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (3.21, "3.2 s"), (59.4, "59 s"), (59.7, "1 min 0 s"), (3725, "1 h 2 min"), (math.inf, "–")],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.99996, "> 99.9 %"), (1.0, "100.0 %"), (0.00001, "< 0.1 %"), (0.0, "0.0 %"), (0.914, "91.4 %")],
)
def test_a_confidence_is_never_rounded_to_certainty(fraction, text):
    assert words.confidence(fraction) == text


def test_a_reason_beside_a_name_does_not_repeat_it():
    assert words.without_name("a.wav cannot be read: gone.", "a.wav") == "Cannot be read: gone."
    assert words.without_name("set/a.wav is damaged.", "pack.zip/set/a.wav") == "Is damaged."
    assert words.without_name("macOS metadata, not samples.", "__MACOSX (1 file)") == "macOS metadata, not samples."


def test_plurals():
    assert [words.plural(n, noun) for n, noun in ((1, "class"), (2, "class"), (1200, "sample"), (2, "copy"))] == [
        "1 class",
        "2 classes",
        "1,200 samples",
        "2 copies",
    ]


def test_names_are_not_markup():
    assert safe("a*b_[c](d) $x$ :red[y]") == r"a\*b\_\[c\]\(d\) \$x\$ \:red\[y\]"


def test_an_optional_setting_keeps_its_range():
    field = describe("train.early_stopping_patience")
    assert (field["optional"], field["minimum"], field["type"]) == (True, 1, "integer")


def test_answers_as_csv_keep_bad_files_and_disarm_formulas():
    from samplemind_core.inference.classifier import Result

    good = Result("=cmd.wav", "kick", 0.75, {"kick": 0.75, "snare": 0.25})
    lines = csv_text([good, Result("bad.wav", error="It is empty, quite.")]).splitlines()
    assert lines[0] == "file,label,confidence,p_kick,p_snare,p_none,prediction_set,error"
    assert lines[1] == "'=cmd.wav,kick,0.750000,0.750000,0.250000,,,"
    assert lines[2] == 'bad.wav,,,,,,,"It is empty, quite."'


def test_a_setting_is_called_what_it_is_of():
    paths = ("model.dropout", "model.init", "model.members", "train.min_steps", "train.optimizer")
    assert [words.setting_at(path) for path in paths] == [
        "Network dropout",
        "First weights",
        "Networks side by side",
        "Least steps",
        "Optimiser",
    ]
