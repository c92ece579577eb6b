"""A report opens without a network, shows names as text, and says the same three times."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest

from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.report import ReportModel, make_report
from samplemind_core.store.records import Clip

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    names = ("kick", EVIL)
    targets = rng.integers(0, 2, 60)
    ids = np.arange(1, 61)
    clips = {
        i: Clip(i, f"=cmd{i}.wav", names[targets[i - 1]], int(targets[i - 1]), f"pack{i % 5}", "test", f"h{i}", "x.wav",
                duration_s=0.1 * i, id=i)
        for i in range(1, 61)
    }  # fmt: skip
    sources = np.array([clips[i].source for i in ids.tolist()])
    models = []
    for name, lead in (("A", 0.5), ("B", 3.0)):
        logits = (rng.normal(size=(60, 2)) + lead * np.eye(2)[targets]).astype(np.float32)
        judged = Judged(logits, targets, ids, sources, names)
        models.append(ReportModel(name, f"{name} · run", judged, 1.5, {"train.lr": lead}, {"Run": EVIL}, ()))
    return make_report(models, clips, f"drums {EVIL}", "test", ("Mind the split.",))


def test_the_page_is_whole_and_safe(report) -> None:
    body = report.html.split("</head>")[1]
    assert EVIL not in body
    assert "&lt;script&gt;" in body
    assert not re.findall(r'(?:src|href)="http', body)
    assert report.html.count("Plotly.newPlot") >= 9
    for words in ("Verdict", "Confusions", "Mind the split.", "Settings that differ"):
        assert words in body
    assert body.count('role="img" aria-label="') == body.count("<figure")


def test_the_numbers_agree_with_the_table(report) -> None:
    data = json.loads(json.dumps(report.data, allow_nan=False))
    rows = list(csv.DictReader(io.StringIO(report.csv)))
    assert len(rows) == data["num_clips"] == 60
    for model in data["models"]:
        right = sum(int(row[f"{model['name']} right"]) for row in rows)
        assert right / 60 == pytest.approx(model["evaluation"]["accuracy"])
    assert data["comparisons"][0]["b"] == "B"
    assert "Source" in data["slices"]
    assert all(row["name"].startswith("'=") for row in rows)
