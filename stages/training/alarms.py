"""Alarms: signs that a policy is learning something else than to be right.

In: the metrics of the steps so far. Out: the alarms that ring now, each with a sentence. Ours; the signs are the
reward hacks the paper tells of (DeepSeek-R1, arXiv:2501.12948v2, appendix B.5) and those its rewards invite.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict, Field

FORMAT, MODEL, UNGRADED, EQUAL = ALARMS = (
    "format_without_accuracy",
    "model_reward_without_accuracy",
    "answers_not_graded",
    "rewards_equal",
)
MODEL_REWARDS = ("reward/helpful", "reward/safety")


class AlarmSettings(BaseModel):
    """When alarms ring; a nested block of every RL stage. Rises and falls are between the halves of the window."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_steps: int = Field(gt=1)
    """Steps with new completions that are looked at; no trend is told from fewer."""
    format_rise: float = Field(gt=0)
    """Format reward up by this much ..."""
    accuracy_rise: float = Field(gt=0)
    """... while accuracy rises by less than this: the policy learns the tags alone."""
    model_rise: float = Field(gt=0)
    """A reward model's score up by this much ..."""
    accuracy_fall: float = Field(gt=0)
    """... while held-out accuracy falls by more than this: the reward model is being hacked."""
    max_ungraded: float = Field(ge=0, le=1)
    """Largest share of a step's answers that time out or cannot be read."""
    max_equal: float = Field(ge=0, le=1)
    """Largest share of groups whose rewards are all equal, as a mean over the window; 1 never rings."""


def ringing(rows: Sequence[Mapping[str, float]], settings: AlarmSettings) -> dict[str, str]:
    """Alarm -> why it rings, after the steps whose metrics are ``rows``, oldest first; none, no alarm."""
    window = list(rows)[-settings.window_steps :]
    found = {}
    ungraded = (
        sum(window[-1].get(f"grade/{reason}", 0.0) for reason in ("timeout", "unreadable_answer")) if window else 0
    )
    if ungraded > settings.max_ungraded:
        found[UNGRADED] = f"{ungraded:.0%} of this step's answers timed out or could not be read"
    if len(window) < settings.window_steps:
        return found
    equal = fmean(row.get("group/zero_variance", 0.0) for row in window)
    if equal > settings.max_equal:
        found[EQUAL] = f"{equal:.0%} of the groups have equal rewards: nothing is learned from them"
    formatted, accurate = _rise(window, "reward/format"), _rise(window, "reward/accuracy")
    if formatted >= settings.format_rise and accurate < settings.accuracy_rise:
        found[FORMAT] = f"format reward changed by {formatted:+.2f}, accuracy by {accurate:+.2f}"
    held_out = _rise(window, "held_out/accuracy")
    for name in MODEL_REWARDS:
        if _rise(window, name) >= settings.model_rise and held_out < -settings.accuracy_fall:
            found[MODEL] = f"{name} changed by {_rise(window, name):+.2f}, held-out accuracy by {held_out:+.2f}"
    return found


def _rise(rows: Sequence[Mapping[str, float]], name: str) -> float:
    """Mean of ``name`` over the later half of ``rows`` minus that over the earlier; 0.0 if a half has none."""
    half = len(rows) // 2
    early, late = ([row[name] for row in part if name in row] for part in (rows[:half], rows[half:]))
    return fmean(late) - fmean(early) if early and late else 0.0


class AlarmWatch:
    """The alarms of one run: a metric each, and a line when one begins to ring."""

    def __init__(
        self, settings: AlarmSettings, recorded: Mapping[int, Mapping[str, float]], say: Callable[[str], None]
    ) -> None:
        """``recorded``: step -> metrics of a run taken up again; empty for a new one."""
        self._settings, self._rows, self._say = settings, dict(recorded), say
        self._ringing: set[str] = set()

    def check(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """``alarm/<name>`` of ``step``, 1.0 while it rings; steps after ``step`` are forgotten."""
        self._rows = {earlier: row for earlier, row in self._rows.items() if earlier < step} | {step: metrics}
        found = ringing([self._rows[earlier] for earlier in sorted(self._rows)], self._settings)
        for name in found.keys() - self._ringing:
            self._say(f"ALARM {name} at step {step}: {found[name]}")
        self._ringing = set(found)
        return {f"alarm/{name}": float(name in found) for name in ALARMS}
