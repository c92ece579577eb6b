"""What a network withstands: every change at a glance, one step by step, the clips it breaks, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

from samplemind_core.config import RunConfig, apply_changes
from samplemind_core.errors import SampleMindError
from samplemind_core.server import clip_url
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel, stamp
from samplemind_core.ui.places import go
from samplemind_core.ui.player import Sound, player_list, wav_url
from samplemind_core.ui.state import error_boundary, owner, theme, workspace
from samplemind_core.ui.task_progress import live_tasks

if TYPE_CHECKING:
    from samplemind_core.evaluation.changed_clips import Curve, Scored
    from samplemind_core.evaluation.label_robustness import LabelRobustness
    from samplemind_core.evaluation.robustness import Robustness, Step
    from samplemind_core.store import Task

S = TypeVar("S", bound="Scored")
Withstood = TypeVar("Withstood", "Robustness", "LabelRobustness")

COUNTS = (60, 120, 240, 600)
MAX_HEARD = 8


def draw(picked: Picked) -> None:
    """Draw the section."""
    from samplemind_core.evaluation.robustness import Robustness

    withstood(picked, Robustness, _draw)


def withstood(picked: Picked, kind: type[Withstood], drawing: Callable[[Picked, PickedModel, Withstood], None]) -> None:
    """Draw the choice of a model and how many samples, and what was measured of them; or the way to measure it."""
    if picked.dataset.kind == "features":
        st.caption("Sounds are changed and listened to here; this dataset holds ready-made spectrograms without them.")
        return
    models = {model.name: model for model in picked.single}
    model = next(iter(models.values()))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(models) > 1:
            name = st.segmented_control(
                "Answers of", list(models), default=model.name, required=True, key="withstood-model"
            )
            model = models[name or model.name]
        count = st.segmented_control(
            "Samples", list(COUNTS), default=120, required=True, key="withstood-count",
            help="So many at most, evenly over the classes, and always the same ones. More make narrower intervals.",
        ) or 120  # fmt: skip
    found = _measured(picked, model, count)
    if found is None:
        return
    assert isinstance(found, kind)

    def draw_found() -> None:
        with error_boundary():
            drawing(picked, model, found)

    # Choosing a step or a class draws this part anew, not the page around it.
    st.fragment(draw_found)()


def _measured(picked: Picked, model: PickedModel, count: int) -> Robustness | LabelRobustness | None:
    """Return what was measured; None where it is still to be, which is then offered or shown."""
    from samplemind_core.evaluation.robustness import stored_robustness

    store = workspace()
    assert model.checkpoint is not None
    found = stored_robustness(store.root, model.checkpoint, picked.dataset, picked.split, count)
    if found is not None:
        return found
    wanted = {"ref": model.ref, "dataset": picked.dataset.id, "split": picked.split, "count": count}

    def tasks() -> list[Task]:
        # A finished one has left its figures; they are found above at the next run of the page.
        known = store.tasks.all(kind="robustness")
        return [task for task in known if task.params == wanted and task.status != "done"][:1]

    if not tasks():
        st.caption(
            "Changes up to that many samples in about fifty ways, from gain to MP3, and listens to each. It takes "
            "about a minute, goes on when you leave, and is kept."
        )
        if not st.button("Measure", type="primary", icon=":material/play_arrow:", key="withstood-measure"):
            return None
        title = f"What {model.run.name if model.run else model.name} withstands"
        store.tasks.submit("robustness", title, wanted, owner=owner())
    live_tasks(tasks, key=f"withstood-{model.ref}-{picked.split}-{count}")
    return None


def _draw(picked: Picked, model: PickedModel, found: Robustness) -> None:
    low, high = found.clean.interval
    clean = f"{words.percent(found.clean.accuracy)} right ({words.percent(low)} to {words.percent(high)})."
    cards(picked, model, found, found.curves, clean, "Accuracy", _curve, _broken)


def cards(
    picked: Picked,
    model: PickedModel,
    found: Withstood,
    curves: tuple[Curve[S], ...],
    clean: str,
    score: str,
    draw_curve: Callable[[Withstood, Curve[S]], None],
    draw_broken: Callable[[Picked, PickedModel, Withstood, Curve[S], S], None],
) -> None:
    """Draw what a model withstands: all changes at a glance, then one of them, what it breaks and what may help."""
    of = "" if len(found.clip_ids) == found.num_available else f" of {found.num_available:,}"
    st.caption(f"{words.plural(len(found.clip_ids), 'sample')}{of}, the same in every row. Clean: {clean}")
    _at_a_glance(model, found, score)
    curve, step = _choice(curves)
    with st.container(border=True):
        draw_curve(found, curve)
    with st.container(border=True):
        draw_broken(picked, model, found, curve, step)
    with st.container(border=True):
        _remedy_card(model, curve, step)


def _at_a_glance(model: PickedModel, found: Robustness | LabelRobustness, score: str) -> None:
    """Draw the score under every step of every change, each of which can be clicked."""
    from samplemind_core.charts.robustness import withstood_figure
    from samplemind_core.evaluation.probes import PROBES

    titles = [PROBES[curve.probe].title for curve in found.curves]
    labels = [[PROBES[curve.probe].label(step.level) for step in curve.steps] for curve in found.curves]
    shares = [[step.score for step in curve.steps] for curve in found.curves]
    with st.container(border=True):
        parts.section("What it withstands")
        chart = withstood_figure(titles, labels, shares, found.clean.score, found.clean.interval, theme(), score)
        parts.figure(chart, key=f"withstood-{model.name}", on_click=lambda: _take(model.name, found))
        st.caption(
            "One point for each step. Orange diamonds lie below the interval of the clean value. Click one to look "
            "closer."
        )
        done = {curve.probe for curve in found.curves}
        left_out = [probe.title for name, probe in PROBES.items() if name not in done]
        if left_out:
            st.caption(f"Not possible at this network's sample rate: {', '.join(left_out)}.")


def _take(name: str, found: Robustness | LabelRobustness) -> None:
    """Take the step that was clicked."""
    points = st.session_state[f"withstood-{name}"]["selection"]["points"]
    if points and points[0].get("customdata"):
        row, level = points[0]["customdata"]
        curve = found.curves[int(row)]
        st.session_state.update({"withstood-probe": curve.probe, "withstood-level": curve.steps[int(level)].level})


def _choice(curves: tuple[Curve[S], ...]) -> tuple[Curve[S], S]:
    """Draw the choice of a change and its step and return both; the most harmful by default."""
    from samplemind_core.evaluation.changed_clips import find_curve
    from samplemind_core.evaluation.probes import PROBES

    names = [curve.probe for curve in curves]
    if st.session_state.get("withstood-probe") not in names:
        worst = min(curves, key=lambda curve: curve.worst.score)
        st.session_state["withstood-probe"] = worst.probe
    left, right = st.columns(2)
    with left:
        name = st.selectbox("Change", names, format_func=lambda name: PROBES[name].title, key="withstood-probe")
    curve = find_curve(curves, name)
    levels = [step.level for step in curve.steps]
    if st.session_state.get("withstood-level") not in levels:
        st.session_state["withstood-level"] = curve.worst.level
    with right:
        level = st.selectbox("Step", levels, format_func=PROBES[name].label, key="withstood-level")
    return curve, curve.steps[levels.index(level)]


def _curve(found: Robustness, curve: Curve[Step]) -> None:
    from samplemind_core.charts.robustness import withstood_curve_figure
    from samplemind_core.evaluation.probes import PROBES

    probe = PROBES[curve.probe]
    parts.section(probe.title)
    steps, labels, before = with_clean(curve, found.clean)
    recall = {name: [step.recall[place] for step in steps] for place, name in enumerate(found.class_names)}
    accuracy, intervals = [step.accuracy for step in steps], [step.interval for step in steps]
    chart = withstood_curve_figure(labels, accuracy, intervals, recall, before, theme(), probe.title)
    parts.figure(chart, key=f"withstood-curve-{curve.probe}")
    st.caption(
        f"{probe.about} The thick line is the accuracy with its 95 % interval (Wilson), the thin ones each class."
    )


def with_clean(curve: Curve[S], clean: S) -> tuple[list[S], list[str], int]:
    """Return the steps of a change with the clean one where it belongs, their names, and its place."""
    from samplemind_core.evaluation.probes import PROBES

    probe = PROBES[curve.probe]
    before = sum(step.level in probe.levels[: probe.clean_at] for step in curve.steps)
    steps = [*curve.steps[:before], clean, *curve.steps[before:]]
    labels = [probe.label(step.level) for step in steps]
    labels[before] = "clean"
    return steps, labels, before


def _broken(picked: Picked, model: PickedModel, found: Robustness, curve: Curve[Step], step: Step) -> None:
    """Draw the samples that a step breaks, clean and changed."""
    from samplemind_core.evaluation.probes import PROBES

    label = PROBES[curve.probe].label(step.level)
    parts.section(f"Broken by {curve.title.lower()}, {label}")
    st.caption(f"{words.plural(step.broken, 'sample')} broken, {step.fixed:,} fixed: {chance(step.p_value)}.")
    rows = [
        (clip_id, f"{label}: {found.class_names[said]} {words.confidence(sure)}")
        for clip_id, said, sure in found.broken_clips(step)
    ]
    hear_pairs(picked, model, curve.probe, step.level, rows)


def chance(p_value: float, test: str = "exact McNemar") -> str:
    """Return whether as many broken against as few fixed is more than chance, in words."""
    told = "more than chance" if p_value < 0.05 else "no more than chance might do"
    return f"{told} ({test} p {'< 0.001' if p_value < 0.001 else f'= {p_value:.3f}'})"


def hear_pairs(
    picked: Picked,
    model: PickedModel,
    probe: str,
    level: float,
    rows: Sequence[tuple[int, str]],
    *,
    repeat: bool = True,
) -> None:
    """Draw samples clean and changed to play, by id, with what is said of the changed one.

    ``repeat`` says the sample's name beside that again, which leaves it less room.
    """
    sounds = []
    for clip_id, said in rows[:MAX_HEARD]:
        clip = picked.clips.get(clip_id)
        if clip is None:
            continue  # taken out of the dataset since
        try:
            changed = _changed(model, clip_id, probe, level, (*stamp(model.ref), clip_id))
        except SampleMindError as error:
            st.caption(f"{parts.safe(clip.name)} cannot be played: {parts.safe(error.problem)}")
            continue
        short = clip.name.rsplit("/", 1)[-1]
        sounds.append(Sound(clip_url(clip_id), short, (f"clean: {clip.shown_label}",)))
        sounds.append(Sound(changed, said, (short,) if repeat else ()))
    if sounds:
        player_list(sounds, key=f"withstood-broken-{probe}-{level}")


@st.cache_data(max_entries=200, show_spinner=False)
def _changed(_model: PickedModel, clip_id: int, probe: str, level: float, key: tuple[Any, ...]) -> str:
    """Return a changed clip, just as it was measured, as a sound to play."""
    import numpy as np

    from samplemind_core.audio.decode import decode, to_wav
    from samplemind_core.audio.window import fit_window
    from samplemind_core.evaluation.probes import PROBES
    from samplemind_core.evaluation.probes import changed as change

    store = workspace()
    path = store.clip_audio(clip_id)
    assert path is not None
    features = store.classifier(_model.ref).info.features
    rate = features.sample_rate_hz
    window, _ = fit_window(decode(path, rate, name=path.name, limits=store.settings.limits).waveform, features)
    sound = np.trim_zeros(change(PROBES[probe], window[None], features, level, [clip_id])[0], "b")
    return wav_url(to_wav(sound if len(sound) else window[:1], rate))


def _remedy_card(model: PickedModel, curve: Curve[S], step: S) -> None:
    """Draw what training could do about a change, and start it."""
    from samplemind_core.evaluation.probes import PROBES, remedy

    assert model.run is not None
    probe = PROBES[curve.probe]
    config = RunConfig.model_validate(model.run.config)
    found = remedy(curve.probe, step.level, config.augment, config.features)
    parts.section("Train against it")
    st.markdown(parts.safe(found.about))
    if not found.settings or not model.run.dataset_id:
        return
    current = config.features.model_dump() | config.augment.model_dump()
    parts.facts(
        {
            words.setting(name): f"{value}, not {current[name]}"
            if isinstance(value, str)
            else f"{current[name]:g} → {value:g}"
            for name, value in found.settings.items()
        }
    )
    st.caption("Everything else as in this run. Compare the two here when it has ended: it may cost clean accuracy.")
    if st.button(f"Train again against {probe.title.lower()}", icon=":material/model_training:", key="withstood-train"):
        run = workspace().submit(model.run.dataset_id, apply_changes(config, found.settings), owner=owner())
        go("train", run=run.id)
