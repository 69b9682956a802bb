"""What a learner's kernel costs: its own memory with a large lab in it, against a kernel that did nothing."""

import subprocess
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

MARGIN_MIB = 16
LAB = """
import svmlab as sl
p = sl.Process("mi210-two-hives", ram="512 GiB")
a = p.mmap("16 GiB", name="a")
p.run()
"""


def own_mib(code: str) -> float:
    """Memory that a fresh kernel holds for itself after some code, without the files it shares with others."""
    manager, client = start_new_kernel(kernel_name="python3", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answer = client.execute_interactive(code, timeout=60, output_hook=lambda message: None)
        assert answer["content"]["status"] == "ok"
        lines = Path(f"/proc/{manager.provisioner.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, which only Linux has")
@pytest.mark.filterwarnings("ignore")
def test_a_large_lab_that_nobody_touched_costs_a_kernel_little():
    assert own_mib(LAB) <= own_mib("pass") + MARGIN_MIB
