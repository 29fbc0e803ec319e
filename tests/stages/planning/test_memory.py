"""The plan's bytes are those that PyTorch allocates for small random models of the same build."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    DeepseekV3Config,
    DynamicCache,
    Qwen2Config,
    Qwen3Config,
)

from stages.planning.memory import (
    Trained,
    activation_bytes,
    cache_bytes_per_token,
    layer_bytes_per_token,
    state_bytes,
    trainable,
)
from stages.planning.shapes import PUBLISHED, PlanError, model_shape, shape_of

ROOT = Path(__file__).parents[3]
ROWS, TOKENS = 2, 48
SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "max_position_embeddings": 128,
}
CONFIGS = {
    "qwen2": lambda layers=2: Qwen2Config(**SIZES, num_hidden_layers=layers, tie_word_embeddings=True),
    "qwen2, head of its own": lambda layers=2: Qwen2Config(**SIZES, num_hidden_layers=layers),
    "qwen3": lambda layers=2: Qwen3Config(**SIZES, num_hidden_layers=layers, head_dim=16, tie_word_embeddings=True),
}


def trained(**how):
    return Trained(**{"bf16": False, "checkpointing": False, "rows": ROWS, "tokens": TOKENS} | how)


def storage_bytes(tensors):
    """Bytes of the tensors' memory, shared memory once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def saved_bytes(model, how, backbone=True):
    """Bytes that autograd keeps between forward and backward, the parameters' own left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}  # alive until counted, so that no address is used twice

    def pack(tensor):
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    model.train()
    model.config.use_cache = False
    if how.checkpointing:
        model.gradient_checkpointing_enable()
    ids = torch.randint(1, 300, (how.rows, how.tokens))
    mask = torch.ones_like(ids)
    if how.rows > 1:
        mask[0, -5:] = 0  # rows of unequal length
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=how.bf16),
    ):
        (model.get_decoder() if backbone else model)(input_ids=ids, attention_mask=mask)
    return storage_bytes(kept.values())


def a_step(model):
    """One step of AdamW, all weights with gradients."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    model(input_ids=torch.ones(1, 3, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    return optimizer


def state_of(model, optimizer):
    moments = [t for state in optimizer.state.values() for name, t in state.items() if name != "step"]
    return {
        "weights": storage_bytes(model.parameters()),
        "gradients": storage_bytes([p.grad for p in model.parameters() if p.grad is not None]),
        "optimizer": storage_bytes(moments),
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_weights_of_a_published_model_are_counted_exactly(name):
    numbers = dict(PUBLISHED[name])
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(numbers.pop("model_type"), **numbers))
    assert model_shape(name).parameters == sum(p.numel() for p in model.parameters())


def test_an_expert_that_a_token_does_not_use_costs_memory_and_no_work():
    config = DeepseekV3Config(
        num_hidden_layers=3, hidden_size=32, n_routed_experts=8, num_experts_per_tok=2, first_k_dense_replace=1
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shape = shape_of(config, "tiny")
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    unused = 2 * (8 - 2) * 3 * 32 * config.moe_intermediate_size  # layers, experts, matrices of each
    embedding, vectors = shape.embedding, shape.norm_weights
    assert shape.active_weights == shape.parameters - unused - embedding - vectors


@pytest.mark.parametrize("build", CONFIGS.values(), ids=CONFIGS)
def test_weights_gradients_and_moments_of_full_training_are_exact(build):
    model = AutoModelForCausalLM.from_config(build())
    assert state_bytes(shape_of(build(), "tiny"), trained()) == state_of(model, a_step(model))


def test_weights_gradients_and_moments_of_lora_are_exact():
    build = CONFIGS["qwen2"]
    model = get_peft_model(
        AutoModelForCausalLM.from_config(build()),
        LoraConfig(task_type="CAUSAL_LM", r=8, target_modules="all-linear"),
    )
    assert state_bytes(shape_of(build(), "tiny"), trained(adapter_rank=8)) == state_of(model, a_step(model))


def test_weights_of_a_reward_model_are_exact():
    config = CONFIGS["qwen2"]()
    config.num_labels = 1
    model = AutoModelForSequenceClassification.from_config(config)
    assert trainable(shape_of(config, "tiny"), trained(has_head=False)) == sum(p.numel() for p in model.parameters())


def test_shares_of_ranks_add_up_to_the_whole():
    shape = shape_of(CONFIGS["qwen2"](), "tiny")
    whole, share = state_bytes(shape, trained()), state_bytes(shape, trained(weight_ranks=4, state_ranks=4))
    assert {name: 4 * value for name, value in share.items()} == whole


def test_four_bits_are_counted_for_linear_weights_only():
    shape = shape_of(CONFIGS["qwen2"](), "tiny")
    saved = [state_bytes(shape, trained(adapter_rank=8, nf4=nf4))["weights"] for nf4 in (False, True)]
    # 2 layers of 64 x 64, 2 of 64 x 32, 64 x 64 and 3 of 64 x 160: 43,008 weights; 4 bytes become 0.515875
    assert saved[0] - saved[1] == round(2 * 43_008 * (4 - 0.515875))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_layer_keeps_for_its_backward_pass_what_the_plan_says(name, bf16, rows):
    build, how = CONFIGS[name], trained(bf16=bf16, rows=rows)
    one, three = (saved_bytes(AutoModelForCausalLM.from_config(build(layers)), how) for layers in (1, 3))
    shape = shape_of(build(1), name)
    said = rows * TOKENS * layer_bytes_per_token(shape, how) + (2 * shape.linear_weights if bf16 else 0)
    assert said == pytest.approx((three - one) / 2, rel=0.05)


@pytest.mark.parametrize("rank", [0, 8], ids=["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_activations_are_within_a_fifth(bf16, checkpointing, rank):
    how = trained(bf16=bf16, checkpointing=checkpointing, adapter_rank=rank)
    model = AutoModelForCausalLM.from_config(CONFIGS["qwen2"](4))
    if rank:
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules="all-linear"))
        if checkpointing:
            model.enable_input_require_grads()  # as the trainer does
        model = model.base_model.model
    shape, kept = shape_of(model.config, "tiny"), saved_bytes(model, how)
    said = activation_bytes(
        shape, Trained(**{name: getattr(how, name) for name in how.__slots__} | {"has_head": False})
    )
    if checkpointing:  # one layer is computed again in the backward pass: what the hooks cannot see in the forward pass
        copies = (0 if rank else 2 * shape.linear_weights) if bf16 else 0
        copies = copies or (2 * shape.linear_weights / shape.layers if bf16 else 0)
        kept += how.rows * how.tokens * layer_bytes_per_token(shape, how) + copies
    assert said == pytest.approx(kept, rel=0.2)


def test_the_cache_of_keys_and_values_is_exact():
    config = CONFIGS["qwen2"]()
    model, cache = AutoModelForCausalLM.from_config(config), DynamicCache(config=config)
    model(input_ids=torch.ones(ROWS, TOKENS, dtype=torch.long), past_key_values=cache)
    kept = storage_bytes([t for layer in cache.layers for t in (layer.keys, layer.values)])
    assert kept == ROWS * TOKENS * cache_bytes_per_token(shape_of(config, "tiny"), 4)


def test_the_shipped_base_model_is_counted_as_it_lies_in_its_file():
    from safetensors import safe_open

    folder = ROOT / "weights" / "tiny-base"
    with safe_open(folder / "model.safetensors", "pt") as file:
        stored = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118 (no dict)
    assert model_shape(str(folder)).parameters == stored


def test_a_model_that_cannot_be_read_is_named_with_what_can_be_given():
    with pytest.raises(
        PlanError, match=r"base.checkpoint: no/such: .* give a local folder, or one of Qwen/Qwen2.5-0.5B"
    ):
        model_shape("no/such", "0" * 40)
