"""The reward as a weighted sum of named parts, each with its weight, schedule and options.

In: a block ``rewards`` of params.yaml and graded completions. Out: the total and the parts, apart (DeepSeek-R1,
arXiv:2501.12948v1, sections 2.2.2 and 2.3.2: accuracy, format and language consistency are added up).

    rewards: r1                                              # a preset
    rewards: {accuracy: 1.0, format: 0.1, language: 0.0}     # weight 0: logged, not paid
    rewards: {accuracy: 1.0, helpful: {weight: 1.0, from_step: 1300}}
"""

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from stages.rewards import parts as parts_folder
from stages.rewards.graded import Graded

MODEL_PARTS = ("helpful", "safety")
"""Parts that reward models give (``training/grpo_rewards.py``); only general prompts have them."""
PRESETS: dict[str, dict[str, float]] = {
    "r1": {"accuracy": 1.0, "format": 1.0},  # arXiv:2501.12948v2, section 2.2: the same weight
    "lesson": {"accuracy": 1.0, "format": 0.1},
}


class Part(BaseModel):
    """One named part of a reward; keys beside these three are the options of its function."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    weight: float = Field(ge=0)
    from_step: int = Field(default=0, ge=0)
    """First step of the stage in which it is paid."""
    until_step: int | None = Field(default=None, gt=0)
    """First step in which it is paid no more; null: never."""

    def weight_at(self, step: int) -> float:
        """The weight in ``step``, counted from 0."""
        paid = self.from_step <= step and (self.until_step is None or step < self.until_step)
        return self.weight if paid else 0.0


def rule_parts() -> list[str]:
    """Names of the files in ``parts/``, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(parts_folder.__path__))


@cache
def part_function(name: str) -> Callable[..., float]:
    """The function ``reward`` of ``parts/<name>.py``."""
    function: Callable[..., float] = import_module(f"{parts_folder.__name__}.{name}").reward
    return function


def _expand(block: Any) -> Any:
    """A preset's name as its weights, a bare number as a weight."""
    if isinstance(block, str):
        if block not in PRESETS:
            raise ValueError(f"no preset {block!r}; allowed: {', '.join(PRESETS)}, or weights by name")
        block = PRESETS[block]
    if not isinstance(block, Mapping):
        return block
    return {name: part if isinstance(part, Mapping | Part) else {"weight": part} for name, part in block.items()}


def _known(block: dict[str, Part], model_parts: tuple[str, ...]) -> dict[str, Part]:
    """``block`` if every name is a part with exactly the options its function takes."""
    allowed = [*rule_parts(), *model_parts]
    if not any(part.weight for part in block.values()):
        raise ValueError(f"no part has a weight above 0, so there is nothing to learn; allowed: {', '.join(allowed)}")
    for name, part in block.items():
        if name not in allowed:
            raise ValueError(f"{name} is no part of a reward; allowed: {', '.join(allowed)}")
        options = {} if name in model_parts else _options(name)
        given = part.model_extra or {}
        wrong = [key for key, value in given.items() if key in options and type(value) is not options[key].annotation]
        needed = {key for key, option in options.items() if option.default is option.empty}
        if wrong or not needed <= set(given) <= set(options):
            takes = {key: option.annotation.__name__ for key, option in options.items()}
            raise ValueError(f"{name} takes the options {takes} beside weight, from_step, until_step; found {given}")
    return block


def _options(name: str) -> dict[str, inspect.Parameter]:
    """The keyword-only arguments of a part's function; one without a default must be given."""
    parameters = inspect.signature(part_function(name)).parameters.values()
    return {one.name: one for one in parameters if one.kind is one.KEYWORD_ONLY}


RuleMixture = Annotated[dict[str, Part], BeforeValidator(_expand), AfterValidator(partial(_known, model_parts=()))]
"""Block ``rewards`` of a stage that learns from rules: name -> part."""
GeneralMixture = Annotated[
    dict[str, Part], BeforeValidator(_expand), AfterValidator(partial(_known, model_parts=MODEL_PARTS))
]
"""Block ``general_rewards``: reward models and rules that need no reference."""


def pays_partial_credit(mixture: Mapping[str, Part]) -> bool:
    """Whether accuracy has its option ``partial_credit``: then graders run every test and stop at none."""
    return "accuracy" in mixture and bool((mixture["accuracy"].model_extra or {}).get("partial_credit"))


def rule_values(mixture: Mapping[str, Part], graded: Graded) -> dict[str, float]:
    """The unweighted value of each rule part of ``mixture``; parts of reward models are left out."""
    return {
        name: part_function(name)(graded, **(part.model_extra or {}))
        for name, part in mixture.items()
        if name not in MODEL_PARTS
    }


def weighted_total(mixture: Mapping[str, Part], values: Mapping[str, float], step: int) -> float:
    """The sum of ``values`` by the weights of ``step``, counted from 0."""
    return sum(part.weight_at(step) * values[name] for name, part in mixture.items())
