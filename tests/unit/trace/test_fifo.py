"""What a reader of the kernel's lines misses."""

import pytest

import svmlab as sl
from svmlab.errors import InputError
from svmlab.log import Log
from svmlab.trace.fifo import FIFO_BYTES, what_a_reader_gets


def lines(*times_and_gpus, width=200):
    log = Log()
    for time_ns, gpu in times_and_gpus:
        log.emit("queue_restore", gpu=gpu, time_ns=time_ns)
    return [(event, "x" * (width - 1)) for event in log]


def kept(given, every_ns):
    return [event.id for event, _ in what_a_reader_gets(given, (101, 102), every_ns)]


def test_the_sixth_line_of_200_bytes_does_not_fit():
    assert FIFO_BYTES == 1024
    assert kept(lines(*[(0, 0)] * 7), 10) == [0, 1, 2, 3, 4]


def test_a_shorter_line_may_still_fit_behind_one_that_was_dropped():
    given = [*lines(*[(0, 0)] * 6), (lines((0, 0))[0][0], "short")]
    assert len(list(what_a_reader_gets(given, (101, 102), 10))) == 6


def test_each_gpu_has_room_of_its_own():
    assert kept(lines(*[(0, 0)] * 5, *[(0, 1)] * 6), 10) == [*range(10)]


def test_a_read_makes_room():
    assert kept(lines(*[(9, 0)] * 6, (10, 0)), 10) == [0, 1, 2, 3, 4, 6]


def test_a_migration_is_told_to_the_gpu_that_pages_go_to_or_leave():
    log = Log()
    for source, target in ((0, 102), (102, 0)):
        log.emit("migrate_start", 1, 1, source=source, target=target, time_ns=0)
    full = lines(*[(0, 1)] * 5)
    assert list(what_a_reader_gets([*full, *((event, "y" * 100) for event in log)], (101, 102), 10)) == full


def test_a_file_of_a_slow_reader_says_so_and_lacks_lines(process, tmp_path):
    sl.write_trace(process, tmp_path / "all.smi")
    sl.write_trace(process, tmp_path / "x.smi", reader="1 s")
    text = (tmp_path / "x.smi").read_text()
    assert "somebody read every 1 s; what did not fit the driver's 1,024 bytes is lost" in text
    assert len(text.splitlines()) <= len((tmp_path / "all.smi").read_text().splitlines()) + 1


@pytest.mark.parametrize(("name", "reader"), [("x.rocr", "1 s"), ("x.json", "1 s"), ("x.smi", 0), ("x.smi", "soon")])
def test_a_reader_that_cannot_be_is_refused(process, tmp_path, name, reader):
    with pytest.raises(InputError):
        sl.write_trace(process, tmp_path / name, reader=reader)
    assert not (tmp_path / name).exists()
