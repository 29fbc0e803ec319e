"""The native sampler against transformers' own forward pass and ``generate``."""

import copy
from collections import Counter
from pathlib import Path

import pytest
import torch

from stages.data.chat_format import render_prompt
from stages.models.checkpoints import load_policy, load_tokenizer
from stages.rollouts.generate import make_sampler
from stages.rollouts.native import draw
from stages.rollouts.sampler import Completion, SamplingSettings
from stages.training.lora import LoraSettings, wrap_with_lora

SAMPLED = SamplingSettings(sampler="native", temperature=1.0, top_p=1.0, max_tokens=24, batch_prompts=2)
PROMPTS = ("What is 1 + 2?", "7 + 8?", "What is 9 + 9, and why?")


@pytest.fixture(scope="module")
def policy(tiny_checkpoint: Path):
    """A random model whose layers outweigh its embeddings: greedy choices are no ties and no repetitions."""
    model = load_policy(tiny_checkpoint).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            if parameter.dim() == 2:
                parameter.mul_(12)
        for name, parameter in model.named_parameters():
            if "norm" in name:  # new ones are all 1: as good as not there
                parameter.uniform_(0.5, 1.5, generator=generator)
    return model, load_tokenizer(tiny_checkpoint)


def encoded(tokenizer) -> list[list[int]]:
    return [tokenizer(render_prompt(tokenizer, prompt), add_special_tokens=False).input_ids for prompt in PROMPTS]


def assert_logprobs_are_the_models(groups: list[list[Completion]], prompts: list[list[int]], model) -> None:
    for prompt, group in zip(prompts, groups, strict=True):
        for completion in group:
            with torch.inference_mode():
                logits = model(torch.tensor([[*prompt, *completion.tokens]])).logits[0, len(prompt) - 1 : -1]
            expected = torch.log_softmax(logits, -1).gather(1, torch.tensor(completion.tokens)[:, None])[:, 0]
            assert torch.allclose(expected, torch.tensor(completion.logprobs), atol=1e-4)


def test_logprobs_are_those_of_the_models_own_forward_pass(policy):
    model, tokenizer = policy
    prompts = encoded(tokenizer)
    groups = make_sampler(SAMPLED, model, tokenizer).sample(prompts, group_size=3, settings=SAMPLED, seed=5)
    assert_logprobs_are_the_models(groups, prompts, model)


def test_rows_that_go_on_keep_their_own_past_when_others_end(policy):
    model, tokenizer = policy
    prompts = encoded(tokenizer)
    ends_often = copy.deepcopy(tokenizer)
    drawn = make_sampler(SAMPLED, model, tokenizer).sample(prompts, group_size=16, settings=SAMPLED, seed=5)
    used_by = Counter(token for group in drawn for one in group for token in set(one.tokens[2:]))
    ends_often.eos_token = tokenizer.convert_ids_to_tokens(used_by.most_common(1)[0][0])
    settings = SAMPLED.model_copy(update={"batch_prompts": 3, "max_tokens": 80})
    groups = make_sampler(settings, model, ends_often).sample(prompts, group_size=16, settings=settings, seed=5)
    lengths = Counter(len(one.tokens) for group in groups for one in group)
    assert 1 < lengths[settings.max_tokens] < 40  # of 48: some go on to the end, and some left the batch before
    assert_logprobs_are_the_models(groups, prompts, model)


def test_a_model_in_training_with_lora_is_sampled_with_its_adapters(tiny_checkpoint):
    model, tokenizer = load_policy(tiny_checkpoint).eval(), load_tokenizer(tiny_checkpoint)
    sampler, prompts = make_sampler(SAMPLED, model, tokenizer), encoded(load_tokenizer(tiny_checkpoint))
    before = sampler.sample(prompts, group_size=3, settings=SAMPLED, seed=5)
    lora = LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules=("q_proj", "o_proj", "up_proj", "down_proj"))
    wrapped = wrap_with_lora(model, lora, "CAUSAL_LM").eval()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator)
    groups = sampler.sample(prompts, group_size=3, settings=SAMPLED, seed=5)
    assert groups != before
    assert_logprobs_are_the_models(groups, prompts, wrapped)


def test_greedy_completions_are_those_of_transformers_generate(policy):
    model, tokenizer = policy
    greedy = SAMPLED.model_copy(update={"temperature": 0.0})
    reference = greedy.model_copy(update={"sampler": "transformers"})
    ours, theirs = (
        make_sampler(settings, model, tokenizer).sample(encoded(tokenizer), group_size=1, settings=settings, seed=0)
        for settings in (greedy, reference)
    )
    assert [group[0].tokens for group in ours] == [group[0].tokens for group in theirs]
    assert len({group[0].tokens for group in ours}) > 1  # three equal answers would prove little


def test_the_same_seed_gives_the_same_groups_and_another_seed_others(policy):
    model, tokenizer = policy
    sampler = make_sampler(SAMPLED, model, tokenizer)
    first, again, other = (
        sampler.sample(encoded(tokenizer), group_size=2, settings=SAMPLED, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_completion_ends_with_the_end_token_or_is_truncated_at_max_tokens(policy):
    model, tokenizer = policy
    groups = make_sampler(SAMPLED, model, tokenizer).sample(encoded(tokenizer), group_size=16, settings=SAMPLED, seed=3)
    for completion in (completion for group in groups for completion in group):
        ended = completion.tokens[-1] == tokenizer.eos_token_id
        assert completion.truncated != ended
        assert tokenizer.eos_token_id not in completion.tokens[:-1]
        assert ended or len(completion.tokens) == SAMPLED.max_tokens


def test_draw_takes_tokens_as_often_as_their_probability_says():
    # Token 1 has probability 0.25: 20,000 draws give 5,000 with a standard deviation of 61.
    logits = torch.tensor([[0.75, 0.25]]).log().expand(20_000, 2)
    chosen, logprobs = draw(logits, SAMPLED, torch.Generator().manual_seed(0))
    assert abs(int(chosen.sum()) - 5_000) < 300
    assert logprobs[chosen == 1][0].exp().item() == pytest.approx(0.25)


def test_top_p_leaves_only_the_likeliest_tokens_that_reach_it():
    # 0.6 alone does not reach 0.7, 0.6 + 0.3 does; the last token is never drawn.
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log().expand(2_000, 3)
    chosen, _ = draw(logits, SAMPLED.model_copy(update={"top_p": 0.7}), torch.Generator().manual_seed(0))
    assert set(chosen.tolist()) == {0, 1}
