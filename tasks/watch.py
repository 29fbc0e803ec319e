"""Look on while stages are at work: the essentials of the report, live in the terminal.

    python -m tasks.watch        in the repository; needs no server

Read from the work folders alone. Where the output is no terminal, one look is printed. Ctrl-C ends the looking on.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tasks.live_runs import Curve, LiveRun, Row, read_runs

LOOK_SECONDS = 1.5
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 30
"""Characters of a small curve."""
PROMPT_CHARACTERS, COMPLETION_CHARACTERS = 200, 600

CURVES: Mapping[str, tuple[str, ...]] = {
    "reward": ("reward/total",),
    "accuracy": ("reward/accuracy",),
    "held-out accuracy": ("held_out/accuracy",),
    "format": ("reward/format",),
    "tokens": ("completion/mean_tokens",),
    "entropy, nats": ("completion/entropy",),
    "rejected tries, search": ("search/rejected_tries",),
    "reflective words / 1,000": ("behaviour/reflective_words",),
    "loss": ("train/loss", "helpful/loss", "safety/loss"),
    "token accuracy": ("train/token_accuracy",),
    "pair accuracy": ("helpful/pair_accuracy",),
}
"""What is shown -> its metrics; of several the one logged last."""


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """``values`` as at most ``width`` bars from the lowest to the highest, means where there are more; empty: empty."""
    if len(values) > width:
        edges = [len(values) * place // width for place in range(width + 1)]
        values = [fmean(values[start:end]) for start, end in pairwise(edges)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high == low:
        return BARS[0] * len(values)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in values)


def alarms(rows: Mapping[int, Row]) -> list[str]:
    """A line an alarm that has rung: since when, or when last; none, no line."""
    found: dict[str, list[tuple[int, bool]]] = {}
    for step, row in rows.items():
        for name, value in row.items():
            if name.startswith("alarm/"):
                found.setdefault(name.removeprefix("alarm/"), []).append((step, value > 0))
    lines = []
    for name, states in found.items():
        rung = [step for step, rings in states if rings]
        if states[-1][1]:
            silent = [step for step, rings in states if not rings]
            since = next(step for step in rung if not silent or step > silent[-1])
            lines.append(f"{name} rings since step {since}")
        elif rung:
            lines.append(f"{name} rang last at step {rung[-1]}")
    return lines


def show(runs: Sequence[LiveRun]) -> RenderableType:
    """All of ``runs``, those at work first."""
    if not runs:
        return Text("Nothing runs here. Start the pipeline with: make demo")
    at_work = [run for run in runs if run.pid is not None]
    stopped = [run for run in runs if run.pid is None]
    parts: list[RenderableType] = [_panel(run) for run in at_work]
    if not at_work:
        parts.append(Text("Nothing runs. Stopped before their end:"))
    parts += [_panel(run) for run in stopped]
    return Group(*parts)


def _panel(run: LiveRun) -> Panel:
    state = f"process {run.pid}" if run.pid is not None else "stopped"
    parts: list[RenderableType] = [_progress(run)]
    if run.rows:
        parts.append(_curves(run.rows))
    parts += [Text(f"ALARM {line}", style="bold red") for line in alarms(run.rows)]
    if run.group is not None:
        parts.append(_completion(run.group))
    title = Text(f"{run.name}  {state}", style="bold" if run.pid is not None else "dim")
    return Panel(Group(*parts), title=title, title_align="left")


def _progress(run: LiveRun) -> RenderableType:
    if not run.rows:
        return Text("no step logged yet")
    line = Table.grid(padding=(0, 2))
    text = f"step {run.step}" if run.total_steps is None else f"step {run.step}/{run.total_steps}"
    cells: list[RenderableType] = [Text(text)]
    if run.total_steps:
        cells.append(ProgressBar(total=run.total_steps, completed=run.step, width=WIDTH))
    if run.step_seconds is not None:
        cells.append(Text(f"{run.step_seconds:.2g} s/step"))
    if run.pid is not None and run.seconds_left is not None:
        cells.append(Text(f"ETA {_clock(run.seconds_left)}"))
    line.add_row(*cells)
    return line


def _curves(rows: Mapping[int, Row]) -> RenderableType:
    """A line a metric that was logged: its first and last value, lowest and highest, and its curve."""
    table = Table.grid(padding=(0, 2))
    for label, names in CURVES.items():
        logged = [name for name in names if any(name in row for row in rows.values())]
        if not logged:
            continue
        name = max(logged, key=lambda one: max(step for step, row in rows.items() if one in row))
        values = [row[name] for row in rows.values() if name in row]
        shown = label if len(names) == 1 else name
        table.add_row(shown, sparkline(values), f"{_short(values[0])} → [b]{_short(values[-1])}[/b]")
    return table


def _completion(group: Mapping[str, object]) -> RenderableType:
    """The first completion of ``group``, cut."""
    completions = group["completions"]
    assert isinstance(completions, list), f"groups.jsonl holds {type(completions)} of completions"
    one = completions[0]
    said = Text(f"step {group['step']}, reward {_short(one['reward'])}, {one['tokens']} tokens\n", style="dim")
    said.append(_plain(str(group["prompt"]), PROMPT_CHARACTERS) + "\n", style="cyan")
    said.append(_plain(one["text"], COMPLETION_CHARACTERS), style="default")
    return said


def _plain(text: str, most: int) -> str:
    """``text`` cut to ``most`` characters, without what would steer the terminal: a policy may write anything."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in cut)


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def look_on(work: Path, console: Console) -> None:
    """Show the runs in ``work`` again and again until Ctrl-C; once if ``console`` is no terminal."""
    known: dict[Path, Curve] = {}
    if not console.is_terminal:
        console.print(show(read_runs(work, known)))
        return
    live = Live(console=console, screen=True, auto_refresh=False)
    last: RenderableType = Text("")
    try:
        last = show(read_runs(work, known))
        live.start()
        while True:
            live.update(last, refresh=True)
            time.sleep(LOOK_SECONDS)
            last = show(read_runs(work, known))
    except KeyboardInterrupt:
        pass
    finally:  # not `with`: Ctrl-C while the first look is drawn would leave the terminal on the other screen
        live.stop()
    console.print(last)


def main(arguments: list[str]) -> int:
    """Exit code of ``python -m tasks.watch``."""
    if arguments:
        sys.stderr.write("usage: python -m tasks.watch, in the repository\n")
        return 2
    look_on(Path("work"), Console())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
