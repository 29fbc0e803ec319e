"""The public data sets of every stage: where each lies, what a row of it is, under which licence. Data only.

In: nothing. Out: ``PUBLIC_SETS``; ``data_files.py`` opens them, ``evaluation/catalogue.py`` asks the benchmarks among
them. Ids and columns are those of the sets' cards and loading code.

A commit stands here if public code pins it; none could be checked against the hub from here. Where it is None the
user gives one. Licences are what the card or the authors' repository states; parts of a mixture may have
stricter ones.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stages.data.hub import HubSource

SetName = Literal[
    # problems to train on: math, code, STEM multiple choice, logic
    "gsm8k", "math", "dapo_math_17k", "deepscaler", "deepmath_103k", "skywork_or1_math",
    "verifiable_coding_python", "apps", "mbpp_train", "sciq", "arc_challenge", "countdown",
    # benchmarks
    "aime_2024", "aime_2025", "math_500", "gsm8k_test", "gpqa_diamond", "mmlu", "livecodebench", "codeforces",
    "humaneval", "mbpp", "ifeval", "alpaca_eval",
    # traces: cold start, distillation, general
    "openr1_math_220k", "mixture_of_thoughts", "openthoughts_114k", "tulu_3_sft_mixture", "no_robots",
    # preference pairs and safety labels
    "helpsteer3", "ultrafeedback", "skywork_preference", "hh_rlhf", "pku_safe_rlhf", "wildguardmix",
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


class PublicSet(BaseModel):
    """One public data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: HubSource
    layout: str
    """Of ``layouts.py`` (problems) or ``record_layouts.py`` (traces, pairs, labels); it names the columns."""
    rename: dict[str, str] = Field(default_factory=dict)
    """The set's name of a column -> the layout's."""
    keep: RowRange | None = None
    """Which rows belong to it, if not all."""
    licence: str


_MATH_SUBJECTS = (
    "algebra", "counting_and_probability", "geometry", "intermediate_algebra", "number_theory", "prealgebra",
    "precalculus",
)  # fmt: skip
_GSM8K = "e53f048856ff4f594e959d75785d2c2d37b678ee"
_MBPP = "4bb6404fdc6cacfda99d4ac4205087b89d32030c"

PUBLIC_SETS: dict[SetName, PublicSet] = {
    "gsm8k": PublicSet(
        source=HubSource(dataset="openai/gsm8k", revision=_GSM8K, config="main"), layout="gsm8k", licence="MIT"
    ),
    "math": PublicSet(
        source=HubSource(
            dataset="EleutherAI/hendrycks_math",
            revision="21a5633873b6a120296cce3e2df9d5550074f4a3",
            files=tuple(f"{subject}/train-00000-of-00001.parquet" for subject in _MATH_SUBJECTS),
        ),
        layout="math_solution",
        licence="MIT (Hendrycks et al., arXiv:2103.03874)",
    ),
    "dapo_math_17k": PublicSet(
        source=HubSource(
            dataset="open-r1/DAPO-Math-17k-Processed",
            revision="31dd309567e3da778038cc87d868b6097a3ccf68",
            config="all",
        ),
        layout="math",
        rename={"prompt": "problem", "solution": "answer"},
        licence="Apache-2.0 (BytedTsinghua-SIA/DAPO-Math-17k)",
    ),
    "deepscaler": PublicSet(
        source=HubSource(
            dataset="agentica-org/DeepScaleR-Preview-Dataset",
            revision="b6ae8c60f5c1f2b594e2140b91c49c9ad0949e29",
            files=("deepscaler.json",),
        ),
        layout="math",
        licence="MIT; contest problems by their owners",
    ),
    "deepmath_103k": PublicSet(
        source=HubSource(dataset="zwhe99/DeepMath-103K", revision="5cf055d1fe3d7a2eb19719ac020211469736ae44"),
        layout="math",
        rename={"question": "problem", "final_answer": "answer"},
        licence="MIT",
    ),
    "skywork_or1_math": PublicSet(
        source=HubSource(
            dataset="Skywork/Skywork-OR1-RL-Data",
            revision="1cdedc52e0e2db85fdf252f9be682e63a5a38c33",
            split="math",
        ),
        layout="verl_math",
        licence="none is stated",
    ),
    "verifiable_coding_python": PublicSet(
        source=HubSource(
            dataset="open-r1/verifiable-coding-problems-python", revision="b761a24a95fa03289a231d2d31c183636ffb9833"
        ),
        layout="verifiable_code",
        licence="not checked; problems by their sites",
    ),
    "apps": PublicSet(
        source=HubSource(
            dataset="codeparrot/apps",
            revision="21e74ddf8de1a21436da12e3e653065c5213e9d1",
            files=("train.jsonl",),
        ),
        layout="apps",
        licence="MIT; problems by their sites",
    ),
    "mbpp_train": PublicSet(
        source=HubSource(dataset="google-research-datasets/mbpp", revision=_MBPP, config="full"),
        layout="mbpp",
        keep=RowRange(column="task_id", first=601, end=975),
        licence="CC BY 4.0",
    ),
    "sciq": PublicSet(
        source=HubSource(dataset="allenai/sciq", revision="2c94ad3e1aafab77146f384e23536f97a4849815"),
        layout="gpqa",
        rename={
            "question": "Question",
            "correct_answer": "Correct Answer",
            **{f"distractor{place}": f"Incorrect Answer {place}" for place in (1, 2, 3)},
        },
        licence="CC BY-NC 3.0: not for commercial use",
    ),
    "arc_challenge": PublicSet(
        source=HubSource(
            dataset="allenai/ai2_arc", revision="210d026faf9955653af8916fad021475a3f00453", config="ARC-Challenge"
        ),
        layout="arc",
        licence="CC BY-SA 4.0",
    ),
    "countdown": PublicSet(
        source=HubSource(dataset="Jiayi-Pan/Countdown-Tasks-3to4", revision="408f70d177020686d34a56bba5952feb45aaaee4"),
        layout="countdown",
        licence="none is stated",
    ),
    "aime_2024": PublicSet(
        source=HubSource(dataset="HuggingFaceH4/aime_2024", revision="2fe88a2f1091d5048c0f36abc874fb997b3dd99a"),
        layout="math",
        licence="problems by the MAA; no licence is stated",
    ),
    "aime_2025": PublicSet(
        source=HubSource(
            dataset="opencompass/AIME2025",
            revision="a6ad95f611d72cf628a80b58bd0432ef6638f958",
            files=("aime2025-I.jsonl", "aime2025-II.jsonl"),
        ),
        layout="math",
        rename={"question": "problem"},
        licence="MIT (data set); problems by the MAA",
    ),
    "math_500": PublicSet(
        source=HubSource(
            dataset="HuggingFaceH4/MATH-500",
            revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
            files=("test.jsonl",),
        ),
        layout="math",
        licence="MIT (Hendrycks et al., arXiv:2103.03874; the 500 of prm800k)",
    ),
    "gsm8k_test": PublicSet(
        source=HubSource(dataset="openai/gsm8k", revision=_GSM8K, config="main", split="test"),
        layout="gsm8k",
        licence="MIT",
    ),
    "gpqa_diamond": PublicSet(
        source=HubSource(
            dataset="Idavidrein/gpqa",
            revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd",
            files=("gpqa_diamond.csv",),
            gated=True,
        ),
        layout="gpqa",
        licence="CC BY 4.0; its authors ask that the questions be shown nowhere in plain text",
    ),
    "mmlu": PublicSet(
        source=HubSource(
            dataset="cais/mmlu", revision="c30699e8356da336a370243923dbaf21066bb9fe", config="all", split="test"
        ),
        layout="choices",
        licence="MIT",
    ),
    "livecodebench": PublicSet(
        source=HubSource(
            dataset="livecodebench/code_generation_lite",
            revision="0fe84c3912ea0c4d4a78037083943e8f0c4dd505",
            files=("test4.jsonl", "test5.jsonl"),  # releases 4 and 5: all problems after July 2024, to January 2025
        ),
        layout="livecodebench",
        keep=RowRange(column="contest_date", first="2024-08-01", end="2025-02-01"),
        licence="CC; problems by AtCoder, LeetCode and Codeforces",
    ),
    "codeforces": PublicSet(
        source=HubSource(dataset="open-r1/codeforces", revision=None, split="test"),
        layout="codeforces",
        licence="CC BY 4.0; problems by Codeforces",
    ),
    "humaneval": PublicSet(
        source=HubSource(
            dataset="openai/openai_humaneval",
            revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
            config="openai_humaneval",
            split="test",
        ),
        layout="humaneval",
        licence="MIT",
    ),
    "mbpp": PublicSet(
        source=HubSource(dataset="google-research-datasets/mbpp", revision=_MBPP, config="full", split="test"),
        layout="mbpp",
        keep=RowRange(column="task_id", first=11, end=511),
        licence="CC BY 4.0",
    ),
    "ifeval": PublicSet(
        source=HubSource(
            dataset="google/IFEval",
            revision="966cd89545d6b6acfd7638bc708b98261ca58e84",
            files=("ifeval_input_data.jsonl",),
        ),
        layout="ifeval",
        licence="Apache-2.0",
    ),
    "alpaca_eval": PublicSet(
        source=HubSource(
            dataset="tatsu-lab/alpaca_eval",
            revision=None,
            files=("alpaca_eval_gpt4_baseline.json",),  # with the answers of GPT-4-Turbo, the baseline of version 2.0
        ),
        layout="instructions",
        licence="CC BY-NC 4.0",
    ),
    "openr1_math_220k": PublicSet(
        source=HubSource(
            dataset="open-r1/OpenR1-Math-220k", revision="e4e141ec9dea9f8326f4d347be56105859b2bd68", config="default"
        ),
        layout="messages",
        licence="Apache-2.0",
    ),
    "mixture_of_thoughts": PublicSet(
        source=HubSource(dataset="open-r1/Mixture-of-Thoughts", revision=None, config="all"),
        layout="messages",
        licence="Apache-2.0",
    ),
    "openthoughts_114k": PublicSet(
        source=HubSource(dataset="open-thoughts/OpenThoughts-114k", revision=None, config="default"),
        layout="conversations",
        licence="Apache-2.0",
    ),
    "tulu_3_sft_mixture": PublicSet(
        source=HubSource(dataset="allenai/tulu-3-sft-mixture", revision="b14afda60f1bbebe55d5d2fa1e4df5042f97f8be"),
        layout="messages",
        licence="ODC-BY 1.0; parts of it not for commercial use",
    ),
    "no_robots": PublicSet(
        source=HubSource(dataset="HuggingFaceH4/no_robots", revision="e6f9a4ac5c37faeb744ba9ecf0473184d7f8105b"),
        layout="messages",
        licence="CC BY-NC 4.0: not for commercial use",
    ),
    "helpsteer3": PublicSet(
        source=HubSource(
            dataset="nvidia/HelpSteer3", revision="f6d145777bcbde96137596340fab89793acd1031", config="preference"
        ),
        layout="helpsteer3",
        licence="CC BY 4.0",
    ),
    "ultrafeedback": PublicSet(
        source=HubSource(dataset="trl-lib/ultrafeedback_binarized", revision=None),
        layout="chosen_rejected",
        licence="MIT (openbmb/UltraFeedback)",
    ),
    "skywork_preference": PublicSet(
        source=HubSource(dataset="Skywork/Skywork-Reward-Preference-80K-v0.2", revision=None),
        layout="chosen_rejected",
        licence="not checked; a mixture",
    ),
    "hh_rlhf": PublicSet(
        source=HubSource(dataset="Anthropic/hh-rlhf", revision=None), layout="chosen_rejected", licence="MIT"
    ),
    "pku_safe_rlhf": PublicSet(
        source=HubSource(dataset="PKU-Alignment/PKU-SafeRLHF", revision=None, config="default"),
        layout="two_labels",
        licence="CC BY-NC 4.0: not for commercial use",
    ),
    "wildguardmix": PublicSet(
        source=HubSource(dataset="allenai/wildguardmix", revision=None, config="wildguardtrain", gated=True),
        layout="harm_label",
        licence="ODC-BY 1.0, under AI2's responsible use terms",
    ),
}
