from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from streamlit.testing.v1 import AppTest

from samplemind_core import server
from samplemind_core.config import build_config
from samplemind_core.settings import Settings
from samplemind_core.workspace import Workspace

ROUTER = Path(server.__file__).with_name("router.py")
SMALL = {"epochs": 2, "n_mels": 32, "duration_s": 0.5, "sample_rate_hz": 16_000, "width": 0.5, "n_fft": 1024}
RATE = 16_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with a small run and its two checkpoints; the tests only read it."""
    workspace = Workspace(Settings(workspace=tmp_path_factory.mktemp("classify"), worker="external", device="cpu"))
    workspace.make_demo(per_class=25)
    run = workspace.train("demo", build_config("quick", SMALL), name="first")
    assert run.status == "finished", run.error
    yield workspace
    workspace.close()


@pytest.fixture
def page(trained: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AppTest]]:
    """Open the Classify page."""
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(trained.root))
    monkeypatch.setenv("SAMPLEMIND_WORKER", "external")
    monkeypatch.setenv("SAMPLEMIND_DEVICE", "cpu")
    server.workspace.cache_clear()

    def visit(**query: str) -> AppTest:
        app = AppTest.from_file(ROUTER, default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        return app.switch_page("../pages/classify.py").run()

    yield visit
    server.workspace().close()
    server.workspace.cache_clear()


def wav(waveform: np.ndarray, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, waveform, rate, format="WAV")
    return buffer.getvalue()


def clip(trained: Workspace, label: str = "kick") -> Path:
    found = next(item for item in trained.clips("demo") if item.label == label)
    path = trained.clip_audio(found)
    assert path is not None
    return path


def text(app: AppTest) -> str:
    parts = [*app.title, *app.subheader, *app.markdown, *app.caption, *app.error]
    return "\n".join(str(part.value) for part in parts)


def drop(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    for name, content in files:
        app.file_uploader(key="classify-files").upload(name, content, "audio/wav")
    app.run()
    assert not app.exception
    return app


def loop() -> bytes:
    sound = np.zeros(3 * RATE)
    for start_s in (0.2, 1.0, 1.9):
        time_s = np.arange(RATE // 4) / RATE
        place = round(start_s * RATE)
        sound[place : place + len(time_s)] = np.sin(2 * np.pi * 90 * time_s) * np.exp(-time_s / 0.06)
    return wav(sound)


def test_the_page_says_who_answers_and_how_good_it_is(page):
    app = page()
    assert not app.exception
    assert "first, epoch" in text(app)
    assert "test samples" in text(app)
    assert "analysed and not kept" in text(app)


def test_sounds_can_be_dropped_before_the_network_is_loaded(page, monkeypatch):
    seen = []

    def slow(self, *_, **__):
        seen.append(True)
        raise RuntimeError("What comes after this waits for it.")

    monkeypatch.setattr(Workspace, "classifier", slow)
    app = page()
    assert seen
    assert app.file_uploader(key="classify-files") is not None


def test_a_dropped_sample_gets_everything(page, trained):
    sound, rate = sf.read(clip(trained))
    app = drop(page(), ("kick.wav", wav(sound[: rate // 3], rate)))
    assert app.metric[0].label == "Class"
    assert "sure" in app.metric[0].delta
    assert "Answered in" in text(app)
    assert "Most alike in training" in text(app)
    assert "cases." in text(app) or "nothing the network was trained on" in text(app)
    assert len(app.get("plotly_chart")) == 3
    assert "What sounds where" not in text(app)


def test_noise_is_none_of_these(page):
    noise = np.random.default_rng(0).normal(0, 0.2, RATE)
    app = drop(page(), ("noise.wav", wav(noise)))
    assert app.metric[0].value == "none of these"
    assert "nothing the network was trained on" in text(app)
    assert "how far away" in text(app)


def test_a_long_file_is_gone_through(page):
    app = drop(page(), ("loop.wav", loop()))
    assert "What sounds where" in text(app)
    assert "3 segments" in text(app)
    app.segmented_control(key="classify-way").set_value("steps").run()
    assert not app.exception
    assert "segment" in text(app)


def test_two_checkpoints_answer_side_by_side(page, trained):
    both = {"checkpoint": f"{trained.runs()[0].id}:best", "with": f"{trained.runs()[0].id}:last"}
    app = drop(page(**both), ("a.wav", clip(trained).read_bytes()))
    assert len(app.metric) == 2
    assert "agree" in text(app)  # "They agree" or "They disagree"
    sounds = [(f"{label}.wav", clip(trained, label).read_bytes()) for label in ("kick", "snare", "hihat")]
    table = drop(page(**both), *sounds).dataframe[0].value
    assert list(table.columns) == ["File", "Class", "Confidence", "Other", "Other confidence", "Note"]
    for _, line in table.iterrows():
        assert (line["Note"] == "they disagree") == (line["Class"] != line["Other"])


def test_each_bad_file_has_its_line_with_its_reason(page, trained):
    bad = {"text.wav": b"not a sound", "empty.wav": b"", "cut.wav": clip(trained).read_bytes()[:300]}
    app = drop(page(), ("kick.wav", clip(trained).read_bytes()), *bad.items())
    assert "4 samples in" in text(app)
    assert "3 could not be read" in text(app)
    reasons = "".join(item.proto.body for item in app.get("html"))
    for name in bad:
        assert name in reasons
    assert list(app.dataframe[0].value["Note"]) == ["", *["could not be read"] * 3]


def test_an_archive_is_opened_and_what_is_no_sound_is_named(page, trained):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("set/kick.wav", clip(trained).read_bytes())
        archive.writestr("../evil.wav", b"x")
        archive.writestr("set/notes.wav", b"not a sound")
    app = drop(page(), ("pack.zip", packed.getvalue()), ("cut.zip", packed.getvalue()[:200]), ("read.me", b"hello"))
    assert list(app.dataframe[0].value["File"]) == ["kick.wav", "notes.wav", "evil.wav", "cut.zip", "read.me"]
    assert list(app.dataframe[0].value["Note"]) == ["", *["could not be read"] * 4]
    reasons = "".join(item.proto.body for item in app.get("html"))
    for reason in ("Cannot be decoded: it looks like a text file", "Leads out of the archive", "table of contents"):
        assert reason in reasons


def test_nothing_is_kept_where_the_viewer_says_so(page, trained):
    before = len(trained.store.answers.batches())
    app = drop(page(), ("kick.wav", clip(trained).read_bytes()))
    assert len(trained.store.answers.batches()) == before + 1
    app.toggle(key="classify-remember").set_value(False).run()
    assert len(trained.store.answers.batches()) == before
    app = page()
    app.toggle(key="classify-remember").set_value(False).run()
    drop(app, ("tom.wav", clip(trained, "tom").read_bytes()))
    assert len(trained.store.answers.batches()) == before


def test_one_bad_file_alone_says_why(page):
    app = drop(page(), ("notes.wav", b"not a sound"))
    assert "looks like a text file" in app.error[0].value


def test_a_folder_of_the_server(page, trained, monkeypatch):
    app = page()
    app.segmented_control(key="classify-bring").set_value("server").run()
    app.text_input(key="classify-path").set_value(str(clip(trained).parent)).run()
    assert not app.exception
    assert "samples in" in text(app)
    app.text_input(key="classify-path").set_value("/nowhere/at/all").run()
    assert "no sound" in app.error[0].value
    monkeypatch.setenv("SAMPLEMIND_SERVER_FOLDERS", "false")
    server.workspace.cache_clear()
    assert page().segmented_control(key="classify-bring").options == ["Drop files", "Record"]


def test_a_recording_is_analysed(page):
    app = page()
    app.segmented_control(key="classify-bring").set_value("record").run()
    assert "microphone" in text(app)
    noise = np.random.default_rng(1).normal(0, 0.2, RATE)
    app.audio_input(key="classify-recording").set_value(("recording.wav", wav(noise), "audio/wav")).run()
    assert not app.exception
    assert app.metric[0].value == "none of these"
