"""A Hugging Face hub of one's own on loopback, as far as data sets and models need it: their files and their errors.

In: data sets and models as {``owner/name``: {file: bytes}}, each at one commit. Out: an address for ``HF_ENDPOINT``.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "c0ffee" * 6 + "beef"
GATED = "acme/gated"


class FakeHub(ThreadingHTTPServer):
    """Serves ``sets`` at ``commits``, where none is named at ``COMMIT``; ``asked`` are the paths it was asked for."""

    def __init__(self, sets: dict[str, dict[str, bytes]], commits: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sets, self.commits = sets, commits
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(sets: dict[str, dict[str, bytes]], commits: dict[str, str] | None = None) -> Iterator[FakeHub]:
    hub = FakeHub(sets, commits or {})
    Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bytes = b"") -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        of_commit = r"(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?"
        api = re.fullmatch(r"/api/(?:datasets|models)/([^/]+/[^/]+)" + of_commit, path)
        file = re.fullmatch(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = api or file
        if not found:
            return self._send(404, b"{}")
        name = found[1]
        commit = found[3] if api else found[2]
        if name == GATED:
            return self._send(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
        if name not in self.server.sets:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        its_commit = self.server.commits.get(name, COMMIT)
        if commit not in (None, its_commit):
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        files = self.server.sets[name]
        if file:
            return self._send_file(files, file[3], its_commit)
        if api[2] in ("tree", "paths-info"):
            wanted = json.loads(body)["paths"] if api[2] == "paths-info" and body[:1] == b"{" else None
            return self._send(200, json.dumps(_tree(files, api[4] or "", wanted)).encode())
        siblings = [{"rfilename": each} for each in files]
        info = {"id": name, "sha": its_commit, "private": False, "gated": False, "tags": [], "siblings": siblings}
        return self._send(200, json.dumps(info).encode())

    def _send_file(self, files: dict[str, bytes], name: str, commit: str) -> None:
        if name not in files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        content = files[name]
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(span[1]), min(int(span[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            return self._send(206, content[first : last + 1], headers)
        return self._send(200, content, headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _tree(files: dict[str, bytes], folder: str, wanted: list[str] | None) -> list[dict[str, object]]:
    """Every file under ``folder``, or of ``wanted``, with its folders."""
    entries: dict[str, dict[str, object]] = {}
    for path, content in files.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            entries[above] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": above}
        entries[path] = {"type": "file", "oid": hashlib.sha1(content).hexdigest(), "size": len(content), "path": path}
    inside = folder.rstrip("/") + "/" if folder else ""
    return [entry for path, entry in entries.items() if path.startswith(inside) and (wanted is None or path in wanted)]
