"""Routes of the sample browser: pages of clips, outlines, one clip in detail, edits. JSON in, JSON out.

The browser asks for what is in view and never reloads the page. Each address carries a ticket for
one dataset; the one for edits also says, under the same signature, who makes them.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from samplemind_core.data.cache import usual_features
from samplemind_core.errors import NotFoundError, SampleMindError, VersionConflictError
from samplemind_core.store.records import SPLITS

if TYPE_CHECKING:
    from samplemind_core.data.editing import Editor
    from samplemind_core.store import Clip, Dataset, Version
    from samplemind_core.workspace import Workspace

MAX_PAGE = 500
MAX_EDIT_BYTES = 2_000_000
Open = Callable[[], "Workspace"]
Valid = Callable[[str, str, str], bool]
ClipUrl = Callable[[int], str]
Answer = Callable[["Workspace", "Dataset", Request], Any]


def browse_addresses(dataset_id: str, author: str, ticket: Callable[[str, str], str]) -> dict[str, str]:
    """Return the addresses of a dataset's browser with their tickets: ``read`` and ``edit``."""
    base = f"/api/datasets/{quote(dataset_id, safe='')}"
    read, edit = ticket("dataset", dataset_id), ticket("edit", f"{dataset_id}|{author}")
    return {"base": base, "read": f"t={read}", "edit": f"by={quote(author, safe='')}&t={edit}"}


def browsing_routes(workspace: Open, valid: Valid, clip_url: ClipUrl) -> list[BaseRoute]:
    """Return the routes; the app process hands in its workspace, its check of tickets and where clips are heard."""

    def reading(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            dataset_id = request.path_params["dataset"]
            if not valid("dataset", dataset_id, request.query_params.get("t", "")):
                raise HTTPException(403, "This page has been open too long. Load it again.")
            return await _answered(lambda: answer(workspace(), workspace().dataset(dataset_id), request))

        return handle

    async def edit(request: Request) -> Response:
        dataset_id, author = request.path_params["dataset"], request.query_params.get("by", "")
        if not valid("edit", f"{dataset_id}|{author}", request.query_params.get("t", "")):
            raise HTTPException(403, "This page has been open too long. Load it again.")
        asked = await _json_body(request)
        return await _answered(lambda: _edited(workspace(), dataset_id, author, asked))

    page = functools.partial(_page, clip_url=clip_url)
    return [
        Route("/api/datasets/{dataset}/clips", reading(page)),
        Route("/api/datasets/{dataset}/ids", reading(_ids)),
        Route("/api/datasets/{dataset}/facets", reading(_facets)),
        Route("/api/datasets/{dataset}/peaks", reading(_peaks)),
        Route("/api/datasets/{dataset}/clips/{clip:int}", reading(_detail)),
        Route("/api/datasets/{dataset}/clips/{clip:int}/heard", reading(_heard)),
        Route("/api/datasets/{dataset}/edits", edit, methods=["POST"]),
    ]


# -- reading -------------------------------------------------------------------------------------


def _page(workspace: Workspace, dataset: Dataset, request: Request, *, clip_url: ClipUrl) -> dict[str, Any]:
    """Return rows ``offset`` to ``offset + limit`` of what a filter leaves, and how many there are."""
    where = filters(workspace, dataset, request.query_params)
    offset, limit = _number(request, "offset", 0), min(_number(request, "limit", 100), MAX_PAGE)
    clips = workspace.store.datasets.clips(dataset.id, **where, limit=limit, offset=offset)
    return {
        "version": dataset.version,
        "total": workspace.store.datasets.count_clips(dataset.id, **where),
        "offset": offset,
        "rows": [row_message(clip, clip_url) for clip in clips],
    }


def _ids(workspace: Workspace, dataset: Dataset, request: Request) -> dict[str, Any]:
    where = filters(workspace, dataset, request.query_params)
    return {"ids": [clip.id for clip in workspace.store.datasets.clips(dataset.id, **where)]}


def _facets(workspace: Workspace, dataset: Dataset, _request: Request) -> dict[str, Any]:
    """Return what can be filtered by, with how many clips each would leave."""
    from samplemind_core.data.editing import stacks

    sources = workspace.store.datasets.sources(dataset.id)
    counts = workspace.store.datasets.counts(dataset.id)
    labels: dict[str, int] = dict.fromkeys(dataset.class_names, 0)
    labels |= {label: sum(row.values()) for label, row in counts.items()}
    splits: dict[str, int] = dict.fromkeys(SPLITS, 0)
    for by_label in sources.values():
        for row in by_label.values():
            for split, number in row.items():
                splits[split] = splits.get(split, 0) + number
    done, undone = stacks(workspace.store.versions.all(dataset.id))
    return {
        "version": dataset.version,
        "class_names": dataset.class_names,
        "labels": labels,
        "splits": splits,
        "sources": {name: sum(sum(row.values()) for row in counts.values()) for name, counts in sources.items()},
        "excluded": dataset.num_excluded,
        "undo": done[-1].message if done else None,
        "redo": undone[-1].message if undone else None,
    }


def _peaks(workspace: Workspace, dataset: Dataset, request: Request) -> dict[str, Any]:
    from samplemind_core.data.previews import waveform_peaks

    ids = [int(part) for part in request.query_params.get("ids", "").split(",") if part.isascii() and part.isdigit()]
    clips = workspace.store.datasets.clips(dataset.id, ids=ids[:MAX_PAGE], excluded=None)
    return {str(clip_id): peaks for clip_id, peaks in waveform_peaks(workspace.root, dataset, clips).items()}


def _detail(workspace: Workspace, dataset: Dataset, request: Request) -> dict[str, Any]:
    """Return facts about one clip, and its log-mel spectrogram as bytes: 0 is the floor, 255 the loudest."""
    from samplemind_core.data.previews import clip_log_mel

    clip = _clip(workspace, dataset, request)
    features = usual_features(dataset)
    picture: dict[str, Any] | None = None
    note = ""
    try:
        log_mel = clip_log_mel(workspace.root, dataset, clip, features)
        levels = (255 * (1 + log_mel.clip(-features.top_db, 0) / features.top_db)).astype("uint8")
        picture = {
            "bands": levels.shape[0],
            "frames": levels.shape[1],
            "levels": base64.b64encode(levels.tobytes()).decode(),
            "seconds": levels.shape[1] * features.hop_length / features.sample_rate_hz,
            "fmax_hz": features.fmax_hz or features.sample_rate_hz / 2,
        }
    except SampleMindError as error:
        note = str(error)
    return {"id": clip.id, "facts": _facts(clip), "log_mel": picture, "note": note}


def _heard(workspace: Workspace, dataset: Dataset, request: Request) -> dict[str, Any]:
    """Return a clip made from its spectrogram alone, as WAV, and what the network cannot hear in it."""
    from samplemind_core.audio.decode import to_wav

    clip = _clip(workspace, dataset, request)
    heard = workspace.hear(clip.id or 0)
    wav = to_wav(heard.resynthesised, heard.sample_rate_hz)
    return {
        "wav": f"data:audio/wav;base64,{base64.b64encode(wav).decode()}",
        "warnings": heard.warnings,
        "window_s": heard.window_s,
    }


def filters(workspace: Workspace, dataset: Dataset, query: Mapping[str, str]) -> dict[str, Any]:
    """Return what the store is asked for, from the parameters of an address: unknown values leave nothing."""
    where: dict[str, Any] = {name: query[name] for name in ("label", "source", "split") if query.get(name)}
    if text := query.get("text", "").strip():
        where["text"] = text
    state = query.get("state", "")
    where["excluded"] = {"excluded": True, "both": None}.get(state, False)
    if finding := query.get("finding"):
        from samplemind_core.data.review import clips_of_finding

        where["ids"] = clips_of_finding(workspace.root, dataset.id, finding)
    return where


def row_message(clip: Clip, clip_url: ClipUrl) -> dict[str, Any]:
    """Return what a row of the list shows."""
    assert clip.id is not None
    return {
        "id": clip.id,
        "name": clip.name,
        "label": clip.label,
        "labels": clip.class_labels,
        "source": "" if clip.source == clip.name else clip.source,
        "split": clip.split,
        "duration_s": clip.duration_s if clip.duration_s is None or math.isfinite(clip.duration_s) else None,
        "excluded": clip.excluded,
        "src": clip_url(clip.id) if clip.file else None,
    }


def _facts(clip: Clip) -> dict[str, str]:
    facts = {
        "File": clip.name,
        "Classes" if clip.labels else "Class": clip.shown_label or "none yet",
        "Split": clip.split + (", excluded" if clip.excluded else ""),
        "Source": clip.source if clip.source != clip.name else "not known",
    }
    if clip.duration_s is not None:
        facts["Length"] = f"{clip.duration_s:.3f} s"
    if clip.sample_rate_hz:
        channels = {1: "mono", 2: "stereo"}.get(clip.channels or 0, f"{clip.channels} channels")
        facts["Sample rate"] = f"{clip.sample_rate_hz:,} Hz, {channels}"
    if clip.num_bytes is not None:
        facts["Size"] = f"{clip.num_bytes / 1000:,.1f} kB"
    if clip.fold is not None:
        facts["Fold"] = clip.fold
    for name, value in clip.extra.items():
        if isinstance(value, str | int | float | bool) and str(value):
            title = name.replace("_", " ").capitalize()
            # A column of the list that is called as something known here is told apart.
            facts[f"{title} (list)" if title in facts else title] = str(value)[:300]
    facts["Content"] = clip.content_hash[:12]
    return facts


def _clip(workspace: Workspace, dataset: Dataset, request: Request) -> Clip:
    clip = workspace.store.datasets.clip(request.path_params["clip"])
    if clip.dataset_id != dataset.id:
        raise NotFoundError(f"There is no clip {clip.id} in dataset '{dataset.name}'.", "Load the page again.")
    return clip


# -- editing -------------------------------------------------------------------------------------


def _edited(workspace: Workspace, dataset_id: str, author: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Make one change to the version that its author looked at."""
    base, ids, value = asked.get("base"), asked.get("ids", []), asked.get("value", "")
    if not isinstance(base, int) or not isinstance(ids, list) or not all(type(i) is int for i in ids):
        raise HTTPException(400, "Expected a base version and a list of clip ids.")
    made = _change(workspace.edit(dataset_id, by=author, base=base), str(asked.get("action")), ids, str(value))
    return {"version": made.version, "message": made.message}


def _change(editor: Editor, action: str, ids: Collection[int], value: str) -> Version:
    match action:
        case "relabel":
            return editor.relabel(ids, value)
        case "exclude":
            return editor.exclude(ids)
        case "include":
            return editor.include(ids)
        case "group":
            return editor.group(ids, value)
        case "move":
            return editor.move(ids, value)  # type: ignore[arg-type]  # the editor refuses what is no split
        case "undo":
            return editor.undo()
        case "redo":
            return editor.redo()
    raise HTTPException(400, "There is no such change.")


async def _json_body(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_EDIT_BYTES:
            raise HTTPException(413, "That is too much for one change.")
    try:
        asked = json.loads(bytes(body))
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise HTTPException(400, "Expected a JSON object.")
    return asked


# -- answering -----------------------------------------------------------------------------------


async def _answered(work: Callable[[], Any]) -> Response:
    """Do something outside the event loop and send what came of it, or what went wrong, as JSON."""
    headers = {"Cache-Control": "no-store"}
    try:
        return JSONResponse(await asyncio.to_thread(work), headers=headers)
    except SampleMindError as error:
        status = 404 if isinstance(error, NotFoundError) else 409 if isinstance(error, VersionConflictError) else 422
        fault = {"error": error.problem, "advice": error.advice}
        return JSONResponse(fault, status_code=status, headers=headers)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default
