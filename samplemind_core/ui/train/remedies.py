"""What can be done about a verdict: a change of settings as a new run, or something to do with this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from samplemind_core.config import RunConfig, apply_changes
from samplemind_core.store import Epoch, Run
from samplemind_core.training.remedies import Case, remedies_for
from samplemind_core.ui import parts
from samplemind_core.ui.places import go
from samplemind_core.ui.state import error_boundary, is_mine, owner, workspace
from samplemind_core.ui.train.differences import differences, value_words

MOST = 5
_ICONS = {"take_best": ":material/flag:", "more_epochs": ":material/more_time:", "check_data": ":material/fact_check:"}


def draw_remedies(run: Run, latest: Epoch) -> None:
    """Draw what can be done about the verdict of a run's latest epoch; nothing where nothing needs doing."""
    config = RunConfig.model_validate(run.config)
    offered = remedies_of(run, latest, config)[:MOST]
    if not offered:
        return
    st.caption("What may help. A change of settings opens a new run with this one change, to look over and start.")
    with st.container(horizontal=True, key="remedies"):
        for place, remedy in enumerate(offered):
            action, changes = str(remedy.get("action", "")), dict(remedy.get("changes", {}))
            icon = _ICONS.get(action, ":material/healing:")
            told = f"{remedy['why']} {change_words(config, changes)}".strip()
            if st.button(parts.safe(remedy["title"]), key=f"remedy-{place}", icon=icon, help=told):
                with error_boundary():
                    _apply(run, action, changes)


def remedies_of(run: Run, latest: Epoch, config: RunConfig) -> Sequence[Mapping[str, Any]]:
    """Return what the verdict names, or what is known of its kind where an older run kept none."""
    named = latest.health.get("remedies")
    if named is not None:
        return list(named)
    case = Case(config, run.best_epoch or latest.epoch, latest.epoch)
    return [remedy.as_dict() for remedy in remedies_for(str(latest.health.get("verdict", "")), case)]


def link_of(changes: Mapping[str, Any]) -> str:
    """Return changes as a link to a new run gives them (``set=…``)."""
    return ",".join(f"{path}={'' if value is None else value!r}".replace("'", "") for path, value in changes.items())


def change_words(config: RunConfig, changes: Mapping[str, Any]) -> str:
    """Return changes of settings as a sentence; empty where there are none."""
    rows = differences(config, apply_changes(config, changes))
    text = "; ".join(f"{row.sentence} (was {value_words(row.before)})" for row in rows)
    return f"{parts.safe(text)}." if text else ""


def _apply(run: Run, action: str, changes: Mapping[str, Any]) -> None:
    if action == "take_best":
        if run.status == "running" and is_mine(run.owner):
            workspace().stop(run.id, by=owner())
        go("diagnostics", dataset=run.dataset_id, a=f"{run.id}:best")
    if action == "check_data":
        go("data", dataset=run.dataset_id, section="health")
    if action == "more_epochs" and run.status == "finished":
        more = int(changes.get("train.epochs", 0)) - RunConfig.model_validate(run.config).train.epochs
        workspace().extend(run.id, max(1, more), by=owner())
        st.rerun()
    st.query_params.from_dict({"new": "1", "dataset": run.dataset_id, "based_on": run.id, "set": link_of(changes)})
    st.rerun()
