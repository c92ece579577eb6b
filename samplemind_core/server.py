"""The app process's own routes: live epochs over a WebSocket, clips as WAV, scripts of the components.

Custom routes see neither the page's session nor its sign-in. Each one that shows data is therefore
guarded by a ticket, an expiring signature that a page mints once it has decided who may look.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import logging
import math
import os
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from samplemind_core.browsing import browse_addresses, browsing_routes
from samplemind_core.errors import NotFoundError, SampleMindError
from samplemind_core.store.records import ENDED

if TYPE_CHECKING:
    from samplemind_core.store import Epoch, Run
    from samplemind_core.workspace import Workspace

log = logging.getLogger(__name__)

POLL_S = 0.5
ENDED_POLL_S = 3.0
TEND_S = 2.0
TICKET_S = 12 * 3600
SHELF_BYTES = 192 << 20
STATIC = Path(__file__).parent / "static"
# WebSocket close codes of our own; the component gives up on these and tries again on all others.
CLOSE_FORBIDDEN = 4403
CLOSE_NOT_FOUND = 4404


@functools.cache
def workspace() -> Workspace:
    """Return the workspace of this process, opened on first use from the environment."""
    from samplemind_core.workspace import Workspace

    return Workspace()


# -- tickets -------------------------------------------------------------------------------------


@functools.cache
def _key() -> bytes:
    # Several app processes behind one proxy must share SAMPLEMIND_KEY; alone, a key per start will do.
    return (os.environ.get("SAMPLEMIND_KEY") or secrets.token_hex(32)).encode()


def _signature(kind: str, name: str, expiry: int) -> str:
    return hmac.new(_key(), f"{kind}|{name}|{expiry}".encode(), hashlib.sha256).hexdigest()


def ticket(kind: str, name: str, *, ttl_s: int = TICKET_S, now: float | None = None) -> str:
    """Return a ticket for one thing, such as ``("run", run_id)`` or ``("clip", "17")``.

    It is valid for ``ttl_s`` seconds and at most an hour longer: expiries fall on whole hours, so
    that a page drawn again gives the same address and the browser's cache stays good.
    """
    expiry = (int((time.time() if now is None else now) + ttl_s) // 3600 + 1) * 3600
    return f"{expiry}.{_signature(kind, name, expiry)}"


def valid(kind: str, name: str, presented: str, *, now: float | None = None) -> bool:
    """Return whether a ticket was minted here for this very thing and has not expired."""
    text, _, signature = presented.partition(".")
    if not (text.isascii() and text.isdigit() and len(text) < 16 and signature.isascii()):
        return False
    genuine = hmac.compare_digest(signature, _signature(kind, name, int(text)))
    return genuine and int(text) > (time.time() if now is None else now)


def stream_url(run_id: str) -> str:
    """Return the address of a run's live epochs, with its ticket."""
    return f"/api/runs/{quote(run_id, safe='')}/stream?t={ticket('run', run_id)}"


def clip_url(clip_id: int) -> str:
    """Return the address of a clip as WAV, with its ticket."""
    return f"/api/clips/{clip_id}.wav?t={ticket('clip', str(clip_id))}"


def answer_url(batch_id: str, position: int) -> str:
    """Return the address of a classified file as WAV, with its ticket."""
    name = f"{batch_id}/{position}"
    return f"/api/answers/{name}.wav?t={ticket('answer', name)}"


def batch_url(batch_id: str, file: str) -> str:
    """Return the address of a file made of a batch, with its ticket: ``answers.csv``, ``sorted.zip`` and so on."""
    name = f"{batch_id}/{file}"
    return f"/api/batches/{name}?t={ticket('batch', name)}"


class Shelf:
    """Sounds that a page lets its viewer hear without keeping them: the newest few, in memory only."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._sounds: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, wav: bytes) -> str:
        """Take a sound in and return its name; the longest unheard ones leave when there is no more room."""
        name = hashlib.sha256(wav).hexdigest()[:32]
        with self._lock:
            self._sounds[name] = wav
            self._sounds.move_to_end(name)
            while len(self._sounds) > 1 and sum(map(len, self._sounds.values())) > self.max_bytes:
                self._sounds.popitem(last=False)
        return name

    def get(self, name: str) -> bytes | None:
        """Return a sound, or None if it has left."""
        with self._lock:
            if name in self._sounds:
                self._sounds.move_to_end(name)
            return self._sounds.get(name)


shelf = Shelf(SHELF_BYTES)


def sound_url(wav: bytes) -> str:
    """Return the address of a sound that is not kept, such as an upload, with its ticket."""
    name = shelf.put(wav)
    return f"/api/sounds/{name}.wav?t={ticket('sound', name)}"


def browse_urls(dataset_id: str, author: str) -> dict[str, str]:
    """Return the addresses that the sample browser of a dataset asks, for somebody who may edit it."""
    return browse_addresses(dataset_id, author, ticket)


# -- live epochs ---------------------------------------------------------------------------------


@dataclass
class Feed:
    """What is known of one run that somebody watches.

    ``rows`` only grows, except when a resumed run goes back to an earlier epoch: then ``generation``
    rises and everybody gets all rows anew. ``version`` rises when the run itself changes.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    generation: int = 0
    version: int = 0
    gone: bool = False
    viewers: int = 0
    read_at: float = -math.inf
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def update(self, run: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Take in the run and its rows from the last known one on, that one included."""
        known = len(self.rows)
        if self.rows and rows and rows[0] == self.rows[-1]:
            self.rows.extend(rows[1:])
        elif not self.rows:
            self.rows.extend(rows)
        if run != self.run:
            self.run, self.version = run, self.version + 1
        elif len(self.rows) == known:
            return
        self.notify()

    def replace(self, run: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Start over with these rows."""
        self.run, self.rows = run, rows
        self.generation, self.version = self.generation + 1, self.version + 1
        self.notify()

    def notify(self) -> None:
        """Wake every viewer."""
        self.changed.set()
        self.changed = asyncio.Event()


class Hub:
    """One reader of the store for all viewers; it runs only while somebody watches."""

    def __init__(self) -> None:
        self.feeds: dict[str, Feed] = {}
        self._pump: asyncio.Task[None] | None = None

    async def join(self, run_id: str) -> Feed:
        """Return the feed of a run, up to date, and count one viewer more.

        Raises
        ------
        NotFoundError
            If there is no such run.
        """
        feed = self.feeds.get(run_id)
        if feed is None:
            feed = Feed()
            await _refresh(run_id, feed)
            feed = self.feeds.setdefault(run_id, feed)
        feed.viewers += 1
        if self._pump is None or self._pump.done() or self._pump.get_loop() is not asyncio.get_running_loop():
            self._pump = asyncio.create_task(self._run(), name="samplemind-pump")
        return feed

    def leave(self, run_id: str, feed: Feed) -> None:
        """Count one viewer less; the last one takes the feed along."""
        feed.viewers -= 1
        if feed.viewers <= 0 and self.feeds.get(run_id) is feed:
            del self.feeds[run_id]

    async def close(self) -> None:
        """Stop reading."""
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump
        self.feeds.clear()

    async def _run(self) -> None:
        while self.feeds:
            await asyncio.sleep(POLL_S)
            for run_id, feed in list(self.feeds.items()):
                # A run that has ended changes only when somebody resumes it.
                if feed.run.get("status") in ENDED and time.monotonic() - feed.read_at < ENDED_POLL_S:
                    continue
                try:
                    await _refresh(run_id, feed)
                except NotFoundError:
                    feed.gone = True
                    feed.notify()
                except SampleMindError:
                    # The database may be back at the next look; viewers keep what they have.
                    log.warning("Live epochs of run %s could not be read", run_id, exc_info=True)
                except Exception:
                    log.exception("Live epochs of run %s could not be read", run_id)


hub = Hub()


async def _refresh(run_id: str, feed: Feed) -> None:
    feed.read_at = time.monotonic()
    last = feed.rows[-1]["epoch"] if feed.rows else 0
    run, rows = await asyncio.to_thread(_read, run_id, max(0, last - 1))
    if feed.rows and (not rows or rows[0] != feed.rows[-1]):
        # The last known epoch is gone or was computed anew: a resumed run went back.
        run, rows = await asyncio.to_thread(_read, run_id, 0)
        feed.replace(run, rows)
    else:
        feed.update(run, rows)


def _read(run_id: str, after: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    store = workspace()
    run = store.run(run_id)
    return run_message(run), [epoch_message(epoch) for epoch in store.epochs(run.id, after)]


def run_message(run: Run) -> dict[str, Any]:
    """Return what a live page shows of a run, as JSON-ready values."""
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "progress": _finite(run.progress),
        "best_epoch": run.best_epoch,
        "end_reason": run.end_reason,
        "paused": run.paused,
        "device": run.device,
    }


def epoch_message(epoch: Epoch) -> dict[str, Any]:
    """Return one epoch as JSON-ready values; what is not finite becomes null, which JSON can carry."""
    row = epoch.as_dict()
    # Three digits are more than any strip can show, and half of what would travel.
    row["recall"] = [None if value is None else round(value, 3) for value in epoch.recall]
    return {name: _finite(value) for name, value in row.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


async def stream(socket: WebSocket) -> None:
    """Send a run's epochs after ``?after=``, then new ones and changes of the run as they come.

    A viewer that comes back says which epoch it has last (``after``) and how long that one took
    (``seen``); if that is no longer what the store holds, it gets all rows with ``"reset": true``.
    """
    run_id = socket.path_params["run"]
    await socket.accept()
    if not valid("run", run_id, socket.query_params.get("t", "")):
        await socket.close(CLOSE_FORBIDDEN, "This page has been open too long. Load it again.")
        return
    try:
        feed = await hub.join(run_id)
    except NotFoundError:
        await socket.close(CLOSE_NOT_FOUND, "There is no such run.")
        return
    gone = asyncio.create_task(_disconnected(socket))
    try:
        await _serve(socket, feed, gone)
    except WebSocketDisconnect:
        pass
    finally:
        hub.leave(run_id, feed)
        gone.cancel()


async def _serve(socket: WebSocket, feed: Feed, gone: asyncio.Task[None]) -> None:
    sent = _position(feed.rows, socket.query_params.get("after", "0"), socket.query_params.get("seen", ""))
    generation, version = feed.generation if sent is not None else -1, -1
    while not gone.done():
        changed = feed.changed
        if feed.gone:
            await socket.close(CLOSE_NOT_FOUND, "This run was deleted.")
            return
        message: dict[str, Any] = {}
        if feed.generation != generation or sent is None:
            message["reset"], sent, generation = True, 0, feed.generation
        message["epochs"] = feed.rows[sent:]
        sent = len(feed.rows)
        if feed.version != version:
            message["run"], version = feed.run, feed.version
        if len(message) > 1 or message["epochs"]:
            await socket.send_json(message)
        waiter = asyncio.create_task(changed.wait())
        await asyncio.wait({waiter, gone}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()


def _position(rows: list[dict[str, Any]], after: str, seen: str) -> int | None:
    """Return how many rows a viewer has already; None if it has others than these."""
    last = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0
    if last == 0:
        return 0
    count = sum(row["epoch"] <= last for row in rows)
    if count == 0 or rows[count - 1]["epoch"] != last:
        return None
    try:
        same = not seen or float(seen) == rows[count - 1]["seconds"]
    except ValueError:
        same = False
    return count if same else None


async def _disconnected(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


# -- clips and scripts ---------------------------------------------------------------------------


async def _send_wav(request: Request, kind: str, name: str, make: Callable[[], bytes], max_age_s: int) -> Response:
    """Send a sound as 16-bit PCM WAV, which every browser plays, to whoever has a ticket for it."""
    if not valid(kind, name, request.query_params.get("t", "")):
        raise HTTPException(403, "This link has expired. Load the page again.")
    try:
        wav = await asyncio.to_thread(make)
    except NotFoundError as error:
        raise HTTPException(404, str(error)) from None
    except SampleMindError as error:
        raise HTTPException(422, str(error)) from None
    return Response(wav, media_type="audio/wav", headers={"Cache-Control": f"private, max-age={max_age_s}"})


async def clip(request: Request) -> Response:
    """Send a clip."""
    clip_id = request.path_params["clip"]
    return await _send_wav(request, "clip", str(clip_id), lambda: workspace().clip_wav(clip_id), 86_400)


async def answer(request: Request) -> Response:
    """Send a classified file, while it is where it was."""
    batch_id, position = request.path_params["batch"], request.path_params["position"]

    def wav() -> bytes:
        from samplemind_core.audio.decode import decode, probe, to_wav
        from samplemind_core.batches.review import answer_audio

        space = workspace()
        path = answer_audio(space, space.store.answers.answer(batch_id, position))
        rate = min(probe(path, limits=space.settings.limits).sample_rate_hz, 48_000)
        return to_wav(decode(path, rate, limits=space.settings.limits).waveform, rate)

    return await _send_wav(request, "answer", f"{batch_id}/{position}", wav, 3_600)


async def batch_file(request: Request) -> Response:
    """Send the answers of a batch in one of the formats, or its files sorted into a zip."""
    from samplemind_core.batches.exports import FORMATS, export
    from samplemind_core.batches.sort_task import ZIP, zip_path

    batch_id, file = request.path_params["batch"], request.path_params["file"]
    if not valid("batch", f"{batch_id}/{file}", request.query_params.get("t", "")):
        raise HTTPException(403, "This link has expired. Load the page again.")
    space = workspace()
    try:
        batch = await asyncio.to_thread(space.store.answers.batch, batch_id)
    except NotFoundError as error:
        raise HTTPException(404, str(error)) from None
    name = re.sub(r"[^A-Za-z0-9]+", "-", batch.title).strip("-")[:60] or "batch"
    path, form = zip_path(space, batch_id), file.removeprefix("answers.")
    if file == ZIP and path.is_file():
        return FileResponse(path, media_type="application/zip", filename=f"{name}-sorted.zip")
    if form not in FORMATS:
        raise HTTPException(404, "There is no such file. Load the page again.")
    headers = {"Content-Disposition": f'attachment; filename="{name}-answers.{form}"'}
    return StreamingResponse(export(space.store, batch, form), media_type=FORMATS[form], headers=headers)


async def sound(request: Request) -> Response:
    """Send a sound from the shelf."""
    name = request.path_params["name"]
    if not valid("sound", name, request.query_params.get("t", "")):
        raise HTTPException(403, "This link has expired. Load the page again.")
    wav = shelf.get(name)
    if wav is None:
        raise HTTPException(404, "This sound is no longer kept. Drop it again.")
    return Response(wav, media_type="audio/wav", headers={"Cache-Control": "private, max-age=3600"})


def _plotly() -> Path:
    # Importing plotly takes a while and only its file is wanted.
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("plotly is not installed")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


@functools.cache
def _assets() -> dict[str, Path]:
    return {"plotly.js": _plotly()} | {path.name: path for path in STATIC.glob("*.js")}


@functools.cache
def asset_url(name: str) -> str:
    """Return the address of a script; it changes with the content, so browsers may keep it for ever."""
    digest = hashlib.sha256(_assets()[name].read_bytes()).hexdigest()[:12]
    return f"/assets/{name}?v={digest}"


async def asset(request: Request) -> Response:
    """Send a script of the live components."""
    path = _assets().get(request.path_params["name"])
    if path is None:
        raise HTTPException(404, "There is no such file.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return FileResponse(path, media_type="text/javascript", headers=headers)


# -- the app's life ------------------------------------------------------------------------------


async def _tend() -> None:
    while True:
        try:
            await asyncio.to_thread(lambda: workspace().tend())
        except SampleMindError:
            log.warning("The queue could not be looked after", exc_info=True)
        except Exception:
            log.exception("The queue could not be looked after")
        await asyncio.sleep(TEND_S)


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Look after the queue while the app runs: notice dead workers, start one for queued runs."""
    tender = asyncio.create_task(_tend(), name="samplemind-tend")
    try:
        yield
    finally:
        tender.cancel()
        with suppress(asyncio.CancelledError):
            await tender
        await hub.close()


routes: list[BaseRoute] = [
    WebSocketRoute("/api/runs/{run}/stream", stream),
    Route("/api/clips/{clip:int}.wav", clip),
    Route("/api/sounds/{name}.wav", sound),
    Route("/api/answers/{batch}/{position:int}.wav", answer),
    Route("/api/batches/{batch}/{file}", batch_file),
    Route("/assets/{name}", asset),
    # Looked up at each call: a test opens a workspace of its own.
    *browsing_routes(
        lambda: workspace(), lambda kind, name, shown: valid(kind, name, shown), lambda clip_id: clip_url(clip_id)
    ),
]
