"""The vLLM sampler over servers: whose weights are sampled, what a lost server does, what a wrong one is told.

That it draws as the others do is in ``test_samplers_agree.py``.
"""

import http.server
import importlib.util
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from stages.models.checkpoints import load_policy, save_checkpoint
from stages.rollouts import vllm_server
from stages.rollouts.generate import make_sampler
from stages.rollouts.vllm_server_sampler import VllmServerSampler
from tests.stages.rollouts.sampled import GREEDY, SAMPLED, SERVER, largest_difference, named, needs_vllm
from tests.stages.rollouts.served import started_server
from tests.stages.training.stage_runs import free_port

pytestmark = pytest.mark.usefixtures("one_thread")


@needs_vllm
@pytest.mark.slow
def test_a_server_draws_what_an_engine_in_the_process_draws(prompts, samplers, model):
    # 70 completions are two requests, and eight of them are told by their seeds alone.
    ours, theirs = (
        samplers(name).sample(prompts, group_size=70, settings=SAMPLED, seed=8) for name in ("vllm", SERVER)
    )
    assert [[one.tokens for one in group] for group in ours] == [[one.tokens for one in group] for group in theirs]


@needs_vllm
@pytest.mark.slow
def test_weights_travel_only_when_they_have_changed(checkpoint, new_sampler, prompts):
    model = load_policy(checkpoint).eval()
    sampler = new_sampler(SERVER, model)
    sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=5)
    (written,) = sampler._folder.glob("*.safetensors")
    before = written.stat().st_mtime_ns, sampler._version
    sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=6)
    assert (written.stat().st_mtime_ns, sampler._version) == before
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    groups = sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=6)
    assert (written.stat().st_mtime_ns, sampler._version) != before
    assert largest_difference(model, prompts, groups) < 1e-4
    sampler.close()
    assert not written.exists()
    assert sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=6) == groups


@needs_vllm
@pytest.mark.slow
def test_two_stages_that_share_a_server_each_sample_their_own_weights(checkpoint, new_sampler, prompts):
    models = [load_policy(checkpoint).eval() for _ in range(2)]
    with torch.no_grad():
        models[1].model.layers[0].mlp.down_proj.weight.mul_(2)
    both = [new_sampler(SERVER, model) for model in models]

    def rounds(place: int) -> list[float]:
        drawn = [both[place].sample(prompts, group_size=4, settings=SAMPLED, seed=seed) for seed in range(6)]
        return [largest_difference(models[place], prompts, groups) for groups in drawn]

    with ThreadPoolExecutor(2) as threads:
        differences = list(threads.map(rounds, range(2)))
    assert max(map(max, differences)) < 1e-4
    assert both[0]._version != both[1]._version


@needs_vllm
@pytest.mark.slow
def test_a_server_that_was_started_again_gets_the_weights_again(checkpoint, new_sampler, server, prompts):
    model = load_policy(checkpoint).eval()
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(2)
    sampler = new_sampler(SERVER, model)
    before = sampler.sample(prompts, group_size=2, settings=GREEDY, seed=0)
    server.stop()
    with pytest.raises(ValueError, match=f"{server.address} does not answer .*start it .*goes on where it was"):
        sampler.sample(prompts, group_size=2, settings=GREEDY, seed=0)
    server.start()
    assert sampler.sample(prompts, group_size=2, settings=GREEDY, seed=0) == before
    assert largest_difference(model, prompts, before, temperature=0.0) < 1e-4


@needs_vllm
@pytest.mark.slow
def test_the_first_server_of_the_policys_shape_is_taken(checkpoint, tokenizer, prompts, server_address, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(checkpoint)
    config.intermediate_size, config.rope_parameters = 64, {"rope_theta": 5000.0, "rope_type": "default"}
    other = AutoModelForCausalLM.from_config(config).eval()
    save_checkpoint(other, tokenizer, tmp_path / "other")
    with pytest.raises(ValueError, match=r"intermediate_size is 96, not 64; .*rope_parameters.*start one"):
        make_sampler(named(SERVER), tmp_path / "other", tokenizer, servers=[server_address()]).sample(
            prompts, group_size=1, settings=SAMPLED, seed=0
        )
    with started_server(tmp_path / "other") as second:
        sampler = make_sampler(named(SERVER), tmp_path / "other", tokenizer, servers=[server_address(), second.address])
        groups = sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=0)
    assert largest_difference(other, prompts, groups) < 1e-4


@pytest.mark.parametrize("options", [("--data-parallel-size", "2"), ("--tensor-parallel-size", "2")])
@needs_vllm
@pytest.mark.slow
def test_engines_of_one_server_all_get_the_weights(options, tmp_path, checkpoint, tokenizer, prompts):
    model = load_policy(checkpoint).eval()
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(2)
    with started_server(checkpoint, *options) as server:
        sampler = VllmServerSampler(model, tokenizer, [server.address], tmp_path / "weights")
        groups = sampler.sample(prompts * 4, group_size=4, settings=SAMPLED, seed=0)
    assert largest_difference(model, prompts * 4, groups) < 1e-4


class NotVllm(http.server.BaseHTTPRequestHandler):
    """Answers 404 to everything."""

    def do_POST(self) -> None:
        self.send_error(404, "no such thing here")

    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


def test_another_program_at_the_address_is_named(checkpoint, tokenizer, prompts):
    with http.server.HTTPServer(("127.0.0.1", 0), NotVllm) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{other.server_port}"
        sampler = make_sampler(named(SERVER), checkpoint, tokenizer, servers=[address])
        with pytest.raises(ValueError, match=f"{address}/collective_rpc answered 404.*started by make vllm-server"):
            sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=0)
        other.shutdown()


def test_auto_asks_the_servers_there_are_and_needs_no_vllm_here(checkpoint, tokenizer, prompts, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    address = f"http://127.0.0.1:{free_port()}"
    sampler = make_sampler(named("auto"), checkpoint, tokenizer, servers=[address])
    with pytest.raises(ValueError, match=f"{address} does not answer .*ConnectError"):
        sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=0)


def test_a_later_rank_does_not_sample(checkpoint, tokenizer, prompts, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    address = f"http://127.0.0.1:{free_port()}"
    sampler = make_sampler(named(SERVER), checkpoint, tokenizer, servers=[address])
    with pytest.raises(ValueError, match="one rank alone samples .*shard_prompts"):
        sampler.sample(prompts, group_size=1, settings=SAMPLED, seed=0)


@needs_vllm
@pytest.mark.slow
def test_a_folder_that_the_server_does_not_see_is_named(server_address):
    assert vllm_server.misfits(server_address(), "/nowhere") == ["the server does not see /nowhere"]
