"""Claims about what ``make ask`` prints, and about whom it asks."""

import sys

import pytest

from stages.models.checkpoints import CheckpointError, load_tokenizer
from stages.models.reward_scorer import load_scorer
from stages.release import ask
from stages.release.chosen_checkpoint import find_checkpoint
from stages.rollouts.sampler import Completion


def said(text: str, *, truncated: bool = False) -> Completion:
    return Completion(tokens=(1,), logprobs=(0.0,), text=text, truncated=truncated)


def test_one_completion_is_printed_as_thought_and_answer():
    assert ask.told([said("<think>6*7=42</think>So.<answer>42</answer>")]) == "thought:\n6*7=42\n\nanswer:\nSo.42"


def test_equal_answers_are_one_candidate_and_the_first_completion_of_the_majority_is_printed():
    texts = ["<think>a</think><answer>3</answer>", "<think>b</think><answer>1/2</answer>", "<think>c</think>"]
    told = ask.told([said(text) for text in [*texts, "<think>d</think><answer>0.5</answer>"]])
    # 1/2 and 0.5 are one answer with two votes, in the words of the completion that gave it first
    assert told == "votes:\n    2  1/2\n    1  3\n    1  (no answer)\n\nthought:\nb\n\nanswer:\n1/2"


def test_a_thought_that_was_cut_off_is_no_answer():
    told = ask.told([said("<think>let me see", truncated=True)])
    assert told.endswith("let me see\n\nanswer:\n\n(none: the thought did not end, cut off)")


def test_a_name_that_is_no_checkpoint_is_told_what_there_is():
    with pytest.raises(
        CheckpointError, match=r"R2: no such checkpoint; expected a label .*R1-Zero.* a folder, or a hub id"
    ):
        find_checkpoint("R2")


def test_a_reward_model_is_not_asked(tiny_checkpoint, tmp_path):
    load_scorer(tiny_checkpoint, load_tokenizer(tiny_checkpoint), new_head=True).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds a Qwen3ForSequenceClassification; a language model"):
        find_checkpoint(str(tmp_path))


def test_a_checkpoint_in_a_folder_answers(tiny_checkpoint, monkeypatch, capsys):
    arguments = ["ask", "What is 1 + 1?", "--checkpoint", str(tiny_checkpoint), "--samples", "3", "--max-tokens", "8"]
    monkeypatch.setattr(sys, "argv", arguments)
    ask.main()
    first = capsys.readouterr().out
    assert first.startswith("votes:\n")
    ask.main()
    assert capsys.readouterr().out == first  # the same seed, the same answers
