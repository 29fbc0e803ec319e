"""What a GRPO run tells about its groups: metrics of every step, and some groups in full.

In: the groups of each rollout with their rewards. Out: ``reward/*``, ``grade/*``, ``completion/*``,
``behaviour/*``, ``word*/*``, ``group/*`` and ``alarm/*`` metrics, and ``groups.jsonl`` for the report. Metrics
only, never rewards.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev, stdev
from typing import TYPE_CHECKING, Any

from stages.data.problems import Problem
from stages.evaluation.behaviour import Behaviour, BehaviourSettings, mean_behaviour, measure_behaviour
from stages.evaluation.words import RATE, word_metrics, words_of
from stages.rewards.grade import Reason
from stages.rollouts.sampler import Completion
from stages.training.dynamic_sampling import EQUAL
from stages.training.ranks import once

if TYPE_CHECKING:
    from stages.training.alarms import AlarmWatch
    from stages.training.grpo import Scored
    from stages.training.grpo_settings import GRPOSettings

TRL_NAMES = {
    "reward": "reward/total",
    "entropy": "completion/entropy",
    "kl": "kl",
    "clip_ratio/region_mean": "clip_share",
    "clip_ratio/low_mean": "clip_share_low",
    "clip_ratio/high_mean": "clip_share_high",
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
}
"""TRL's metric -> ours; its durations are left out, they would differ between two equal runs."""
SHOWN_FIRST = (
    "reward/total",
    "reward/accuracy",
    "reward/format",
    "completion/mean_tokens",
    "search/rejected_tries",
    "completion/entropy",
)
"""What the progress line shows."""
OURS = "ours/"
"""Marks metrics that are ours already on their way through TRL's log."""


class GroupLog:
    """Hands the rewards of groups to TRL and remembers what they looked like."""

    def __init__(
        self,
        problems: Sequence[Problem],
        behaviour: BehaviourSettings,
        path: Path,
        settings: "GRPOSettings",
        watch: "AlarmWatch",
        first_step: int,
    ) -> None:
        """``path`` collects the groups kept in full."""
        self._problems, self._behaviour = problems, behaviour
        self._path, self._settings, self._watch, self._first_step = path, settings, watch, first_step
        self._added: dict[str, float] = {}
        once(self._drop_torn_line)

    def _drop_torn_line(self) -> None:
        """A kill may have torn the last one."""
        if self._path.exists():
            os.truncate(self._path, self._path.read_bytes().rfind(b"\n") + 1)

    def add(self, metrics: Mapping[str, float]) -> None:
        """Metrics of the coming rollout that its groups do not tell."""
        self._added = dict(metrics)

    def reward(
        self,
        prompts: list[str],
        problem: list[int],
        sampled: list[Completion],
        scored: list["Scored"],
        log_metric: Any,
        trainer_state: Any,
        **_: Any,
    ) -> list[float]:
        """The total reward of each completion, in TRL's calling convention."""
        problems = [self._problems[index] for index in problem]
        step = self._first_step + trainer_state.global_step
        metrics = self._added | self.metrics(problems, sampled, scored)
        for name, value in (metrics | self._watch.check(step + 1, metrics)).items():
            log_metric(OURS + name, value)
        if self._settings.is_due(trainer_state.global_step, self._settings.log_group_every_steps):
            size = self._settings.group_size
            gains = advantages([one.total for one in scored], size, self._settings.scale_advantages)
            self._keep(trainer_state.global_step, problems[0], sampled[:size], scored[:size], gains[:size])
        return [one.total for one in scored]

    def metrics(
        self, problems: Sequence[Problem], sampled: Sequence[Completion], scored: Sequence["Scored"]
    ) -> dict[str, float]:
        """Means over one step's completions; a mean over nothing is left out."""
        found: dict[str, float] = {}
        parts = {name for one in scored for name in one.parts}
        for name in sorted(parts):
            found[f"reward/{name}"] = fmean(one.parts[name] for one in scored if name in one.parts)
        lengths = [len(completion.tokens) for completion in sampled]
        right = [one.parts["accuracy"] >= 1 if "accuracy" in one.parts else None for one in scored]
        found["completion/mean_tokens"] = fmean(lengths)
        for name, wanted in (("right", True), ("wrong", False)):  # what nothing verifies is neither
            chosen = [length for length, is_right in zip(lengths, right, strict=True) if is_right is wanted]
            if chosen:
                found[f"completion/mean_tokens_{name}"] = fmean(chosen)
        verified = [one.reason for one in scored if one.reason is not None]
        for reason in (Reason.NO_ANSWER, Reason.UNREADABLE_ANSWER, Reason.TIMEOUT) if verified else ():
            found[f"grade/{reason}"] = verified.count(reason) / len(verified)
        found["group/zero_variance"] = self._zero_variance([one.total for one in scored])
        found["completion/truncated"] = fmean(completion.truncated for completion in sampled)
        return found | self._behaviours(problems, sampled, scored)

    def _zero_variance(self, totals: Sequence[float]) -> float:
        """Share of groups whose rewards are all equal. Ours: TRL compares in fp32 and finds none."""
        size = self._settings.group_size
        groups = [totals[first : first + size] for first in range(0, len(totals), size)]
        return fmean(max(group) - min(group) < EQUAL for group in groups)

    def _behaviours(
        self, problems: Sequence[Problem], sampled: Sequence[Completion], scored: Sequence["Scored"]
    ) -> dict[str, float]:
        measured = [self._measure(*one) for one in zip(problems, sampled, strict=True)]
        mean = mean_behaviour(measured, self._behaviour)
        found = {
            "behaviour/tries": mean.tries,
            "behaviour/rejected_tries": mean.rejected_tries,
            "behaviour/self_checks": mean.self_checks,
            "behaviour/backtracks": mean.backtracks,
            "behaviour/alternatives": mean.alternatives,
            "behaviour/reflective_words": sum(mean.reflective_words.values()),
            "behaviour/repetition": mean.repetition,
            "behaviour/language_mixing": mean.language_mixing,
            "behaviour/format": mean.format_correct,
        }
        found |= {RATE + word: rate for word, rate in mean.reflective_words.items()}
        verified = [
            (one, score.parts["accuracy"])
            for one, score in zip(measured, scored, strict=True)
            if "accuracy" in score.parts
        ]
        facts = words_of([one for one, _ in verified], [accuracy for _, accuracy in verified], self._behaviour)
        return found | word_metrics(facts) | self._search(problems, measured)

    def _measure(self, problem: Problem, completion: Completion) -> Behaviour:
        return measure_behaviour(
            completion.text,
            prompt=problem.prompt,
            tokens=len(completion.tokens),
            truncated=completion.truncated,
            language=problem.language,
            settings=self._behaviour,
        )

    def _search(self, problems: Sequence[Problem], measured: Sequence[Behaviour]) -> dict[str, float]:
        """The means over problems that need a search; nothing without any."""
        search = [
            one
            for one, problem in zip(measured, problems, strict=True)
            if problem.source in self._behaviour.search_sources
        ]
        if not search:
            return {}
        return {
            "search/rejected_tries": fmean(one.rejected_tries for one in search),
            "search/mean_tokens": fmean(one.tokens for one in search),
        }

    def _keep(
        self,
        step: int,
        problem: Problem,
        group: Sequence[Completion],
        scored: Sequence["Scored"],
        gains: Sequence[float],
    ) -> None:
        totals = [one.total for one in scored]
        mean, spread = fmean(totals), pstdev(totals)
        row = {
            "step": self._first_step + step,
            "problem_id": problem.id,
            "prompt": problem.prompt,
            "reward_mean": mean,
            "reward_std": spread,
            "completions": [
                {
                    "text": completion.text,
                    "tokens": len(completion.tokens),
                    "truncated": completion.truncated,
                    "reward": one.total,
                    "advantage": gain,
                    "parts": one.parts,
                }
                for completion, one, gain in zip(group, scored, gains, strict=True)
            ],
        }
        once(lambda: self._append(json.dumps(row, ensure_ascii=False)))

    def _append(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def publish(self, path: Path) -> None:
        """Copy the kept groups to ``path``; steps done again after a resume count once, the last time."""
        rows = {}
        for line in self._path.read_text(encoding="utf-8").splitlines():
            rows[json.loads(line)["step"]] = line
        lines = [rows[step] for step in sorted(rows)]
        once(lambda: path.write_text("\n".join(lines) + "\n", encoding="utf-8"))


def advantages(totals: Sequence[float], size: int, scale: str) -> list[float]:
    """TRL's advantages of the rewards ``totals``, ``size`` of them a group; 0.0 where all of a group are equal.

    The reward minus the group's mean, divided by the standard deviation (with Bessel's correction, plus 1e-4) of the
    ``group``, of the whole ``batch``, or by nothing (``none``).
    """
    found: list[float] = []
    for first in range(0, len(totals), size):
        group = totals[first : first + size]
        mean, equal = fmean(group), max(group) - min(group) < EQUAL
        by = 1.0 if scale == "none" else stdev(group if scale == "group" else totals) + 1e-4
        found += [0.0 if equal else (total - mean) / by for total in group]
    return found


def name_group_metrics(logs: Mapping[str, Any]) -> dict[str, float]:
    """TRL's log under our names, ours without their mark, the ones people read first in front."""
    ours = {name.removeprefix(OURS): float(value) for name, value in logs.items() if name.startswith(OURS)}
    theirs = {TRL_NAMES[name]: float(value) for name, value in logs.items() if name in TRL_NAMES and value is not None}
    found = theirs | ours
    return {name: found[name] for name in (*SHOWN_FIRST, *found) if name in found}


def steps_with_groups(curves: Mapping[int, Mapping[str, float]]) -> dict[int, Mapping[str, float]]:
    """``curves`` without the steps on completions that were sampled before an earlier step."""
    return {step: row for step, row in curves.items() if "group/zero_variance" in row}
