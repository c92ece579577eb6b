"""What names say, what they do not say, and what becomes of files without a label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from samplemind_core.config import FeatureConfig
from samplemind_core.data.dataset import load_clips
from samplemind_core.data.importer import import_dataset
from samplemind_core.data.names import DEFAULT_RULES, Namer, format_rules, parse_rules, words_of
from samplemind_core.data.sources import ImportOptions, list_names
from samplemind_core.errors import DataError
from samplemind_core.settings import Limits
from samplemind_core.store import Store

RULES = ImportOptions(name_rules=DEFAULT_RULES)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("BD0010.wav", "kick"),
        ("808bd.wav", "kick"),
        ("KickDrum.wav", "kick"),
        ("My Kicks/01.wav", "kick"),
        ("Bass_Drum 3.wav", "kick"),
        ("SD.wav", "snare"),
        ("snr-tight.wav", "snare"),
        ("909_OH_2.wav", "hihat"),
        ("ClosedHat.wav", "hihat"),
        ("hi-hat.wav", "hihat"),
        ("HHOpen.wav", "hihat"),
        ("CHH1.wav", "hihat"),
        ("clp7.wav", "clap"),
        ("lt50.wav", "tom"),
        ("Crash (long).wav", "cymbal"),
        ("RideBell.wav", "cymbal"),
        ("cb.wav", "cowbell"),
        ("hats/kick.wav", "kick"),  # the file's own name before its folder's
        ("shh.wav", ""),
        ("that.wav", ""),
        ("bdx.wav", ""),
        ("chord.wav", ""),
        ("001.wav", ""),
        ("キック.wav", ""),
    ],
)
def test_words_of_names(name: str, label: str) -> None:
    assert Namer().label(name) == (label, False)


def test_a_name_of_two_things_says_nothing() -> None:
    namer = Namer()
    assert namer.label("kick/snare rim.wav") == ("", True)
    proposal = namer.propose(["kick-1.wav", "KICK-2.wav", "snare clap.wav", "x.wav", "sd.wav"])
    assert proposal.table() == [("kick", 2, "kick-1.wav, KICK-2.wav"), ("snare", 1, "sd.wav")]
    assert (proposal.unlabelled, proposal.ambiguous) == (["snare clap.wav", "x.wav"], ["snare clap.wav"])


def test_the_longest_phrase_wins() -> None:
    namer = Namer((("kick", ("bass drum",)), ("bass", ("bass",))))
    assert namer.label("bass drum.wav")[0] == "kick"
    assert namer.label("bass.wav")[0] == "bass"


def test_rules_are_read_as_they_are_written() -> None:
    assert parse_rules(format_rules(DEFAULT_RULES)) == DEFAULT_RULES
    assert parse_rules(["low=sub, boom"]) == (("low", ("sub", "boom")),)
    assert words_of("TR-808 KickDrums_v2") == ["tr", "808", "kick", "drum", "v", "2"]


@pytest.mark.parametrize(
    ("text", "told"), [("kick", "is no rule"), ("kick:", "is no rule"), ("a: x\na: y", "twice"), (": bd", "is no rule")]
)
def test_faulty_rules_are_told(text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        parse_rules(text)


def test_contradicting_rules_are_told() -> None:
    with pytest.raises(DataError, match="stands for 'kick' and 'snare'"):
        Namer((("kick", ("bd",)), ("snare", ("BD",))))
    with pytest.raises(DataError, match="Expected 1 to"):
        Namer(())


@pytest.fixture
def loose(tmp_path: Path, wav: Callable[[int], bytes]) -> Path:
    """Six kicks, six snares, two unknown and one ambiguous file from three packs, and no class folder."""
    folder = tmp_path / "loose"
    for number in range(12):
        file = folder / f"pack{number % 3}" / f"{('BD', 'snr')[number // 6]}{number}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(wav(number))
    for number, name in enumerate(("x.wav", "y.wav", "kick snare.wav")):
        (folder / "pack0" / name).write_bytes(wav(100 + number))
    return folder


def test_unlabelled_clips_are_kept_and_take_no_part(store: Store, root: Path, loose: Path) -> None:
    dataset = import_dataset(store, root, loose, "loose", options=RULES)
    assert dataset.class_names == ("kick", "snare")
    assert (dataset.num_clips, dataset.num_excluded, dataset.num_rejected) == (12, 3, 0)
    assert any("3 samples without a label" in warning for warning in dataset.warnings)
    assert any("1 name of more than one class" in warning for warning in dataset.warnings)
    assert set(store.datasets.counts(dataset.id)) == {"kick", "snare"}
    aside = store.datasets.clips(dataset.id, excluded=True)
    assert {(clip.label, clip.target) for clip in aside} == {("", -1)}
    assert {clip.source for clip in store.datasets.clips(dataset.id)} == {"pack0", "pack1", "pack2"}
    data = load_clips(root, store, dataset, FeatureConfig())
    used = sum(len(data.indices(split)) for split in ("train", "val", "test"))
    assert (len(data), used) == (15, 12)
    assert (data.targets[data.split == "none"] == -1).all()


def test_the_same_names_in_a_tar_give_the_same(store: Store, root: Path, loose: Path, tmp_path: Path) -> None:
    import shutil

    archive = Path(shutil.make_archive(str(tmp_path / "set"), "gztar", loose))
    assert list_names(archive, Limits()) == list_names(loose, Limits())
    one = import_dataset(store, root, loose, "one", options=RULES)
    two = import_dataset(store, root, archive, "two", options=RULES)
    assert one.fingerprint == two.fingerprint


def test_no_label_at_all_is_refused(store: Store, root: Path, loose: Path) -> None:
    with pytest.raises(DataError, match="None of the names of 15 usable samples says a class"):
        import_dataset(store, root, loose, "loose", options=ImportOptions(name_rules=(("gong", ("gong",)),)))
    with pytest.raises(DataError, match="are of the class 'kick'"):
        import_dataset(store, root, loose, "loose", options=ImportOptions(name_rules=(("kick", ("bd",)),)))
