"""What a stage does to its own process."""

import logging
import logging.config
import subprocess
import sys

import pytest

from stages.contract.process import also_logged_to

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


def test_a_stage_logs_on_where_a_library_closed_all_handlers_and_the_folder_is_gone(tmp_path):
    """As vLLM does when it is imported, and as a stage's work folder goes when it is published."""
    log, logger = tmp_path / "work" / "stage.log", logging.getLogger("stages.closed_handlers")
    log.parent.mkdir()
    with also_logged_to(log):
        logger.warning("first")
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        text = log.read_text()
        log.unlink()
        log.parent.rmdir()
        logger.warning("published")
    assert text.endswith("first\n")
    assert not log.parent.exists()


def test_what_ends_a_stage_is_the_last_word_of_its_log(tmp_path):
    log = tmp_path / "stage.log"
    with pytest.raises(ZeroDivisionError), also_logged_to(log):
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        _ = 1 / 0
    assert "ended by:\nTraceback" in log.read_text()
    assert log.read_text().endswith("ZeroDivisionError: division by zero\n")
