"""Stage 0: the base model, before any R1 training.

    nothing, or a pretrained checkpoint  ->  base

``shipped`` copies the tiny base model of the repository; ``pretrain`` makes it again from its
recipe; ``checkpoint`` takes any causal language model by folder or hub id and revision. The paper
starts from DeepSeek-V3-Base (arXiv:2501.12948v1, introduction).
"""

from pathlib import Path

from stages.config import StageConfig
from stages.data.tiny_world.corpus import CorpusSettings, documents
from stages.models.base_models import BaseSource, resolve_base
from stages.run import StageRun, run_as_stage
from stages.training.pretraining import PretrainingSettings, pretrain


class Config(StageConfig):
    """Block ``stage0_base_model`` of params.yaml."""

    base: BaseSource
    pretraining: PretrainingSettings
    """Recipe of the tiny base model; used when ``base.source`` is ``pretrain``."""
    corpus: CorpusSettings


def run(config: Config, stage: StageRun, *, out: Path) -> dict[str, float]:
    """Write the base model to ``out``."""
    if config.base.source != "pretrain":
        from stages.training.ranks import once

        return once(lambda: resolve_base(config.base, out))
    return pretrain(
        config.pretraining,
        documents(config.corpus, stage.seed),
        documents(config.corpus, stage.seed + 1),
        tokenizer=None,
        stage=stage,
        out=out,
    )


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint="base")
