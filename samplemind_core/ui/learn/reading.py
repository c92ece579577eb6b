"""Chapter 10: what the figures on the Diagnostics page mean, and how they flatter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.learn.lesson import Chapter, awake, choose_part, figure, question, sound, source
from samplemind_core.ui.learn.small import small_network
from samplemind_core.ui.parts import section
from samplemind_core.ui.player import player_list
from samplemind_core.ui.state import theme, workspace

if TYPE_CHECKING:
    from samplemind_core.learn.leakage import SplitScore
    from samplemind_core.learn.reading import Answers
    from samplemind_core.store import Dataset

PARTS = {
    "confusion": "Confusions",
    "threshold": "Precision and recall",
    "calibration": "Confidence",
    "test-set": "The test set",
    "packs": "Packs",
}
_TEMPERATURE = "learn-reading-temperature"
MOST_CLIPS = 3_000
"""Of a dataset of your own, so that the comparison takes seconds."""


def draw() -> None:
    """Draw one way to read results."""
    awake()
    part = choose_part("reading", PARTS)
    if part == "confusion":
        _confusion(_choose_answers())
    elif part == "threshold":
        _threshold(_choose_answers())
    elif part == "calibration":
        _calibration(_choose_answers())
    elif part == "test-set":
        _test_set()
    else:
        _packs()
    question(
        "reading",
        "A classifier is right on nearly every test clip, and poor on the next pack you buy. What went wrong?",
        (
            "The new pack is broken",
            "Clips of the same packs were in training and in the test",
            "The test set had too many clips",
        ),
        1,
        (
            "Possible, but listen first. New packs simply sound different from old ones.",
            "Yes. The test asked about sounds whose siblings it had heard. Keep whole packs on one side of the split, "
            "as SampleMind does by itself.",
            "More clips make the figure steadier, never worse.",
        ),
    )


# -- answers to read -----------------------------------------------------------------------------


def _choose_answers() -> Answers:
    """Return the validation answers of one of your networks, or of the lessons' small one."""
    options = {"": "A small network, trained here"}
    found = parts.checkpoint_options(workspace(), newest=10)
    options |= {ref: name for ref, name in found.items() if ref.endswith(":best")}
    best = list(options)[1] if len(options) > 1 else ""
    ref = st.selectbox(
        "Answers of",
        list(options),
        index=list(options).index(best),
        format_func=lambda name: options.get(name, name),
        key="learn-reading-network",
    )
    if ref:
        from samplemind_core.learn.reading import answers_of

        return answers_of(workspace().judge(ref, split="val"))
    small_network()
    from samplemind_core.learn.reading import small_answers

    return small_answers()


def _confusion(answers: Answers) -> None:
    from samplemind_core.charts.confusion import confusion_figure
    from samplemind_core.evaluation.metrics import evaluate_logits

    result = evaluate_logits(answers.logits, answers.targets, answers.class_names)
    right = round(result.accuracy * result.num_clips)
    left, side = st.columns([3, 2], gap="large")
    with left:
        figure(confusion_figure(result.confusion, result.class_names, theme()), key="reading-confusion")
    with side:
        section("Read along the rows")
        st.markdown(
            f"Each row holds the clips of one class, each column what they were called. {right} of {result.num_clips} "
            f"lie on the diagonal: **{words.percent(result.accuracy)}** accuracy."
        )
        label = st.selectbox("Row and column of", result.class_names, key="learn-reading-class")
        report = next(item for item in result.per_class if item.label == label)
        hits = result.confusion[result.class_names.index(label)][result.class_names.index(label)]
        with st.grid(2, min_column_width=130):
            st.metric("Recall", words.percent(report.recall, 0), help="Along the row: how many of them were found.")
            st.metric("Precision", words.percent(report.precision, 0), help="Down the column: how many are right.")
        low, high = report.recall_interval
        name = parts.safe(label)
        st.caption(
            f"{hits} of {report.support} {name} found; {hits} of {report.predicted} called {name} are right. With so "
            f"few clips, the true recall may lie anywhere from {words.percent(low, 0)} to {words.percent(high, 0)}."
        )
        source(
            "interval after E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927"
        )


def _threshold(answers: Answers) -> None:
    import numpy as np

    from samplemind_core.charts.learn_reading import threshold_figure
    from samplemind_core.evaluation.metrics import softmax
    from samplemind_core.learn.reading import count_at

    left, right = st.columns([2, 3], gap="large")
    with left:
        label = st.selectbox("Find every", answers.class_names, key="learn-reading-wanted")
        threshold = st.slider("From this confidence on", 0.0, 1.0, 0.5, step=0.01, key="learn-reading-threshold")
        index = answers.class_names.index(label)
        probs, members = softmax(answers.logits)[:, index], answers.targets == index
        now = count_at(probs, members, threshold)
        name = parts.safe(label)
        with st.grid(2, min_column_width=120):
            st.metric("Precision", words.percent(now.precision, 0))
            st.metric("Recall", words.percent(now.recall, 0))
        st.markdown(
            f"**{now.found}** {name} found, **{now.missed}** missed, **{now.wrongly}** other sounds called {name}."
        )
        st.caption(
            "Higher: what you get is right, and you miss more. Lower: you miss less, and sort out more by ear. Only "
            "you know which costs more."
        )
    with right:
        steps = np.round(np.linspace(0, 1, 101), 2)
        counts = [count_at(probs, members, float(step)) for step in steps]
        chart = threshold_figure(
            steps.tolist(), [c.precision for c in counts], [c.recall for c in counts], threshold, label, theme()
        )
        figure(chart, key="reading-threshold")


def _calibration(answers: Answers) -> None:
    from samplemind_core.charts.learn_reading import reliability_figure
    from samplemind_core.evaluation.calibration import fit_temperature, measure_calibration

    left, right = st.columns([2, 3], gap="large")
    with left:
        section("Does 90 of 100 mean 90 of 100?")
        st.markdown(
            "Answers are sorted by how sure they are. If confidence keeps its word, the dots lie on the line: of the "
            "answers that are so sure, so many are right."
        )
        st.session_state.setdefault(_TEMPERATURE, 1.0)
        temperature = st.slider(
            "Temperature",
            *(0.3, 4.0),
            step=0.05,
            key=_TEMPERATURE,
            help="Every logit is divided by it: above one the answers become more modest. None of them changes.",
        )
        best = fit_temperature(answers.logits, answers.targets)
        st.button("Find the best", icon=":material/target:", key="learn-reading-fit", on_click=_set_temperature,
                  args=(best,))  # fmt: skip
        measured = measure_calibration(answers.logits, answers.targets, temperature=temperature, resamples=20)
        with st.grid(2, min_column_width=120):
            st.metric("Mean distance", words.percent(measured.ece), help="Of the dots from the line: the ECE.")
            st.metric("Loss", f"{measured.loss:.3f}")
        st.caption(
            f"On average {words.percent(measured.confidence, 0)} sure and {words.percent(measured.accuracy, 0)} right. "
            "SampleMind finds the temperature with the lowest loss at the end of each run, on validation clips."
        )
        source(
            "C. Guo and others, On calibration of modern neural networks, ICML 2017", "https://arxiv.org/abs/1706.04599"
        )
    with right:
        figure(reliability_figure(measured.bins, theme()), key="reading-reliability")


def _set_temperature(value: float) -> None:
    low, high = 0.3, 4.0
    # The slider has steps; the nearest one shows the same dots.
    st.session_state[_TEMPERATURE] = min(high, max(low, round(value * 20) / 20))


def _test_set() -> None:
    from samplemind_core.charts.learn_reading import best_of_figure
    from samplemind_core.learn.reading import best_of_many

    left, right = st.columns([2, 3], gap="large")
    with left:
        section("Why the test set is opened once")
        networks = st.slider("Networks you try on it", 1, 50, 10, key="learn-reading-networks")
        clips = st.select_slider("Clips in it", (30, 60, 120, 300, 1_000), value=60, key="learn-reading-clips")
    counts = list(range(1, 51))
    drawn = [best_of_many(count, clips) for count in counts]
    best = drawn[networks - 1]
    with left:
        extra = 100 * (best.reported - best.truth)
        st.metric("You would report", words.percent(best.reported), delta=f"{extra:.1f} points of luck",
                  delta_color="off", delta_arrow="off")  # fmt: skip
        st.markdown(
            f"All {networks} networks are equally good: right on {words.percent(best.truth, 0)} of new sounds. On "
            f"{clips:,} test clips each is a little lucky or unlucky. Keep the best, and you have picked the luck."
        )
        st.caption("Choose by validation. Open the test set once, for the figure that you tell others.")
    with right:
        chart = best_of_figure(counts, [item.reported for item in drawn], best.truth, networks, theme())
        figure(chart, key="reading-best-of")
        st.caption(
            f"The mean of {len(best.scores):,} simulated test sets; errors of the networks taken as independent."
        )


# -- packs ---------------------------------------------------------------------------------------


def _packs() -> None:
    section("The same clips, split in two ways")
    usable = _ready()
    chosen = ""
    if usable:
        chosen = st.selectbox(
            "Clips",
            ["", *usable],
            format_func=lambda name: parts.dataset_label(usable[name]) if name in usable else "Made-up packs",
            key="learn-reading-packs",
        )
    if chosen:
        _own_packs(chosen)
    else:
        _made_up_packs()
    source(
        "the artist filter in music classification: E. Pampalk, A. Flexer and G. Widmer, Improvements of audio-based "
        "music similarity and genre classification, ISMIR 2005"
    )


def _made_up_packs() -> None:
    from samplemind_core.learn.kits import MAX_VARIATIONS, pack_clips
    from samplemind_core.learn.leakage import score_variations

    with st.spinner("Making the packs, once", show_time=True):
        clips = pack_clips()
    repeats = st.slider(
        "Versions of each sound in a pack", 1, MAX_VARIATIONS, MAX_VARIATIONS, key="learn-reading-versions"
    )
    rows, scores = score_variations(clips, repeats)
    packs = len(set(clips.sources[rows].tolist()))
    st.markdown(
        f"{words.plural(len(rows), 'clip')} from {packs} packs; each pack holds its kick, its snare and so on in "
        f"{words.plural(repeats, 'version')}. The simplest classifier there is names a clip after the most similar "
        "clip that it was given."
    )
    _scores(scores)
    random, _ = scores
    pair = next(
        (
            (int(test), int(near))
            for test, near in zip(random.test_rows, random.nearest_rows, strict=True)
            if clips.sources[rows[test]] == clips.sources[rows[near]]
        ),
        None,
    )
    if pair is None:
        st.caption("With one version of each sound there is nothing to recognise: both ways of splitting agree.")
        return
    st.markdown("**Hear why.** A clip of the random test set, and the training clip that gave it its name:")
    rate = clips.features.sample_rate_hz
    names = [clips.class_names[clips.targets[rows[row]]] for row in pair]
    heard = [
        sound(clips.waveforms[rows[row]], rate, f"{where}: {name}", f"pack {clips.sources[rows[row]] + 1}")
        for row, name, where in zip(pair, names, ("In the test", "In training"), strict=True)
    ]
    player_list(heard, key="learn-reading-pair")


def _own_packs(dataset_id: str) -> None:
    dataset = workspace().dataset(dataset_id)
    with st.spinner("Listening to the clips, once", show_time=True):
        num_clips, num_sources, scores = _own_scores(str(workspace().root), dataset.id, dataset.fingerprint)
    some = "" if num_clips == dataset.num_clips else f" Whole sources were drawn, up to {MOST_CLIPS:,} clips."
    st.markdown(
        f"{words.plural(num_clips, 'clip')} of {parts.safe(dataset.name)} from {words.plural(num_sources, 'source')}."
        f"{some} The simplest classifier there is names a clip after the most similar clip that it was given."
    )
    _scores(scores)


@st.cache_resource(max_entries=8, show_spinner=False)
def _own_scores(root: str, dataset_id: str, fingerprint: str) -> tuple[int, int, tuple[SplitScore, SplitScore]]:
    from samplemind_core.config import USUAL_FEATURES
    from samplemind_core.data.dataset import load_clips
    from samplemind_core.learn.leakage import score_dataset

    data = load_clips(workspace().root, workspace().store, workspace().dataset(dataset_id), USUAL_FEATURES)
    return score_dataset(data, MOST_CLIPS)


def _ready() -> dict[str, Dataset]:
    """Return the datasets whose spectrograms are there: a lesson makes none of thousands of clips."""
    from samplemind_core.config import USUAL_FEATURES
    from samplemind_core.data.cache import cache_file

    found = [item for item in workspace().datasets() if item.kind == "audio" and not item.multi_label]
    return {item.id: item for item in found if cache_file(workspace().root, item.id, USUAL_FEATURES).exists()}


def _scores(scores: tuple[SplitScore, SplitScore]) -> None:
    from samplemind_core.charts.learn_reading import split_figure

    random, grouped = scores
    figure(split_figure(random.accuracies, grouped.accuracies, theme()), key="reading-splits")
    difference = 100 * (random.accuracy - grouped.accuracy)
    verdict = (
        f"Splitting at random flatters by **{difference:.0f} points**."
        if difference >= 1
        else "Here both ways of splitting agree within their noise."
    )
    st.markdown(
        f"{verdict} At random, {words.percent(random.siblings, 0)} of the test clips are named after a clip of their "
        "own pack. Your next pack has no sibling in training: only the lower figure tells you what to expect."
    )


CHAPTER = Chapter(
    10,
    "reading",
    "Reading results",
    "Every figure answers one question; know which one before you believe it.",
    7,
    draw,
)
