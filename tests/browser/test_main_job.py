"""What the product is for, from an empty workspace to answers about new samples, as a person does it."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Dashboard, settled, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]

CLASSES = ("clap", "cymbal", "hihat", "kick", "snare", "tom")
LONG, SHORT = 300, 4
DRAWN_EPOCHS = "box => box.data?.[0]?.x?.length ?? 0"


def test_from_an_empty_workspace_to_answers(dashboard: Dashboard, tmp_path: Path) -> None:
    context = dashboard.context()
    page = dashboard.page(context)
    make_the_demo_dataset(dashboard, page)
    # Far more epochs than anybody waits for: however fast the machine, the run is there to be watched.
    start_a_run(page, epochs=LONG)
    watch_it_learn(dashboard, page)
    stop_and_resume(dashboard, page)
    let_one_finish(dashboard, page)
    compare_both(dashboard, page)
    classify(dashboard, page, tmp_path)
    context.close()


def make_the_demo_dataset(dashboard: Dashboard, page: Page) -> None:
    main = settled(page)
    expect(main.get_by_role("heading", name="Turn a folder of samples into a classifier")).to_be_visible()
    expect(main.get_by_role("button", name="Bring a folder")).to_be_visible()
    main.get_by_role("button", name="Make the demo dataset").click()
    expect(main.get_by_text("to go").or_(main.get_by_text(" of 1,200")).first).to_be_visible()
    expect(main.get_by_role("heading", name="Train your first classifier")).to_be_visible(timeout=120_000)
    dashboard.check(page)

    page.get_by_role("link", name="Data").click()
    expect(main.get_by_role("heading", name="demo", exact=True)).to_be_visible()
    settled(page)
    expect(badge(page, "Synthetic")).to_be_visible()
    expect(main.get_by_test_id("stMetric").filter(has_text="Samples")).to_contain_text("1,200")
    expect(main.get_by_test_id("stMetric").filter(has_text="Classes")).to_contain_text("6")
    balance = main.locator(".js-plotly-plot").first
    expect(balance).to_be_visible()
    splits = re.fullmatch(
        r"(\d+) train, (\d+) validation, (\d+) test", main.get_by_text(re.compile(r"^\d+ train, ")).inner_text()
    )
    assert splits is not None
    assert sum(map(int, splits.groups())) == 1200
    counts = bars(balance)
    assert counts == dict.fromkeys(CLASSES, 200)
    dashboard.picture(page, "data-light-wide")
    dashboard.check(page)


def bars(figure: Locator) -> dict[str, float]:
    """Return what a chart of horizontal bars shows: the sum of each line's bars by its name."""
    lines: list[tuple[str | float, float]] = figure.evaluate(
        "box => box._fullData.filter(t => t.type === 'bar').flatMap(t => [...t.y].map((y, i) => [y, t.x[i]]))"
    )
    axis = figure.evaluate(
        "box => ({at: [...(box.layout.yaxis.tickvals ?? [])], name: box.layout.yaxis.ticktext ?? []})"
    )
    names = dict(zip(axis["at"], axis["name"], strict=True))
    sums: dict[str, float] = {}
    for place, length in lines:
        name = str(names.get(place, place))
        sums[name] = sums.get(name, 0) + length
    return sums


def start_a_run(page: Page, epochs: int) -> None:
    main = page.get_by_test_id("stMain")
    main.get_by_role("button", name="Train on it").last.click()
    expect(main.get_by_role("heading", name="New run")).to_be_visible()
    fill_epochs(page, epochs)
    main.get_by_role("button", name="Start", exact=True).click()


def fill_epochs(page: Page, epochs: int) -> None:
    main = settled(page)
    field = main.get_by_label("Epochs", exact=True)
    field.fill(str(epochs))
    field.press("Tab")
    settled(page)
    expect(field).to_have_value(str(epochs))


def charts(page: Page) -> Locator:
    return page.locator(".sm-chart.js-plotly-plot")


def drawn(page: Page, at_least: int) -> int:
    """Wait until both live charts show that many epochs; return how many they show."""
    wait_until(
        lambda: min(charts(page).nth(index).evaluate(DRAWN_EPOCHS) for index in (0, 1)) >= at_least,
        f"the live charts show {at_least} epochs",
        120,
    )
    return int(charts(page).first.evaluate(DRAWN_EPOCHS))


def watch_it_learn(dashboard: Dashboard, page: Page) -> None:
    # The curves grow in the same figure of the same document.
    expect(charts(page)).to_have_count(4, timeout=60_000)
    page.evaluate("() => { window.marker = document.querySelector('.sm-chart.js-plotly-plot'); }")
    seen = drawn(page, 1)
    drawn(page, seen + 1)
    assert page.evaluate("() => window.marker === document.querySelector('.sm-chart.js-plotly-plot')")
    expect(badge(page, "Running")).to_be_visible()
    expect(page.locator(".sm-progress")).to_contain_text(re.compile(rf"Epoch \d+ of {LONG}"))
    assert "run=" in page.url

    # A reload brings the epochs so far back, and it goes on.
    seen = drawn(page, 3)
    page.reload()
    expect(charts(page)).to_have_count(4)
    seen = drawn(page, seen)
    drawn(page, seen + 1)

    # Somebody else who was sent the address sees the same run.
    elsewhere = dashboard.context()
    other = dashboard.page(elsewhere, page.url.removeprefix(dashboard.url))
    expect(charts(other)).to_have_count(4)
    seen = drawn(other, seen)
    ours, theirs = (where.locator(".sm-chart").first.evaluate("box => box.data[0].y") for where in (page, other))
    assert ours[:seen][:3] == theirs[:seen][:3]
    assert page.url == other.url
    dashboard.check(other)
    elsewhere.close()

    # What somebody zoomed into stays while epochs are added.
    box = charts(page).first.locator(".nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    page.mouse.up()
    zoom = "box => [...box._fullLayout.xaxis.range, ...box._fullLayout.yaxis.range]"
    wait_until(lambda: charts(page).first.evaluate("box => box._fullLayout.xaxis.autorange") is False, "zoomed in")
    zoomed = charts(page).first.evaluate(zoom)
    seen = drawn(page, 1)
    drawn(page, seen + 1)
    assert charts(page).first.evaluate(zoom) == zoomed
    dashboard.picture(page, "train-running-light-wide")
    dashboard.check(page)


def stop_and_resume(dashboard: Dashboard, page: Page) -> None:
    main = page.get_by_test_id("stMain")
    main.get_by_role("button", name="Stop", exact=True).click()
    expect(badge(page, "Stopped")).to_be_visible()
    settled(page)
    seen = drawn(page, 1)
    main.get_by_role("button", name="Resume", exact=True).click()
    expect(badge(page, "Running")).to_be_visible(timeout=60_000)
    drawn(page, seen + 1)
    main.get_by_role("button", name="Stop", exact=True).click()
    expect(badge(page, "Stopped")).to_be_visible()
    expect(main.get_by_role("button", name="Resume", exact=True)).to_be_visible()
    dashboard.check(page)


def badge(page: Page, words: str) -> Locator:
    # The icon's name comes first in the text.
    return page.get_by_test_id("stMain").locator(".stMarkdownBadge", has_text=re.compile(rf"{words}$")).first


def let_one_finish(dashboard: Dashboard, page: Page) -> None:
    main = page.get_by_test_id("stMain")
    main.get_by_role("button", name="New run").click()
    expect(main.get_by_role("heading", name="New run")).to_be_visible()
    fill_epochs(page, SHORT)
    main.get_by_role("button", name="Start", exact=True).click()
    expect(main.get_by_role("heading", name="demo-quick-2")).to_be_visible()
    expect(badge(page, "Finished")).to_be_visible(timeout=120_000)
    assert drawn(page, SHORT) == SHORT
    expect(main.get_by_text(re.compile("^Best, epoch"))).to_be_visible()
    dashboard.picture(page, "train-finished-light-wide")
    dashboard.check(page)


def compare_both(dashboard: Dashboard, page: Page) -> None:
    page.get_by_role("button", name="Look closer").click()
    main = page.get_by_test_id("stMain")
    expect(main.get_by_role("heading", name="Diagnostics")).to_be_visible()
    select(page, "Checkpoint A", re.compile(r"^demo-quick-1 · best"))
    select(page, "Checkpoint B", re.compile(r"^demo-quick-2 · best"))
    settled(page)
    assert {"a", "b"} <= set(re.findall(r"[?&](\w+)=", page.url))
    expect(badge(page, "(A is better|B is better|Undecided)")).to_be_visible()
    expect(main.get_by_text(re.compile(r"Both are right on [\d,]+ samples"))).to_be_visible()
    accuracies = main.get_by_test_id("stMetric").filter(has_text=re.compile("^Accuracy"))
    expect(accuracies).to_have_count(2)
    for index in (0, 1):
        expect(accuracies.nth(index)).to_have_text(re.compile(r"\d+\.\d %"))
    measured = main.get_by_text(re.compile(r"measured on \d+ samples")).first.inner_text()
    tested = int(measured.split()[-2])
    assert tested > 100
    expect(main.get_by_role("heading", name="Settings that differ")).to_be_visible()
    expect(main.get_by_text(f"{LONG} → {SHORT}")).to_be_visible()
    main.get_by_text("As a table").click()
    expect(main.get_by_test_id("stDataFrame").first).to_be_visible()
    dashboard.picture(page, "diagnostics-light-wide")
    main.get_by_role("radio", name="Confusions").click()
    expect(page).to_have_url(re.compile("section=confusions"))
    settled(page)
    for name in ("A", "B"):
        matrix = main.locator(f".st-key-confusion-{name} .js-plotly-plot")
        expect(matrix).to_be_visible()
        total = matrix.evaluate(
            "box => box._fullData.find(t => t.type !== 'heatmap').customdata.reduce((sum, cell) => sum + cell[2], 0)"
        )
        assert total == tested
    hear_a_cell(page)
    dashboard.check(page)


def hear_a_cell(page: Page) -> None:
    """Click a cell of B's matrix and play the first of the samples behind it."""
    main = page.get_by_test_id("stMain")
    matrix = main.locator(".st-key-confusion-B .js-plotly-plot")
    matrix.scroll_into_view_if_needed()
    cell: dict[str, float] = matrix.evaluate(
        """box => {
            const marks = box._fullData.find(t => t.type !== 'heatmap'), {xaxis, yaxis} = box._fullLayout;
            const at = marks.customdata.findIndex(([label, called, count]) => label === called && count > 0);
            const place = box.getBoundingClientRect();
            return {x: place.x + xaxis._offset + xaxis.d2p(marks.x[at]), count: marks.customdata[at][2],
                    y: place.y + yaxis._offset + yaxis.d2p(marks.y[at])};
        }"""
    )
    page.mouse.move(cell["x"], cell["y"])
    page.mouse.click(cell["x"], cell["y"])
    expect(main.get_by_text(re.compile(rf"^{int(cell['count'])} samples? of \w+ rightly named"))).to_be_visible()
    # A page still being drawn may replace the button under the pointer.
    settled(page)
    play = main.locator(".st-key-cell-clips .sm-play").first
    before = page.evaluate("() => samplemindSound.started")
    play.click()
    wait_until(lambda: page.evaluate("() => samplemindSound.started") > before, "the sample was heard")


def select(page: Page, label: str, option: re.Pattern[str]) -> None:
    settled(page)
    page.get_by_test_id("stSelectbox").filter(has_text=label).get_by_role("combobox").click()
    page.get_by_role("option", name=option).click()
    settled(page)


def classify(dashboard: Dashboard, page: Page, folder: Path) -> None:
    clips = sorted(dashboard.workspace.glob("datasets/*/audio/**/*.wav"))
    assert len(clips) == 1200
    page.get_by_role("link", name="Classify").click()
    main = page.get_by_test_id("stMain")
    expect(main.get_by_role("heading", name="Classify")).to_be_visible()
    settled(page)
    select(page, "Checkpoint", re.compile(r"^demo-quick-1 · best"))
    expect(main.get_by_text(re.compile(r"right on \d+\.\d % of \d+ test samples"))).to_be_visible()

    # One sample: its class, and how sure the answer is about each of the six.
    main.locator("input[type=file]").set_input_files(clips[0])
    answer = main.get_by_test_id("stMetric").filter(has_text="Class")
    expect(answer).to_be_visible()
    settled(page)
    confidence = main.locator(".st-key-classify-confidence .js-plotly-plot")
    expect(confidence).to_be_visible()
    sure = bars(confidence)
    assert set(sure) == {*CLASSES, "none of these"}
    assert sum(sure.values()) == pytest.approx(100, abs=1) or sum(sure.values()) == pytest.approx(1, abs=0.01)
    expect(answer).to_contain_text(max(sure, key=lambda name: sure[name]))
    expect(answer).to_contain_text("% sure")
    expect(main.get_by_text("Answered in")).to_be_visible()
    dashboard.picture(page, "classify-light-wide")
    dashboard.check(page)

    # Three at once, one of which only looks like audio.
    broken = folder / "notes.wav"
    broken.write_text("This is not a sound.")
    page.reload()
    settled(page)
    main.locator("input[type=file]").set_input_files([clips[0], broken, clips[-1]])
    expect(main.get_by_text(re.compile(r"^3 samples in .*, 1 could not be read"))).to_be_visible()
    settled(page)
    table = main.get_by_test_id("stDataFrame")
    expect(table).to_be_visible()
    expect(main.get_by_text("Could not be read (1)")).to_be_visible()
    reason = main.locator("dl", has_text="notes.wav").locator("dd")
    expect(reason).to_have_text(re.compile(r"\w+ .*\."))
    with page.expect_download() as download:
        main.locator(".st-key-classify-csv").get_by_role("button").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert [row["file"] for row in rows] == [clips[0].name, "notes.wav", clips[-1].name]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert rows[0]["label"] in sure
    dashboard.check(page)
