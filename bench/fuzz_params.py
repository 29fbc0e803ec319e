"""Mutate every profile and see that each mutant is refused with the key named, or means what it says.

    python -m bench.fuzz_params [COUNT] [SEED]        2,000 mutants by default; exits 1 if one is neither

A mutant is a profile with one thing wrong: a key left out, misspelt, added or written twice, a value of another type,
sign or size, a file cut off or with a byte changed. Accepted, its value must come back from the stage's ``Config`` as
it stands in the file: true is not 1, and there is no NaN.
"""

import math
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stages.config import ParamsError
from stages.contract.check_params import check_params

PROFILES = sorted(Path("profiles").glob("*.yaml"))
VALUES = (
    None, True, False, 0, 1, -1, 0.5, 1.5, -0.5, 10**30, 1e308, math.nan, math.inf, -math.inf, "", " ", "nonsense",
    "3e-6", "yes", "../..", "/etc/passwd", "$(touch x)", "a; b", "é\n", "x" * 100_000, [], [1], [None], {}, {"a": 1},
    {1: 2}, {None: []},
)  # fmt: skip
TEXTS = (
    "\x00",
    "\t",
    "{",
    "]",
    "&a ",
    "*b",
    "!!python/object/apply:os.getcwd []",
    "\ufeff",
    "- ",
    ": ",
    "\n\n? ",
    "'",
    "#",
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong parameter file."""

    content: bytes
    key: tuple[Any, ...] | None
    """Of what was changed; None if it was the text of the file."""
    what: str


def mutants(count: int, seed: int) -> Iterator[Mutant]:
    """``count`` mutants; the same ones for the same seed and profiles."""
    rng = random.Random(seed)
    texts = [path.read_bytes() for path in PROFILES]
    for _ in range(count):
        text = rng.choice(texts)
        yield _broken_text(text, rng) if rng.random() < 0.15 else _changed(yaml.load(text, yaml.CSafeLoader), rng)


def _changed(params: dict[str, Any], rng: random.Random) -> Mutant:
    """``params`` with one key changed."""
    params = yaml.load(yaml.dump(params, Dumper=_NoAliases), yaml.CSafeLoader)  # anchors made some blocks one object
    key = rng.choice(list(_keys(params)))
    owner = params
    for part in key[:-1]:
        owner = owner[part]
    last, value = key[-1], owner[key[-1]]
    kind = rng.choice(["left out", "misspelt", "added", "value", "value", "value", "negative", "wrapped"])
    if kind == "left out":
        del owner[last]
    elif kind in ("misspelt", "added") and isinstance(owner, dict):
        owner[f"{last}x"] = owner.pop(last) if kind == "misspelt" else value
    elif kind == "negative" and type(value) in (int, float):
        owner[last] = -value
    elif kind == "wrapped":
        owner[last] = [value]
    else:
        kind, owner[last] = "value", rng.choice(VALUES)
    what = f"{'.'.join(map(str, key))} {kind}" + (f" {str(owner[last])[:30]!r}" if kind == "value" else "")
    return Mutant(yaml.dump(params, Dumper=_NoAliases, allow_unicode=True, sort_keys=False).encode(), key, what)


class _NoAliases(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _keys(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in ``value``."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*above, key)
        yield from _keys(each, (*above, key))


def _broken_text(text: bytes, rng: random.Random) -> Mutant:
    """``text`` cut off, with a byte or a text in it, or with a line twice."""
    at = rng.randrange(len(text))
    kind = rng.choice(["cut", "byte", "text", "line twice"])
    if kind == "cut":
        return Mutant(text[:at], None, f"cut at byte {at}")
    if kind == "byte":
        byte = rng.randrange(256)
        return Mutant(text[:at] + bytes([byte]) + text[at + 1 :], None, f"byte {at} is {byte}")
    if kind == "text":
        some = rng.choice(TEXTS)
        return Mutant(text[:at] + some.encode() + text[at:], None, f"{some!r} at byte {at}")
    lines = text.splitlines(keepends=True)
    row = rng.choice([row for row, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(b"#")])
    return Mutant(b"".join([*lines[: row + 1], *lines[row:]]), None, f"line {row + 1} twice")


def fault(mutant: Mutant, path: Path) -> str | None:
    """What is wrong with how ``mutant`` is taken, written to ``path``; None if nothing. "" if it was accepted."""
    path.write_bytes(mutant.content)
    try:
        configs = check_params(path)
    except ParamsError as error:
        named = mutant.key is None or any(str(part) in str(error) for part in mutant.key[-2:])
        return None if named and path.name in str(error) else f"the key is not named: {error}"
    except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
        return f"{type(error).__name__}: {error}"
    found = yaml.load(mutant.content, yaml.CSafeLoader)
    read = {name: config.model_dump(mode="json") for name, config in configs.items()}
    return next((f"accepted, but {said}" for said in differences({name: found.get(name) for name in read}, read)), "")


def differences(found: Any, read: Any, key: str = "params") -> Iterator[str]:
    """Where ``read``, defaults aside, says something else than ``found``, or what no parameter can mean."""
    if isinstance(found, dict) and isinstance(read, dict):
        for name, value in found.items():
            yield from differences(value, read.get(name), f"{key}.{name}")
    elif isinstance(found, list) and isinstance(read, list) and len(found) == len(read):
        for place, pair in enumerate(zip(found, read, strict=True)):
            yield from differences(*pair, f"{key}.{place}")
    elif isinstance(found, int | float) and not 0 <= found < math.inf:
        yield f"{key} is {found}"
    elif isinstance(read, bool | int | float | str):
        number = isinstance(found, str) and type(read) in (int, float)  # YAML 1.1 takes 3e-6 for a text
        alike = number or isinstance(found, bool) == isinstance(read, bool)
        if not alike or (type(read)(found) if number or isinstance(read, float) else found) != read:
            yield f"{key}: {found!r} was read as {read!r}"


def main() -> int:
    """Try them all; the exit status."""
    count, seed = (int(text) for text in (*sys.argv[1:], *("2000", "0")[len(sys.argv) - 1 :]))
    tally, faults = Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        for mutant in mutants(count, seed):
            said = fault(mutant, Path(folder) / "params.yaml")
            tally["refused" if said is None else "accepted" if said == "" else "neither"] += 1
            if said:
                faults.append(f"{mutant.what}: {said[:300]}")
    print("\n".join(faults))
    print(f"{count} mutants, seed {seed}: {dict(tally)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
