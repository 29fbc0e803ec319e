"""Judges behind an endpoint, asked of a real HTTP server on this machine."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stages.evaluation.judges import EndpointJudge, JudgeError, endpoint_judge, read_verdict
from stages.evaluation.preference import Pair

KEY = "sk-not-for-logs"


@dataclass
class Endpoint:
    """What a local server was asked, and how it answers: the instruction and both answers -> (HTTP state, words)."""

    answer: Callable[[str, str, str], tuple[int, str]]
    url: str = ""
    bodies: list[dict] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)


@contextmanager
def served(answer: Callable[[str, str, str], tuple[int, str]]) -> Iterator[Endpoint]:
    endpoint = Endpoint(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.bodies.append(body)
            endpoint.keys.add(self.headers["Authorization"])
            text = body["messages"][0]["content"]
            parts = [
                text.split(f"<{tag}>\n")[1].split(f"\n</{tag}>")[0] for tag in ("instruction", "answer_a", "answer_b")
            ]
            state, words = endpoint.answer(*parts)
            ok = {"choices": [{"message": {"role": "assistant", "content": words}}]}
            found = self.path == "/v1/chat/completions"
            sent = json.dumps(ok if state == 200 else {"error": words}).encode()
            self.send_response(state if found else 404)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()


def settings(url: str, **changes: object) -> EndpointJudge:
    usual = {"model": "m", "key_env": None, "temperature": 0.0, "max_tokens": 512, "timeout_seconds": 5.0}
    return EndpointJudge.model_validate(
        usual | {"url": url, "retries": 2, "retry_seconds": 0.0, "parallel": 4} | changes
    )


def pair(ours: str, theirs: str, prompt: str = "Name a colour") -> Pair:
    return Pair(problem_id=prompt, prompt=prompt, ours=ours, theirs=theirs)


def longer(_: str, first: str, second: str) -> tuple[int, str]:
    return 200, "Longer is better. [[A]]" if len(first) > len(second) else "[[B]]"


def test_a_judge_that_reads_the_answers_gives_the_same_verdict_in_both_orders(tmp_path: Path) -> None:
    with served(longer) as endpoint:
        won, lost = endpoint_judge(settings(endpoint.url), tmp_path / "a")([pair("blue sky", "red"), pair("a", "red")])
    assert (won.ours_first, won.theirs_first, won.score) == (1, 1, 1)
    assert (lost.ours_first, lost.theirs_first, lost.score) == (0, 0, 0)
    assert won.said[0] == "Longer is better. [[A]]"


def test_a_judge_that_likes_what_it_sees_first_gives_half_a_win_and_shows_its_bias(tmp_path: Path) -> None:
    with served(lambda *_: (200, "[[A]]")) as endpoint:
        (one,) = endpoint_judge(settings(endpoint.url), tmp_path / "a")([pair("blue", "red")])
    assert (one.ours_first, one.theirs_first, one.score) == (1, 0, 0.5)


def test_equal_answers_are_a_tie_that_nobody_is_asked_about(tmp_path: Path) -> None:
    with served(longer) as endpoint:
        (one,) = endpoint_judge(settings(endpoint.url), tmp_path / "a")([pair("blue", "blue")])
        assert (one.score, endpoint.bodies) == (0.5, [])


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("A is right. [[A]]", 1.0),
        ("[[B]]", 0.0),
        ("Both say so. [[C]]", 0.5),
        ("[[A]] would be too kind; [[B]]", 0.0),  # the last one counts
        ("<think>[[A]]?</think>[[B]]", 0.0),
        ("<think>surely [[A]]", None),  # cut off while thinking
        ("A", None),
        ("[[D]]", None),
        ("", None),
    ],
)
def test_verdicts_are_read_from_the_last_mark_after_the_thought(said: str, score: float | None) -> None:
    assert read_verdict(said) == score


def test_an_unreadable_verdict_in_one_order_leaves_the_pair_without_a_score(tmp_path: Path) -> None:
    with served(lambda _, first, __: (200, "[[A]]" if first == "blue" else "I cannot say")) as endpoint:
        (one,) = endpoint_judge(settings(endpoint.url), tmp_path / "a")([pair("blue", "red")])
    assert (one.ours_first, one.theirs_first, one.score) == (1, None, None)


def test_a_busy_endpoint_is_asked_again_and_a_silent_one_not_for_ever(tmp_path: Path) -> None:
    states = iter([429, 503])
    with served(lambda *_: (next(states, 200), "[[C]]")) as endpoint:
        (one,) = endpoint_judge(settings(endpoint.url, parallel=1), tmp_path / "a")([pair("blue", "red")])
        assert (one.score, len(endpoint.bodies)) == (0.5, 4)  # two refusals, then two orders
    with served(lambda *_: (503, "busy")) as endpoint:
        with pytest.raises(JudgeError, match="after 3 tries: HTTP 503"):
            endpoint_judge(settings(endpoint.url, parallel=1), tmp_path / "b")([pair("blue", "red")])
        assert 3 <= len(endpoint.bodies) <= 6  # the other order may be at work when the first gives up
    with pytest.raises(JudgeError, match="after 3 tries: ConnectError"):  # the server is gone
        endpoint_judge(settings(endpoint.url), tmp_path / "c")([pair("blue", "red")])


def test_the_key_goes_to_the_endpoint_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with served(lambda *_: (401, f"no such key: {KEY}")) as endpoint:
        judge = endpoint_judge(settings(endpoint.url, key_env="JUDGE_KEY"), tmp_path / "a")
        with pytest.raises(JudgeError, match="after 1 tries: HTTP 401.*the key") as refused:
            judge([pair("blue", "red")])
    assert endpoint.keys == {f"Bearer {KEY}"}
    kept = "".join(path.read_text() for path in tmp_path.iterdir())
    assert KEY not in str(refused.value) + caplog.text + kept
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(JudgeError, match="the environment variable JUDGE_KEY is not set"):
        endpoint_judge(settings(endpoint.url, key_env="JUDGE_KEY"), tmp_path / "a")


def test_a_killed_run_pays_for_no_answer_twice(tmp_path: Path) -> None:
    answers, pairs = tmp_path / "a", [pair("blue sky", "red", str(number)) for number in range(3)]
    with served(longer) as endpoint:
        first = endpoint_judge(settings(endpoint.url), answers)(pairs)
        lines = answers.read_text().splitlines(keepends=True)
        answers.write_text("".join(lines[:4]) + lines[4][:30])  # torn by the kill
        assert endpoint_judge(settings(endpoint.url), answers)(pairs) == first
        assert len(endpoint.bodies) == 6 + 2


def test_an_address_that_is_no_such_endpoint_is_named(tmp_path: Path) -> None:
    with served(longer) as endpoint:
        wrong = settings(endpoint.url.removesuffix("/v1"))
        with pytest.raises(JudgeError, match="HTTP 404"):
            endpoint_judge(wrong, tmp_path / "a")([pair("blue", "red")])
    with pytest.raises(ValueError, match="url"):
        settings("https://user:password@host/v1")
