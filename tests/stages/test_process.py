"""What a stage does to its own process."""

import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from stages.contract.process import keep_freed_memory
{call}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(16 * 2**20)  # 64 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def page_faults(call: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS.format(call=call)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is asked to keep freed memory")
def test_memory_of_a_freed_tensor_is_used_again_without_asking_the_kernel():
    # 20 tensors of 64 MB are 327,680 pages of 4 kB; huge pages make them fewer, but never none.
    assert page_faults("keep_freed_memory()") < 100 < page_faults("")
