"""Ask a checkpoint a question: ``make ask Q="What is 6 * 7?" C=R1 K=8``.

In: a question and a checkpoint. Out: its thought and its answer, printed. With several completions the answer that
most of them agree on is printed (self-consistency, arXiv:2203.11171), answers being one where the math grader's rules
say so; before it, the votes.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.cannot_run import CannotRunError
from stages.config import load_params
from stages.contract import process
from stages.data.chat_format import final_response, split_completion
from stages.data.problems import Problem
from stages.evaluation.voting import majority_vote, name_candidates
from stages.release.chosen_checkpoint import find_checkpoint
from stages.rewards.answers.answer_text import find_answer
from stages.rollouts.generate import generate_groups
from stages.rollouts.sampler import Completion, SamplingSettings
from stages.run import StageRun


def told(completions: Sequence[Completion]) -> str:
    """What is printed of ``completions`` of one question, at least one: the votes if there are several, the winner.

    Where none has an answer that can be read, the first is shown.
    """
    texts = [one.text for one in completions]
    [candidates] = name_candidates(["math"], [texts])
    winner = int(majority_vote(candidates, range(len(texts))))
    lines = _votes(candidates, texts) if len(texts) > 1 else []
    parts = split_completion(texts[winner])
    lines += ["thought:", parts.thought.strip() or "(none)", "", "answer:", final_response(texts[winner]).strip()]
    if not parts.closed:
        lines.append("(none: the thought did not end" + (", cut off)" if completions[winner].truncated else ")"))
    return "\n".join(lines)


def _votes(candidates: Sequence[int | None], texts: Sequence[str]) -> list[str]:
    """A line an answer, in the words of the first that gave it, the most frequent first, then those without one."""
    words = {candidate: find_answer(text) for candidate, text in reversed(list(zip(candidates, texts, strict=True)))}
    counts = sorted(Counter(candidates).items(), key=lambda vote: (vote[0] is None, -vote[1]))
    return ["votes:", *(f"{count:5}  {words[name] or '(no answer)'}" for name, count in counts), ""]


def main() -> None:
    """Print what the checkpoint says; temperature, top-p and length are those of ``evaluate.sampling``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("--checkpoint", default="R1", help="label of params.yaml, folder, or owner/name@commit")
    parser.add_argument("--samples", type=int, default=1, help="completions that vote")
    parser.add_argument("--max-tokens", type=int, help="longest completion")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.samples < 1:
        parser.error(f"--samples is {options.samples}; at least 1 is needed")
    process.no_telemetry()
    try:
        checkpoint = find_checkpoint(options.checkpoint)
        sampling = SamplingSettings.model_validate(load_params()["evaluate"]["sampling"] | {"sampler": "auto"})
        if options.max_tokens:
            sampling = sampling.model_copy(update={"max_tokens": options.max_tokens})
        with TemporaryDirectory() as work:
            stage = StageRun(name="ask", item=None, seed=options.seed, work=Path(work))
            asked = [_asked(options.question)]
            [completions] = generate_groups(stage, "question", checkpoint, asked, sampling, group_size=options.samples)
    except CannotRunError as error:  # the checkpoint, or a question too long for it
        raise SystemExit(str(error)) from error
    print(told(completions))  # noqa: T201 - a command's output


def _asked(question: str) -> Problem:
    return Problem(
        id="question", domain="general", grader="math", source="a person", language="en", prompt=question, answer=""
    )


if __name__ == "__main__":
    main()
