r"""The public benchmarks: where each lies, how it is asked and how it is graded. Data only.

In: nothing. Out: ``CATALOGUE``, one entry a benchmark; ``public_benchmarks.py`` loads them.

k is the paper's where it gives one: 64 completions (AIME, GPQA), 16 (MATH-500, Codeforces), 8 (LiveCodeBench), at
temperature 0.6, top-p 0.95 and at most 32,768 tokens, all zero-shot (arXiv:2501.12948v2, appendix D.1). Where it gives
none, k is ours: 8, and 1 for MMLU, whose 14,042 problems make an interval of about one point by themselves.

The math prompt ends in the sentence that the README of deepseek-ai/DeepSeek-R1 recommends; the other prompts are ours.
Commits of data sets were read in public code that pins them; none could be checked against the hub from here.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.data.hub import HubSource
from stages.data.layouts import LayoutName
from stages.data.problems import Grader
from stages.rewards.sandbox.programs import WALL_SECONDS

PROMPT = "{prompt}"
"""Where the problem's own text stands in a template; other braces in it mean themselves."""

BenchmarkName = Literal[
    "aime_2024", "aime_2025", "math_500", "gsm8k", "gpqa_diamond", "mmlu", "livecodebench", "codeforces", "humaneval",
    "mbpp", "ifeval", "alpaca_eval",
]  # fmt: skip


class RowRange(BaseModel):
    """Rows to keep: those with ``first <= column < end``; text is compared as text, so dates as 2024-08-01."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    first: int | str
    end: int | str

    def __contains__(self, value: object) -> bool:
        """Whether ``value``, read as what ``first`` is, lies in the range; ValueError if it is no such thing."""
        if isinstance(self.first, int) and isinstance(self.end, int):
            return self.first <= int(str(value)) < self.end
        return str(self.first) <= str(value) < str(self.end)

    def __str__(self) -> str:
        """As a condition."""
        return f"{self.first} <= {self.column} < {self.end}"


class Benchmark(BaseModel):
    """One public benchmark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    source: HubSource
    layout: LayoutName
    rename: dict[str, str] = Field(default_factory=dict)
    keep: RowRange | None = None
    """Which rows belong to the benchmark, if not all."""
    prompt: str
    """The template of the prompt; it holds ``{prompt}``."""
    grader: Grader
    k: int = Field(ge=1)
    temperature: float = 0.6
    top_p: float = 0.95
    max_tokens: int = 32_768
    program_seconds: float = WALL_SECONDS
    """Wall time of one run of a program: one standard input, or all calls of a function together."""
    licence: str


_MATH = PROMPT + "\n\nPlease reason step by step, and put your final answer within \\boxed{}."
_CHOICE = (
    "Answer this multiple-choice question. Think step by step, then end with a line of the form "
    "'Answer: X', where X is the letter of the right choice.\n\n" + PROMPT
)
_CODE = (
    PROMPT + "\n\nThink step by step, then give the program in one block that starts with ```python and ends with ```."
)

CATALOGUE: dict[BenchmarkName, Benchmark] = {
    "aime_2024": Benchmark(
        title="AIME 2024",
        source=HubSource(
            dataset="HuggingFaceH4/aime_2024",
            revision="2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
            split="train",
        ),
        layout="math",
        prompt=_MATH,
        grader="math",
        k=64,
        licence="problems by the MAA; no licence is stated",
    ),
    "aime_2025": Benchmark(
        title="AIME 2025",
        source=HubSource(
            dataset="opencompass/AIME2025",
            revision="a6ad95f611d72cf628a80b58bd0432ef6638f958",
            files=("aime2025-I.jsonl", "aime2025-II.jsonl"),
        ),
        layout="math",
        rename={"question": "problem"},
        prompt=_MATH,
        grader="math",
        k=64,
        licence="MIT (data set); problems by the MAA",
    ),
    "math_500": Benchmark(
        title="MATH-500",
        source=HubSource(
            dataset="HuggingFaceH4/MATH-500",
            revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
            files=("test.jsonl",),
        ),
        layout="math",
        prompt=_MATH,
        grader="math",
        k=16,
        licence="MIT (Hendrycks et al., arXiv:2103.03874; the 500 of prm800k)",
    ),
    "gsm8k": Benchmark(
        title="GSM8K",
        source=HubSource(
            dataset="openai/gsm8k", revision="e53f048856ff4f594e959d75785d2c2d37b678ee", config="main", split="test"
        ),
        layout="gsm8k",
        prompt=_MATH,
        grader="math",
        k=8,
        licence="MIT",
    ),
    "gpqa_diamond": Benchmark(
        title="GPQA Diamond",
        source=HubSource(
            dataset="Idavidrein/gpqa",
            revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd",
            files=("gpqa_diamond.csv",),
            gated=True,
        ),
        layout="gpqa",
        prompt=_CHOICE,
        grader="choice",
        k=64,
        licence="CC BY 4.0; its authors ask that the questions be shown nowhere in plain text",
    ),
    "mmlu": Benchmark(
        title="MMLU",
        source=HubSource(dataset="cais/mmlu", revision="c30699e8356da336a370243923dbaf21066bb9fe", config="all"),
        layout="choices",
        prompt=_CHOICE,
        grader="choice",
        k=1,
        licence="MIT",
    ),
    "livecodebench": Benchmark(
        title="LiveCodeBench (2024-08 to 2025-01)",
        source=HubSource(
            dataset="livecodebench/code_generation_lite",
            revision="0fe84c3912ea0c4d4a78037083943e8f0c4dd505",
            files=("test4.jsonl", "test5.jsonl"),  # releases 4 and 5: all problems after July 2024, to January 2025
        ),
        layout="livecodebench",
        keep=RowRange(column="contest_date", first="2024-08-01", end="2025-02-01"),
        prompt=_CODE,
        grader="code",
        k=8,
        program_seconds=6.0,  # of its own judge, for each test
        licence="CC; problems by AtCoder, LeetCode and Codeforces",
    ),
    "codeforces": Benchmark(
        title="Codeforces (rating by maximum likelihood)",
        source=HubSource(dataset="open-r1/codeforces", revision=None, split="test"),
        layout="codeforces",
        prompt=_CODE,
        grader="code",
        k=16,
        program_seconds=6.0,  # ours: its limits of 1 to 3 s are for compiled languages
        licence="CC BY 4.0; problems by Codeforces",
    ),
    "humaneval": Benchmark(
        title="HumanEval",
        source=HubSource(
            dataset="openai/openai_humaneval",
            revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
            config="openai_humaneval",
        ),
        layout="humaneval",
        prompt=_CODE,
        grader="code",
        k=8,
        licence="MIT",
    ),
    "mbpp": Benchmark(
        title="MBPP (test, tasks 11 to 510)",
        source=HubSource(
            dataset="google-research-datasets/mbpp",
            revision="4bb6404fdc6cacfda99d4ac4205087b89d32030c",
            config="full",
        ),
        layout="mbpp",
        keep=RowRange(column="task_id", first=11, end=511),
        prompt=_CODE,
        grader="code",
        k=8,
        licence="CC BY 4.0",
    ),
    "ifeval": Benchmark(
        title="IFEval (prompt, strict)",
        source=HubSource(
            dataset="google/IFEval",
            revision="966cd89545d6b6acfd7638bc708b98261ca58e84",
            files=("ifeval_input_data.jsonl",),
        ),
        layout="ifeval",
        prompt=PROMPT,
        grader="instruction",
        k=8,
        licence="Apache-2.0",
    ),
    "alpaca_eval": Benchmark(
        title="AlpacaEval 2.0",
        source=HubSource(
            dataset="tatsu-lab/alpaca_eval",
            revision=None,
            files=("alpaca_eval_gpt4_baseline.json",),  # with the answers of GPT-4-Turbo, the baseline of version 2.0
        ),
        layout="instructions",
        prompt=PROMPT,
        grader="preference",
        k=1,
        licence="CC BY-NC 4.0",
    ),
}
