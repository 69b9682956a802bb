"""Notebook 00 in JupyterLab, in Chromium: it runs, and its widget follows keyboard and mouse."""

import re
import time

import pytest

NOTEBOOK = "00_start_here.ipynb"
SECONDS = 10


class Stepper:
    """The widget as a reader sees it.

    Attributes:
        here: the part of the page it is in.
    """

    def __init__(self, page) -> None:
        self.page = page
        self.here = page.locator(".jp-OutputArea-output:has(.widget-dropdown)").first
        self.here.scroll_into_view_if_needed()

    @property
    def moment(self):
        return self.here.get_by_role("spinbutton", name="moment")

    @property
    def prefetch(self):
        return self.here.get_by_role("combobox", name="prefetch")

    @property
    def handle(self):
        return self.here.locator(".noUi-handle")

    @property
    def reset(self):
        return self.here.get_by_role("button", name="Reset")

    def state(self) -> dict[str, str]:
        """Heading, pictures, what they are called, and the reason: all in one look, so that they belong together."""
        return self.here.evaluate(
            """here => { const view = here.querySelector('.widget-html-content');
            return {heading: view.querySelector('p').innerText, text: view.innerText,
                    pictures: [...view.querySelectorAll('svg')].map(each => each.outerHTML).join(''),
                    labels: [...view.querySelectorAll('[role=img][aria-label]')].map(e => e.ariaLabel).join(' | ')} }"""
        )

    def after(self, act) -> tuple[dict[str, str], dict[str, str]]:
        """What there is before and after the reader does something that changes the heading."""
        before = self.state()
        act()
        end = time.monotonic() + SECONDS
        while (now := self.state())["heading"] == before["heading"]:
            assert time.monotonic() < end, f"nothing changes; still: {now['heading']}"
            self.page.wait_for_timeout(20)
        return before, now


def number(state: dict[str, str]) -> int:
    return int(re.match(r"Moment (\d+) of", state["heading"])[1])


@pytest.fixture
def opened(reader):
    reader.open(NOTEBOOK)
    reader.run_all()
    return reader


@pytest.mark.browser
@pytest.mark.slow
def test_the_notebook_runs_and_its_widget_follows_keyboard_and_mouse(opened):
    page, stepper = opened.page, Stepper(opened.page)
    begin = stepper.state()
    assert "step 3 of 6, copy with SDMA" in begin["heading"]
    opened.shoot("1-start", stepper.here)

    def changes_all(act) -> dict[str, str]:
        before, now = stepper.after(act)
        assert now["pictures"] != before["pictures"]
        assert now["labels"] != before["labels"]
        assert now["text"] != before["text"]
        assert "Where the pages shall be:" in now["text"]
        return now

    stepper.moment.focus()
    forward = changes_all(lambda: page.keyboard.press("ArrowUp"))
    assert number(forward) == number(begin) + 1
    assert changes_all(lambda: page.keyboard.press("ArrowDown")) == begin, "a step back shows what was there before"

    stepper.handle.focus()
    assert number(changes_all(lambda: page.keyboard.press("ArrowRight"))) == number(begin) + 1

    def drag() -> None:
        box = stepper.handle.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 60, middle[1], steps=6)
        page.mouse.up()

    changes_all(drag)
    page.wait_for_timeout(300)
    assert number(stepper.state()) > number(begin) + 1
    assert stepper.moment.input_value() == str(number(stepper.state()))
    opened.shoot("2-dragged", stepper.here)

    stepper.prefetch.focus()
    near = changes_all(lambda: page.keyboard.type("gpu1"))
    assert "in the VRAM of gpu1" in near["text"]
    opened.shoot("3-same-hive", stepper.here)
    far = changes_all(lambda: stepper.prefetch.select_option("gpu4, other hive"))
    assert "in RAM, because gpu0 cannot reach the VRAM of gpu4: not in its hive" in far["text"]
    opened.shoot("4-other-hive", stepper.here)

    assert changes_all(stepper.reset.click) == begin
    whole_notebook(opened)
    assert opened.errors == []
    assert opened.hosts == {"127.0.0.1"}


def whole_notebook(reader) -> None:
    """Every figure is there, no cell failed, and screenshots show it."""
    outputs = reader.page.locator(".jp-OutputArea-output")
    assert outputs.locator("img").count() >= 8
    assert reader.page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').count() == 0
    cells = reader.page.locator(".jp-Cell")
    for at in range(0, cells.count(), 6):
        cells.nth(at).scroll_into_view_if_needed()
        reader.page.wait_for_timeout(100)
        reader.shoot(f"notebook-{at:02}")
