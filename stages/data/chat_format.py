"""The one chat format: tags, chat template, and how a completion is taken apart.

In: a prompt, or the text of a completion. Out: the text the model sees, or the parts of the
completion. Every stage, reward and report goes through this file, so that training, sampling and
grading can never disagree about where a thought ends.

A completion is ``<think>thought</think>summary<answer>answer</answer>``: the tags of the paper's
R1-Zero template (arXiv:2501.12948v1, table 1), with a free summary between them from the cold start
on. Ours: the tiny models have these four tags as single tokens and no system prompt; other models keep
their own template, whose opened thought (``<think>`` at the end of the prompt) is taken care of here.
"""

from dataclasses import dataclass
from typing import Any

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"
TAGS = (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE)
USER, ASSISTANT, END, PAD = "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIAL_TOKENS = (PAD, END, USER, ASSISTANT, *TAGS)

TINY_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'user' %}" + USER + "{{ message.content }}"
    "{% else %}" + ASSISTANT + "{% generation %}{{ message.content }}" + END + "{% endgeneration %}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)

R1_ZERO_CHAT_TEMPLATE = (
    "{{ bos_token }}A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The assistant first thinks about the reasoning process in the mind and then provides the user with the answer. "
    "The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, "
    "i.e., <think> reasoning process here </think> <answer> answer here </answer>."
    "{% for message in messages %}"
    "{% if message.role == 'user' %} User: {{ message.content }}."
    "{% else %} Assistant: {{ message.content }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %} Assistant:{% endif %}"
)
"""The paper's words, for a base model that has no template of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionParts:
    """A completion taken apart. ``thought`` is empty when there is none."""

    thought: str
    response: str
    """What follows the closed thought; everything if no tag of a thought occurs; empty if the thought never closes."""
    closed: bool
    """False only if a thought was opened and not closed, or there are several."""


def render_prompt(tokenizer: Any, prompt: str) -> str:
    """The text whose continuation is the completion, by the tokenizer's own chat template."""
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def opened_thought(rendered: str) -> str:
    """The opening tag, and the white space behind it, that some chat templates end the prompt with; "" of others."""
    tag = rendered.rfind(THINK_OPEN)
    return rendered[tag:] if tag >= 0 and rendered[tag:].rstrip() == THINK_OPEN else ""


def after_prompt(rendered: str, completion: str) -> str:
    """What of ``completion`` stands behind the prompt: without an opening tag that the prompt already ends with.

    A completion without a thought then closes the opened one at once.
    """
    opened = opened_thought(rendered)
    if not opened:
        return completion
    if not completion.startswith(THINK_OPEN):
        return THINK_CLOSE + completion
    return completion.removeprefix(opened).removeprefix(THINK_OPEN)


def split_completion(completion: str) -> CompletionParts:
    """Thought and response of ``completion`` (without its end token).

    Exactly one opening tag followed by exactly one closing tag make a thought, as does a closing tag alone: some
    chat templates end in the opening tag. Anything else with a thought tag in it is not closed, and its
    response is empty: an answer inside a thought is never an answer.
    """
    opened, closed = completion.count(THINK_OPEN), completion.count(THINK_CLOSE)
    if not opened and not closed:
        return CompletionParts(thought="", response=completion, closed=True)
    if not opened and closed == 1:
        thought, _, response = completion.partition(THINK_CLOSE)
        return CompletionParts(thought=thought, response=response, closed=True)
    before, _, rest = completion.partition(THINK_OPEN)
    thought, found, response = rest.partition(THINK_CLOSE)
    if opened != 1 or closed != 1 or not found or before.strip():
        return CompletionParts(thought=rest or completion, response="", closed=False)
    return CompletionParts(thought=thought, response=response, closed=True)


def final_response(completion: str) -> str:
    """What the user reads: the response without thought and answer tags."""
    return split_completion(completion).response.replace(ANSWER_OPEN, "").replace(ANSWER_CLOSE, "")


def write_completion(thought: str, answer: str, summary: str = "") -> str:
    """The completion in the one format."""
    return f"{THINK_OPEN}{thought}{THINK_CLOSE}{summary}{ANSWER_OPEN}{answer}{ANSWER_CLOSE}"
