"""What is installed by hash is what is installed by version, and nothing less."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def pinned(text: str) -> dict[str, str]:
    """Package -> version."""
    return {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s\\]+)", text, re.M)}


def test_the_lock_has_the_versions_of_the_constraints():
    constraints = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    locked = pinned(LOCK)
    assert {name: version for name, version in locked.items() if constraints.get(name, version) != version} == {}
    assert len(locked.keys() & constraints.keys()) > 200  # 239 of them when it was made


def test_the_lock_has_all_that_the_project_and_its_development_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["dev"]
    locked = pinned(LOCK)
    for requirement in map(Requirement, [*needed, *project["build-system"]["requires"]]):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement


def test_every_package_of_the_lock_has_a_hash():
    blocks = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", LOCK, flags=re.M))
    assert len(blocks) == len(pinned(LOCK))
    assert [block for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", block)] == []
