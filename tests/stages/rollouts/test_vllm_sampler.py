"""The vLLM sampler alone: its engine, its weights, what it leaves of the process, several ranks."""

import json
import multiprocessing
import os
import random
from pathlib import Path

import numpy
import pytest
import torch
import yaml

from stages.contract.launch import meet
from stages.data.chat_format import render_prompt
from stages.data.problems import Problem
from stages.engines import Engines
from stages.evaluation.behaviour import BehaviourSettings
from stages.models.checkpoints import load_policy, load_tokenizer
from stages.rollouts import vllm_sampler
from stages.rollouts.generate import free_sampler, generate_groups, make_sampler
from stages.rollouts.sampler import Completion, SamplingSettings
from stages.run import StageRun
from stages.training.grpo import GRPOSettings, Scored, train_grpo
from stages.training.ranks import deal
from tests.stages.rollouts.sampled import GREEDY, PROMPTS, SAMPLED, SERVER, largest_difference, named, needs_vllm
from tests.stages.training.stage_runs import as_rank, free_port

pytestmark = [pytest.mark.usefixtures("one_thread"), needs_vllm]


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


def test_vllm_samplers_take_turns_in_one_process(checkpoint, tokenizer, prompts):
    models = [load_policy(checkpoint).eval() for _ in range(2)]
    with torch.no_grad():
        models[1].model.layers[0].mlp.down_proj.weight.mul_(2)
    both = [make_sampler(named("vllm"), model, tokenizer) for model in models]
    for place in (0, 1, 0):
        groups = both[place].sample(prompts, group_size=1, settings=SAMPLED, seed=5)
        assert largest_difference(models[place], prompts, groups) < 1e-4
        assert largest_difference(models[1 - place], prompts, groups) > 0.1


@pytest.mark.parametrize("name", ["vllm", pytest.param(SERVER, marks=pytest.mark.slow)])
def test_grpo_trains_lora_on_what_vllm_samples(checkpoint, server_address, tmp_path, name):
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
    engines = Engines(vllm_servers=[server_address()] if name == SERVER else [])
    stage = StageRun(name="test", item=None, seed=0, work=tmp_path, engines=engines)
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


def test_vllm_gets_weights_only_when_they_have_changed(model, prompts, samplers, monkeypatch):
    sampler = samplers("vllm")
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


def test_vllm_takes_no_checkpoint_in_one_of_several_ranks(checkpoint, tokenizer, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="one of several ranks; start the stage alone, or let Ray"):
        make_sampler(named("vllm"), checkpoint, tokenizer)
