"""The plan of a profile: every stage of it, on the machine of its block ``planning``.

In: a params.yaml that is valid. Out: a ``StagePlan`` for each stage that computes, in the order of the pipeline, and
what does not fit. The counts are upper bounds: no problem is dropped, every trace that may be kept is.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stages.config import load_params, stage_config
from stages.contract.check_params import check_params, stage_names
from stages.planning import counts
from stages.planning.flops import GB
from stages.planning.machine import Planning
from stages.planning.memory import scorers_bytes
from stages.planning.shapes import ModelShape, PlanError, model_shape
from stages.planning.work import Ranks, StagePlan, copied, grpo, sampling, supervised


def plan_profile(path: Path) -> tuple[Planning, list[StagePlan]]:
    """The machine of the profile ``path``, and its stages.

    Raises:
        ParamsError: the profile is not valid.
        PlanError: something cannot be counted; the message names the key.
    """
    check_params(path)
    params = load_params(path)
    configs: dict[str, Any] = {
        name: stage_config(importlib.import_module(f"stages.{name}").Config, name, params, path)
        for name in stage_names()
    }
    machine = stage_config(Planning, "planning", params, path)
    return machine, list(_stages(configs, machine, params.get("engines") or {}))


def _stages(configs: Mapping[str, Any], machine: Planning, engines: Mapping[str, Any]) -> Iterator[StagePlan]:
    """Every stage that computes, in the order of the pipeline."""
    base = _shape(configs["stage0_base_model"].base, "stage0_base_model.base")
    students = {
        name: _shape(student.base, f"stage0_student_model.students.{name}.base")
        for name, student in configs["stage0_student_model"].students.items()
    }
    profile = Profile(configs=configs, machine=machine, engines=engines, base=base)
    yield copied("stage0_base_model", base)
    yield from (copied(f"stage0_student_model@{name}", shape) for name, shape in students.items())
    difficulty = configs["stage0_problems"].difficulty
    if difficulty is not None:
        yield profile.sampled("stage0_problems.difficulty", counts.training_problems(configs), difficulty.samples)
    yield profile.reinforced("stage0_r1_zero")
    yield profile.sampled_problems("stage1_cold_start_data")
    yield profile.fine_tuned("stage1_cold_start_sft", counts.cold_start_traces(configs))
    yield profile.reinforced("stage2_reasoning_rl")
    yield profile.sampled_problems("stage3_rejection_sampling")
    yield profile.fine_tuned("stage3_general_sft", counts.mixed_traces(configs))
    yield profile.reward_models()
    yield profile.reinforced("stage4_general_rl", with_reward_models=True)
    for name, shape in students.items():
        yield profile.distilled(name, shape, counts.mixed_traces(configs))
    yield from profile.evaluations(students)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The blocks of a profile, and the shape of its base model; a method a kind of stage."""

    configs: Mapping[str, Any]
    machine: Planning
    engines: Mapping[str, Any]
    base: ModelShape

    @property
    def _prompt_tokens(self) -> int:
        return self.configs["stage0_problems"].max_prompt_tokens  # type: ignore[no-any-return]

    def _ranks(self, stage: str) -> Ranks:
        """The processes that train ``stage``."""
        launch = (self.engines.get("launch") or {}).get(stage)
        if launch is None:
            return Ranks()
        strategy = launch.get("strategy", "ddp")
        return Ranks(
            count=launch["processes"],
            shares_weights=strategy in ("fsdp2", "zero3"),
            shares_state=strategy in ("fsdp2", "zero2", "zero3"),
        )

    @property
    def _samplers(self) -> int:
        """Devices that sample outside of training."""
        ray = self.engines.get("ray")
        return ray["workers"] if ray and ray.get("gpus") else 1

    @property
    def _served(self) -> bool:
        """Whether ``sampler: vllm`` is a server's, on devices of its own."""
        return bool(self.engines.get("vllm_servers"))

    def sampled(self, key: str, prompts: int, group_size: int, settings: Any = None, shape: Any = None) -> StagePlan:
        """Completions by a checkpoint; ``key`` is the block that has ``sampling``."""
        name, *path = key.split(".")
        block = self.configs[name]
        for part in path:
            block = getattr(block, part)
        return sampling(
            name,
            f"{key}.sampling",
            shape or self.base,
            settings or block.sampling,
            prompts,
            group_size,
            self._prompt_tokens,
            self.machine,
            self._samplers,
            served=self._served,
        )

    def sampled_problems(self, name: str) -> StagePlan:
        """A stage that makes traces of training problems."""
        config = self.configs[name]
        return self.sampled(name, min(config.num_problems, counts.training_problems(self.configs)), config.samples)

    def fine_tuned(self, name: str, traces: float) -> StagePlan:
        """A stage of SFT on the base."""
        settings = self.configs[name].sft
        return supervised(name, f"{name}.sft", self.base, settings, traces, self.machine, self._ranks(name))

    def distilled(self, student: str, shape: ModelShape, traces: float) -> StagePlan:
        """SFT of one student."""
        settings = self.configs["stage5_distillation"].students[student].sft
        key = f"stage5_distillation.students.{student}.sft"
        ranks = self._ranks("stage5_distillation")
        return supervised(f"stage5_distillation@{student}", key, shape, settings, traces, self.machine, ranks)

    def reinforced(self, name: str, *, with_reward_models: bool = False) -> StagePlan:
        """A stage of GRPO; the last one has both reward models beside it and saves halfway."""
        settings = self.configs[name].grpo
        scorers = scorers_bytes(self.base, 2) if with_reward_models else 0
        ranks, served = self._ranks(name), self._served
        plan = grpo(name, self.base, settings, self._prompt_tokens, self.machine, ranks, scorers, served=served)
        halfway = plan.artifact_bytes if with_reward_models else 0
        return replace(plan, work_bytes=plan.work_bytes + halfway)

    def reward_models(self) -> StagePlan:
        """Both reward models, trained one after the other; a pair is two rows."""
        name, config = "stage4_reward_models", self.configs["stage4_reward_models"]
        pairs, labels = counts.preferences(self.configs)
        helpful, safety = (
            supervised(
                name, f"{name}.{part}", self.base, settings, rows, self.machine, self._ranks(name), has_head=False
            )
            for part, settings, rows in (
                ("helpful", _of_pairs(config.helpful), 2 * pairs),
                ("safety", config.safety, labels),
            )
        )
        larger = max((helpful, safety), key=lambda plan: sum(plan.memory.values()))
        return replace(
            larger,
            trained_tokens=helpful.trained_tokens + safety.trained_tokens,
            flops=helpful.flops + safety.flops,
            seconds=helpful.seconds + safety.seconds,
            artifact_bytes=helpful.artifact_bytes + safety.artifact_bytes,
        )

    def evaluations(self, students: Mapping[str, ModelShape]) -> Iterator[StagePlan]:
        """Every checkpoint asked everything, a line for each size of model."""
        config = self.configs["evaluate"]
        held_out = (counts.held_out_problems(self.configs), config.k, config.sampling.max_tokens)
        asked = [held_out, *(row[1:] for row in counts.benchmark_completions(self.configs))]
        owners = [_student_of(folder) for folder in config.checkpoints.values()]
        for owner in dict.fromkeys(owners):
            plans = [
                self.sampled(
                    "evaluate",
                    problems * owners.count(owner),
                    k,
                    config.sampling.model_copy(update={"max_tokens": max_tokens}),
                    students[owner] if owner else self.base,
                )
                for problems, k, max_tokens in asked
                if problems
            ]
            largest = max(plans, key=lambda plan: sum(plan.memory.values()))
            yield replace(
                largest,
                name=f"evaluate ({owners.count(owner)} x {owner or 'base size'})",
                sampled_tokens=sum(plan.sampled_tokens for plan in plans),
                seconds=sum(plan.seconds for plan in plans),
                faults=tuple(dict.fromkeys(fault for plan in plans for fault in plan.faults)),
            )


def _of_pairs(settings: Any) -> Any:
    """The settings in rows: a micro-batch of pairs has two rows each."""
    return settings.model_copy(
        update={"micro_batch_size": 2 * settings.micro_batch_size, "batch_size": 2 * settings.batch_size}
    )


def _student_of(folder: str) -> str | None:
    """The student whose checkpoint lies in ``folder``; None for the base and what is made of it."""
    stage, _, name = folder.partition("/")
    return name if stage in ("stage0_student_model", "stage5_distillation") else None


def _shape(base: Any, key: str) -> ModelShape:
    """The shape of a ``BaseSource``."""
    if base.checkpoint is None:
        raise PlanError(f"{key}.source: {base.source} has no checkpoint whose shape could be read; name one to plan")
    try:
        return model_shape(base.checkpoint, base.revision)
    except PlanError as error:
        raise PlanError(f"{key}.{str(error).removeprefix('base.')}") from error


def faults(machine: Planning, plans: Sequence[StagePlan]) -> list[str]:
    """Why the profile cannot run on its machine, a line each, with the key to change; none if it can."""
    room = machine.memory_gb * (1 - machine.spare_share)
    found = [f"{plan.name}: {fault}" for plan in plans for fault in plan.faults]
    for plan in plans:
        needed = sum(plan.memory.values()) / GB
        if needed > room and not plan.faults:
            part = min(plan.memory, key=lambda name: ("planning." in plan.remedies[name], -plan.memory[name]))
            found.append(
                f"{plan.name}: {needed:.1f} GB on each device, {room:.1f} of {machine.memory_gb:g} may be used; "
                f"{part}: {plan.memory[part] / GB:.1f}; change {plan.remedies[part]}"
            )
        if plan.devices > machine.devices:
            found.append(f"{plan.name}: {plan.devices} processes, planning.devices is {machine.devices}")
    disk = disk_bytes(plans) / GB
    if disk > machine.disk_gb:
        found.append(f"disk: {disk:.0f} GB needed, planning.disk_gb is {machine.disk_gb:g}; use a larger one")
    return found


def disk_bytes(plans: Sequence[StagePlan]) -> float:
    """All artifacts, and the largest work folder beside them; DVC's cache holds links to the same files."""
    return sum(plan.artifact_bytes for plan in plans) + max(plan.work_bytes for plan in plans)
