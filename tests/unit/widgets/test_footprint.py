"""What a learner's kernel costs: its memory with a large lab in it, against a kernel that did nothing."""

from pathlib import Path

import pytest

from svmlab.bench.start import LAB, MARGIN_MIB, footprint
from svmlab.errors import InputError


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, which only Linux has")
@pytest.mark.filterwarnings("ignore")
def test_a_large_lab_that_nobody_touched_costs_a_kernel_little():
    footprint(LAB)  # may have to compile what is loaded
    lab, bare = footprint(LAB), footprint("pass")
    assert {key: lab[key] - bare[key] <= MARGIN_MIB for key in ("VmRSS", "RssAnon")} == {"VmRSS": True, "RssAnon": True}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, which only Linux has")
@pytest.mark.filterwarnings("ignore")
def test_a_kernel_that_cannot_run_the_code_is_told():
    with pytest.raises(InputError, match="a kernel refused 'undefined'"):
        footprint("undefined")
