"""General data of the tiny world: what people would write, prefer and label.

In: counts and a seed. Out: SFT traces, preference pairs, safety labels and prompts for RL, all from
the train split. Responses are in the one chat format, so that the reward models judge content.
"""

import random

from stages.data.chat_format import write_completion
from stages.data.preferences import Preference, SafetyLabel
from stages.data.problems import Language, Problem
from stages.data.tiny_world.corpus import draw_general
from stages.data.traces import Trace


def _language(rng: random.Random, chinese: float) -> Language:
    return "zh" if rng.random() < chinese else "en"


def _family(rng: random.Random, harmful: float) -> str:
    return "harmful" if rng.random() < harmful else "constraints"


def make_traces(count: int, *, harmful: float, chinese: float, seed: int) -> list[Trace]:
    """``count`` good responses to instructions and harmful requests."""
    rng = random.Random(seed)
    traces = []
    for _ in range(count):
        drawn = draw_general(rng, _family(rng, harmful), _language(rng, chinese), held=False)
        problem = drawn.problem
        completion = write_completion(drawn.thought, problem.answer)
        traces.append(
            Trace(
                problem_id=problem.id,
                domain=problem.domain,
                source=problem.source,
                language=problem.language,
                prompt=problem.prompt,
                completion=completion,
            )
        )
    return traces


def make_preferences(count: int, *, chinese: float, seed: int) -> list[Preference]:
    """``count`` pairs: a response that follows the instruction over one that does not; final answers only."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        drawn = draw_general(rng, "constraints", _language(rng, chinese), held=False)
        pairs.append(Preference(prompt=drawn.problem.prompt, chosen=drawn.problem.answer, rejected=drawn.bad))
    return pairs


def make_safety_labels(count: int, *, chinese: float, seed: int) -> list[SafetyLabel]:
    """``count`` whole responses: refusals and harmless help are safe, help with harm is not."""
    rng = random.Random(seed)
    labels = []
    for _ in range(count):
        family = "harmful" if rng.random() < 0.7 else "constraints"
        drawn = draw_general(rng, family, _language(rng, chinese), held=False)
        bad = rng.random() < 0.5
        response = write_completion(drawn.thought, drawn.bad if bad else drawn.problem.answer)
        safe = family == "constraints" or not bad
        labels.append(SafetyLabel(prompt=drawn.problem.prompt, response=response, safe=safe))
    return labels


def make_prompts(count: int, *, harmful: float, chinese: float, seed: int) -> list[Problem]:
    """``count`` prompts for RL against reward models; repetitions happen, the world is small."""
    rng = random.Random(seed)
    return [draw_general(rng, _family(rng, harmful), _language(rng, chinese), held=False).problem for _ in range(count)]
