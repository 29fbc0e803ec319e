"""Our math grader beside lm-evaluation-harness's, on the same made outputs: every disagreement is listed.

    python -m bench.lm_eval_graders --gsm8k GSM8K.jsonl --math500 MATH500.jsonl --every 10 --out disagreements.jsonl

In: the two data sets with their golds. Out: for each way of writing an answer, how often it is accepted by us and by
lm_eval, and a file with one row a disagreement. Outputs are made from real golds, so it is known which are right: a
disagreement has one side at fault. Needs ``lm_eval`` (pip install lm_eval), which the pipeline itself does not.

lm_eval's graders: gsm8k ``strict-match`` and ``flexible-extract`` (its yaml's expressions and ``exact_match``), and for
MATH-500 ``hendrycks_math500``, which compares the text between the first and the last dollar sign.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from stages.data.problem_files import ProblemFile, read_problem_file
from stages.data.problems import Problem
from stages.rewards.grading import grade_all

Made = tuple[str, str, bool]
"""How it is written, the output, whether it is right."""


def gsm8k_outputs(problem: Problem, solution: str) -> Iterator[Made]:
    """The gold answer in the ways models write it, and wrong answers in the same ways."""
    gold = problem.answer.replace(",", "")
    wrong = str(int(gold) + 1)
    yield "the gold solution", solution, True
    for name, value, right in (("gold", gold, True), ("gold + 1", wrong, False)):
        yield f"{name}, ####", f"So it is this.\n#### {value}", right
        yield f"{name}, The answer is", f"The answer is {value}.", right
        yield f"{name}, boxed", f"<think>Let me see.</think>Hence \\boxed{{{value}}}.", right
        yield f"{name}, answer tag", f"<think>Let me see.</think><answer>{value}</answer>", right
        yield f"{name}, dollars and cents", f"The answer is ${value}.00.", right
        yield f"{name}, thousands", f"The answer is {int(value):,}.", right
        yield f"{name}, then a remark with a number", f"\\boxed{{{value}}} is the answer, after 2 steps.", right
    yield "wrong, gold in the thought", f"<think>It is {gold}.</think>\\boxed{{{wrong}}}", False
    yield "wrong, gold in a later remark", f"The answer is {wrong}. At first I had {gold}", False
    yield "two answers", f"\\boxed{{{wrong}}} or \\boxed{{{gold}}}", False
    yield "no answer", "I cannot tell.", False


def math_outputs(problem: Problem, solution: str, other: str) -> Iterator[Made]:
    """The gold answer in the ways models write it, and another problem's answer in the same ways."""
    gold = problem.answer
    yield "the gold solution", solution, True
    for name, value, right in (("gold", gold, True), ("another answer", other, False)):
        yield f"{name}, alone", value, right
        yield f"{name}, dollars", f"The answer is ${value}$.", right
        yield f"{name}, boxed", f"<think>Let me see.</think>Hence $\\boxed{{{value}}}$.", right
        yield f"{name}, boxed, formulas before", f"With $x=1$ we get $y$, hence $\\boxed{{{value}}}$.", right
        yield f"{name}, dfrac", f"The answer is ${value.replace('frac', 'dfrac').replace('ddfrac', 'dfrac')}$.", right
        spaced = re.sub(r"([,+=])", r" \1 ", value)
        yield f"{name}, spaces", f"The answer is ${spaced}$.", right
    yield "wrong, gold in the thought", f"<think>It is ${gold}$.</think>The answer is $\\boxed{{{other}}}$.", False


def lm_eval_gsm8k(filter_name: str) -> Callable[[str, str], bool]:
    """The task's own filter and metric: (output, gold solution) -> accepted."""
    import lm_eval
    from lm_eval.api.metrics import exact_match_hf_evaluate
    from lm_eval.filters.extraction import RegexFilter

    folder = Path(lm_eval.__file__).parent / "tasks" / "gsm8k"
    task = yaml.safe_load((folder / "gsm8k.yaml").read_text(encoding="utf-8"))
    [steps] = [each["filter"] for each in task["filter_list"] if each["name"] == filter_name]
    extract = RegexFilter(**{name: value for name, value in steps[0].items() if name != "function"})
    metric = task["metric_list"][0]
    options = {name: metric[name] for name in ("ignore_case", "ignore_punctuation", "regexes_to_ignore")}

    def accepts(output: str, solution: str) -> bool:
        [[found]] = extract.apply([[output]], [{}])
        return bool(exact_match_hf_evaluate(predictions=[found], references=[solution], **options)["exact_match"])

    return accepts


def lm_eval_math(output: str, solution: str) -> bool:
    """``hendrycks_math500``'s own comparison."""
    from lm_eval.tasks.hendrycks_math.utils import process_results

    return bool(process_results({"solution": solution}, [output])["exact_match"])


def compare(
    name: str, made: list[tuple[Problem, Made, str]], theirs: dict[str, Callable[[str, str], bool]], out: list[str]
) -> None:
    """Print a row a way of writing; rows of disagreements go to ``out``."""
    ours = [each.score == 1.0 for each in grade_all([p for p, _, _ in made], [text for _, (_, text, _), _ in made])]
    verdicts = {grader: [accepts(text, gold) for _, (_, text, _), gold in made] for grader, accepts in theirs.items()}
    columns = {"ours": ours, **verdicts}
    print(f"\n{name}: {len(made)} outputs; accepted, of all of their kind\n")
    print("| output | right | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 2))
    for way in dict.fromkeys(way for _, (way, _, _), _ in made):
        places = [place for place, (_, (each, _, _), _) in enumerate(made) if each == way]
        counts = " | ".join(f"{sum(column[place] for place in places)}/{len(places)}" for column in columns.values())
        print(f"| {way} | {'yes' if made[places[0]][1][2] else 'no'} | {counts} |")
    for place, (problem, (way, text, right), _) in enumerate(made):
        for grader in verdicts:
            if verdicts[grader][place] != ours[place]:
                row = {"grader": grader, "problem": problem.id, "way": way, "gold": problem.answer, "output": text}
                row |= {"right": right, "ours": ours[place], "theirs": verdicts[grader][place]}
                out.append(json.dumps(row, ensure_ascii=False))
    wrong = {grader: sum(x != m[1][2] for x, m in zip(column, made, strict=True)) for grader, column in columns.items()}
    print("\nwrong verdicts: " + ", ".join(f"{grader} {count}" for grader, count in wrong.items()))


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsm8k", required=True)
    parser.add_argument("--math500", required=True)
    parser.add_argument("--every", type=int, default=1, help="take every n-th problem")
    parser.add_argument("--out", type=Path, required=True, help="file for the disagreements")
    options = parser.parse_args()
    disagreements: list[str] = []
    problems, rows = read(options.gsm8k, "gsm8k", options.every)
    made = [(p, one, row["answer"]) for p, row in zip(problems, rows, strict=True)
            for one in gsm8k_outputs(p, row["answer"])]  # fmt: skip
    graders = {name: lm_eval_gsm8k(name) for name in ("strict-match", "flexible-extract")}
    compare("GSM8K", made, graders, disagreements)
    problems, rows = read(options.math500, "math", options.every)
    others = [_unlike(problem, problems[place + 1 :] + problems) for place, problem in enumerate(problems)]
    made = [(p, one, row["solution"]) for p, row, other in zip(problems, rows, others, strict=True)
            for one in math_outputs(p, row["solution"], other)]  # fmt: skip
    compare("MATH-500", made, {"hendrycks_math500": lm_eval_math}, disagreements)
    options.out.write_text("".join(line + "\n" for line in disagreements), encoding="utf-8")
    print(f"\n{len(disagreements)} disagreements in {options.out}")


def _unlike(problem: Problem, others: list[Problem]) -> str:
    """The first answer of ``others`` that is no part of the problem's, nor the other way round: x=5 is 5."""
    gold = problem.answer
    return next(other.answer for other in others if other.answer not in gold and gold not in other.answer)


def read(path: str, layout: str, every: int) -> tuple[list[Problem], list[dict[str, str]]]:
    """Every n-th problem with its row."""
    from stages.data.row_files import read_rows

    file = ProblemFile.model_validate({"path": path, "layout": layout, "split": "eval"})
    return read_problem_file(file)[0][::every], read_rows(Path(path))[::every]


if __name__ == "__main__":
    main()
