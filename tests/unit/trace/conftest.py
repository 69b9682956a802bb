"""Runs whose logs are written and read."""

import pytest

import svmlab as sl


def moved(**head):
    """A buffer goes to VRAM, and its first block comes home again."""
    p = sl.Process("toy", **head)
    a = p.mmap("4 MiB", name="a")
    a[:] = 7
    p.set_attr(a, access=["gpu0", "gpu1"], prefetch="gpu0")
    p.run()
    assert a[0] == 7
    p.run()
    return p


@pytest.fixture(scope="session")
def process():
    return moved()


@pytest.fixture(scope="session")
def faulting():
    """Two blocks of a buffer are brought to VRAM by faults of a GPU, and unmapped."""
    p = sl.Process("toy", xnack=True)
    a = p.mmap("4 MiB", name="a")
    a[:] = 7
    p.gpu(0).read(a.pages(3))
    p.run(for_ns="3 ms")
    p.gpu(0).write(a.pages(600), 1)
    p.munmap(a)
    p.run()
    return p


@pytest.fixture
def written(tmp_path):
    """Writes lines to a file and reads it as a trace."""

    def write(*lines, name="x.smi", end="\n"):
        path = tmp_path / name
        path.write_bytes("".join(f"{line}\n" for line in lines[:-1]).encode() + (lines[-1] + end).encode())
        return sl.read_trace(path)

    return write
