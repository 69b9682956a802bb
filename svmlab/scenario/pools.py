"""Who runs the combinations of a sweep: processes on this computer, or the workers of a Dask cluster.

Both are executors of concurrent.futures, so that one loop serves both. A worker that dies takes no result with it that
was told before: what it had begun is begun again elsewhere.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from svmlab.errors import InputError
from svmlab.scenario.sweep import Sweep
from svmlab.scenario.sweep_rows import Row, measure

__all__ = ["Pool", "cluster_pool", "local_pool", "rows_of"]

Pool = Callable[[], AbstractContextManager[Executor]]
"""Starts workers."""
_AHEAD = 64
"""Combinations that are with the workers at a time: they never wait, and a large sweep needs no memory here."""
_PATIENCE = 3


def local_pool(workers: int | None = None) -> Pool:
    """Processes on this computer; default: one for each core."""
    count = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or os.cpu_count()

    @contextmanager
    def start() -> Iterator[Executor]:
        # Spawned, not forked: a worker has nothing of this process but what it is given.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(count, mp_context=context)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)

    return start


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C comes a moment later, and never to a process that is started here: it is for the one that was asked.

    A process inherits what is held back from its very start, where one that has to ask for it may be hit before.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def cluster_pool(address: str) -> Pool:
    """The workers of a Dask cluster that is already there.

    Args:
        address: of its scheduler, such as ``tcp://host:8786``.

    Raises:
        InputError: dask is not installed, or nothing answers there.
    """
    if not address.startswith(("tcp://", "tls://")):
        raise InputError(f"no scheduler of Dask at {address}", allowed="tcp://HOST:PORT or tls://HOST:PORT")
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise InputError("a cluster needs dask, which is not installed", hint="pip install 'svmlab[cluster]'") from None

    @contextmanager
    def start() -> Iterator[Executor]:
        try:
            client = Client(address, timeout="5s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"no scheduler of Dask at {address}: {error}", allowed="the address of one that runs"
            ) from None
        with client:
            try:
                yield client.get_executor(pure=False)
            except (KilledWorker, CancelledError) as error:
                raise BrokenExecutor(str(error)) from None

    return start


def rows_of(sweep: Sweep, numbers: list[int], pool: Pool) -> Iterator[Row]:
    """Run combinations and tell each row as soon as it is there, in whatever order.

    Args:
        sweep: whose.
        numbers: the combinations.
        pool: who runs them.

    Raises:
        InputError: a combination cannot be run, or workers die again and again and nothing gets done.
    """
    left, deaths = set(numbers), 0
    while left:
        before = len(left)
        for row in _until_one_dies(sweep, sorted(left), pool):
            left.discard(row["n"])
            yield row
        deaths = deaths + 1 if len(left) == before else 0
        if deaths == _PATIENCE:
            raise InputError(
                f"workers died {deaths} times and no combination got done", hint="fewer workers, if memory is short"
            )


def _until_one_dies(sweep: Sweep, numbers: list[int], pool: Pool) -> Iterator[Row]:
    with suppress(BrokenExecutor), pool() as workers:
        yield from _as_they_come(sweep, numbers, workers)


def _as_they_come(sweep: Sweep, numbers: list[int], workers: Executor) -> Iterator[Row]:
    waiting, running = deque(numbers), set[Future[Any]]()
    while waiting or running:
        while waiting and len(running) < _AHEAD:
            n = waiting.popleft()
            combination = n, sweep.choice(n), sweep.scenario(n)
            with _interrupts_held():  # the first ones start the workers
                running.add(workers.submit(measure, *combination))
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()
