"""Published scores of the paper's models on public benchmarks, to stand beside one's own. Data only, in percent.

In: nothing. Out: ``PUBLISHED``, one record a model in the order of the tables; ``published_score`` reads it.

Sources: ``README`` is that of github.com/deepseek-ai/DeepSeek-R1, read there (commit 00f3296a), which has the tables of
arXiv:2501.12948v1: pass@1 with at most 32,768 tokens at temperature 0.6 and top-p 0.95. ``v1`` is that paper's text,
``v2`` table 3 of arXiv:2501.12948v2 (the stages); both were read in third-party copies, the publisher's pages were not.
Where the README's two tables differ (LiveCodeBench of GPT-4o and Claude 3.5: 34.2 and 33.8 in the main one, 32.9 and
38.9 beside the distilled models) the main one's figure stands here.

Codeforces is left out: the paper's rating is one of contests with their standings, ours one of solved problems.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stages.evaluation.catalogue import BenchmarkName

Source = Literal["README", "v1", "v2"]
Measure = Literal["accuracy", "consensus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """A model with its published scores."""

    name: str
    source: Source
    accuracy: Mapping[BenchmarkName, float]
    """pass@1; IFEval is prompt-level strict accuracy."""
    consensus: Mapping[BenchmarkName, float]
    """cons@64."""


def _model(  # the columns of the paper's tables
    name: str,
    source: Source,
    *,
    aime: float,
    math: float,
    gpqa: float,
    code: float | None,
    mmlu: float | None = None,
    ifeval: float | None = None,
    aime_consensus: float | None = None,
) -> PublishedModel:
    columns: dict[BenchmarkName, float | None] = {
        "aime_2024": aime,
        "math_500": math,
        "gpqa_diamond": gpqa,
        "livecodebench": code,
        "mmlu": mmlu,
        "ifeval": ifeval,
    }
    return PublishedModel(
        name=name,
        source=source,
        accuracy={column: value for column, value in columns.items() if value is not None},
        consensus={} if aime_consensus is None else {"aime_2024": aime_consensus},
    )


PUBLISHED = (
    _model("DeepSeek-R1-Zero", "v2", aime=77.9, math=95.9, gpqa=75.8, code=50.0, ifeval=46.6),
    _model("DeepSeek-R1-Zero (v1)", "v1", aime=71.0, math=95.9, gpqa=73.3, code=50.0, aime_consensus=86.7),
    _model("DeepSeek-R1-Dev1", "v2", aime=59.0, math=94.2, gpqa=66.1, code=57.5, ifeval=71.7),
    _model("DeepSeek-R1-Dev2", "v2", aime=74.0, math=95.9, gpqa=70.7, code=63.5, ifeval=72.0),
    _model("DeepSeek-R1-Dev3", "v2", aime=78.1, math=95.4, gpqa=71.2, code=64.6, ifeval=78.1),
    _model("DeepSeek-R1", "README", aime=79.8, math=97.3, gpqa=71.5, code=65.9, mmlu=90.8, ifeval=83.3),
    _model(
        "R1-Distill-Qwen-1.5B", "README", aime=28.9, math=83.9, gpqa=33.8, code=16.9, aime_consensus=52.7
    ),
    _model("R1-Distill-Qwen-7B", "README", aime=55.5, math=92.8, gpqa=49.1, code=37.6, aime_consensus=83.3),
    _model("R1-Distill-Qwen-14B", "README", aime=69.7, math=93.9, gpqa=59.1, code=53.1, aime_consensus=80.0),
    _model("R1-Distill-Qwen-32B", "README", aime=72.6, math=94.3, gpqa=62.1, code=57.2, aime_consensus=83.3),
    _model("R1-Distill-Llama-8B", "README", aime=50.4, math=89.1, gpqa=49.0, code=39.6, aime_consensus=80.0),
    _model("R1-Distill-Llama-70B", "README", aime=70.0, math=94.5, gpqa=65.2, code=57.5, aime_consensus=86.7),
    _model("R1-Zero-Qwen-32B", "v1", aime=47.0, math=91.6, gpqa=55.0, code=40.2, aime_consensus=60.0),
    _model("OpenAI o1-1217", "README", aime=79.2, math=96.4, gpqa=75.7, code=63.4, mmlu=91.8),
    _model(
        "OpenAI o1-mini", "README",
        aime=63.6, math=90.0, gpqa=60.0, code=53.8, mmlu=85.2, ifeval=84.8, aime_consensus=80.0,
    ),
    _model(
        "GPT-4o-0513", "README",
        aime=9.3, math=74.6, gpqa=49.9, code=34.2, mmlu=87.2, ifeval=84.3, aime_consensus=13.4,
    ),
    _model(
        "Claude-3.5-Sonnet-1022", "README",
        aime=16.0, math=78.3, gpqa=65.0, code=33.8, mmlu=88.3, ifeval=86.5, aime_consensus=26.7,
    ),
    _model("DeepSeek-V3", "README", aime=39.2, math=90.2, gpqa=59.1, code=None, mmlu=88.5, ifeval=86.1),
)  # fmt: skip


def published_score(model: PublishedModel, benchmark: BenchmarkName, measure: Measure) -> float | None:
    """The published score in percent; None where there is none."""
    return (model.accuracy if measure == "accuracy" else model.consensus).get(benchmark)
