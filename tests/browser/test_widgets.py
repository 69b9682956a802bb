"""Every widget in JupyterLab, in Chromium: each control works by keyboard and by mouse, and all follows it together."""

import pytest

import svmlab.widgets

GOOD = {"prefetch": "gpu4", "access": "gpu0 gpu4", "pages": "2-9"}
"""What to write into boxes for words."""


def together(before, now):
    """Words changed, and where a picture did, so did its label."""
    assert now["said"] != before["said"]
    if now["pictures"] != before["pictures"]:
        assert now["labels"] != before["labels"]
    assert len(now["labels"]) > 20


def work(widget):
    """Do with each control what a reader can do, by keyboard and by mouse, and go back each time."""
    for what, act in [*choices(widget), *numbers(widget), *words(widget)]:
        begin = widget.state()
        together(*widget.after(act, what))
        assert widget.state()["refused"] == ""
        widget.control("button", "Reset").click()
        widget.until(begin)


def choices(widget):
    boxes = widget.here.get_by_role("combobox")
    for number in range(boxes.count()):
        box = boxes.nth(number)
        at, count = box.evaluate("box => box.selectedIndex"), box.locator("option").count()
        key = "ArrowUp" if at else "ArrowDown"
        yield f"{key} in choice {number}", lambda box=box, key=key: widget.press(box, "Space", key, "Enter")
        to = (at + 1) % count
        yield f"option {to} of choice {number}", lambda box=box, to=to: box.select_option(index=to)


def numbers(widget):
    boxes, handles = widget.here.get_by_role("spinbutton"), widget.here.locator(".noUi-handle")
    assert boxes.count() == handles.count()
    for number in range(boxes.count()):
        box, handle = boxes.nth(number), handles.nth(number)
        down = int(box.input_value()) > int(box.get_attribute("min"))
        other = str(int(box.input_value()) + (-int(box.get_attribute("step")) if down else 1))
        yield f"{other} in box {number}", lambda box=box, other=other: (box.fill(other), box.press("Enter"))
        key = "ArrowLeft" if down else "ArrowRight"
        yield f"{key} on slider {number}", lambda handle=handle, key=key: handle.press(key)
        way = -60 if down else 60
        yield f"drag of slider {number}", lambda handle=handle, way=way: widget.drag(handle, way)


def words(widget):
    boxes = widget.here.get_by_role("textbox")
    for name in [boxes.nth(at).evaluate("box => box.labels[0]?.innerText") for at in range(boxes.count())]:
        box = widget.control("textbox", name)
        yield f"words in {name}", lambda box=box, name=name: (box.fill(GOOD[name]), box.press("Enter"))


def refuses(widget):
    """A word that means nothing is refused in words; the page stays, and Reset takes the refusal away."""
    begin = widget.state()
    box = widget.here.get_by_role("textbox").first
    box.fill("nowhere")
    box.press("Enter")
    widget.page.wait_for_function("here => here.querySelector('[role=alert]')", arg=widget.here.element_handle())
    now = widget.state()
    assert "nowhere" in now["refused"]
    assert {**now, "refused": ""} == begin
    widget.control("button", "Reset").click()
    widget.until(begin)


def takes_files(widget):
    """A log that is uploaded is shown; what is no log is refused in words, and the page stays."""
    begin, files = widget.state(), widget.here.locator("input[type=file]")
    files.set_input_files({"name": "soup.txt", "mimeType": "text/plain", "buffer": b"a recipe\nfor soup\n"})
    widget.page.wait_for_function("here => here.querySelector('[role=alert]')", arg=widget.here.element_handle())
    now = widget.state()
    assert "soup.txt" in now["refused"]
    assert {**now, "refused": ""} == begin
    log = b"9 1 -7 8a3f 0\n5 2 -7 @100(10) 0->8a3f 0:0 0\n6 3 -7 @100(10) 0->8a3f 0 0\n"
    upload = {"name": "mine.smi", "mimeType": "text/plain", "buffer": log}
    together(*widget.after(lambda: files.set_input_files(upload), "a log"))
    assert "64 KiB moved" in widget.state()["heading"]
    widget.control("button", "Reset").click()
    widget.until(begin)


@pytest.mark.browser
@pytest.mark.slow
def test_every_widget_follows_keyboard_and_mouse(reader):
    reader.page.set_viewport_size({"width": 1280, "height": 2000})  # a screenshot shows what is in sight
    reader.open("every_widget.ipynb")
    reader.run_all()
    for name in svmlab.widgets.__all__:
        widget = reader.widget(f"w.{name}()")
        reader.shoot(f"{name}-start", widget.here)
        work(widget)
        if widget.here.get_by_role("textbox").count():
            refuses(widget)
        if widget.here.locator("input[type=file]").count():
            takes_files(widget)
        widget.after(next(choices(widget), next(numbers(widget), None))[1], "for a picture")
        reader.shoot(f"{name}-changed", widget.here)
    assert reader.errors == []
    assert reader.hosts == {"127.0.0.1"}
