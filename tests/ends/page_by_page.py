"""The slow end: shared virtual memory page by page, in plain Python.

One process, one GPU, xnack off, anonymous memory: what a textbook would write down. Every page is a dictionary entry,
every copy is one of 4 KiB, every step is a line. It knows no locks, no time, no errors and no other version of the
driver; what it does, the model must do as well (test_two_ends.py), and how much faster the model is (measure.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

PAGE_SIZE = 4096
BLOCK_PAGES = 512
"""A CPU fault brings home the block of 2 MiB around it."""


@dataclass
class PageByPage:
    """A machine with RAM and the VRAM of one GPU.

    Attributes:
        page_size: bytes kept of each page; 0 keeps none, and the state alone is left.
        buffers: first and last page of each mapping.
        cpu, gpu: page tables: ("ram" or "vram", frame) by page.
        ram, vram: contents of frames by their number.
        accessible: the mappings that the GPU may access.
        moved_in, moved_out: pages that went to VRAM, and came home.
    """

    page_size: int = PAGE_SIZE
    buffers: list[tuple[int, int]] = field(default_factory=list)
    cpu: dict[int, tuple[str, int]] = field(default_factory=dict)
    gpu: dict[int, tuple[str, int]] = field(default_factory=dict)
    ram: dict[int, bytearray] = field(default_factory=dict)
    vram: dict[int, bytearray] = field(default_factory=dict)
    moved_in: int = 0
    moved_out: int = 0
    accessible: set[tuple[int, int]] = field(default_factory=set)
    next_page: int = 0
    next_frame: int = 0

    def mmap(self, npages: int) -> tuple[int, int]:
        """A mapping of pages that nobody touched; its first and last page."""
        first, last = self.next_page, self.next_page + npages - 1
        self.buffers.append((first, last))
        self.next_page += npages
        return first, last

    def cpu_write(self, first: int, last: int, byte: int) -> None:
        """Fill pages by the CPU."""
        for page in range(first, last + 1):
            self._cpu_fault(page)
            _, frame = self.cpu[page]
            self.ram[frame][:] = bytes([byte]) * self.page_size

    def cpu_read(self, first: int, last: int) -> list[int]:
        """The first byte of each page, as the CPU loads it."""
        found = []
        for page in range(first, last + 1):
            self._cpu_fault(page)
            _, frame = self.cpu[page]
            found.append(self.ram[frame][0])
        return found

    def prefetch_to_gpu(self, buffer: tuple[int, int]) -> None:
        """Give the GPU access to a mapping and move it to VRAM; pages that nobody touched become zeroed VRAM."""
        self.accessible.add(buffer)
        for page in range(buffer[0], buffer[1] + 1):
            place, frame = self.cpu.get(page, ("nowhere", -1))
            if place != "vram":
                fresh = self._new(self.vram)
                if place == "ram":
                    self.vram[fresh][:] = self.ram.pop(frame)
                self.cpu[page] = ("vram", fresh)
                self.moved_in += 1
        self._map_to_gpu(buffer)

    def prefetch_to_cpu(self, buffer: tuple[int, int]) -> None:
        """Bring a mapping home."""
        for page in range(buffer[0], buffer[1] + 1):
            self._come_home(page)
        self._map_to_gpu(buffer)

    def gpu_write(self, first: int, last: int, byte: int) -> None:
        """Fill pages by the GPU, through its page table."""
        for page in range(first, last + 1):
            place, frame = self.gpu[page]
            memory = self.vram if place == "vram" else self.ram
            memory[frame][:] = bytes([byte]) * self.page_size

    def _cpu_fault(self, page: int) -> None:
        """Make a page accessible to the CPU: a page in VRAM comes home, and its block with it."""
        place, _ = self.cpu.get(page, ("nowhere", -1))
        if place == "nowhere":
            self.cpu[page] = ("ram", self._new(self.ram))
        elif place == "vram":
            buffer = next((first, last) for first, last in self.buffers if first <= page <= last)
            start = page // BLOCK_PAGES * BLOCK_PAGES
            for each in range(max(start, buffer[0]), min(start + BLOCK_PAGES - 1, buffer[1]) + 1):
                self._come_home(each)
            self._map_to_gpu(buffer)

    def _come_home(self, page: int) -> None:
        place, frame = self.cpu.get(page, ("nowhere", -1))
        if place == "vram":
            fresh = self._new(self.ram)
            self.ram[fresh][:] = self.vram.pop(frame)
            self.cpu[page] = ("ram", fresh)
            self.moved_out += 1

    def _map_to_gpu(self, buffer: tuple[int, int]) -> None:
        """The GPU's queues stood still; before they go on, its page table shows again what the CPU's does."""
        for page in range(buffer[0], buffer[1] + 1):
            if buffer in self.accessible and page in self.cpu:
                self.gpu[page] = self.cpu[page]

    def _new(self, memory: dict[int, bytearray]) -> int:
        self.next_frame += 1
        memory[self.next_frame] = bytearray(self.page_size)
        return self.next_frame
