"""The map of embeddings: which samples a network finds alike, which it puts apart; click or lasso to hear them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from samplemind_core.store import Checkpoint
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.confusions import heard
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel, stamp
from samplemind_core.ui.diagnostics.waiting import apartness_is_there, embeddings_are_there
from samplemind_core.ui.state import error_boundary, owner, theme, workspace
from samplemind_core.ui.task_progress import live_tasks

if TYPE_CHECKING:
    from samplemind_core.evaluation.embedding_map import Apartness, Map
    from samplemind_core.evaluation.embeddings import Embeddings
    from samplemind_core.store import Task

Grouped = tuple[npt.NDArray[np.str_], list[str], str]

MAX_HEARD = 50
MAX_OUTLIERS = 12
_SEVERAL_COLOURS = {
    "label": "First label",
    "one": "One label",
    "error": "Exactly right or not",
    "source": "Source",
    "split": "Split",
}
_COLOURS = {"label": "Class", "predicted": "Prediction", "error": "Error", "source": "Source", "split": "Split"}
_METHODS = {"pca": "PCA", "umap": "UMAP"}


def draw(picked: Picked) -> None:
    """Draw the section."""
    model = _model(picked)
    # Choosing points runs this part anew, not the whole page.
    st.fragment(lambda: _boundary(picked, model))()


def _boundary(picked: Picked, model: PickedModel) -> None:
    with error_boundary():
        _draw(picked, model)


def _model(picked: Picked) -> PickedModel:
    models = {model.name: model for model in picked.single}
    if len(models) == 1:
        return next(iter(models.values()))
    first = next(iter(models))
    name = st.segmented_control("Seen by", list(models), default=first, required=True, key="map-model")
    return models.get(name or first, models[first])


def _draw(picked: Picked, model: PickedModel) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.segmented_control(
            "Arranged by",
            list(_METHODS),
            format_func=lambda name: _METHODS[name],
            default="pca",
            required=True,
            key="map-method",
            help="PCA is at once and its distances mean what they say. UMAP keeps neighbours together and shows "
            "clusters; the gaps between them and their sizes mean little.",
        )
        dims = st.segmented_control(
            "Dimensions", [2, 3], format_func=lambda number: f"{number}-D", default=2, required=True, key="map-dims"
        )
        colours = _SEVERAL_COLOURS if picked.several_labels else _COLOURS
        colour = st.selectbox(
            "Coloured by", list(colours), format_func=lambda name: colours[name], key="map-colour", width=180
        )
        label = None
        if colour == "one":
            label = st.selectbox("Label", picked.class_names, key="map-label", width=160)
        everything = st.segmented_control(
            "Samples", ["Measured", "All"], default="Measured", required=True, key="map-samples",
            help="Measured: those chosen at the top of the page. All: the whole dataset, training samples included.",
        )  # fmt: skip
    split = "all" if everything == "All" or picked.split == "all" else picked.split
    ref, checkpoint = _epoch(model)
    if not embeddings_are_there(ref, checkpoint, picked.dataset):
        return
    with st.spinner("Asking the network where each sample belongs", show_time=True):
        embeddings = _embeddings(ref, picked.dataset.id, split, (picked.dataset.fingerprint, *stamp(ref)))
    if len(embeddings) < 3:
        st.caption("A map needs at least three samples.")
        return
    found = _map(picked, ref, checkpoint, split, embeddings, method or "pca", dims or 2)
    if found is None:
        return
    if ref != model.ref and found.method == "pca":
        found = _turned(found, model, picked, split, dims or 2, len(embeddings))
    if picked.several_labels and colour in ("one", "error"):
        grouped = _by_answer(picked, checkpoint, embeddings, label)
    else:
        grouped = _grouped(picked, embeddings, colour or "label")
    _figure(picked, embeddings, found, grouped)
    if colour == "source" and len(grouped[1]) > 21:
        st.caption(f"The 21 largest of {len(grouped[1]):,} sources have colours of their own.")
    if found.kept is not None:
        st.caption(
            f"These {dims} directions keep {words.percent(found.kept, 0)} of the differences between the samples."
        )
    with st.container(border=True):
        _chosen(picked, embeddings, dims or 2)
    with st.container(border=True):
        _outliers(picked, embeddings, ref, checkpoint, split)


def _epoch(model: PickedModel) -> tuple[str, Checkpoint]:
    """Draw the choice among a run's kept epochs, where there are any, and return the chosen checkpoint."""
    assert model.run is not None
    assert model.checkpoint is not None
    kept = {row.epoch: row for row in workspace().checkpoints(model.run.id) if row.kind == "epoch"}
    if len(kept) < 2:
        return model.ref, model.checkpoint
    choices = {f"Picked ({model.checkpoint.epoch})": (model.ref, model.checkpoint)}
    for number, row in sorted(kept.items()):
        choices[str(number)] = (f"{model.run.id}:{number}", row)
    chosen = st.select_slider(
        "Epoch", list(choices), key=f"map-epoch-{model.run.id}", help="How the map took shape while the network learnt."
    )
    return choices[chosen]


def _map(
    picked: Picked, ref: str, checkpoint: Checkpoint, split: str, embeddings: Embeddings, method: str, dims: int
) -> Map | None:
    """Return the map to draw; None where it is still to be computed, which is then offered or shown."""
    key = (picked.dataset.fingerprint, split, method, dims, *stamp(ref))
    if method == "pca":
        return _pca(embeddings, dims, key)
    from samplemind_core.evaluation.embedding_map import stored_umap

    store = workspace()
    found = stored_umap(store.root, checkpoint, picked.dataset.id, split, dims, embeddings)
    if found is not None:
        return found
    wanted = {"ref": ref, "dataset": picked.dataset.id, "split": split, "dims": dims}

    def tasks() -> list[Task]:
        # A finished one has left its map; it is found above at the next run of the page.
        return [task for task in store.tasks.all(kind="umap") if task.params == wanted and task.status != "done"][:1]

    if not tasks():
        store.tasks.submit("umap", f"Map of {words.plural(len(embeddings), 'sample')}", wanted, owner=owner())
    st.caption("UMAP is worked out once and then kept. It takes some seconds, for many thousand samples some minutes.")
    live_tasks(tasks, key=f"umap-{ref}-{split}-{dims}")
    return None


def _turned(found: Map, model: PickedModel, picked: Picked, split: str, dims: int, count: int) -> Map:
    """Return an epoch's map laid over that of the picked checkpoint, so that the picture does not spin."""
    from dataclasses import replace

    from samplemind_core.evaluation.embedding_map import turned

    own = stamp(model.ref)
    embeddings = _embeddings(model.ref, picked.dataset.id, split, (picked.dataset.fingerprint, *own))
    if len(embeddings) != count:
        return found
    towards = _pca(embeddings, dims, (picked.dataset.fingerprint, split, "pca", dims, *own))
    return replace(found, points=turned(found.points, towards.points))


def _grouped(picked: Picked, embeddings: Embeddings, colour: str) -> Grouped:
    """Return what samples are coloured by: the group of each, all groups in the order of their colours, their kind."""
    predicted = embeddings.predicted
    if colour == "error":
        return np.where(predicted != embeddings.labels, "wrong", "right"), ["wrong", "right"], "answer"
    if colour == "split":
        return embeddings.splits, ["train", "val", "test"], "split"
    if colour == "source":
        names, counts = np.unique(embeddings.sources, return_counts=True)
        return embeddings.sources, list(names[np.argsort(-counts, kind="stable")]), "other"
    # The dataset's order, as everywhere, so that a class keeps its colour; then what only the network knows.
    order = list(dict.fromkeys([*picked.dataset.class_names, *embeddings.class_names]))
    return predicted if colour == "predicted" else embeddings.labels, order, "class"


def _by_answer(picked: Picked, checkpoint: Checkpoint, embeddings: Embeddings, label: str | None) -> Grouped:
    """Return the same for several labels: what is said of one label, or whether all labels are right."""
    from samplemind_core.data.dataset import multi_hot
    from samplemind_core.ranking import sigmoid
    from samplemind_core.training.checkpoints import read_info

    named = sigmoid(embeddings.logits) >= np.array(read_info(workspace().root / checkpoint.path).thresholds)
    has = multi_hot([picked.clips[one].labels for one in embeddings.clip_ids.tolist()], embeddings.class_names) > 0
    if label is None:
        return np.where((named == has).all(axis=1), "right", "wrong"), ["wrong", "right"], "answer"
    place = embeddings.class_names.index(label)
    groups = [f"{label}, found", f"{label}, missed", f"wrongly called {label}", f"not {label}"]
    which = np.where(has[:, place], np.where(named[:, place], 0, 1), np.where(named[:, place], 2, 3))
    return np.array(groups)[which], groups, "found"


def _figure(picked: Picked, embeddings: Embeddings, found: Map, grouped: Grouped) -> None:
    from samplemind_core.charts.embedding import map_figure

    groups, order, kind = grouped
    hovers = [
        f"{picked.clips[clip_id].name}: {_said(picked, clip_id, said)}"
        for clip_id, said in zip(embeddings.clip_ids.tolist(), embeddings.predicted.tolist(), strict=True)
    ]
    marked = st.session_state.get("map-clip")
    chart = map_figure(
        found.points, groups.tolist(), order, embeddings.clip_ids, hovers, theme(), kind=kind, marked=marked,
        what=f"{_METHODS[found.method]} map of what the network makes of the samples",
    )  # fmt: skip
    flat = found.points.shape[1] == 2
    parts.figure(
        chart, key=f"map-{found.method}-{found.points.shape[1]}", on_click=_take if flat else None, select="all"
    )


def _said(picked: Picked, clip_id: int, said: str) -> str:
    """Return a sample's label and what it is called; all its labels where it has several."""
    label = picked.clips[clip_id].shown_label
    return label if picked.several_labels else f"{label}, called {said}"


def _take() -> None:
    """Take the points that were clicked, lassoed or boxed."""
    for method in _METHODS:
        chart = st.session_state.get(f"map-{method}-2")
        points = chart["selection"]["points"] if chart else []
        ids = [int(point["customdata"]) for point in points if point.get("customdata")]
        if ids:
            # The browser shows what was chosen; a ring as well would draw the map anew and lose its zoom.
            st.session_state.update({"map-chosen": ids, "map-clip": None})


def _find(names: dict[int, str]) -> None:
    """Take the samples whose names hold what was typed; a ring shows the first."""
    wanted = st.session_state["map-find"].strip().lower()
    found = [clip_id for clip_id, name in names.items() if wanted in name.lower()] if wanted else []
    st.session_state.update({"map-chosen": found, "map-clip": found[0] if found else None})


def _chosen(picked: Picked, embeddings: Embeddings, dims: int) -> None:
    """Draw the samples that were chosen on the map, and the neighbours of a single one."""
    parts.section("Chosen on the map")
    here = set(embeddings.clip_ids.tolist())
    chosen = [clip_id for clip_id in st.session_state.get("map-chosen", []) if clip_id in here]
    names = {clip_id: picked.clips[clip_id].name for clip_id in embeddings.clip_ids.tolist()}
    if not chosen:
        how = "Click a point, or take the lasso above the map and draw around some, to hear them"
        if dims != 2:
            how = "Points can be chosen in 2-D"
        st.caption(f"{how}; or find one by name.")
    one = chosen[0] if len(chosen) == 1 else None
    st.text_input(
        "Find by name", key="map-find", placeholder="Find by name", label_visibility="collapsed",
        on_change=_find, args=(names,),
    )  # fmt: skip
    if not chosen:
        return
    most = "" if len(chosen) <= MAX_HEARD else f" The first {MAX_HEARD} are listed."
    st.caption(f"{words.plural(len(chosen), 'sample')} chosen.{most}")
    said = dict(zip(embeddings.clip_ids.tolist(), embeddings.predicted.tolist(), strict=True))
    rows = [(i, (_said(picked, i, said[i]),)) for i in chosen[:MAX_HEARD]]
    heard(picked, rows, key="map-heard")
    if one is not None:
        st.markdown("**Its nearest neighbours**")
        from samplemind_core.evaluation.embeddings import nearest

        close, far = nearest(embeddings.vector(one)[None], embeddings.vectors, 7)
        ids = [(int(embeddings.clip_ids[row]), float(gap)) for row, gap in zip(close[0], far[0], strict=True)]
        near = [(i, (f"{picked.clips[i].shown_label}, distance {gap:.3f}",)) for i, gap in ids if i != one][:6]
        heard(picked, near, key="map-neighbours")


def _outliers(picked: Picked, embeddings: Embeddings, ref: str, checkpoint: Checkpoint, split: str) -> None:
    """Draw the samples that lie apart from all others, and those among samples of another class."""
    parts.section("Unlike the others")
    which = "Far from all"
    if not picked.several_labels:
        which = st.segmented_control(
            "Which", ["Far from all", "Among another class"], default="Far from all", required=True, key="map-outliers",
            label_visibility="collapsed",
        ) or which  # fmt: skip
    found = _apartness(picked, embeddings, ref, checkpoint, split)
    if found is None:
        return
    if which == "Among another class":
        rows = np.lexsort((found.distance, found.agreement))[:MAX_OUTLIERS]
        rows = rows[found.agreement[rows] < 0.5]
        st.caption(
            "Fewer than half of their ten nearest neighbours carry their label: mislabelled, perhaps, or mixed up."
        )
        details = [(f"{embeddings.labels[row]}, {100 * found.agreement[row]:.0f} % of its neighbours",) for row in rows]
    else:
        rows = np.argsort(-found.distance, kind="stable")[:MAX_OUTLIERS]
        st.caption(
            "The largest mean distance to the ten nearest neighbours first: odd recordings, or a class of their own."
        )
        labels = [picked.clips[int(embeddings.clip_ids[row])].shown_label for row in rows]
        details = [(f"{label}, distance {found.distance[row]:.3f}",) for row, label in zip(rows, labels, strict=True)]
    if not len(rows):
        st.caption("None here.")
        return
    heard(
        picked,
        [(int(embeddings.clip_ids[row]), detail) for row, detail in zip(rows, details, strict=True)],
        key=f"map-outliers-heard-{which}",
    )


@st.cache_resource(max_entries=12, show_spinner=False)
def _embeddings(ref: str, dataset_id: str, split: str, key: tuple[Any, ...]) -> Embeddings:
    return workspace().embeddings(ref, dataset=dataset_id).of(split)


@st.cache_resource(max_entries=24, show_spinner=False)
def _pca(_embeddings: Embeddings, dims: int, key: tuple[Any, ...]) -> Map:
    from samplemind_core.evaluation.embedding_map import pca_map

    return pca_map(_embeddings.vectors, dims)


def _apartness(
    picked: Picked, embeddings: Embeddings, ref: str, checkpoint: Checkpoint, split: str
) -> Apartness | None:
    """Return which samples lie apart; None where that is still to be computed, which is then shown."""
    from samplemind_core.evaluation.embedding_map import make_apartness, stored_apartness

    root, dataset = workspace().root, picked.dataset
    found = stored_apartness(root, checkpoint, dataset.id, split, embeddings)
    if not apartness_is_there(ref, dataset, split, len(embeddings), stored=found is not None):
        return None
    with st.spinner("Looking for samples that lie apart", show_time=True):
        return found or make_apartness(root, checkpoint, dataset.id, split, embeddings)
