"""The last thing that failed here: what happened, where its log is, what to do next.

In: the work folders of the stages, and Prefect's last run if it answers. Out: one ``Failure``, or None where everything
that ended has ended well. Servers that have gone are a finding of the doctor's own (``tasks/doctor.py``).
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from tasks.addresses import prefect_url
from tasks.causes import remedy
from tasks.health import fetch
from tasks.live_runs import process_of

TAIL_BYTES = 1 << 14
SHOWN_LINES = 12
"""Of a log's end."""
LOGGED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:")
"""A line of a log, not of a traceback."""
AGAIN = "correct what it says, then run the same command again: finished stages are not repeated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How one stage or flow run failed."""

    name: str
    """Of the stage's run or the flow run."""
    what: str
    ended: float
    """Seconds since 1970."""
    lines: tuple[str, ...]
    """The last of its log."""
    log: str
    """File or page with all of it."""

    def message(self) -> str:
        """All of it in one text, what to do last."""
        text = "\n".join([self.what, *self.lines])
        shown = "\n".join(f"    {line}" for line in self.lines[-SHOWN_LINES:])
        return f"{self.what}, {_ago(self.ended)}\n{shown}\nlog   {self.log}\nnext  {remedy(text) or AGAIN}"


def last_failure(root: Path) -> Failure | None:
    """The newest failure that nothing has made good since; None if there is none.

    Of a flow run that failed by a stage, the stage's own words.
    """
    stages = sorted(_stages(root), key=lambda one: one.ended)
    for run in _flow_run(root):
        for stage in reversed(stages):
            if any(f"stage {stage.name} failed" in line for line in run.lines):
                return replace(stage, log=f"{stage.log}, {run.log}")
        return max([*stages, run], key=lambda one: one.ended)
    return stages[-1] if stages else None


def _stages(root: Path) -> Iterator[Failure]:
    """Stages that began and did not finish: their work folder is still there, and no process works in it."""
    for log in root.glob("work/*/*/stage.log"):
        name = log.parent.parent.name
        published = root / "metrics" / f"{name}.json"
        ended = log.stat().st_mtime
        if process_of(name, log.parent.parent / "lock") or (published.exists() and published.stat().st_mtime > ended):
            continue
        end = _end_of(log)
        words = _last_words(end)
        how = "failed" if words else "was killed without a last word (exit code -9)"
        if words and words[-1].startswith(("SystemExit: 143", "KeyboardInterrupt")):
            how = "was stopped"
        place = str(log.relative_to(root))
        yield Failure(name=name, what=f"stage {name} {how}", ended=ended, lines=words or end, log=place)


def _last_words(end: tuple[str, ...]) -> tuple[str, ...]:
    """The traceback with which a log ends (``stages/contract/process.py``); empty if other lines came after it."""
    words: list[str] = []
    for line in reversed(end):
        if line.endswith("ended by:"):
            return tuple(reversed(words))
        if LOGGED.match(line):
            return ()
        words.append(line)
    return ()


def _flow_run(root: Path) -> Iterator[Failure]:
    """The flow run that ended last, if Prefect answers and it failed."""
    body = {"sort": "END_TIME_DESC", "limit": 1, "flow_runs": {"end_time": {"is_null_": False}}}
    answer = fetch(f"{prefect_url()}/api/flow_runs/filter", body=body)
    for run in json.loads(answer or b"[]"):
        ended = datetime.fromisoformat(run["end_time"]).timestamp()
        lock = root / "dvc.lock"
        went_on = lock.exists() and lock.stat().st_mtime > ended  # a stage has finished since
        if run["state_type"] in ("FAILED", "CRASHED") and not went_on:
            said = re.sub(r"^.*?encountered an exception: ", "", run["state"]["message"] or "", flags=re.DOTALL)
            yield Failure(
                name=run["name"],
                what=f"flow run {run['name']} {run['state_type'].lower()}",
                ended=ended,
                lines=tuple(said.splitlines()),
                log=f"{prefect_url()}/runs/flow-run/{run['id']}",
            )


def _end_of(log: Path) -> tuple[str, ...]:
    """The last lines of ``log``, at most ``TAIL_BYTES`` of it."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return tuple(file.read().decode("utf-8", errors="replace").splitlines())


def _ago(then: float) -> str:
    minutes = max(0, round((time.time() - then) / 60))
    return f"{minutes} minutes ago" if minutes < 120 else f"{minutes // 60} hours ago"
