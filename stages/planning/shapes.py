"""The shape of a model: what the plan counts weights, FLOPs and memory with.

In: a transformers configuration: from a local folder, by the name of a model below (no network needed), or from the
hub. Out: a ``ModelShape``. Known are the families of Qwen2, Qwen3, Llama and Mistral, and DeepSeek-V3.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.cannot_run import CannotRunError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_QWEN25: dict[str, Any] = {"model_type": "qwen2", "vocab_size": 151_936, "dtype": "bfloat16"}
_QWEN25_LARGE = _QWEN25 | {"tie_word_embeddings": False, "max_position_embeddings": 131_072, "vocab_size": 152_064}

PUBLISHED: dict[str, dict[str, Any]] = {
    # config.json of each on the hub; Qwen2.5 technical report, arXiv:2412.15115, table 1.
    "Qwen/Qwen2.5-0.5B": _QWEN25
    | {"hidden_size": 896, "intermediate_size": 4_864, "num_hidden_layers": 24, "num_attention_heads": 14}
    | {"num_key_value_heads": 2, "tie_word_embeddings": True, "max_position_embeddings": 32_768},
    "Qwen/Qwen2.5-1.5B": _QWEN25
    | {"hidden_size": 1_536, "intermediate_size": 8_960, "num_hidden_layers": 28, "num_attention_heads": 12}
    | {"num_key_value_heads": 2, "tie_word_embeddings": True, "max_position_embeddings": 131_072},
    "Qwen/Qwen2.5-7B": _QWEN25_LARGE
    | {"hidden_size": 3_584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28}
    | {"num_key_value_heads": 4},
    "Qwen/Qwen2.5-14B": _QWEN25_LARGE
    | {"hidden_size": 5_120, "intermediate_size": 13_824, "num_hidden_layers": 48, "num_attention_heads": 40}
    | {"num_key_value_heads": 8},
    "Qwen/Qwen2.5-32B": _QWEN25_LARGE
    | {"hidden_size": 5_120, "intermediate_size": 27_648, "num_hidden_layers": 64, "num_attention_heads": 40}
    | {"num_key_value_heads": 8},
    # arXiv:2412.19437, section 4.2; transformers' defaults of deepseek_v3 are the rest of these numbers.
    "deepseek-ai/DeepSeek-V3-Base": {
        "model_type": "deepseek_v3",
        "num_hidden_layers": 61,
        "hidden_size": 7_168,
        "vocab_size": 129_280,
        "max_position_embeddings": 163_840,
        "dtype": "bfloat16",
    },
}
"""Hub id -> the numbers of its config.json that make its shape."""

DENSE = ("qwen2", "qwen3", "llama", "mistral")


class PlanError(CannotRunError):
    """A profile that cannot be planned, or does not fit; the message names the key to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Linear layers of one kind."""

    inputs: int
    outputs: int
    bias: bool = False
    copies: int
    """In the whole model."""
    used: int
    """That one token goes through; less than ``copies`` for experts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Sizes of a causal language model."""

    name: str
    family: str
    """``model_type`` of its configuration."""
    layers: int
    width: int
    mlp_width: int
    """Of all that one token goes through in a layer."""
    heads: int
    query_width: int
    """Heads times their width."""
    key_width: int
    """Key-value heads times their width."""
    cached_values: int
    """Numbers that the KV cache keeps of a token, in all layers."""
    vocab_size: int
    tied: bool
    """Whether the head is the embedding."""
    norm_weights: int
    query_key_norm: bool
    linears: tuple[Linear, ...]
    """Without embedding and head."""
    context_tokens: int
    stored_bytes: int
    """Of one weight in the checkpoint."""

    @property
    def embedding(self) -> int:
        """Weights of the embedding; the head has as many."""
        return self.vocab_size * self.width

    @property
    def linear_weights(self) -> int:
        """Weights of the linear layers, biases and head left out."""
        return sum(one.inputs * one.outputs * one.copies for one in self.linears)

    @property
    def backbone(self) -> int:
        """All weights but the head's."""
        biases = sum(one.outputs * one.copies for one in self.linears if one.bias)
        return self.linear_weights + biases + self.norm_weights + self.embedding

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.backbone + (0 if self.tied else self.embedding)

    @property
    def active_weights(self) -> int:
        """Weights that one token is multiplied with: half of its FLOPs forward."""
        return sum(one.inputs * one.outputs * one.used for one in self.linears) + self.embedding

    def adapter_weights(self, rank: int) -> int:
        """Weights of LoRA adapters of ``rank`` on every linear layer but the head."""
        return rank * sum((one.inputs + one.outputs) * one.copies for one in self.linears)


def model_shape(checkpoint: str, revision: str | None = None) -> ModelShape:
    """The shape of ``checkpoint``: a local folder, a published name, or a model on the hub.

    Raises:
        PlanError: its configuration cannot be had, or its family is not known here.
    """
    from transformers import AutoConfig

    try:
        if checkpoint in PUBLISHED:
            numbers = dict(PUBLISHED[checkpoint])
            config = AutoConfig.for_model(numbers.pop("model_type"), **numbers)
        else:
            given = None if Path(checkpoint).exists() else revision
            config = AutoConfig.from_pretrained(checkpoint, revision=given, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise PlanError(
            f"base.checkpoint: {checkpoint}: its config.json cannot be read ({str(error).splitlines()[0][:120]}); "
            f"give a local folder, or one of {', '.join(PUBLISHED)}"
        ) from error
    return shape_of(config, checkpoint)


def shape_of(config: "PretrainedConfig", name: str) -> ModelShape:
    """The shape that ``config`` describes.

    Raises:
        PlanError: its family is not known here.
    """
    if config.model_type in DENSE:
        return _dense(config, name)
    if config.model_type == "deepseek_v3":
        return _deepseek_v3(config, name)
    raise PlanError(
        f"base.checkpoint: {name} is a {config.model_type}; the plan knows {', '.join(DENSE)} and deepseek_v3"
    )


def _dense(config: "PretrainedConfig", name: str) -> ModelShape:
    layers, width, mlp = config.num_hidden_layers, config.hidden_size, config.intermediate_size
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads  # Qwen2's has no such key
    query, key = config.num_attention_heads * head, config.num_key_value_heads * head
    is_qwen2, normed = config.model_type == "qwen2", config.model_type == "qwen3"
    sizes = [(width, query, is_qwen2), (width, key, is_qwen2), (width, key, is_qwen2), (query, width, False)]
    sizes += [(width, mlp, False), (width, mlp, False), (mlp, width, False)]
    return ModelShape(
        name=name,
        family=config.model_type,
        layers=layers,
        width=width,
        mlp_width=mlp,
        heads=config.num_attention_heads,
        query_width=query,
        key_width=key,
        cached_values=2 * key * layers,
        vocab_size=config.vocab_size,
        tied=config.tie_word_embeddings,
        norm_weights=(2 * layers + 1) * width + (2 * head * layers if normed else 0),
        query_key_norm=normed,
        linears=tuple(Linear(inputs=i, outputs=o, bias=b, copies=layers, used=layers) for i, o, b in sizes),
        context_tokens=config.max_position_embeddings,
        stored_bytes=_stored_bytes(config),
    )


def _deepseek_v3(config: "PretrainedConfig", name: str) -> ModelShape:
    """Latent attention and experts (arXiv:2412.19437, section 2.1), without the module that predicts a second token."""
    layers, width, heads = config.num_hidden_layers, config.hidden_size, config.num_attention_heads
    dense = config.first_k_dense_replace
    sparse, chosen, shared = layers - dense, config.num_experts_per_tok, config.n_shared_experts
    expert, latent, rope = config.moe_intermediate_size, config.kv_lora_rank, config.qk_rope_head_dim
    query = heads * (config.qk_nope_head_dim + rope)
    attention = [(width, config.q_lora_rank), (config.q_lora_rank, query), (width, latent + rope)]
    attention += [
        (latent, heads * (config.qk_nope_head_dim + config.v_head_dim)),
        (heads * config.v_head_dim, width),
    ]
    mlp = [(width, config.intermediate_size, dense, dense), (width, config.n_routed_experts, sparse, sparse)]
    experts = (sparse * (config.n_routed_experts + shared), sparse * (chosen + shared))
    linears = [Linear(inputs=i, outputs=o, copies=layers, used=layers) for i, o in attention]
    for inputs, outputs, copies, used in [mlp[0], mlp[0], mlp[1], (width, expert, *experts), (width, expert, *experts)]:
        linears.append(Linear(inputs=inputs, outputs=outputs, copies=copies, used=used))
    linears += [
        Linear(inputs=config.intermediate_size, outputs=width, copies=dense, used=dense),
        Linear(inputs=expert, outputs=width, copies=experts[0], used=experts[1]),
    ]
    return ModelShape(
        name=name,
        family=config.model_type,
        layers=layers,
        width=width,
        mlp_width=expert * (chosen + shared),
        heads=heads,
        query_width=query,
        key_width=query,
        cached_values=(latent + rope) * layers,
        vocab_size=config.vocab_size,
        tied=config.tie_word_embeddings,
        norm_weights=(2 * layers + 1) * width + layers * (config.q_lora_rank + latent),
        query_key_norm=False,
        linears=tuple(linears),
        context_tokens=config.max_position_embeddings,
        stored_bytes=_stored_bytes(config),
    )


def _stored_bytes(config: "PretrainedConfig") -> int:
    """2 for bf16 and fp16; 4 for fp32, and where nothing is said."""
    return 2 if str(config.dtype).removeprefix("torch.") in ("bfloat16", "float16") else 4
