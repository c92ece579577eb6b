"""The Classify page in a browser: drop one, several and a long file, record, two models, a narrow screen.

And from a folder of files to a better network: stopped, resumed, corrected, trained again, compared, taken along.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from playwright.sync_api import Locator, Page, TimeoutError, expect

from samplemind_core.store import Answer, Batch
from samplemind_core.workspace import Workspace
from tests.browser.conftest import FLAGS, ROOT, Dashboard, environment, settled, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]

RATE = 22_050
FILES, FIRST = 150, 64  # one more than two portions of answers, and the first portion
LATE_FILES_WAIT = """
import sys, time
from pathlib import Path
from samplemind_core.inference import hearing
from samplemind_core.tasks import worker
decode_all, gate = hearing.decode_all, Path(sys.argv[1])
def patient(sources, *given, **named):
    sources = list(sources)
    while any(int(name[:3]) >= int(sys.argv[2]) for _, name in sources) and not gate.exists():
        time.sleep(0.02)
    return decode_all(sources, *given, **named)
hearing.decode_all = patient
worker.main(["--serve"])
"""
STARTED = "() => globalThis.samplemindSound?.started ?? 0"


@pytest.fixture(scope="module")
def trained(dashboard: Dashboard) -> Dashboard:
    for arguments in (["demo", "--per-class", "30"], ["train", "--dataset", "demo", "--epochs", "3"]):
        subprocess.run([sys.executable, "-m", "samplemind_core", *arguments], cwd=ROOT,
                       env=environment(dashboard.workspace), check=True, capture_output=True, timeout=240)  # fmt: skip
    return dashboard


def clips(dashboard: Dashboard) -> list[Path]:
    return sorted(dashboard.workspace.glob("datasets/*/audio/**/*.wav"))


def drop(page: Page, *files: Path) -> Locator:
    main = settled(page)
    main.locator("input[type=file]").set_input_files(files)
    expect(main.get_by_test_id("stMetric").or_(main.get_by_test_id("stDataFrame")).first).to_be_visible()
    return settled(page)


def heard(page: Page, click: Locator) -> None:
    before = page.evaluate(STARTED)
    click.click()
    wait_until(lambda: page.evaluate(STARTED) > before, "something was heard")


def test_drop_one_and_hear_the_evidence(trained: Dashboard) -> None:
    context = trained.context()
    page = trained.page(context, "/classify")
    main = drop(page, clips(trained)[0])
    expect(main.get_by_test_id("stMetric")).to_contain_text("% sure")
    expect(main.locator(".js-plotly-plot")).to_have_count(3)
    expect(main.get_by_text("Answered in")).to_be_visible()
    heard(page, main.locator(".st-key-classify-player .sm-play"))
    heard(page, main.locator(".st-key-classify-nearest .sm-play").first)
    trained.picture(page, "classify-one")
    trained.check(page)
    context.close()


def test_a_long_file_plays_from_where_it_is_clicked(trained: Dashboard, tmp_path: Path) -> None:
    sound = np.zeros(5 * RATE)
    for number, start_s in enumerate((0.2, 1.1, 2.6, 3.8)):
        hit, rate = sf.read(clips(trained)[number])
        hit = hit[: RATE // 2 * rate // RATE : max(1, rate // RATE)]
        place = round(start_s * RATE)
        sound[place : place + len(hit)] = 0.8 * hit / np.abs(hit).max()
    sf.write(tmp_path / "loop.wav", sound, RATE)
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = trained.context(width, 900, scheme)
        page = trained.page(context, "/classify")
        main = drop(page, tmp_path / "loop.wav")
        expect(main.get_by_role("heading", name="What sounds where")).to_be_visible()
        rows = main.locator(".st-key-classify-segments .sm-row")
        expect(rows).to_have_count(4)
        heard(page, rows.nth(2).locator(".sm-play"))
        timeline = main.locator(".st-key-classify-timeline canvas")
        timeline.scroll_into_view_if_needed()
        heard(page, timeline)  # in its middle
        widest = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth")
        assert widest <= width
        trained.picture(page, f"classify-long-{width}-{scheme}")
        trained.check(page)
        context.close()


def test_several_at_once_and_a_second_checkpoint(trained: Dashboard, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("not a sound")
    sf.write(tmp_path / "noise.wav", np.random.default_rng(0).normal(0, 0.1, 2 * RATE), RATE)
    context = trained.context()
    page = trained.page(context, "/classify")
    main = drop(page, *clips(trained)[:3], tmp_path / "notes.wav", tmp_path / "noise.wav")
    expect(main.get_by_text(re.compile(r"^5 samples in .*, 1 could not be read, .*nothing it knows"))).to_be_visible()
    expect(main.locator("dl", has_text="notes.wav").locator("dd")).to_contain_text("text file")
    # The box before the first row: that file in full, and what it really is.
    main.get_by_test_id("stDataFrame").click(position={"x": 17, "y": 53})
    expect(main.get_by_text("That is wrong")).to_be_visible()
    expect(main.locator(".st-key-classify-one-confidence .js-plotly-plot")).to_be_visible()
    settled(page)
    page.get_by_test_id("stSelectbox").filter(has_text="Compare with").get_by_role("combobox").click()
    page.get_by_role("option", name=re.compile("last")).first.click()
    settled(page)
    expect(main.get_by_text(re.compile("They (disagree on|agree on all)"))).to_be_visible()
    assert "with=" in page.url
    trained.picture(page, "classify-several")
    trained.check(page)
    context.close()


def test_record_with_a_microphone(trained: Dashboard) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    browser = trained.browser.browser_type.launch(executable_path=program, args=[*FLAGS, *fake])
    try:
        context = browser.new_context(permissions=["microphone"])
        page = trained.page(context, "/classify")
        main = settled(page)
        main.get_by_role("radio", name="Record").or_(
            main.get_by_role("button", name="Record", exact=True)
        ).first.click()
        settled(page)
        recorder = main.get_by_test_id("stAudioInput")
        recorder.get_by_role("button", name="Record", exact=True).click()
        # The fake device beeps every second; a sound needs a moment to be one.
        stop = recorder.get_by_role("button", name="Stop recording")
        expect(stop).to_be_visible()
        expect(recorder.get_by_text(re.compile(r"^00:0[1-9]$"))).to_be_visible()
        stop.click()
        expect(main.get_by_test_id("stMetric")).to_contain_text("% sure")
        settled(page)
        trained.check(page)
    finally:
        browser.close()


def test_many_files_stopped_resumed_corrected_trained_on_and_taken_along(trained: Dashboard, tmp_path: Path) -> None:
    folder = pack(trained, tmp_path / "pack")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.iterdir()}
    with closing(Workspace.open(trained.workspace)) as workspace:
        context = trained.context(1440)
        page = trained.page(context, "/classify?view=many")
        batch = stop_and_resume(page, workspace, folder, tmp_path / "go on", trained)
        trained.picture(page, "classify-many")
        answers = workspace.store.answers.page(batch.id, limit=FILES)
        take_along(page, answers, folder)
        wrong = [answer for answer in answers if answer.file and not answer.error][:2]
        correct(page, wrong)
        review(page, workspace, wrong)
        trained.picture(page, "classify-retrained")
        trained.check(page)
        context.close()
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.iterdir()} == before


def pack(dashboard: Dashboard, folder: Path) -> Path:
    """Make a folder of numbered sounds, one of them broken."""
    folder.mkdir()
    for number, clip in enumerate(clips(dashboard)[: FILES - 1]):
        sound, rate = sf.read(clip)
        # Softer than what was trained on: other sounds, of which corrections make new samples.
        sf.write(folder / f"{number + (number > 9):03d} {clip.name}", 0.8 * sound, rate)
    (folder / "010 broken.wav").write_text("not a sound")
    return folder


def stop_and_resume(page: Page, workspace: Workspace, folder: Path, gate: Path, dashboard: Dashboard) -> Batch:
    """Have a folder classified by a worker that waits before the second portion; stop it there, and go on."""
    slow = subprocess.Popen(
        [sys.executable, "-c", LATE_FILES_WAIT, str(gate), str(FIRST)], cwd=ROOT, env=environment(dashboard.workspace)
    )
    try:
        main = settled(page)
        wait_until(lambda: (dashboard.workspace / "tasks.pid").exists(), "the worker is there")
        path = main.get_by_label("Path of the folder")
        path.fill(str(folder))
        path.press("Tab")
        main.get_by_role("button", name="Classify the folder").click()
        expect(main.get_by_text(re.compile(rf"Classifying · {FIRST} of {FILES}"))).to_be_visible(timeout=120_000)
        main.get_by_role("button", name="Stop", exact=True).click()
        expect(main.get_by_text("Stopping")).to_be_visible()
        (batch,) = (one for one in workspace.store.answers.batches() if one.kind == "folder")
        beats = Counter[float | None]()

        def noticed() -> bool:
            # The word to stop reaches a worker with its next sign of life; what is under way may be an older one.
            beats[workspace.tasks.get(batch.task_id or "").heartbeat_at] += 1
            return len(beats) > 2

        wait_until(noticed, "the worker knows that it shall stop")
        gate.touch()
        expect(main.get_by_text(re.compile("was stopped"))).to_be_visible()
    finally:
        slow.kill()
        slow.wait()
    done = workspace.store.answers.page(batch.id, limit=FILES)
    assert len(done) == 2 * FIRST
    main.get_by_role("button", name="Resume", exact=True).click()
    expect(main.get_by_text(re.compile(rf"^{FILES} files in .*, 1 could not be read"))).to_be_visible(timeout=120_000)
    answers = workspace.store.answers.page(batch.id, limit=FILES + 1)
    assert answers[: len(done)] == done
    assert [answer.file for answer in answers] == sorted(path.name for path in folder.iterdir())
    main = settled(page)
    expect(main.locator(".st-key-batch-list .sm-row")).to_have_count(49)
    heard(page, main.locator(".st-key-batch-list .sm-play").first)
    expect(main.locator("dl", has_text="010 broken.wav").locator("dd")).to_contain_text("text file")
    return batch


def take_along(page: Page, answers: list[Answer], folder: Path) -> None:
    """Download the table and the sorted files, and look into both."""
    main = settled(page)
    address = "link => link.href"
    table = page.request.get(main.locator(".st-key-batch-csv a").evaluate(address)).text()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [(row["file"], row["label"]) for row in rows if not row["error"]] == [
        (answer.file, answer.label or "none of these") for answer in answers if not answer.error
    ]
    sure = main.locator(".st-key-sort-sure").get_by_role("slider")
    sure.focus()
    sure.press("Home")
    named = [answer for answer in answers if answer.label and not answer.error]
    expect(main.get_by_text(re.compile(rf"^{len(named)} files would be copied"))).to_be_visible()
    settled(page)
    main.get_by_role("button", name="Make the zip").click()
    packed = main.locator(".st-key-sort-zip a")
    expect(packed).to_be_visible(timeout=60_000)
    with zipfile.ZipFile(io.BytesIO(page.request.get(packed.evaluate(address)).body())) as archive:
        assert Counter(name.split("/")[0] for name in archive.namelist()) == Counter(one.label for one in named)
        first = named[0].file or ""
        copy = next(name for name in archive.namelist() if name.endswith(first))
        assert archive.read(copy) == (folder / first).read_bytes()


def correct(page: Page, wrong: list[Answer]) -> None:
    """Say of some files that they are something else."""
    main = settled(page)
    main.get_by_text("Something is wrong here").click()
    files = page.get_by_test_id("stMultiSelect").filter(has_text="Files").get_by_role("combobox")
    for answer in wrong:
        choose(page, files, re.compile(f"^{re.escape(answer.file or '')} · "))
        page.keyboard.press("Escape")
    label = next(name for name in ("clap", "tom", "kick") if name not in {answer.label for answer in wrong})
    choose(page, page.get_by_test_id("stSelectbox").filter(has_text="It is").get_by_role("combobox"), label)
    main.get_by_role("button", name="Send for review").click()
    expect(main.get_by_text(f"{len(wrong)} corrections sent for review as {label}.")).to_be_visible()


def choose(page: Page, box: Locator, option: str | re.Pattern[str]) -> None:
    """Open a list and choose from it; a list that was opened while the page was being drawn closes again."""
    for _ in range(4):
        settled(page)
        box.click()
        with suppress(TimeoutError):
            page.get_by_role("option", name=option).first.click(timeout=5_000)
            break
    settled(page)


def review(page: Page, workspace: Workspace, wrong: list[Answer]) -> None:
    """Accept the corrections, train with them, and see whether they helped."""
    main = settled(page)
    old = workspace.runs()[0]
    num_clips = workspace.dataset("demo").num_clips
    main.get_by_role("radio", name=f"Corrections ({len(wrong)})").click()
    expect(main.get_by_role("heading", name=f"Waiting for review ({len(wrong)})")).to_be_visible()
    settled(page)
    heard(page, main.locator(".st-key-review-list .sm-play").first)
    main.get_by_role("button", name="Accept").click()
    retrain = main.get_by_role("button", name=f"Retrain with {len(wrong)} corrections")
    expect(retrain).to_be_visible()
    assert workspace.dataset("demo").num_clips == num_clips + len(wrong)
    settled(page)
    retrain.click()
    expect(main.locator(".stMarkdownBadge", has_text=re.compile("Finished$")).first).to_be_visible(timeout=90_000)
    (new,) = (run for run in workspace.runs() if run.id != old.id)
    assert new.dataset_version > old.dataset_version
    page.get_by_role("link", name="Classify").click()
    settled(page)
    main.get_by_role("radio", name="Corrections").click()
    expect(main.get_by_text(re.compile("No difference can be told|is (better|worse) than"))).to_be_visible()
    settled(page)
    main.get_by_role("link", name="See the comparison").or_(
        main.get_by_role("button", name="See the comparison")
    ).first.click()
    expect(main.get_by_role("heading", name="Diagnostics")).to_be_visible()
    expect(main.locator(".stMarkdownBadge", has_text=re.compile("(better|Undecided)$")).first).to_be_visible()
