"""Policies of several sizes with random weights, for benchmarks: they hardly ever end a completion."""

from pathlib import Path

SHAPES = {"0.9M": (4, 128), "4M": (5, 256), "15M": (8, 384), "60M": (12, 640)}
"""Name -> layers, width."""
_CONTEXT = 2048


def random_policy(name: str, path: Path) -> int:
    """Write the policy ``name`` of ``SHAPES``, with the shipped tokenizer, to ``path``; its number of parameters."""
    from transformers import set_seed

    from stages.models.checkpoints import load_tokenizer, save_checkpoint
    from stages.training.pretraining import PretrainingSettings, tiny_model

    layers, width = SHAPES[name]
    set_seed(17)
    tokenizer = load_tokenizer(Path("weights/tiny-base"))
    shape = PretrainingSettings.model_construct(
        layers=layers, width=width, mlp_width=3 * width, context_tokens=_CONTEXT
    )
    model = tiny_model(shape, tokenizer)
    save_checkpoint(model, tokenizer, path)
    return model.num_parameters()
