r"""The public benchmarks: how each is asked and how it is graded. Data only.

In: nothing. Out: ``CATALOGUE``, one entry a benchmark; ``public_benchmarks.py`` loads them.

k is the paper's where it gives one: 64 completions (AIME, GPQA), 16 (MATH-500, Codeforces), 8 (LiveCodeBench), at
temperature 0.6, top-p 0.95 and at most 32,768 tokens, all zero-shot (arXiv:2501.12948v2, appendix D.1). Where it gives
none, k is ours: 8, and 1 for MMLU, whose 14,042 problems make an interval of about one point by themselves.

The math prompt ends in the sentence that the README of deepseek-ai/DeepSeek-R1 recommends; the other prompts are ours.
Where they lie and what their columns are stands in ``data/public_sets.py``.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.data.problems import Grader
from stages.data.public_sets import PUBLIC_SETS, PublicSet
from stages.rewards.sandbox.programs import WALL_SECONDS

PROMPT = "{prompt}"
"""Where the problem's own text stands in a template; other braces in it mean themselves."""

BenchmarkName = Literal[
    "aime_2024", "aime_2025", "math_500", "gsm8k", "gpqa_diamond", "mmlu", "livecodebench", "codeforces", "humaneval",
    "mbpp", "ifeval", "alpaca_eval",
]  # fmt: skip


class Benchmark(BaseModel):
    """One public benchmark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    rows: PublicSet
    prompt: str
    """The template of the prompt; it holds ``{prompt}``."""
    grader: Grader
    k: int = Field(ge=1)
    temperature: float = 0.6
    top_p: float = 0.95
    max_tokens: int = 32_768
    program_seconds: float = WALL_SECONDS
    """Wall time of one run of a program: one standard input, or all calls of a function together."""


_MATH = PROMPT + "\n\nPlease reason step by step, and put your final answer within \\boxed{}."
_CHOICE = (
    "Answer this multiple-choice question. Think step by step, then end with a line of the form "
    "'Answer: X', where X is the letter of the right choice.\n\n" + PROMPT
)
_CODE = (
    PROMPT + "\n\nThink step by step, then give the program in one block that starts with ```python and ends with ```."
)

CATALOGUE: dict[BenchmarkName, Benchmark] = {
    "aime_2024": Benchmark(title="AIME 2024", rows=PUBLIC_SETS["aime_2024"], prompt=_MATH, grader="math", k=64),
    "aime_2025": Benchmark(title="AIME 2025", rows=PUBLIC_SETS["aime_2025"], prompt=_MATH, grader="math", k=64),
    "math_500": Benchmark(title="MATH-500", rows=PUBLIC_SETS["math_500"], prompt=_MATH, grader="math", k=16),
    "gsm8k": Benchmark(title="GSM8K", rows=PUBLIC_SETS["gsm8k_test"], prompt=_MATH, grader="math", k=8),
    "gpqa_diamond": Benchmark(
        title="GPQA Diamond", rows=PUBLIC_SETS["gpqa_diamond"], prompt=_CHOICE, grader="choice", k=64
    ),
    "mmlu": Benchmark(title="MMLU", rows=PUBLIC_SETS["mmlu"], prompt=_CHOICE, grader="choice", k=1),
    "livecodebench": Benchmark(
        title="LiveCodeBench (2024-08 to 2025-01)",
        rows=PUBLIC_SETS["livecodebench"],
        prompt=_CODE,
        grader="code",
        k=8,
        program_seconds=6.0,  # of its own judge, for each test
    ),
    "codeforces": Benchmark(
        title="Codeforces (rating by maximum likelihood)",
        rows=PUBLIC_SETS["codeforces"],
        prompt=_CODE,
        grader="code",
        k=16,
        program_seconds=6.0,  # ours: its limits of 1 to 3 s are for compiled languages
    ),
    "humaneval": Benchmark(title="HumanEval", rows=PUBLIC_SETS["humaneval"], prompt=_CODE, grader="code", k=8),
    "mbpp": Benchmark(title="MBPP (test, tasks 11 to 510)", rows=PUBLIC_SETS["mbpp"], prompt=_CODE, grader="code", k=8),
    "ifeval": Benchmark(
        title="IFEval (prompt, strict)", rows=PUBLIC_SETS["ifeval"], prompt=PROMPT, grader="instruction", k=8
    ),
    "alpaca_eval": Benchmark(
        title="AlpacaEval 2.0", rows=PUBLIC_SETS["alpaca_eval"], prompt=PROMPT, grader="preference", k=1
    ),
}
