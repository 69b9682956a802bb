"""What `make docs` has built, served to a Chromium; where there is no Chromium, tests say so and skip."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud that a browser is missing."""
    if not Path(CHROMIUM).exists():
        terminalreporter.write_line(f"browser tests skipped: {CHROMIUM} does not exist (make system-deps installs it)")


@pytest.fixture(scope="session")
def book() -> Path:
    """The folder of the book."""
    folder = ROOT / "out" / "book"
    if not (folder / "index.html").is_file():
        pytest.fail("there is no book: run `make docs`", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def address(book: Path) -> Iterator[str]:
    """Where the book is served."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options) -> None:
            super().__init__(*arguments, directory=str(book), **options)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """A Chromium."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser: {CHROMIUM} does not exist (make system-deps installs it)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield running
        running.close()
