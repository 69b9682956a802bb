"""Notebook 00 in JupyterLab, in Chromium: it runs, and its widget follows keyboard and mouse."""

import re

import pytest

NOTEBOOK = "00_start_here.ipynb"


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
    page, stepper = opened.page, opened.widget("stepper = MigrationStepper()")
    moment, prefetch = stepper.control("spinbutton", "moment"), stepper.control("combobox", "prefetch")
    handle = stepper.here.locator(".noUi-handle")
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

    moment.focus()
    forward = changes_all(lambda: page.keyboard.press("ArrowUp"))
    assert number(forward) == number(begin) + 1
    assert changes_all(lambda: page.keyboard.press("ArrowDown")) == begin, "a step back shows what was there before"

    handle.focus()
    assert number(changes_all(lambda: page.keyboard.press("ArrowRight"))) == number(begin) + 1

    changes_all(lambda: stepper.drag(handle, 60))
    page.wait_for_timeout(300)
    assert number(stepper.state()) > number(begin) + 1
    assert moment.input_value() == str(number(stepper.state()))
    opened.shoot("2-dragged", stepper.here)

    near = changes_all(lambda: stepper.press(prefetch, "Space", "ArrowDown", "Enter"))
    assert "in the VRAM of gpu1" in near["text"]
    opened.shoot("3-same-hive", stepper.here)
    far = changes_all(lambda: prefetch.select_option("gpu4, other hive"))
    assert "in RAM, because gpu0 cannot reach the VRAM of gpu4: not in its hive" in far["text"]
    opened.shoot("4-other-hive", stepper.here)

    assert changes_all(stepper.control("button", "Reset").click) == begin
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
