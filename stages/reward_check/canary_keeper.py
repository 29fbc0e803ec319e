"""What a program that escapes from the sandbox would find and touch. A process of its own; standard library only.

    python -I -S canary_keeper.py TREE SOCKET     with the secret in the environment

In: a line on standard input for each question. Out: ``ready`` or the reason why not, then a JSON list for each
question: what was touched since. It holds listeners on 127.0.0.1:29507, on the abstract socket
@sbx_canary and on the unix socket SOCKET, and a tree of files. At the end of its input, which comes however
the checking process ends, it removes tree and socket.
"""

import json
import os
import shutil
import socket
import sys
from pathlib import Path

LOOPBACK = ("127.0.0.1", 29507)
_FILES = ("a.txt", "deep/b.txt", "deep/deeper/c.txt")
_CONTENT = "canary\n"


def _listen(family: int, address: tuple[str, int] | str) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(8)
    listener.setblocking(False)
    return listener


def _plant(tree: Path) -> None:
    for name in _FILES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(_CONTENT, encoding="utf-8")


def _found(tree: Path) -> dict[str, str]:
    return {
        path.relative_to(tree).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in tree.rglob("*")
        if path.is_file()
    }


def _touched(listeners: dict[str, socket.socket], tree: Path) -> list[str]:
    """What happened since the last question; tree and listeners are as new afterwards."""
    touched = []
    for name, listener in listeners.items():
        try:
            listener.accept()[0].close()
            touched.append(f"somebody connected to {name}")
        except BlockingIOError:
            continue
    if _found(tree) != dict.fromkeys(_FILES, _CONTENT):
        touched.append(f"the files in {tree} were changed")
        shutil.rmtree(tree, ignore_errors=True)
        _plant(tree)
    return touched


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(tree: Path, socket_path: Path) -> None:
    """Keep the canaries until standard input ends."""
    try:
        listeners = {
            f"{LOOPBACK[0]}:{LOOPBACK[1]}": _listen(socket.AF_INET, LOOPBACK),  # fails if another keeper lives
            "@sbx_canary": _listen(socket.AF_UNIX, "\0sbx_canary"),
        }
        socket_path.unlink(missing_ok=True)  # left by a keeper that was killed
        shutil.rmtree(tree, ignore_errors=True)
        listeners[str(socket_path)] = _listen(socket.AF_UNIX, str(socket_path))
        os.chmod(socket_path, 0o777)
        _plant(tree)
    except OSError as error:
        _say(f"a canary cannot be set up: {error}; does another check run on this machine?")
        return
    try:
        _say("ready")
        for _ in sys.stdin:
            _say(json.dumps(_touched(listeners, tree)))
    finally:
        socket_path.unlink(missing_ok=True)
        shutil.rmtree(tree, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
