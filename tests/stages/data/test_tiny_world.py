"""The tiny world: right answers are right, and the held-out split stays out of everything trained on."""

import itertools
import random
from pathlib import Path

import pytest
import yaml

from stages.curation.problem_filters import failed_references, ngrams_of, pieces, prompt_digest
from stages.curation.problem_intake import graded, named_once, uncontaminated, unrepeated
from stages.data.chat_format import write_completion
from stages.data.data_files import BadRow
from stages.data.problems import Problem, read_problems, write_problems
from stages.data.tiny_world import countdown
from stages.data.tiny_world.corpus import CorpusSettings, documents, draw_general
from stages.data.tiny_world.drafts import voice
from stages.data.tiny_world.reasoning import make_problems
from stages.rewards.grading import grade_all

FAMILIES = ("countdown", "chain", "equation", "functions", "ordering")
COUNTS = {**dict.fromkeys(FAMILIES, 20), "competition": 20, "constraints": 20, "harmful": 20}
PARAMS = yaml.safe_load(Path("profiles/tiny.yaml").read_text(encoding="utf-8"))
CORPUS = CorpusSettings(**PARAMS["stage0_base_model"]["corpus"])


@pytest.fixture(scope="module")
def held_out() -> list[Problem]:
    return make_problems(COUNTS, held=True, chinese=0.4, seed=1)


def test_every_reference_scores_one_in_every_family_and_both_languages(held_out):
    assert failed_references(held_out) == {}
    assert {problem.language for problem in held_out} == {"en", "zh"}
    assert {problem.domain for problem in held_out} == {"math", "code", "logic", "general", "safety"}


def test_no_held_out_puzzle_is_in_the_corpus_or_among_the_training_problems(held_out):
    train = make_problems(dict.fromkeys(FAMILIES, 100), held=False, chinese=0.4, seed=2)
    seen = {problem.prompt for problem, _ in itertools.islice(documents(CORPUS, 3), 20_000)}
    asked = {problem.prompt for problem in held_out}
    assert not asked & seen
    assert not asked & {problem.prompt for problem in train}
    assert len(seen) > 5_000


def test_a_held_out_countdown_is_not_trained_on_in_another_order_or_language():
    puzzles = [countdown.Countdown(order, 9) for order in itertools.permutations((3, 5, 7))]
    assert len({countdown.key(puzzle) for puzzle in puzzles}) == 1


def test_the_same_seed_gives_the_same_corpus():
    first, again = (list(itertools.islice(documents(CORPUS, 4), 50)) for _ in range(2))
    assert first == again


def test_most_reasoning_documents_of_the_corpus_are_wrong_and_few_search():
    drawn = [pair for pair in itertools.islice(documents(CORPUS, 5), 3_000) if pair[0].source == "countdown"]
    grades = grade_all([problem for problem, _ in drawn], [completion for _, completion in drawn])
    share = sum(grade.score for grade in grades) / len(grades)
    # 23 % search to the end, 50 % guess; a guess or a single try is right about one time in eight.
    assert 0.2 < share < 0.45
    tagged = sum(completion.startswith("<think>") for _, completion in drawn) / len(drawn)
    assert tagged == pytest.approx(CORPUS.layouts["tags"], abs=0.06)


def test_a_search_compares_every_try_in_writing_and_stops_at_the_first_that_fits():
    rng = random.Random(0)
    for _ in range(50):
        puzzle = countdown.draw(rng, hard=False)
        draft = countdown.write(puzzle, rng, voice(rng, "en", "same"), "search", 0.0)
        rejected, accepted = draft.thought.count(" no"), draft.thought.count(" yes")
        assert accepted <= 1
        assert rejected + accepted == draft.thought.count(". ") - draft.thought.count(". wait") - (
            rejected + accepted - 1 - draft.thought.count(". wait")
        )
        if accepted:
            assert draft.thought.endswith(f"={puzzle.target} yes")


def test_a_bad_general_response_fails_and_the_good_one_passes():
    rng = random.Random(1)
    drawn = [
        draw_general(rng, family, language, held=False)
        for family in ("constraints", "harmful")
        for language in ("en", "zh")
        for _ in range(60)
    ]
    good = grade_all([d.problem for d in drawn], [write_completion(d.thought, d.problem.answer) for d in drawn])
    bad = grade_all([d.problem for d in drawn], [write_completion(d.thought, d.bad) for d in drawn])
    assert [(d.problem.prompt, d.problem.answer) for d, g in zip(drawn, good, strict=True) if g.score < 1] == []
    assert [(d.problem.prompt, d.bad) for d, g in zip(drawn, bad, strict=True) if g.score > 0] == []


def test_asking_for_more_problems_than_there_are_is_refused():
    with pytest.raises(ValueError, match="equation: only .* distinct problems"):
        make_problems({"equation": 100_000 // 400}, held=True, chinese=0.4, seed=0)


def test_problems_survive_the_way_to_disk_and_back(held_out, tmp_path):
    write_problems(held_out, tmp_path / "p.jsonl")
    assert read_problems(tmp_path / "p.jsonl") == held_out


def problem(name: str, prompt: str, answer: str = "1") -> Problem:
    return Problem(id=name, domain="math", grader="math", source="s", language="en", prompt=prompt, answer=answer)


def refused(entries) -> set[str]:
    return {entry.where for entry in entries if isinstance(entry, BadRow)}


def test_two_problems_with_one_id_are_told_apart_by_refusing_the_second():
    ids = set()
    kept = [problem("a", "1+1?"), problem("b", "1+1?")]
    assert list(named_once(iter([*kept, problem("a", "1+2?")]), ids)) == [*kept, BadRow("a", "its id occurs earlier")]
    assert refused(named_once(iter([problem("a", "1+3?")]), ids)) == {"a"}  # in another split


def test_a_bad_problem_with_the_id_of_a_good_one_does_not_take_the_good_one_with_it():
    good, bad = problem("a", "1+1?", "2"), problem("a", "1+2?", "")
    assert next(graded(named_once(iter([good, bad]), set()), lambda _: None)) == good


def test_a_shared_ngram_contaminates_and_a_short_prompt_counts_as_one():
    benchmark = [problem("b", "Ann has three red apples and buys two more green apples today")]
    train = [
        problem("copied", "Yesterday Ann has three red apples and buys two more green apples, how many?"),
        problem("other", "Bob has five blue pears and sells one of his old yellow pears now"),
        problem("short", "Ann has three"),
    ]
    assert refused(uncontaminated(train, ngrams_of(benchmark, 10), 10)) == {"copied"}
    same = [problem("same", "1 + 1?")]
    assert refused(uncontaminated(same, ngrams_of([problem("b", "1+1 ?")], 10), 10)) == {"same"}
    assert refused(uncontaminated(same, ngrams_of([problem("b", "1-1?")], 10), 10)) == set()


def test_copies_typeset_differently_are_duplicates_and_other_problems_are_not():
    same = [r"Find $f(84)$ if $n \ge 1000.$", r"Find \[f(84)\]if n\ge1000?"]
    assert len({prompt_digest(prompt) for prompt in same}) == 1
    # The two pairs of MATH's train and test splits that letters and digits alone would take for one problem.
    other = [r"Compute $\tan 225^\circ$.", r"Compute $\tan 22.5^\circ.$", r"Compute $\cos 150^\circ$.",
             r"Compute $\cos (-150^\circ)$.", "What is 5!?", "What is 5?"]  # fmt: skip
    assert len({prompt_digest(prompt) for prompt in other}) == len(other)


def test_a_formula_is_no_ngram_by_its_signs_alone():
    one, two = (
        r"Let $x = \frac{1}{2} (\sqrt{5} + 3)$. Find $x^2$.",
        r"If $y = \frac{1}{2} (\sqrt{5} + 7)$, solve for $y$.",
    )
    known = ngrams_of([problem("b", one + " It is known that nothing else is given here at all")], 10)
    assert (
        refused(uncontaminated([problem("a", two + " So this one is about something that differs")], known, 10))
        == set()
    )


def test_prompts_that_differ_only_in_case_width_and_spaces_are_duplicates():
    entries = [problem("a", "Compute 1+2"), problem("b", "compute  １+2"), problem("c", "compute 1+3")]
    assert refused(unrepeated(iter(entries))) == {"b"}
    assert pieces("Ｆｕｌｌ 12 中文") == ["full", "12", "中", "文"]


def test_a_reference_that_its_own_grader_refuses_is_found():
    failed = failed_references([problem("fine", "1+1", "2"), problem("empty", "1+1", "")])
    assert set(failed) == {"empty"}
