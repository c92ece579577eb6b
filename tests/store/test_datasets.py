from __future__ import annotations

from collections.abc import Callable

import pytest

from samplemind_core.errors import NameTakenError, NotFoundError
from samplemind_core.store import Clip, Dataset, Reject, Run, Store

Make = Callable[..., Dataset]
MakeClip = Callable[..., Clip]


def test_a_dataset_comes_back_as_it_went_in(store: Store, make_dataset: Make) -> None:
    plain = store.datasets.add(make_dataset(), ())
    rich = store.datasets.add(
        make_dataset(
            name="Trommeln – naïve 🥁",
            kind="features",
            features={"n_mels": 128, "fmax_hz": None},
            warnings=("two clips are equal", "one class is small"),
            synthetic=True,
            seed=2**31 - 1,
            created_at=1_790_000_000.123456,
        ),
        (),
    )
    assert store.datasets.get(plain.id) == plain
    assert store.datasets.get(rich.name) == rich
    assert store.datasets.find("drums 3") is None


def test_all_lists_the_newest_first(store: Store, make_dataset: Make) -> None:
    for _ in range(3):
        store.datasets.add(make_dataset(), ())
    assert [row.id for row in store.datasets.all()] == ["d3", "d2", "d1"]


def test_an_id_wins_over_another_datasets_name(store: Store, make_dataset: Make) -> None:
    first = store.datasets.add(make_dataset(id="abc"), ())
    store.datasets.add(make_dataset(name="abc"), ())
    assert store.datasets.get("abc") == first


def test_get_names_what_there_is(store: Store, make_dataset: Make) -> None:
    with pytest.raises(NotFoundError, match="none yet"):
        store.datasets.get("drums")
    store.datasets.add(make_dataset(name="snares"), ())
    with pytest.raises(NotFoundError, match=r"no dataset 'drums'\. Datasets here: 'snares'"):
        store.datasets.get("drums")


def test_a_taken_name_is_refused_and_leaves_nothing(store: Store, make_dataset: Make, make_clip: MakeClip) -> None:
    store.datasets.add(make_dataset(name="drums"), ())
    with pytest.raises(NameTakenError, match="already a dataset named 'drums'"):
        store.datasets.add(make_dataset(id="other", name="drums"), [make_clip(0)])
    assert store.datasets.find("other") is None
    assert store.datasets.count_clips("other") == 0


def test_a_dataset_is_stored_whole_or_not_at_all(store: Store, make_dataset: Make, make_clip: MakeClip) -> None:
    def clips() -> object:
        yield from (make_clip(row) for row in range(6_000))  # more than one batch
        raise RuntimeError("the import was stopped")

    with pytest.raises(RuntimeError, match="the import was stopped"):
        store.datasets.add(make_dataset(), clips())  # type: ignore[arg-type]
    assert store.datasets.all() == []
    assert store.datasets.count_clips("d1") == 0


def test_a_clip_comes_back_as_it_went_in(store: Store, make_dataset: Make, make_clip: MakeClip) -> None:
    rich = make_clip(
        1, fold="3", sample_rate_hz=44_100, channels=2, duration_s=0.1234567890123, num_bytes=2**33, extra={"pad": [1]}
    )
    plain = make_clip(0, file=None)
    store.datasets.add(make_dataset(), [rich, plain])
    found = store.datasets.clips("d1")
    assert [clip.row for clip in found] == [0, 1]
    for clip, expected in zip(found, (plain, rich), strict=True):
        assert clip.id is not None
        assert store.datasets.clip(clip.id) == clip
        assert clip.as_dict() == expected.as_dict() | {"id": clip.id, "dataset_id": "d1"}


def test_a_missing_clip_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match="no clip 12"):
        store.datasets.clip(12)


def test_filters_pages_and_counts_agree(store: Store, dataset: Dataset) -> None:
    every = store.datasets.clips(dataset.id)
    assert [clip.row for clip in every] == list(range(40))
    for split in (None, "train", "val", "test"):
        for label in (None, "kick", "snare", "cymbal"):
            for text in (None, "pack1", "CLIP-01", "nothing like it"):
                expected = [
                    clip
                    for clip in every
                    if split in (None, clip.split)
                    and label in (None, clip.label)
                    and (text is None or text.lower() in clip.name or text in clip.source)
                ]
                chosen = {"split": split, "label": label, "text": text}
                assert store.datasets.clips(dataset.id, **chosen) == expected  # type: ignore[arg-type]
                assert store.datasets.count_clips(dataset.id, **chosen) == len(expected)  # type: ignore[arg-type]
                pages = [store.datasets.clips(dataset.id, **chosen, limit=7, offset=at) for at in range(0, 42, 7)]  # type: ignore[arg-type]
                assert [clip for page in pages for clip in page] == expected


def test_an_offset_needs_no_limit(store: Store, dataset: Dataset) -> None:
    assert [clip.row for clip in store.datasets.clips(dataset.id, offset=37)] == [37, 38, 39]


@pytest.mark.parametrize("text", ["%", "_", "\\", "100%", "a_b", "/"])
def test_a_search_takes_signs_literally(store: Store, make_dataset: Make, make_clip: MakeClip, text: str) -> None:
    store.datasets.add(make_dataset(), [make_clip(0, name=f"x{text}y"), make_clip(1, name="plain")])
    assert [clip.row for clip in store.datasets.clips("d1", text=text)] == [0]


def test_a_search_knows_accents_in_either_case_and_writing(make_dataset: Make, make_clip: MakeClip) -> None:
    store = Store("sqlite://")  # other databases compare texts by their own rules
    names = ("SCHLA\u0308GE.wav", "Schl\u00e4ge 2.wav", "plain.wav")
    store.datasets.add(make_dataset(), [make_clip(row, name=name) for row, name in enumerate(names)])
    for text in ("schl\u00e4ge", "schla\u0308ge", "SCHL\u00c4GE"):
        assert [clip.row for clip in store.datasets.clips("d1", text=text)] == [0, 1]
    store.close()


def test_filters_see_one_dataset_only(store: Store, dataset: Dataset, make_dataset: Make, make_clip: MakeClip) -> None:
    other = store.datasets.add(make_dataset(), [make_clip(0)])
    assert store.datasets.count_clips(other.id) == 1
    assert store.datasets.count_clips(dataset.id, text="clip-000") == 1


def test_counts_by_label_and_split(store: Store, dataset: Dataset) -> None:
    each = {"train": 10, "val": 5, "test": 5}
    assert store.datasets.counts(dataset.id) == {"kick": each, "snare": each}
    assert store.datasets.counts("nothing") == {}


def test_rejects_keep_their_order(store: Store, make_dataset: Make) -> None:
    rejects = [Reject(f"file {number}", f"reason {number % 3}") for number in range(30)]
    store.datasets.add(make_dataset(), (), rejects)
    assert store.datasets.rejects("d1") == rejects
    assert store.datasets.rejects("d1", limit=4, offset=10) == rejects[10:14]
    assert store.datasets.rejects("d2") == []


def test_delete_takes_clips_and_rejects_along(store: Store, make_dataset: Make, make_clip: MakeClip) -> None:
    kept = store.datasets.add(make_dataset(), [make_clip(0)], [Reject("a", "b")])
    gone = store.datasets.add(make_dataset(), [make_clip(0)], [Reject("a", "b")])
    store.datasets.delete(gone.id)
    assert store.datasets.all() == [kept]
    assert store.datasets.count_clips(gone.id) == 0
    assert store.datasets.rejects(gone.id) == []
    assert store.datasets.count_clips(kept.id) == 1
    store.datasets.delete(gone.id)  # deleting twice is no fault


def test_a_dataset_with_runs_stays(store: Store, dataset: Dataset, make_run: Callable[..., Run]) -> None:
    run = make_run()
    with pytest.raises(NameTakenError, match="1 run"):
        store.datasets.delete(dataset.id)
    assert store.datasets.count_clips(dataset.id) == 40
    store.runs.delete(run.id)
    store.datasets.delete(dataset.id)
    assert store.datasets.all() == []


def test_several_labels_come_back_and_count_each(store: Store, make_dataset: Make, make_clip: MakeClip) -> None:
    clips = [
        make_clip(0, label="kick", labels=("kick", "sn%_re")),
        make_clip(1, label="Kick", labels=("Kick",)),
        make_clip(2, label="kick", labels=("kick",)),
    ]
    dataset = store.datasets.add(make_dataset(multi_label=True, class_names=("Kick", "kick", "sn%_re")), clips)
    assert store.datasets.get(dataset.id).multi_label
    assert [clip.labels for clip in store.datasets.clips(dataset.id)] == [clip.labels for clip in clips]
    found = {name: store.datasets.count_clips(dataset.id, label=name) for name in ("kick", "Kick", "sn%_re", "sn")}
    assert found == {"kick": 2, "Kick": 1, "sn%_re": 1, "sn": 0}
    counts = {name: sum(row.values()) for name, row in store.datasets.counts(dataset.id).items()}
    assert counts == {"kick": 2, "Kick": 1, "sn%_re": 1}
    labels = {label for by_label in store.datasets.sources(dataset.id).values() for label in by_label}
    assert labels == {"kick + sn%_re", "Kick", "kick"}
