"""Stage 1, first half: the cold-start data.

    stage0_r1_zero + stage0_problems, public sets and files of yours  ->  traces.jsonl

R1-Zero is sampled, what is right and readable is kept and rewritten into the clean format: thought in
the prompt's language, summary, answer; thousands of traces, not millions (DeepSeek-R1,
arXiv:2501.12948v1, section 2.3.1 and v2 appendix B.3.2). Traces of others (ours) must be as readable; nobody grades
them.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from stages.config import StageConfig
from stages.curation.clean_format import clean
from stages.curation.rejection import sample_traces
from stages.curation.trace_filters import Tally, TraceFilter, unreadable
from stages.data.data_files import DataFile, check_labels, on_record, resolve
from stages.data.record_files import check_layouts, iter_record_file
from stages.data.traces import Trace, write_traces
from stages.rollouts.sampler import SamplingSettings
from stages.run import StageRun, run_as_stage


class Config(StageConfig):
    """Block ``stage1_cold_start_data`` of params.yaml."""

    files: tuple[DataFile, ...] = ()
    """Sources of traces to add."""
    num_problems: int = Field(ge=0)
    """Training problems that are sampled, the first ones; 0: only the files."""
    samples: int = Field(gt=0)
    """Completions a problem."""
    sampling: SamplingSettings
    filters: TraceFilter
    rewrite: bool
    """Translate known phrases into the prompt's language and add a summary."""

    @model_validator(mode="after")
    def _files_hold_traces(self) -> Self:
        check_layouts("general", self.files)
        check_labels(self.files)
        return self


def run(config: Config, stage: StageRun, *, policy: Path, problems: Path, out: Path) -> dict[str, float]:
    """Write the traces to ``out``; returns how many completions were kept and refused for what.

    Raises:
        ValueError: fewer traces than ``filters.min_traces`` are left.
    """
    tally = Tally()
    # A mixed thought is translated below, so language may only refuse a trace that stays as it is.
    filters = config.filters.model_copy(update={"min_language": 0.0}) if config.rewrite else config.filters
    traces = sample_traces(
        policy,
        problems / "train.jsonl",
        config.sampling,
        filters,
        tally,
        num_problems=config.num_problems,
        samples=config.samples,
        stage=stage,
    )
    if config.rewrite:
        traces = (replace(trace, completion=clean(trace.completion, trace.language)) for trace in traces)
    of_others = _of_others(config, policy, stage, tally)
    write_traces(chain(traces if config.num_problems else (), of_others), out / "traces.jsonl")
    return tally.counts(config.filters)


def _of_others(config: Config, policy: Path, stage: StageRun, tally: Tally) -> Iterator[Trace]:
    """The readable traces of ``config.files``; their licences go on record."""
    from stages.models.checkpoints import load_tokenizer
    from stages.models.encoding import encode_example

    tokenizer = load_tokenizer(policy)
    for file in config.files:
        source = resolve(file)
        for trace in on_record(iter_record_file(file, source, "general"), source, "cold_start", stage):
            reason = "bad_row"
            if isinstance(trace, Trace):
                too_long = len(encode_example(tokenizer, trace.prompt, trace.completion)[1]) > config.filters.max_tokens
                fault = "too_long" if too_long else unreadable(config.filters, trace.completion, trace.language)
                reason = fault or "kept"
                if fault is None:
                    yield trace
            tally.of_files[reason] += 1


if __name__ == "__main__":
    run_as_stage(Config, run)
