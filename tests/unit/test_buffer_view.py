"""A mapping in the hands of a learner: what can be indexed, what can be stored, and what is refused."""

import numpy as np
import pytest

from svmlab.errors import InputError
from svmlab.mm import Span
from svmlab.svm.buffer_view import span_of
from svmlab.svm.process import Process


@pytest.fixture
def process():
    return Process("toy")


@pytest.fixture
def a(process):
    return process.mmap("3 pages", name="a")


def test_a_buffer_is_indexed_like_an_array_of_bytes(a):
    a[:] = 7
    a[5] = 9
    a[-1] = 11
    a[4096:4099] = b"xyz"
    assert [a[4], a[5], a[np.int64(5)], a[len(a) - 1]] == [7, 9, 9, 11]
    assert bytes(a[4095:4100]) == b"\x07xyz\x07"
    assert len(a[20:20]) == 0


def test_an_array_of_any_type_is_stored_as_its_bytes(a):
    a[0:16] = np.array([1, 2], np.uint64)
    a[16:22] = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert a[0:16].view(np.uint64).tolist() == [1, 2]
    assert a[16:22].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("index", [3 * 4096, -3 * 4096 - 1])
def test_a_byte_outside_is_refused(a, index):
    with pytest.raises(InputError, match="allowed: 0 to 12287"):
        a[index]


@pytest.mark.parametrize(
    ("data", "allowed"),
    [(256, "0 to 255"), (-1, "0 to 255"), (b"too long", "4 bytes, or one byte value"), ("text", r"data\.encode")],
)
def test_contents_that_do_not_fit_are_refused_before_anything_is_stored(a, data, allowed):
    with pytest.raises(InputError, match=allowed):
        a[0:4] = data
    assert a[0] == 0


def test_steps_and_other_things_are_refused(process, a):
    with pytest.raises(InputError, match="contiguous"):
        a[0:10:2]
    with pytest.raises(TypeError):
        a[1.5]
    with pytest.raises(InputError, match="a mapping"):
        span_of("a")


def test_pages_of_a_buffer_are_a_span(a):
    assert a.pages(1, 2) == Span(a.address + 4096, 8192)
    assert (a.npages, a.nbytes, a.pages(3, 0).nbytes) == (3, 12288, 0)
    for first, count in ((2, 2), (-1, 1), (0, -1)):
        with pytest.raises(InputError, match="allowed: pages 0 to 2"):
            a.pages(first, count)


def test_a_buffer_says_what_and_where_it_is(process, a):
    assert repr(a) == "<a: 12 KiB at 0x7e0000000000>"
    assert repr(process.mmap("1 page")).startswith("<mapping: 4 KiB at ")
