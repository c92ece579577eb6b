from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from samplemind_core.config import FeatureConfig, build_config
from samplemind_core.data.cache import cache_file
from samplemind_core.data.dataset import load_clips
from samplemind_core.data.editing import stacks
from samplemind_core.data.quality import fingerprint_clips
from samplemind_core.errors import DataError, NotFoundError, SplitError, VersionConflictError
from samplemind_core.store import Clip, Dataset
from samplemind_core.workspace import Workspace

SPLITS = ("train", "train", "val", "test")


@pytest.fixture
def drums(workspace: Workspace) -> Dataset:
    """Forty clips of two classes from ten sources; folds 0 to 4."""
    clips = [
        Clip(
            row=row,
            name=f"clip-{row:02d}.wav",
            label=("kick", "snare")[row % 2],
            target=row % 2,
            source=f"pack{row // 4}",
            split=SPLITS[row // 4 % 4],  # type: ignore[arg-type]
            content_hash=f"{row:064x}",
            file=f"audio/{row}.wav",
            fold=str(row // 4 % 5),
        )
        for row in range(40)
    ]
    found = Dataset("d1", "drums", "audio", ("kick", "snare"), 40, 0, fingerprint_clips(clips), "a folder", 7, 1.0)
    return workspace.store.datasets.add(found, clips)


def ids(workspace: Workspace, **where) -> list[int]:
    return [clip.id for clip in workspace.store.datasets.clips("d1", **where) if clip.id is not None]


def states(workspace: Workspace, version: int | None = None) -> list[tuple]:
    return [(clip.row, clip.label, clip.source, clip.split) for clip in workspace.clips("drums", version)]


def test_a_relabel_is_a_version_with_who_and_what(workspace, drums):
    first = ids(workspace)[:2]
    made = workspace.edit("drums", by="Ada").relabel(first, " snare ")
    assert (made.version, made.kind, made.author) == (2, "relabel", "Ada")
    assert made.message == "Relabelled 1 sample as snare"  # the other one was a snare already
    assert made.fingerprint != drums.fingerprint
    [change] = workspace.store.versions.changes("d1", 2)
    assert (change.clip_id, change.field, change.before, change.after) == (first[0], "label", "kick", "snare")


def test_a_new_name_becomes_a_class_and_an_empty_one_disappears(workspace, drums):
    editor = workspace.edit("drums")
    assert editor.relabel(ids(workspace)[:1], "clap").class_names == ("clap", "kick", "snare")
    assert editor.relabel(ids(workspace, label="kick"), "tom").class_names == ("clap", "snare", "tom")
    assert [clip.target for clip in workspace.clips("drums")][:4] == [0, 1, 2, 1]
    assert workspace.dataset("drums").class_names == ("clap", "snare", "tom")


def test_excluding_sets_aside_and_deletes_nothing(workspace, drums):
    chosen = ids(workspace)[:3]
    editor = workspace.edit("drums")
    made = editor.exclude(chosen)
    assert (made.num_clips, made.num_excluded) == (37, 3)
    assert not set(ids(workspace)) & set(chosen)
    assert len(workspace.clips("drums")) == 37
    assert editor.include(chosen).fingerprint == drums.fingerprint
    assert states(workspace) == states(workspace, 1)


def test_grouping_moving_and_merging_sources(workspace, drums):
    editor = workspace.edit("drums")
    assert editor.move(ids(workspace, source="pack0"), "val").message == "Moved 4 samples to validation"
    assert editor.group(ids(workspace)[:2], "TR-808").message == "Grouped 2 samples under the source TR-808"
    assert editor.merge_sources(["pack1", "pack2"], "TR-909").num_changes == 8
    assert editor.regroup(dict.fromkeys(ids(workspace)[:10], "one")).num_changes == 10
    assert len(workspace.store.datasets.clips("d1", source="one")) == 10
    with pytest.raises(DataError, match="no source 'pack1'"):
        editor.merge_sources(["pack1"], "x")


def test_splitting_anew_keeps_sources_whole_and_repeats_for_a_seed(workspace, drums):
    editor = workspace.edit("drums")
    made = editor.resplit(seed=3, fractions=(0.6, 0.2, 0.2))
    assert (made.seed, made.message) == (3, "Split anew, 60 / 20 / 20 %, seed 3")
    assert workspace.dataset("drums").seed == 3
    sides: dict[str, set[str]] = {}
    for clip in workspace.clips("drums"):
        sides.setdefault(clip.source, set()).add(clip.split)
    assert all(len(found) == 1 for found in sides.values())
    there = states(workspace)
    editor.undo()
    assert workspace.dataset("drums").seed == 7
    editor.resplit(seed=3, fractions=(0.6, 0.2, 0.2))
    assert states(workspace) == there


def test_excluded_clips_take_no_part_in_a_split(workspace, drums):
    chosen = ids(workspace, split="test")[:2]
    editor = workspace.edit("drums")
    editor.exclude(chosen)
    editor.resplit(seed=5)
    assert {clip.split for clip in workspace.store.datasets.clips("d1", ids=chosen, excluded=True)} == {"test"}


def test_folds_of_a_manifest_become_the_splits(workspace, drums):
    editor = workspace.edit("drums")
    editor.split_by_fold(val=["3"], test=["4"])
    assert {(clip.fold, clip.split) for clip in workspace.clips("drums")} == {
        ("0", "train"), ("1", "train"), ("2", "train"), ("3", "val"), ("4", "test")
    }  # fmt: skip
    with pytest.raises(DataError, match="no fold '9'"):
        editor.split_by_fold(val=["3"], test=["9"])
    with pytest.raises(DataError, match="folds of their own"):
        editor.split_by_fold(val=["3"], test=["3"])


def test_undo_and_redo_walk_through_the_changes(workspace, drums):
    editor = workspace.edit("drums")
    editor.relabel(ids(workspace)[:4], "tom")
    editor.exclude(ids(workspace)[4:6])
    editor.group(ids(workspace)[:3], "mine")
    history = [states(workspace, number) for number in (1, 2, 3, 4)]
    for number in (3, 2, 1):
        made = editor.undo()
        assert (made.kind, made.reverts) == ("undo", number + 1)
        assert states(workspace) == history[number - 1]
    with pytest.raises(DataError, match="nothing to undo"):
        editor.undo()
    assert editor.redo().message == "Redid: Relabelled 4 samples as tom"
    assert editor.redo().reverts == 3
    assert states(workspace) == history[2]
    assert editor.dataset.fingerprint == workspace.store.versions.get("d1", 3).fingerprint
    # A new change after an undo: what was undone stays so.
    editor.move(ids(workspace)[:1], "test")
    with pytest.raises(DataError, match="nothing to redo"):
        editor.redo()
    done, undone = stacks(workspace.store.versions.all("d1"))
    assert [version.message for version in done][-1] == "Moved 1 sample to test"
    assert undone == []


def test_every_version_stays_reproducible(workspace, drums):
    rng = np.random.default_rng(4)
    editor = workspace.edit("drums")
    kept = [states(workspace)]
    for _ in range(12):
        chosen = [int(one) for one in rng.choice(ids(workspace), 5, replace=False)]
        try:
            match rng.integers(5):
                case 0:
                    editor.relabel(chosen, str(rng.choice(["kick", "snare", "tom"])))
                case 1:
                    editor.exclude(chosen[:2])
                case 2:
                    editor.group(chosen, f"group{chosen[0]}")
                case 3:
                    editor.move(chosen, "train")
                case _:
                    editor.undo()
        except DataError:
            continue
        kept.append(states(workspace))
    assert len(kept) > 6
    for number, expected in enumerate(kept, start=1):
        assert states(workspace, number) == expected
        record = workspace.store.versions.at(workspace.dataset("drums"), number)
        assert record.fingerprint == fingerprint_clips(workspace.clips("drums", number))
        assert record.num_clips == len(expected)


def test_somebody_who_looked_at_an_old_version_is_told(workspace, drums):
    slow, quick = workspace.edit("drums", by="Bo"), workspace.edit("drums", by="Ada")
    quick.relabel(ids(workspace)[:1], "snare")
    with pytest.raises(VersionConflictError, match="version 2 by Ada: Relabelled 1 sample as snare"):
        slow.exclude(ids(workspace)[:1])
    with pytest.raises(VersionConflictError, match="made to version 1"):
        workspace.edit("drums", base=1)
    assert workspace.edit("drums", base=2).exclude(ids(workspace)[:1]).version == 3


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda editor, all_: editor.relabel(all_[:1], "  "), "cannot name a class"),
        (lambda editor, all_: editor.relabel(all_[:1], "a\ud800"), "cannot name a class"),
        (lambda editor, all_: editor.relabel(all_, "kick"), "training needs two"),
        (lambda editor, all_: editor.relabel([], "kick"), "No sample was chosen"),
        (lambda editor, all_: editor.relabel(all_[::2], "kick"), "changes nothing"),
        (lambda editor, all_: editor.group(all_[:1], ""), "A source has 1 to 300"),
        (lambda editor, all_: editor.move(all_[:1], "dev"), "no split 'dev'"),
        (lambda editor, all_: editor.move(all_, "train"), "no sample in validation and test"),
        (lambda editor, all_: editor.exclude(all_[::2]), "training needs two"),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(workspace, drums, edit, message):
    with pytest.raises(DataError, match=message):
        edit(workspace.edit("drums"), ids(workspace))
    assert workspace.dataset("drums") == drums


def test_a_label_takes_an_unlabelled_clip_in_on_the_side_of_its_source(workspace, drums):
    waiting = [
        replace(clip, row=40 + place, id=None, label="", target=-1, excluded=True, split="train", source=source)
        for place, (clip, source) in enumerate(zip(workspace.clips("drums")[:2], ("pack3", "new"), strict=True))
    ]
    both = replace(drums, id="d2", name="more", num_excluded=2)
    workspace.store.datasets.add(both, [*workspace.clips("drums"), *waiting])
    chosen = [clip.id for clip in workspace.store.datasets.clips("d2", excluded=True)]
    editor = workspace.edit("more")
    with pytest.raises(DataError, match="2 samples have no class yet"):
        editor.include(chosen)
    made = editor.relabel(chosen, "kick")
    assert (made.num_clips, made.num_excluded) == (42, 0)
    found = workspace.store.datasets.clips("d2", ids=chosen)
    assert [(clip.label, clip.split) for clip in found] == [("kick", "test"), ("kick", "train")]
    editor.undo()
    assert {
        (clip.label, clip.excluded) for clip in workspace.store.datasets.clips("d2", ids=chosen, excluded=None)
    } == {("", True)}


def test_a_clip_of_another_dataset_is_not_touched(workspace, drums):
    with pytest.raises(NotFoundError, match="no clip 4711"):
        workspace.edit("drums").exclude([4711])


def test_too_few_sources_for_a_split_say_so(workspace, drums):
    editor = workspace.edit("drums")
    editor.regroup({clip_id: f"half{clip_id % 2}" for clip_id in ids(workspace)})
    with pytest.raises(SplitError, match="at least 3 sources"):
        editor.resplit()


# -- what is built on it -------------------------------------------------------------------------


@pytest.fixture
def sounds(workspace, bursts) -> Dataset:
    return workspace.import_dataset(bursts(per_class=10, sources=5), name="sounds")


def test_the_feature_cache_outlives_a_relabel(workspace, sounds):
    features = FeatureConfig()
    before = load_clips(workspace.root, workspace.store, sounds, features)
    file = cache_file(workspace.root, sounds.id, features)
    stamp = file.stat().st_mtime_ns
    chosen = [int(one) for one in before.clip_ids[:2]]
    editor = workspace.edit("sounds")
    editor.relabel(chosen[:1], "middle")
    editor.exclude(chosen[1:])
    after = load_clips(workspace.root, workspace.store, workspace.dataset("sounds"), features)
    assert file.stat().st_mtime_ns == stamp
    assert after.class_names == ("high", "low", "middle")
    assert after.targets[0] == 2
    assert after.split[1] == "none"
    assert len(after.log_mel) == 20
    assert not any(1 in after.indices(split) for split in ("train", "val", "test"))
    # Audio is still there.
    assert workspace.clip_audio(chosen[1]).exists()


def test_a_cache_made_after_an_exclusion_has_a_row_for_every_clip(workspace, sounds):
    editor = workspace.edit("sounds")
    editor.exclude([workspace.clips("sounds")[3].id])
    clips = load_clips(workspace.root, workspace.store, workspace.dataset("sounds"), FeatureConfig())
    assert clips.log_mel.shape[0] == 20
    assert len(clips) == 20


def test_a_run_goes_on_with_the_version_it_began_with(workspace, sounds):
    config = build_config("quick", {"epochs": 2, "train.batch_size": 4, "model.name": "tutorial_cnn"})
    run = workspace.submit("sounds", config, name="first")
    assert (run.dataset_version, run.dataset_fingerprint) == (1, sounds.fingerprint)
    stopped = []

    def stop_once(kind, value):
        if kind == "epoch" and not stopped:
            stopped.append(value.epoch)
            workspace.store.runs.request_stop(run.id)

    from samplemind_core.training import jobs

    worker = jobs.identity()
    monkey = workspace.store.runs.claim(worker, run.id)
    jobs.execute(workspace.store, workspace.settings, monkey, worker, stop_once)
    # The dataset is edited while the run rests: another class, another split, a clip less.
    editor = workspace.edit("sounds")
    editor.relabel([workspace.clips("sounds")[0].id], "middle")
    editor.resplit(seed=9)
    if workspace.run(run.id).status != "finished":
        workspace.store.runs.requeue(run.id, ("stopped",))
        ended = jobs.execute(workspace.store, workspace.settings, workspace.store.runs.claim(worker, run.id), worker)
        assert ended.status == "finished", ended.end_reason
    assert workspace.run(run.id).dataset_version == 1
    from samplemind_core.training.checkpoints import read_info

    info = read_info(workspace.checkpoint_path("first:last"))
    assert info.class_names == ("high", "low")
    assert info.dataset["fingerprint"] == sounds.fingerprint
    assert info.dataset["version"] == 1
    # A run that starts now takes the dataset as it is now.
    assert workspace.submit("sounds", config, start=False).dataset_version == 3
    check_judging(workspace)


def check_judging(workspace: Workspace) -> None:
    """Stored answers stay good through edits; only who belongs to the split, and what is right, changes."""
    from samplemind_core.data.versions import trained_on
    from samplemind_core.training import predictions

    run = workspace.run("first")
    now = workspace.dataset("sounds")
    judged = workspace.judge("first", split="test")
    expected = [clip for clip in workspace.clips("sounds") if clip.split == "test" and clip.label != "middle"]
    assert judged.clip_ids.tolist() == [clip.id for clip in expected]
    whole = workspace.judge("first", split="all")
    calls = []

    def never(*arguments):
        calls.append(arguments)
        raise AssertionError("the network was asked again")

    kept, predictions.compute_logits = predictions.compute_logits, never
    try:
        editor = workspace.edit("sounds")
        moved = int(judged.clip_ids[0])
        editor.move([moved], "train")
        assert moved in workspace.judge("first", split="train").clip_ids
        again = workspace.judge("first", split="test")
        assert moved not in again.clip_ids
        assert again.logits.tolist() == judged.logits[1:].tolist()
        relabelled = int(again.clip_ids[0])
        old = int(again.targets[0])
        editor.relabel([relabelled], whole.class_names[1 - old])
        assert workspace.judge("first", split="test").targets[0] == 1 - old
    finally:
        predictions.compute_logits = kept
    assert calls == []
    note = trained_on(workspace.store, run, workspace.dataset("sounds"), "test")
    assert note is not None
    then = {clip.id for clip in workspace.clips("sounds", 1) if clip.split == "train"}
    assert note.num_seen == sum(clip.id in then for clip in workspace.clips("sounds") if clip.split == "test")
    assert "Trained on version 1 of the dataset" in note.sentence
    assert trained_on(workspace.store, run, now, "test") is not None
