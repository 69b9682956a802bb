"""Every widget in JupyterLab, in Chromium: each control works by keyboard and by mouse, and all follows it together."""

import pytest

import svmlab.widgets


def together(before, now):
    """Words changed, and where a picture did, so did its label."""
    assert now["said"] != before["said"]
    if now["pictures"] != before["pictures"]:
        assert now["labels"] != before["labels"]
    assert now["refused"] == ""
    assert len(now["labels"]) > 20


def work(widget):
    """Do with each control what a reader can do, by keyboard and by mouse."""
    for change in [*choices(widget), *numbers(widget)]:
        begin = widget.state()
        changed = widget.after(change)
        together(*changed)
        widget.control("button", "Reset").click()
        wait_for(widget, begin)


def wait_for(widget, wanted):
    for _ in range(500):
        if widget.state() == wanted:
            return
        widget.page.wait_for_timeout(20)
    assert widget.state() == wanted


def choices(widget):
    boxes = widget.here.get_by_role("combobox")
    for box in (boxes.nth(at) for at in range(boxes.count())):
        options = box.locator("option").count()
        at = box.evaluate("box => box.selectedIndex")
        yield lambda box=box, at=at: (box.focus(), widget.page.keyboard.press("ArrowUp" if at else "ArrowDown"))
        yield lambda box=box, at=at, options=options: (box.click(), box.select_option(index=(at + 1) % options))


def numbers(widget):
    boxes, handles = widget.here.get_by_role("spinbutton"), widget.here.locator(".noUi-handle")
    assert boxes.count() == handles.count()
    for box, handle in ((boxes.nth(at), handles.nth(at)) for at in range(boxes.count())):
        end = int(box.input_value()) == int(box.get_attribute("max"))
        yield lambda box=box, end=end: (
            box.focus(),
            widget.page.keyboard.press("ArrowDown" if end else "ArrowUp"),
            widget.page.keyboard.press("Enter"),
        )
        yield lambda handle=handle, end=end: (
            handle.focus(),
            widget.page.keyboard.press("ArrowLeft" if end else "ArrowRight"),
        )
        yield lambda handle=handle, end=end: widget.drag(handle, -50 if end else 50)


@pytest.mark.browser
@pytest.mark.slow
def test_every_widget_follows_keyboard_and_mouse(reader):
    reader.open("every_widget.ipynb")
    reader.run_all()
    for at, name in enumerate(svmlab.widgets.__all__):
        widget = reader.widget(at)
        reader.shoot(f"{name}-start", widget.here)
        work(widget)
        list(choices(widget))
        reader.shoot(f"{name}-end", widget.here)
    assert reader.errors == []
    assert reader.hosts == {"127.0.0.1"}
