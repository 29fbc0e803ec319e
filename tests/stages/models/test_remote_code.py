"""A model whose architecture only its own Python files know: refused, run where it is asked for, and nowhere else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from stages.doctor.chat import check_end
from stages.doctor.findings import examine
from stages.models.base_models import BaseSource, resolve_base
from stages.models.checkpoints import CheckpointError, load_policy, load_tokenizer, read_config
from stages.release.export import export
from tests.stages.data.fake_hub import COMMIT, serving
from tests.stages.models.test_foreign_model import LORA
from tests.stages.training.toy_grpo import SETTINGS, train_toy

ROOT = Path(__file__).parents[3]
CODE = """
import os
from pathlib import Path
from transformers import Qwen2Config, Qwen2ForCausalLM

class OwnConfig(Qwen2Config):
    model_type = "own_qwen2"

    def __init__(self, **given):
        Path(os.environ["SEEN_FILE"]).touch()
        super().__init__(**given)

class OwnForCausalLM(Qwen2ForCausalLM):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.model.embed_tokens.register_forward_hook(lambda *given: given[-1] * 0.5)  # no other class computes it
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Exists once the code of ``own_checkpoint`` has run; the process is in an empty repository."""
    monkeypatch.setenv("SEEN_FILE", str(tmp_path / "seen"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "seen"


@pytest.fixture
def own_checkpoint(foreign_checkpoint: Path, seen: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "downloads" / "own"
    shutil.copytree(foreign_checkpoint, folder)
    (folder / "modeling_own.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    config |= {"model_type": "own_qwen2", "architectures": ["OwnForCausalLM"], "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def trust(checkpoint: Path, *, remote_code: bool) -> BaseSource:
    """The base as ``params.yaml`` of the process's folder names it."""
    base = {"source": "checkpoint", "checkpoint": str(checkpoint), "remote_code": remote_code}
    Path("params.yaml").write_text(yaml.safe_dump({"stage0_base_model": {"base": base}}))
    return BaseSource.model_validate(base)


def test_code_does_not_run_unless_it_is_asked_for_and_the_key_is_named(own_checkpoint, seen, tmp_path):
    with pytest.raises(CheckpointError, match=r"own .*brings code .*base.remote_code: true .* read them first"):
        resolve_base(trust(own_checkpoint, remote_code=False), tmp_path / "artifacts" / "base")
    for load in (load_policy, load_tokenizer, read_config):
        with pytest.raises(CheckpointError, match="base.remote_code: true"):
            load(own_checkpoint)
    assert not seen.exists()
    assert not (tmp_path / "artifacts").exists()


def test_a_tokenizer_with_code_of_its_own_is_a_finding_of_the_doctor(own_checkpoint, seen):
    file = own_checkpoint / "tokenizer_config.json"
    own = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["modeling_own.Own", None]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    row = examine("end token", lambda: check_end(own_checkpoint))
    assert row.state == "finding"
    assert "base.remote_code: true" in row.found
    assert not seen.exists()


def test_what_is_made_of_a_trusted_model_brings_its_code_and_is_trained_and_exported(own_checkpoint, stage, tmp_path):
    base = tmp_path / "artifacts" / "base"
    assert resolve_base(trust(own_checkpoint, remote_code=True), base)["model/parameters"] > 0
    assert (base / "modeling_own.py").read_text() == CODE
    sampling = SETTINGS.sampling.model_copy(update={"sampler": "transformers"})
    settings = SETTINGS.model_copy(update={"sampling": sampling, "lora": LORA, "steps": 2, "clip": 0.2})
    metrics = train_toy(settings, base, stage, tmp_path / "artifacts" / "r1")
    assert metrics["mismatch/max"] < 1e-4
    before, after = (load_policy(tmp_path / "artifacts" / name) for name in ("base", "r1"))
    assert type(after).__name__ == "OwnForCausalLM"
    weight = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(before.state_dict()[weight], after.state_dict()[weight])
    export(tmp_path / "artifacts" / "r1", tmp_path / "out")
    assert (tmp_path / "out" / "modeling_own.py").read_text() == CODE


def test_trust_in_one_model_is_none_in_another_folder(own_checkpoint, seen, tmp_path):
    elsewhere = shutil.copytree(own_checkpoint, tmp_path / "downloads" / "another")
    trust(own_checkpoint, remote_code=True)
    with pytest.raises(CheckpointError, match="base.remote_code"):
        load_policy(elsewhere)
    assert not seen.exists()
    assert type(load_policy(own_checkpoint)).__name__ == "OwnForCausalLM"  # as make doctor does
    assert seen.exists()


def test_a_base_that_brings_no_code_takes_no_trust():
    with pytest.raises(ValueError, match="source shipped brings no code"):
        BaseSource(source="shipped", checkpoint="weights/tiny-base", remote_code=True)


PROGRAM = """
import sys
from pathlib import Path
from stages.models.base_models import BaseSource, resolve_base
from stages.models.checkpoints import load_policy

base = BaseSource(source="checkpoint", checkpoint=sys.argv[1], revision=sys.argv[2], remote_code=True)
resolve_base(base, Path("artifacts/base"))
print(type(load_policy(Path("artifacts/base"))).__name__)
"""


def taken_from_hub(address: str, name: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, in the repository of the test: HF_ENDPOINT is read when the libraries are imported."""
    Path("params.yaml").write_text("stage0_base_model: {base: {checkpoint: acme/own, remote_code: true}}")
    hub = {"HF_ENDPOINT": address, "HF_HOME": str(Path("hub").resolve()), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": ""}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, name, COMMIT],
        env={**os.environ, **hub, "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_code_of_the_hub_is_taken_at_the_commit_and_code_of_another_repository_is_not(own_checkpoint, seen):
    files = {path.name: path.read_bytes() for path in own_checkpoint.iterdir()}
    borrowed = files | {"config.json": files["config.json"].replace(b"modeling_own.", b"acme/code--modeling_own.")}
    del borrowed["modeling_own.py"]
    code = {"modeling_own.py": files["modeling_own.py"]}
    sets = {"acme/own": files, "acme/borrowed": borrowed, "acme/code": code}
    with serving(sets, {"acme/code": "1" * 40}) as hub:
        refused = taken_from_hub(hub.address, "acme/borrowed")
        assert "CheckpointError: acme/borrowed cannot be loaded: c0ffee" in refused.stderr
        assert not seen.exists()
        assert not Path("artifacts").exists()
        taken = taken_from_hub(hub.address, "acme/own")
    assert taken.stdout.split() == ["OwnForCausalLM"], taken.stderr
    assert all("/resolve/main/" not in asked for asked in hub.asked)
    assert Path("artifacts/base/modeling_own.py").read_text() == CODE  # nothing is asked of the hub any more
    assert "--" not in json.dumps(json.loads(Path("artifacts/base/config.json").read_text())["auto_map"])
