"""The book as a reader finds it: complete, no dead link, nothing from elsewhere; for keyboards and phones too."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

import svmlab
from svmlab.cli import COMMANDS
from svmlab.resources import notebooks_path

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
LOOKED_AT = (
    "index.html",
    "notebooks/00_start_here.html",
    "notebooks/03_where_should_it_live.html",
    "notebooks/gallery.html",
    "notebooks/A_the_real_driver.html",
    "docs/glossary.html",
    "docs/instructor.html",
    "docs/grading.html",
    "reference/api.html",
    "reference/kernel.html",
    "reference/commands.html",
    "data/scenarios/README.html",
    "DEVIATIONS.html",
    "search.html?q=prefetch",
)


class Page(HTMLParser):
    """What a page points to, what it loads, and the places in it that can be pointed to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.pictures: list[dict[str, str | None]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        known = dict(attributes)
        self.places |= {name for name in (known.get("id"), known.get("name")) if name}
        if tag == "a" and known.get("href"):
            self.links.append(known["href"])
        if tag == "img":
            self.pictures.append(known)
        self.loads += [known[name] for kind, name in LOADED if tag == kind and known.get(name)]


@pytest.fixture(scope="module")
def pages(book: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(book.rglob("*.html")) if "_static" not in path.parts}


def local(url: str) -> bool:
    return not urlsplit(url).scheme and not urlsplit(url).netloc


def test_no_link_is_dead(pages, book):
    dead = []
    for path, page in pages.items():
        for link in filter(local, page.links + page.loads):
            to = urlsplit(link)
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            target = target / "index.html" if target.is_dir() else target
            place = unquote(to.fragment)
            if not target.is_file() or (place and target in pages and place not in pages[target].places):
                dead.append(f"{path.relative_to(book)}: {link}")
    assert dead == []


def test_no_page_loads_anything_from_elsewhere(pages, book):
    foreign = {
        f"{path.relative_to(book)}: {url}" for path, page in pages.items() for url in page.loads if not local(url)
    }
    assert {line for line in foreign if ": data:" not in line} == set()


def test_every_figure_is_told_in_words(pages, book):
    mute = [
        f"{path.relative_to(book)}" for path, page in pages.items() for each in page.pictures if not each.get("alt")
    ]
    assert mute == []


def test_every_notebook_has_a_page_with_its_outputs(pages, book):
    for path in notebooks_path().rglob("*.ipynb"):
        if ".ipynb_checkpoints" not in path.parts:
            page = book / "notebooks" / path.relative_to(notebooks_path()).with_suffix(".html")
            assert page in pages
            assert 'class="cell_output' in page.read_text(encoding="utf-8"), page


def test_every_public_name_and_every_command_is_in_the_reference(pages, book):
    api, commands = (book / "reference" / f"{name}.html" for name in ("api", "commands"))
    assert {f"{module}.{name}" for name, (module, _) in svmlab.TABLE.items()} - pages[api].places == set()
    told = commands.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"Usage: svmlab {name}" not in told] == []


def test_kernel_symbols_lead_to_their_entry(pages, book):
    for name in ("notebooks/00_start_here.html", "reference/api.html"):
        found = [link for link in pages[book / name].links if "kernel.html#kernel-" in link]
        assert len(found) > 5, name


def test_each_lesson_shows_its_widget_or_says_what_stands_for_it(book):
    live = (book / "_static" / "embed-amd.js").is_file()
    for path in sorted((book / "notebooks").glob("[0-9]*.html")):
        text = path.read_text(encoding="utf-8")
        if "nbval-ignore-output" in text:
            assert ("application/vnd.jupyter.widget-view+json" in text) == live, path
            assert live or "the next cell shows what matters without a kernel" in text, path


class Visit:
    """One look at a page: what was asked for, and what the browser complained about."""

    def __init__(self, browser, address: str, name: str, size: dict[str, int]) -> None:
        self.page = browser.new_page(viewport=size)
        self.hosts: set[str] = set()
        self.wrong: list[str] = []
        self.page.on("request", lambda asked: self.hosts.add(urlsplit(asked.url).hostname or "(data)"))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.on(
            "response", lambda got: self.wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None
        )
        self.page.goto(f"{address}/{name}", wait_until="networkidle")


@pytest.mark.browser
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_page_is_whole_fits_and_has_nothing_serious_for_axe(browser, address: str, name: str, size: dict[str, int]):
    visit = Visit(browser, address, name, size)
    try:
        assert visit.hosts - {"(data)"} == {"127.0.0.1"}
        assert visit.wrong == []
        assert visit.page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
        serious = [
            f"{found['id']}: {found['nodes'][0]['html'][:200]}"
            for found in Axe().run(visit.page).response["violations"]
            if found["impact"] in ("serious", "critical")
        ]
        assert serious == []
    finally:
        visit.page.close()


@pytest.mark.browser
def test_by_keyboard_a_reader_skips_to_the_text_and_searches(browser, address: str):
    visit = Visit(browser, address, "index.html", DESK)
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to content"
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash === '#furo-main-content'")
    page.keyboard.press("/")
    for _ in range(40):
        if page.evaluate("document.activeElement.className.includes('search')"):
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.type("granularity")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li a").count() > 3
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("way", ["finger", "keyboard"])
def test_in_a_narrow_window_the_list_of_pages_opens_and_leads_on(browser, address: str, way: str):
    visit = Visit(browser, address, "index.html", PHONE)
    link = visit.page.locator(".sidebar-tree a", has_text=re.compile(r"^03 Where should it live\?$"))
    assert not link.is_visible() or link.bounding_box()["x"] < 0
    opener = visit.page.get_by_role("button", name="list of pages")
    if way == "finger":
        opener.click()
        link.click()
    else:
        opener.focus()
        visit.page.keyboard.press("Enter")
        link.focus()
        visit.page.keyboard.press("Enter")
    visit.page.wait_for_url(re.compile("03_where_should_it_live"))
    assert visit.page.locator("h1").first.inner_text().startswith("03 Where should it live?")
    visit.page.close()


@pytest.mark.browser
def test_a_live_widget_shows_its_first_state(browser, address: str, book: Path):
    if not (book / "_static" / "embed-amd.js").is_file():
        pytest.skip("the book was built without the scripts for live widgets (no npm)")
    visit = Visit(browser, address, "notebooks/00_start_here.html", DESK)
    visit.page.wait_for_selector(".jupyter-widgets .widget-slider")
    assert visit.page.locator(".jupyter-widgets [role=img]").count() >= 2
    visit.page.close()
