"""Datasets whose clips have several labels: import, split, edits, and what leaves them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samplemind_core.config import build_config
from samplemind_core.data.findings import LabelScore, LabelShortcuts
from samplemind_core.data.importer import import_dataset
from samplemind_core.data.manifests import read_manifest
from samplemind_core.data.sources import Found, ImportOptions
from samplemind_core.data.split import choose_splits, merge_groups
from samplemind_core.errors import ConfigError, DataError, ManifestError
from samplemind_core.settings import Settings
from samplemind_core.workspace import Workspace

FRACTIONS = (0.7, 0.15, 0.15)


def parse(text: str, **options) -> Found:
    return read_manifest(
        lambda: text.encode(), "manifest.csv", ImportOptions(**options), lambda path: (path, lambda: b"x")
    )


def labels(found: Found) -> list[tuple[str, ...]]:
    return [clip.labels for clip in found.candidates]


# -- manifests -----------------------------------------------------------------------------------


def test_a_column_of_labels_makes_a_multi_label_dataset():
    found = parse("path,labels\na.wav,noise | kick\nb.wav,kick|kick|\nc.wav, | \n")
    assert found.multi_label
    assert labels(found) == [("kick", "noise"), ("kick",)]
    assert [clip.label for clip in found.candidates] == ["kick", "kick"]
    assert [row.reason for row in found.rejects] == ["Has no label."]


def test_a_column_named_label_wins_until_the_other_one_is_asked_for():
    text = "path,label,labels,tags\na.wav,kick,kick|noise,x|y\n"
    assert not parse(text).multi_label
    assert labels(parse(text)) == [()]
    assert labels(parse(text, labels_column="tags")) == [("x", "y")]
    assert dict(parse(text, labels_column="tags").candidates[0].extra)["label"] == "kick"


def test_a_column_for_each_label():
    text = "path,kick,Noise,bpm\na.wav,1,0,120\nb.wav,yes,1.0,\nc.wav,0,,\nd.wav,2,1,\n"
    found = parse(text, flag_columns=("kick", "noise"))
    assert labels(found) == [("kick",), ("Noise", "kick")]
    assert dict(found.candidates[0].extra) == {"bpm": "120"}
    assert [row.reason for row in found.rejects] == [
        "Has no label: none of its label columns is 1.",
        "The column 'kick' says '2'; expected 0 or 1.",
    ]


def test_classes_that_were_not_asked_for_are_taken_from_the_labels():
    found = parse("path,labels\na.wav,kick|noise\nb.wav,noise\nc.wav,snare\n", classes=("kick", "snare"))
    assert labels(found) == [("kick",), ("snare",)]
    assert [row.name for row in found.rejects] == ["noise (2 files)"]


def test_columns_that_cannot_be_are_told():
    with pytest.raises(ManifestError, match="more than one kind of column"):
        parse("path,a,b\nx.wav,1,1\n", label_column="a", flag_columns=("b",))
    with pytest.raises(ManifestError, match="no column 'genre'"):
        parse("path,a\nx.wav,1\n", flag_columns=("genre",))
    with pytest.raises(ManifestError, match="cannot name a label"):
        parse("path,a|b\nx.wav,1\n", flag_columns=("a|b",))


# -- splits --------------------------------------------------------------------------------------


def many(seed: int, clips: int = 400, sources: int = 60):
    rng = np.random.default_rng(seed)
    chances = np.array([0.6, 0.3, 0.15, 0.05])
    own = [tuple(name for name, here in zip("abcd", rng.random(4) < chances, strict=True) if here) or ("a",)
           for _ in range(clips)]  # fmt: skip
    return own, [f"s{rng.integers(sources)}" for _ in range(clips)], [f"h{i}" for i in range(clips)]


def deal(own, sources, hashes, seed=0):
    return choose_splits(own, sources, hashes, [None] * len(own), grouping="given", seed=seed, fractions=FRACTIONS)


@pytest.mark.parametrize("seed", range(5))
def test_sources_stay_whole_and_every_label_is_spread_alike(seed):
    own, sources, hashes = many(seed)
    chosen, warnings = deal(own, sources, hashes)
    sides = np.array(chosen)
    groups = merge_groups(sources, hashes)
    assert all(len(set(sides[groups == group])) == 1 for group in np.unique(groups))
    assert warnings == []
    for name in "abcd":
        has = np.array([name in labels for labels in own])
        for side, share in zip(("train", "val", "test"), FRACTIONS, strict=True):
            # A source holds some seven clips, so that a rare label cannot be spread to the clip.
            assert abs((has & (sides == side)).sum() / has.sum() - share) < max(0.06, 3.5 / has.sum())
    assert deal(own, sources, hashes)[0] == chosen


def test_a_label_of_three_sources_is_on_every_side():
    own = [("a",), ("a", "b")] * 30 + [("a", "rare")] * 3
    sources = [f"s{i // 2}" for i in range(60)] + ["r1", "r2", "r3"]
    chosen, _ = deal(own, sources, [f"h{i}" for i in range(63)])
    assert set(chosen[60:]) == {"train", "val", "test"}


# -- a dataset -----------------------------------------------------------------------------------


@pytest.fixture
def tagged(tmp_path: Path, wav) -> Path:
    """A manifest of 24 clips of eight sources with one to three labels each."""
    folder = tmp_path / "tagged"
    folder.mkdir()
    lines = ["path,labels,group"]
    for number in range(24):
        (folder / f"{number}.wav").write_bytes(wav(number))
        own = ["kick", "snare"][number % 2] + "|noise" * (number % 3 == 0) + "|Noise" * (number % 8 == 0)
        lines.append(f"{number}.wav,{own},g{number % 8}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture
def space(tmp_path: Path, tagged: Path):
    workspace = Workspace(Settings(workspace=tmp_path / "ws", database_url=None, worker="external"))
    import_dataset(workspace.store, workspace.root, tagged, "tagged")
    yield workspace
    workspace.close()


def test_an_import_keeps_all_labels(space):
    dataset = space.dataset("tagged")
    assert (dataset.multi_label, dataset.class_names) == (True, ("Noise", "kick", "noise", "snare"))
    first = space.clips("tagged")[0]
    assert (first.label, first.labels, first.shown_label) == (
        "Noise",
        ("Noise", "kick", "noise"),
        "Noise + kick + noise",
    )
    counts = {name: sum(row.values()) for name, row in space.store.datasets.counts(dataset.id).items()}
    assert counts == {"kick": 12, "snare": 12, "noise": 8, "Noise": 3}
    assert space.store.datasets.count_clips(dataset.id, label="noise") == 8
    sources = space.store.datasets.sources(dataset.id)
    assert sum(sum(row.values()) for by_label in sources.values() for row in by_label.values()) == 24


def test_labels_are_edited_as_a_set_and_taken_back(space):
    clip = space.clips("tagged")[1]
    before = space.dataset("tagged")
    made = space.edit("tagged").relabel([clip.id], "snare | zap")
    assert made.message == "Relabelled 1 sample as snare + zap"
    assert made.class_names == ("Noise", "kick", "noise", "snare", "zap")
    assert made.fingerprint != before.fingerprint
    assert space.clips("tagged")[1].labels == ("snare", "zap")
    assert space.clips("tagged", version=1)[1].labels == ("snare",)
    assert space.diff("tagged@1", "tagged").changed[0].values == {"label": ("snare", "snare + zap")}
    space.edit("tagged").undo()
    assert space.clips("tagged")[1].labels == ("snare",)
    assert space.dataset("tagged").fingerprint == before.fingerprint
    with pytest.raises(DataError, match="cannot name a class"):
        space.edit("tagged").relabel([clip.id], " | ")


def test_a_new_split_spreads_labels_too(space):
    space.edit("tagged").resplit(seed=4)
    assert {clip.split for clip in space.clips("tagged")} == {"train", "val", "test"}


def test_a_health_report_knows_several_labels(space):
    found = space.health("tagged")
    assert isinstance(found.shortcuts, LabelShortcuts)
    assert {guess.label for guess in found.shortcuts.labels} <= set(space.dataset("tagged").class_names)
    assert found.leakage is not None
    assert isinstance(found.leakage.naive, LabelScore)
    assert "mean average precision" in found.leakage.sentence
    assert not any("several labels" in note for note in found.notes)
    assert space.stored_health("tagged") == found
    assert found.facts["classes"] == 4


def test_a_loss_for_one_label_is_refused_before_a_run_is_queued(space):
    with pytest.raises(ConfigError, match="several") as caught:
        space.submit("tagged", build_config("quick", {"loss": "cross_entropy"}), start=False)
    assert "bce" in caught.value.advice
    assert space.runs() == []
    assert space.submit("tagged", build_config("quick"), start=False).status == "queued"


def test_the_layered_demo_has_several_labels_and_says_that_it_is_synthetic(space):
    made = space.make_demo(per_class=12, name="layers", layers=True)
    assert (made.multi_label, made.synthetic, made.num_clips) == (True, True, 72)
    clips = space.clips("layers")
    assert {len(clip.labels) for clip in clips} == {1, 2, 3}
    kits = {}
    for clip in clips:
        assert kits.setdefault(clip.source, clip.split) == clip.split
    assert {clip.split for clip in clips} == {"train", "val", "test"}
