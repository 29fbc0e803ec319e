"""Preference: how often a judge likes a checkpoint's answers better than a baseline's.

    evaluations of all checkpoints + a judge  ->  win_rates.json, verdicts.jsonl

The judge is a reward model of stage 4, or any model behind an OpenAI-compatible endpoint (the paper: GPT-4-Turbo, for
AlpacaEval 2.0 and Arena-Hard, arXiv:2501.12948v1, section 3). It sees completions that ``evaluate`` has sampled, so
another judge costs no sampling. A reward model gives the same files again; an endpoint need not.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from stages.cannot_run import CannotRunError
from stages.config import StageConfig
from stages.evaluation.judges import EndpointJudge, endpoint_judge, read_verdict, reward_model_judge
from stages.evaluation.preference import REFERENCE, Pair, Verdict, flat_scores, make_pairs, summarize_verdicts
from stages.evaluation.records import SCORES_FILE, ScoredCompletion
from stages.evaluation.stage_differences import read_evaluation
from stages.evaluation.statistics import BootstrapSettings
from stages.run import StageRun, run_as_stage

WIN_RATES_FILE, VERDICTS_FILE = "win_rates.json", "verdicts.jsonl"


class Config(StageConfig):
    """Block ``judge`` of params.yaml."""

    reward_model: str | None = None
    """The judge, if it is one: its folder among the reward models of stage 4, or an absolute path."""
    endpoint: EndpointJudge | None = None
    """The judge, if it is a language model elsewhere."""
    baseline: str
    """Label of the evaluation whose completions are the other side, or ``reference``: the problems' own answers."""
    benchmarks: tuple[str, ...] = Field(min_length=1)
    """Whose prompts: kinds of held-out problems, or public benchmarks that were evaluated."""
    pairs_per_problem: int = Field(ge=1)
    """At most so many completions of a problem. AlpacaEval and Arena-Hard: 1."""
    bootstrap: BootstrapSettings

    @model_validator(mode="after")
    def _has_one_judge(self) -> Self:
        if (self.reward_model is None) == (self.endpoint is None):
            raise ValueError("give either reward_model or endpoint")
        return self

    @property
    def judge(self) -> str:
        """As in the report."""
        return str(self.endpoint) if self.endpoint else f"reward model {self.reward_model}"


def run(config: Config, stage: StageRun, *, evaluations: Path, reward_models: Path, out: Path) -> dict[str, float]:
    """Judge every evaluation against the baseline, write win rates and verdicts to ``out``; the win rates flat.

    Raises:
        CannotRunError: the baseline was not evaluated, or there is nothing to judge.
        JudgeError: the endpoint cannot be asked.
        CheckpointError: there is no such reward model.
    """
    found = {
        folder.parent.name: read_evaluation(folder.parent) for folder in sorted(evaluations.glob(f"*/{SCORES_FILE}"))
    }
    pairs = _all_pairs(config, found)
    if config.endpoint:
        judge = endpoint_judge(config.endpoint, stage.work / "answers.jsonl")
    else:
        judge = reward_model_judge(reward_models / str(config.reward_model))
    stage.note(f"{sum(map(len, pairs.values()))} pairs of {len(pairs)} sets, judged by {config.judge}")
    win_rates: dict[str, dict[str, dict[str, float]]] = {}
    with (out / VERDICTS_FILE).open("w", encoding="utf-8") as file:
        for (label, benchmark), chosen in pairs.items():
            verdicts = judge(chosen)
            summary = summarize_verdicts(chosen, verdicts, config.bootstrap, stage.seed)
            win_rates.setdefault(label, {})[benchmark] = summary
            _report_unreadable(stage, f"{label}, {benchmark}", verdicts)
            for pair, verdict in zip(chosen, verdicts, strict=True):
                row = {"label": label, "benchmark": benchmark, **asdict(pair), **asdict(verdict)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    written = {"judge": config.judge, "baseline": config.baseline, "win_rates": win_rates}
    (out / WIN_RATES_FILE).write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return flat_scores(win_rates)


def _all_pairs(config: Config, found: Mapping[str, Sequence[ScoredCompletion]]) -> dict[tuple[str, str], list[Pair]]:
    """(label, benchmark) -> its pairs; the baseline itself is not judged, nor what has no such completions."""
    if config.baseline != REFERENCE and config.baseline not in found:
        raise CannotRunError(
            f"judge.baseline is {config.baseline!r}; evaluated are {', '.join(found)}, and {REFERENCE} is allowed"
        )
    pairs = {}
    for label, records in found.items():
        for benchmark in config.benchmarks if label != config.baseline else ():
            ours, theirs = (
                [one for one in side if one.benchmark == benchmark]
                for side in (records, found.get(config.baseline, ()))
            )
            pairs[label, benchmark] = make_pairs(
                ours, None if config.baseline == REFERENCE else theirs, config.pairs_per_problem
            )
    pairs = {name: chosen for name, chosen in pairs.items() if chosen}
    if not pairs:
        raise CannotRunError(
            f"judge.benchmarks is {list(config.benchmarks)}; no evaluation has a completion to judge there"
        )
    return pairs


def _report_unreadable(stage: StageRun, where: str, verdicts: Sequence[Verdict]) -> None:
    texts = [text for one in verdicts if one.score is None for text in one.said if read_verdict(text) is None]
    if texts:
        stage.warn(f"{where}: {len(texts)} verdicts cannot be read; the first ends {texts[0][-120:]!r}")


if __name__ == "__main__":
    run_as_stage(Config, run, checkpoint=None)
