"""A dashboard of its own for each test module, and headless Chromium to look at it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
GROUNDS: dict[Literal["light", "dark"], str] = {"light": "rgb(251, 251, 253)", "dark": "rgb(17, 17, 22)"}
"""What lies behind a page in either look; a page in the browser follows the system from one to the other."""
# Read now: a fixture for all tests clears what the environment says to the product.
SCREENSHOTS = os.environ.get("SAMPLEMIND_SCREENSHOTS")
START_DEADLINE_S = 60.0
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run")  # fmt: skip

expect.set_options(timeout=30_000)


def environment(workspace: Path) -> dict[str, str]:
    """Return the environment of a process that works on a workspace of the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAMPLEMIND_", "STREAMLIT_"))}
    return kept | {"SAMPLEMIND_WORKSPACE": str(workspace), "SAMPLEMIND_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}


@dataclass
class Dashboard:
    """A running server, its workspace, and what went wrong in the browsers that look at it."""

    url: str
    workspace: Path
    browser: Browser
    pictures: Path
    faults: list[str] = field(default_factory=list)

    def context(self, width: int = 1280, height: int = 900, scheme: str = "light") -> BrowserContext:
        """Open a browser window of its own, with its own cookies."""
        return self.browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]

    def page(self, context: BrowserContext, path: str = "/") -> Page:
        """Open a page, listening for errors in it."""
        page = context.new_page()
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error.stack or error.message}"))
        page.on("console", lambda message: self._hear(page, message))
        page.goto(self.url + path)
        return page

    def _hear(self, page: Page, message: ConsoleMessage) -> None:
        address = message.location.get("url", "")
        # On a page with a path of its own, Streamlit's script first looks for its server below that path.
        looking = "404" in message.text and re.search(r"/\w+/_stcore/(health|host-config)$", address)
        if message.type == "error" and not looking:
            self.faults.append(f"{page.url}: {message.text} ({address})")

    def picture(self, page: Page, name: str) -> None:
        """Keep a picture of the page, for people."""
        main = page.get_by_test_id("stMain")
        # The main part scrolls, not the document: show all of it.
        size = page.viewport_size
        assert size is not None
        height = main.evaluate("element => element.scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": max(size["height"], min(int(height), 4000))})
        page.wait_for_function(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
        )
        page.screenshot(path=self.pictures / f"{name}.png")
        page.set_viewport_size(size)

    def check(self, page: Page) -> None:
        """Fail if the page shows an exception, or a browser reported an error so far."""
        expect(page.get_by_test_id("stException")).to_have_count(0)
        assert not self.faults


def settled(page: Page) -> Locator:
    """Wait until the page was drawn to its end and return its main part."""
    main = page.get_by_test_id("stMain")
    expect(main.get_by_test_id("stHeading").first).to_be_visible()
    expect(page.locator('.stApp[data-test-script-state="notRunning"]')).to_be_visible()
    expect(main.get_by_test_id("stSkeleton")).to_have_count(0)
    return main


@pytest.fixture(scope="module")
def workspace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The empty folder that the module's dashboard works on."""
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Headless Chromium; the test is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        reason = "Chromium is not installed (Debian, Ubuntu: apt install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def dashboard(
    workspace_folder: Path, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dashboard]:
    """The dashboard as a person starts it, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    logs = tmp_path_factory.mktemp("server") / "server.log"
    pictures = Path(SCREENSHOTS) if SCREENSHOTS else tmp_path_factory.mktemp("pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port),
               "--server.address", "127.0.0.1", "--server.headless", "true"]  # fmt: skip
    with logs.open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment(workspace_folder), stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log, start_new_session=True)  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: server.poll() is not None or _answers(url), "the server answers", START_DEADLINE_S)
            assert server.poll() is None, f"The server ended:\n{logs.read_text()}"
            opened = Dashboard(url, workspace_folder, chromium, pictures)
            yield opened
        finally:
            _end(server.pid)
            server.wait()
            _end_worker(workspace_folder)
    assert "Traceback" not in logs.read_text(), logs.read_text()


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _end(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _end_worker(workspace: Path) -> None:
    """End the workspace's worker processes, which outlive their server by design."""
    for name, module in (("worker", "samplemind_core.training.worker"), ("tasks", "samplemind_core.tasks.worker")):
        with suppress(OSError, ValueError, psutil.NoSuchProcess):
            worker = psutil.Process(int((workspace / f"{name}.pid").read_text()))
            # A number may have been given to another process meanwhile.
            if module in worker.cmdline():
                worker.kill()
                worker.wait(10)
