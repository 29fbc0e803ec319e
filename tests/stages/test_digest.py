"""Claim: our digest is DVC's own, byte for byte, on files and directories that a real DVC has added."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages.digest import dvc_md5


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which DVC has added every kind of artifact we make."""
    root = tmp_path_factory.mktemp("dvc")
    (root / "file.bin").write_bytes(bytes(range(256)) * 5000)  # more than one read buffer
    (root / "windows.txt").write_bytes(b"a\r\nb\r\n")  # DVC 2 hashed this as a\nb\n
    (root / "empty.txt").touch()
    folder = root / "folder"
    for name in ("b.txt", "a/inner.txt", "a.txt", "a-b.txt", "ünïcödé 中文.txt", ".hidden", "deep/er/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "no_files_here").mkdir()
    (folder / "link.txt").symlink_to("b.txt")
    (root / "hollow").mkdir()
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], cwd=root, check=True)
    names = ["file.bin", "windows.txt", "empty.txt", "folder", "hollow"]
    subprocess.run([*dvc, "add", "--quiet", *names], cwd=root, check=True)
    return root


@pytest.mark.parametrize("name", ["file.bin", "windows.txt", "empty.txt", "folder", "hollow"])
def test_digest_equals_the_one_dvc_recorded(added: Path, name: str) -> None:
    recorded = yaml.safe_load((added / f"{name}.dvc").read_text())["outs"][0]["md5"]
    assert dvc_md5(added / name) == recorded


def test_a_changed_name_changes_a_directorys_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = dvc_md5(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert dvc_md5(tmp_path) != before


def test_what_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        dvc_md5(tmp_path / "nothing")
