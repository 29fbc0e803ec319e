"""Claims about a machine that runs out of something: one message, the last output whole, and then it goes on."""

import errno
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.contract.starvation import starvation
from tests.stages.conftest import ToyRepository
from tests.stages.test_run import SLOW_PARAMS, snapshot, steps_in

GOOD = "The last good output is as it was"


@pytest.fixture
def small_disk(toy: ToyRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyRepository]:
    """The toy on a disk of 4 MB in memory."""
    disk = tmp_path_factory.mktemp("small_disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system may be mounted here")
    try:
        shutil.copytree(toy.root, disk / "toy")
        yield ToyRepository(disk / "toy")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def starve(toy: ToyRepository, harm: str) -> tuple[int, str]:
    """Run the stage; from step 5 on ``harm`` (statements; ``os``, ``resource`` and ``Path`` are there) is done."""
    path = toy.root / "stages" / "stage1_toy.py"
    text = path.read_text()
    path.write_text(
        text.replace(
            "        stage.log(step,",
            f"        if step == 5:\n            import os, resource\n            {harm}\n        stage.log(step,",
        )
    )
    try:
        return toy.run()
    finally:
        path.write_text(text)


FILL = "Path('filler').write_bytes(b'x' * (os.statvfs('.').f_bavail * os.statvfs('.').f_frsize))"
NO_MORE_FILES = "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))"
NO_MORE_MEMORY = "resource.setrlimit(resource.RLIMIT_AS, (1, 1)); bytearray(2**30)"


def holds_and_goes_on(toy: ToyRepository, harm: str, said: str) -> None:
    """A good output, a starved run in the place of the next, and the next all the same."""
    assert toy.run()[0] == 0
    toy.set_params(SLOW_PARAMS)
    before = snapshot(toy.root / "artifacts" / "toy"), snapshot(toy.root / "metrics")
    status, output = starve(toy, harm)
    assert (status, said in output, GOOD in output, "Traceback" in output) == (1, True, True, False), output
    assert (snapshot(toy.root / "artifacts" / "toy"), snapshot(toy.root / "metrics")) == before
    (toy.root / "filler").unlink(missing_ok=True)
    status, output = toy.run()
    assert status == 0, output
    assert steps_in(toy.root / "metrics" / "stage1_toy.csv") == list(range(1, 9))


def test_a_full_disk(small_disk: ToyRepository) -> None:
    holds_and_goes_on(small_disk, FILL, "the disk is full")


def test_too_many_open_files(toy: ToyRepository) -> None:
    holds_and_goes_on(toy, NO_MORE_FILES, "too many files are open")


def test_too_little_memory(toy: ToyRepository) -> None:
    holds_and_goes_on(toy, NO_MORE_MEMORY, "the memory is full")


def test_a_disk_that_turns_read_only(small_disk: ToyRepository) -> None:
    assert small_disk.run()[0] == 0
    small_disk.set_params(SLOW_PARAMS)
    disk = str(small_disk.root.parent)
    before = snapshot(small_disk.root / "artifacts" / "toy")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    status, output = small_disk.run()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert (status, "mounted read-only" in output, "Traceback" in output) == (1, True, False), output
    assert snapshot(small_disk.root / "artifacts" / "toy") == before
    assert small_disk.run()[0] == 0


def test_an_error_of_the_stages_own_is_not_blamed_on_the_machine(tmp_path: Path) -> None:
    assert starvation(ValueError("a bad row"), [tmp_path]) is None
    assert "may not be written" in str(starvation(PermissionError(errno.EACCES, "no", "artifacts/x"), [tmp_path]))
