"""A JupyterLab of its own and a Chromium that looks at it; where there is no Chromium, the tests say so and skip."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

import svmlab.widgets

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "svmlab-test"
GALLERY = "every_widget.ipynb"
SECONDS = 15
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
SETTINGS = {
    # A pop-up with news would cover a corner of the page, and fetch from elsewhere.
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    # All cells are to be in the page, also those out of sight.
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
}
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
IDLE = "() => (document.querySelector('#jp-main-statusbar')?.innerText || '').includes('Python 3 (ipykernel) | Idle')"
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(e => e.innerText.trim())"
DONE = f"() => {{ const all = {PROMPTS}; return all.length > 0 && all.every(text => /^\\[\\d+\\]:$/.test(text)); }}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud that a browser is missing: a letter s among hundreds of dots would not be noticed."""
    if not Path(CHROMIUM).exists():
        terminalreporter.write_line(f"browser tests skipped: {CHROMIUM} does not exist (make system-deps installs it)")


def _write_gallery(path: Path) -> None:
    """A notebook with every widget, each in a cell of its own."""
    cells = ["import svmlab.widgets as w", *(f"w.{name}()" for name in svmlab.widgets.__all__)]
    made = [nbformat.v4.new_code_cell(text, id=f"cell-{at}") for at, text in enumerate(cells)]
    notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL})
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab that shows a copy of the course."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser: {CHROMIUM} does not exist (make system-deps installs it)")
    home, port = tmp_path_factory.mktemp("lab"), _free_port()
    shutil.copytree(ROOT / "notebooks", home / "notebooks")
    _write_gallery(home / "notebooks" / GALLERY)
    for name, value in SETTINGS.items():
        path = home / "settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")
    folders = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "MPLBACKEND"},
        **{f"JUPYTER_{name}": str(home / name.lower()) for name in folders},
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "SVMLAB_STATE": str(home / "state"),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
        *(f"--ServerApp.root_dir={home / 'notebooks'}",),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with (home / "lab.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        _await(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, home / "lab.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def _await(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')}", pytrace=False)


class Seen:
    """A widget as a reader sees it.

    Attributes:
        here: the part of the page it is in.
    """

    LOOK = """here => {
        const all = [...here.querySelectorAll('.widget-html-content')];
        const view = all.find(each => each.querySelector('[role=img]'));
        return {heading: view.querySelector('p').innerText, text: view.innerText,
                said: [...view.querySelectorAll('p, li')].map(each => each.innerText).join(' '),
                refused: all.filter(each => each !== view).map(each => each.innerText).join(''),
                pictures: [...view.querySelectorAll('svg')].map(each => each.outerHTML).join(''),
                labels: [...view.querySelectorAll('[role=img][aria-label]')].map(e => e.ariaLabel).join(' | ')} }"""

    def __init__(self, page, here) -> None:
        self.page, self.here = page, here
        here.locator("[role=img]").first.wait_for()
        here.scroll_into_view_if_needed()

    def control(self, role: str, name: str):
        """A control, as a screen reader finds it."""
        return self.here.get_by_role(role, name=name, exact=True)

    def state(self) -> dict[str, str]:
        """Heading, sentences, pictures and what they are called: all in one look, so that they belong together."""
        return self.here.evaluate(self.LOOK)

    def after(self, act, what: str = "") -> tuple[dict[str, str], dict[str, str]]:
        """What there is before and after the reader does something that changes what is written."""
        before = self.state()
        act()
        end = time.monotonic() + SECONDS
        while (now := self.state())["said"] == before["said"]:
            assert time.monotonic() < end, f"nothing changes by {what}; still: {now['heading']}"
            self.page.wait_for_timeout(20)
        return before, now

    def until(self, wanted: dict[str, str]) -> None:
        """Wait for what was there before."""
        end = time.monotonic() + SECONDS
        while (now := self.state()) != wanted:
            assert time.monotonic() < end, f"now {now['heading']}, not {wanted['heading']}"
            self.page.wait_for_timeout(20)

    def press(self, box, *keys: str) -> None:
        """Keys for a list of choices.

        It has to be opened first: while it is closed, JupyterLab takes arrows and letters for shortcuts of its own.
        """
        box.focus()
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, handle, by_px: int) -> None:
        """Drag a slider's handle with the mouse."""
        box = handle.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.move(*middle)
        self.page.mouse.down()
        self.page.mouse.move(middle[0] + by_px, middle[1], steps=6)
        self.page.mouse.up()


class Reader:
    """Somebody who reads the course in a browser.

    Attributes:
        page: the page, a playwright object.
        errors: what the browser's console complained about.
        hosts: who was contacted.
        shots: where screenshots go.
    """

    def __init__(self, page, address: str, shots: Path) -> None:
        self.page, self.address, self.shots = page, address, shots
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda asked: self.hosts.add(urlsplit(asked.url).hostname or ""))

    def open(self, notebook: str) -> None:
        """Open a notebook in a workspace without leftovers and wait for its kernel."""
        name = Path(notebook).stem
        self.page.goto(f"{self.address}/lab/workspaces/auto-{name}/tree/{notebook}?reset&token={TOKEN}")
        self.page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=60_000)
        # The notebook's own indicator says idle before there is a kernel; the status bar knows.
        self.page.wait_for_function(IDLE, timeout=60_000)

    def run_all(self) -> None:
        """Run every cell and wait for the last."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.page.wait_for_function(DONE, timeout=60_000)

    def widget(self, made_by: str) -> Seen:
        """The widget that a cell shows, by what stands in the cell."""
        cell = self.page.locator(".jp-CodeCell").filter(has_text=made_by)
        return Seen(self.page, cell.locator(".jp-OutputArea-output"))

    def shoot(self, name: str, of=None) -> None:
        """Save a screenshot of a part of the page, or of what is in sight."""
        (of or self.page).screenshot(path=str(self.shots / f"{name}.png"))


@pytest.fixture
def reader(lab: str, request: pytest.FixtureRequest) -> Iterator[Reader]:
    from playwright.sync_api import sync_playwright

    shots = ROOT / "out" / "screenshots" / request.node.name
    shots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        try:
            yield Reader(browser.new_page(viewport={"width": 1280, "height": 1000}), lab, shots)
        finally:
            browser.close()
