"""One graded answer whose right verdict is known beforehand, and how a list of them is told.

In: checks. Out: lines for people, with the offending rows and the rates a data set, and whether all is well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was asked of a grader, and what it said."""

    data_set: str
    where: str
    """The problem's or case's id, or the row's place in its file."""
    kind: str
    """How the answer came about: reference, off by one, mutant, case, hostile, ..."""
    expected: float | None
    """1.0 or 0.0; None for a row that cannot be judged at all."""
    score: float
    reason: str
    gold: str = ""
    answer: str = ""
    seconds: float = 0.0
    policy_dependent: bool = False
    """Another verdict would be sensible too: reported, never a failure."""
    breaches: tuple[str, ...] = field(default=())
    """Conditions outside the verdict that do not hold: too slow, a file left behind, ..."""

    @property
    def agrees(self) -> bool:
        """Whether the verdict is the expected one and every condition holds."""
        return self.score == self.expected and not self.breaches


def is_well(checks: Sequence[Check]) -> bool:
    """Whether all agree but for those that depend on policy; no checks are well."""
    return all(check.agrees or check.policy_dependent for check in checks)


def shorten(text: str) -> str:
    """``text`` on one line, its middle cut out where it is long."""
    line = " ".join(text.split())
    if len(line) <= SHOWN_CHARACTERS:
        return line
    half = (SHOWN_CHARACTERS - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def offences(checks: Sequence[Check]) -> Iterator[str]:
    """A line for each check that does not agree."""
    for check in checks:
        if check.agrees:
            continue
        name = "policy dependent" if check.policy_dependent else _name(check)
        parts = [f"{check.where} ({check.kind})"]
        if check.expected is not None:
            parts.append(f"expected {check.expected:g}, got {check.score:g} ({check.reason})")
        else:
            parts.append(check.reason)
        parts += list(check.breaches)
        parts += [
            f"{label} {shorten(text)!r}" for label, text in (("gold", check.gold), ("answer", check.answer)) if text
        ]
        yield f"{name}: {'; '.join(parts)}"


def _name(check: Check) -> str:
    if check.expected is None:
        return "unusable row"
    if check.score == check.expected:
        return "broken condition"
    return "false accept" if check.score > check.expected else "false reject"


def rates(checks: Sequence[Check]) -> Iterator[str]:
    """A line a data set: right answers rejected, wrong answers accepted, timeouts; policy-dependent ones apart."""
    for name in dict.fromkeys(check.data_set for check in checks):
        of_set = [check for check in checks if check.data_set == name]
        firm = [check for check in of_set if not check.policy_dependent]
        right = [check for check in firm if check.expected == 1.0]
        wrong = [check for check in firm if check.expected == 0.0]
        rejected = sum(check.score < 1 for check in right)
        accepted = sum(check.score > 0 for check in wrong)
        policy = [check for check in of_set if check.policy_dependent]
        parts = [
            f"false rejects {_share(rejected, len(right))}",
            f"false accepts {_share(accepted, len(wrong))}",
            f"broken conditions {sum(bool(check.breaches) for check in firm)}",
            f"unusable rows {sum(check.expected is None for check in firm)}",
            f"timeouts {sum(check.reason == 'timeout' for check in of_set)}",
        ]
        if policy:
            parts.append(f"policy dependent {sum(not check.agrees for check in policy)} of {len(policy)} differ")
        yield f"{name}: {', '.join(parts)}"


def _share(count: int, total: int) -> str:
    return f"{count} of {total} ({100 * count / total:.2f} %)" if total else "0 of 0"
