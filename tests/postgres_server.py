"""A PostgreSQL server of the tests' own: on loopback, in a temporary folder, with a password, gone at the end."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "only-for-tests"


def programs() -> Path | None:
    """The folder with initdb and postgres: from PATH, or where Debian puts them; None if there is none."""
    found = [*filter(None, [shutil.which("initdb")]), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    return Path(found[-1]).resolve().parent if found else None


@contextmanager
def postgres_server() -> Iterator[str]:
    """``postgresql://r1:PASSWORD@HOST:PORT`` of a running server; the test is skipped where it cannot be had."""
    pytest.importorskip("psycopg", reason="no psycopg: pip install -e '.[servers]'")
    folder = programs()
    if folder is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql")
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])  # nobody's at this moment
    with tempfile.TemporaryDirectory() as data:
        if user:
            shutil.chown(data, user)
        password_file = Path(data).with_suffix(".password")
        password_file.write_text(PASSWORD)
        command = [folder / "initdb", "-D", data, "-U", "r1", "--auth=scram-sha-256", f"--pwfile={password_file}"]
        try:
            subprocess.run([*command, "-E", "UTF8", "--locale=C"], user=user, cwd="/", check=True, capture_output=True)
        finally:
            password_file.unlink()
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-p", port, "-k", data]
        with subprocess.Popen(
            [folder / "postgres", "-D", data, *options], user=user, cwd="/", stderr=subprocess.DEVNULL
        ) as server:
            try:
                _wait(port)
                yield f"postgresql://r1:{PASSWORD}@127.0.0.1:{port}"
            finally:
                server.send_signal(signal.SIGINT)  # SIGTERM would wait for every connection to end by itself


def _wait(port: str) -> None:
    for _ in range(300):
        try:
            return execute(f"postgresql://r1:{PASSWORD}@127.0.0.1:{port}", "SELECT 1")
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("PostgreSQL did not answer within 30 seconds")


def execute(server: str, statement: str) -> None:
    """Run one statement outside a transaction, as CREATE DATABASE needs it."""
    import psycopg

    try:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(statement.encode())
    except psycopg.OperationalError as error:
        raise OSError(str(error)) from error
