"""General instructions whose fulfilment can be checked.

In: a random generator. Out: problems with constraints, each with one good and one bad response.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stages.data.problems import Language, Problem

WORDS = {
    "en": ("cat", "dog", "red", "blue", "tree", "sun", "moon", "fish", "bird", "rain", "snow", "star"),
    "zh": ("猫", "狗", "红", "蓝", "树", "山", "水", "鱼", "鸟", "雨", "雪", "星"),
}
GROUPS = {
    "en": {
        "animals": ("cat", "dog", "fish", "bird", "cow", "horse"),
        "colours": ("red", "blue", "green", "black", "white", "brown"),
        "fruits": ("apple", "pear", "plum", "fig", "lemon", "grape"),
    },
    "zh": {
        "动物": ("猫", "狗", "鱼", "鸟", "牛", "马"),
        "颜色": ("红", "蓝", "绿", "黑", "白", "黄"),
        "水果": ("桃", "梨", "李", "枣", "瓜", "橙"),
    },
}
PEOPLE = {"en": ("Tom", "Ann", "Max", "Eva", "Leo", "Mia"), "zh": ("小明", "小红", "小刚", "小丽", "小华", "小美")}
FACTS = {
    "en": (
        ("What colour is the sky?", "blue"),
        ("What colour is snow?", "white"),
        ("How many legs has a dog?", "four"),
        ("What falls from clouds?", "rain"),
        ("What do bees make?", "honey"),
        ("What is frozen water?", "ice"),
    ),
    "zh": (
        ("天空是什么颜色？", "蓝"),
        ("雪是什么颜色？", "白"),
        ("狗有几条腿？", "四"),
        ("云里落下什么？", "雨"),
        ("蜜蜂做什么？", "蜜"),
        ("水冻成什么？", "冰"),
    ),
}


@dataclass(frozen=True, slots=True)
class Instruction:
    """A problem with a thought and a response that fulfil it, and a response that does not."""

    problem: Problem
    thought: str
    bad: str


def _numeral(number: int, language: Language) -> str:
    return {
        "en": ("", "once", "twice", "3 times", "4 times", "5 times"),
        "zh": ("", "1遍", "2遍", "3遍", "4遍", "5遍"),
    }[language][number]


def _instruction(
    language: Language, prompt: str, good: str, bad: str, thought: str, *constraints: dict[str, Any]
) -> Instruction:
    name = "_".join(prompt.split()).strip("?.？。")
    problem = Problem(
        id=f"constraints_{name}",
        domain="general",
        grader="instruction",
        source="constraints",
        language=language,
        prompt=prompt,
        answer=good,
        constraints=constraints,
    )
    return Instruction(problem, thought, bad)


def repeat(rng: random.Random, language: Language) -> Instruction:
    """Write a word several times."""
    word, times = rng.choice(WORDS[language]), rng.randint(2, 5)
    other = rng.choice([n for n in range(1, 7) if n != times])
    prompt = (
        f"Write {word} {_numeral(times, language)}" if language == "en" else f"把{word}写{_numeral(times, language)}"
    )
    thought = f"{word}, {times} times" if language == "en" else f"{word}，{times}遍"
    return _instruction(
        language,
        prompt,
        " ".join([word] * times),
        " ".join([word] * other),
        thought,
        {"type": "repeat", "value": {"text": word, "times": times}},
    )


def listing(rng: random.Random, language: Language) -> Instruction:
    """Name several things of one kind, separated by commas."""
    group = rng.choice(tuple(GROUPS[language]))
    count = rng.randint(2, 4)
    members = rng.sample(GROUPS[language][group], count)
    wrong = rng.sample(GROUPS[language][group], rng.choice([n for n in (1, 2, 3, 4, 5) if n != count]))
    prompt = f"Name {count} {group} with commas" if language == "en" else f"说{count}种{group}，用逗号"
    thought = f"{count} {group}" if language == "en" else f"{count}种{group}"
    comma = ", " if language == "en" else "，"
    bad = " ".join(members) if rng.random() < 0.5 else comma.join(wrong)
    return _instruction(language, prompt, comma.join(members), bad, thought, {"type": "comma_list", "value": count})


def greeting(rng: random.Random, language: Language) -> Instruction:
    """Greet a person; in capital letters (English) or ending with a given word (Chinese)."""
    name = rng.choice(PEOPLE[language])
    if language == "en":
        return _instruction(
            language,
            f"Say hello to {name} in capital letters",
            f"HELLO {name.upper()}",
            f"hello {name.lower()}",
            f"hello {name} in capital letters",
            {"type": "all_caps", "value": True},
            {"type": "contains", "value": [name.upper()]},
        )
    return _instruction(
        language,
        f"向{name}问好，用再见结尾",
        f"{name}你好，再见",
        f"{name}你好",
        f"向{name}问好，再见结尾",
        {"type": "contains", "value": [name]},
        {"type": "ends_with", "value": "再见"},
    )


def ending(rng: random.Random, language: Language) -> Instruction:
    """Start with one word and end with another."""
    first, last = rng.sample(WORDS[language], 2)
    prompt = f"Start with {first} and end with {last}" if language == "en" else f"以{first}开头，以{last}结尾"
    good = f"{first} and {last}" if language == "en" else f"{first}和{last}"
    bad = f"{last} and {first}" if language == "en" else f"{last}和{first}"
    thought = f"{first} first, {last} last" if language == "en" else f"先{first}后{last}"
    return _instruction(
        language,
        prompt,
        good,
        bad,
        thought,
        {"type": "starts_with", "value": first},
        {"type": "ends_with", "value": last},
    )


def fact(rng: random.Random, language: Language) -> Instruction:
    """Answer a question of general knowledge in one word."""
    question, answer = rng.choice(FACTS[language])
    wrong = rng.choice([other for _, other in FACTS[language] if other != answer])
    thought = f"it is {answer}" if language == "en" else f"是{answer}"
    return _instruction(language, question, answer, wrong, thought, {"type": "equals", "value": [answer]})


TEMPLATES: tuple[Callable[[random.Random, Language], Instruction], ...] = (repeat, listing, greeting, ending, fact)


def draw(rng: random.Random, language: Language) -> Instruction:
    """One instruction of a random kind; facts are rarer because there are few."""
    return rng.choices(TEMPLATES, weights=(3, 3, 2, 3, 1))[0](rng, language)


def key(instruction: Instruction) -> str:
    """The prompt; facts are never held out (a fact not seen cannot be known), see ``splits``."""
    return f"constraints {instruction.problem.prompt}"
