"""The versions of a dataset: who changed what and when, what differs between two, the way back, and its end."""

from __future__ import annotations

import streamlit as st

from samplemind_core.store import Dataset, Version
from samplemind_core.ui import parts, words
from samplemind_core.ui.state import error_boundary, owner, workspace

PER_PAGE = 15
SHOWN_CHANGES = 200
_FIELDS = {"label": "Class", "source": "Source", "split": "Split", "excluded": "Excluded"}
_ICONS = {
    "import": ":material/download:",
    "relabel": ":material/label:",
    "exclude": ":material/visibility_off:",
    "include": ":material/visibility:",
    "group": ":material/group_work:",
    "move": ":material/swap_horiz:",
    "split": ":material/call_split:",
    "undo": ":material/undo:",
    "redo": ":material/redo:",
}


def show_history(dataset: Dataset) -> None:
    """Draw the versions, newest first, with undo, redo, the difference between any two, and deleting."""
    from samplemind_core.data.editing import stacks

    versions = workspace().store.versions.all(dataset.id)
    done, undone = stacks(versions)
    with st.container(horizontal=True, vertical_alignment="center"):
        _step("undo", done[-1] if done else None, dataset)
        _step("redo", undone[-1] if undone else None, dataset)
        st.caption("Every change is a version; going back is one too, so nothing is ever lost.")
    _versions(dataset, versions)
    if len(versions) > 1:
        _difference(dataset, versions)
    _deleting(dataset)


def _step(kind: str, version: Version | None, dataset: Dataset) -> None:
    word = kind.capitalize()
    help = f"{word}: {version.message}" if version else f"Nothing to {kind}."
    if st.button(word, icon=_ICONS[kind], key=f"history-{kind}", disabled=version is None, help=parts.safe(help)):
        with error_boundary():
            editor = workspace().edit(dataset.id, by=owner(), base=dataset.version)
            editor.undo() if kind == "undo" else editor.redo()
            st.rerun()


def _versions(dataset: Dataset, versions: list[Version]) -> None:
    newest = versions[::-1]
    num_pages = -(-len(newest) // PER_PAGE)
    page = st.pagination(num_pages, key=f"page-versions-{dataset.id}") if num_pages > 1 else 1
    trained: dict[int, list[str]] = {}
    for run in workspace().runs(dataset.id):
        trained.setdefault(run.dataset_version, []).append(run.name)
    for version in newest[(page - 1) * PER_PAGE : page * PER_PAGE]:
        with st.container(border=True, gap="small"):
            now = " · **now**" if version.version == dataset.version else ""
            icon = _ICONS[version.kind]
            st.markdown(f"{icon} **Version {version.version}**{now} · {parts.safe(version.message)}")
            who = f"{parts.safe(version.author)} · " if version.author else ""
            facts = [
                f"{who}{words.when(version.created_at)}",
                words.plural(version.num_clips, "sample"),
                words.plural(len(version.class_names), "class"),
                f"fingerprint {version.fingerprint[:8]}",
            ]
            names = trained.get(version.version, [])
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                facts.append(f"trained on by {', '.join(map(parts.safe, names[:3]))}{more}")
            st.caption(" · ".join(facts))


def _difference(dataset: Dataset, versions: list[Version]) -> None:
    from samplemind_core.data.versions import diff

    parts.section("What differs")
    numbers = [version.version for version in versions]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        before = st.selectbox("From version", numbers, index=len(numbers) - 2, key=f"diff-a-{dataset.id}")
        after = st.selectbox("To version", numbers, index=len(numbers) - 1, key=f"diff-b-{dataset.id}-{numbers[-1]}")
    with error_boundary():
        store = workspace().store
        found = diff(store, store.versions.at(dataset, before), store.versions.at(dataset, after))
        st.caption(parts.safe(found.sentence))
        rows = [
            {"Sample": one.name, "What": _FIELDS[field], "Before": _word(a), "After": _word(b)}
            for one in found.changed[:SHOWN_CHANGES]
            for field, (a, b) in one.values.items()
        ]
        if rows:
            st.dataframe(rows, hide_index=True, key=f"diff-{dataset.id}")
        if len(found.changed) > SHOWN_CHANGES:
            st.caption(
                f"The first {SHOWN_CHANGES} of {words.plural(len(found.changed), 'sample')}. All of them: "
                f"`python -m samplemind_core datasets diff {dataset.name}@{before} {dataset.name}@{after}`"
            )


def _deleting(dataset: Dataset) -> None:
    with st.popover("Delete this dataset", icon=":material/delete:", key=f"history-delete-{dataset.id}"):
        st.markdown(
            "Its samples, spectrograms, versions and searches go for good; what it was imported from stays. A dataset "
            "that runs were trained on can be deleted once these are."
        )
        if st.button("Delete for good", type="primary", key=f"history-sure-{dataset.id}"):
            with error_boundary():
                workspace().delete_dataset(dataset.id)
                st.query_params.pop("dataset", None)  # the address would name what is no more
                st.rerun()


def _word(value: str | bool) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value or "none"
