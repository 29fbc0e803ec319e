"""A pool of fork servers, seen from the process that grades.

In: requests. Out: what each child left, in order, within a wall time a child cannot escape: the server
kills it, and if the server itself does not answer, the pool kills and replaces the server.
Works in any thread and process; callers take turns, so that one with many slow requests holds up no other.
Servers start at the first use and end with the process. Linux 5.3 or newer.
"""

import select
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stages.rewards.sandbox.outcome import LOST, Outcome, SandboxUnavailableError
from stages.rewards.sandbox.server_process import Kind, ServerProcess


class ForkPool:
    """Up to ``size`` fork servers of one kind; started when there is work for them."""

    def __init__(self, kind: Kind, size: int, *, bubblewrap: bool = False) -> None:
        self._kind, self._size, self._bubblewrap = kind, size, bubblewrap
        self._servers: list[ServerProcess] = []
        self._idle: list[ServerProcess] = []
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()
        # bubblewrap ends with the thread that started it (--die-with-parent), so that one must last.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="r1-sandbox")

    def run_all(self, requests: Sequence[Mapping[str, Any]], wall_seconds: float) -> list[Outcome]:
        """The outcome of each request, in order; no requests, no outcomes.

        ``wall_seconds`` bounds each child, asleep or computing; on a busy machine one that was not given its
        processor time may take PATIENCE times as long.

        Raises:
            SandboxUnavailableError: a server does not start.
        """
        outcomes = [LOST] * len(requests)
        waiting, busy = deque(enumerate(requests)), list[ServerProcess]()
        try:
            while waiting or busy:
                while waiting and (server := self._take(len(waiting), may_wait=not busy)):
                    server.send(*waiting.popleft(), wall_seconds)
                    busy.append(server)
                for server in _finished(busy):
                    outcome = server.receive()
                    outcomes[server.index] = outcome or LOST
                    busy.remove(server)
                    self._give_back(server, is_well=outcome is not None)
        finally:
            for server in busy:  # this call was interrupted: nobody will read their replies
                self._give_back(server, is_well=False)
        return outcomes

    def _take(self, wanted: int, *, may_wait: bool) -> ServerProcess | None:
        """An idle server, first come, first served; None if there is none for us now and we may not wait."""
        with self._changed:
            if not may_wait and (self._queue or not self._has_room()):
                return None
            ticket = object()
            self._queue.append(ticket)
            try:
                self._changed.wait_for(lambda: self._queue[0] is ticket and self._has_room())
                if not self._idle:
                    self._start(min(wanted, self._size - len(self._servers)))
                return self._idle.pop()
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _has_room(self) -> bool:
        """Whether a server is idle or may be started; those that ended while nobody used them are dropped."""
        for server in [one for one in self._idle if not one.is_alive()]:
            self._idle.remove(server)
            self._discard(server)
        return bool(self._idle) or len(self._servers) < self._size

    def _give_back(self, server: ServerProcess, *, is_well: bool) -> None:
        with self._changed:
            if is_well:
                self._idle.append(server)
            else:
                self._discard(server)
            self._changed.notify_all()

    def _start(self, count: int) -> None:
        """``count`` servers more, started together and awaited together."""
        starting = [self._starter.submit(ServerProcess, self._kind, bubblewrap=self._bubblewrap) for _ in range(count)]
        new = [one.result() for one in starting]
        self._servers += new
        try:
            for server in new:
                server.await_ready()
        except SandboxUnavailableError:
            for server in new:
                self._discard(server)
            raise
        self._idle += new

    def _discard(self, server: ServerProcess) -> None:
        if server in self._servers:  # a pool that was closed meanwhile has none
            self._servers.remove(server)
        server.process.kill()
        server.close(patience_seconds=0.0)

    def close(self) -> None:
        """End all servers; the pool starts new ones if it is used again."""
        with self._changed:
            self.abandon()  # all of them at once
            for server in self._servers:
                server.close(patience_seconds=3.0)
            self._servers.clear()
            self._idle.clear()

    def abandon(self) -> None:
        """Close this process's ends of all pipes; in a forked child the servers are its parent's and stay."""
        for server in self._servers:
            server.abandon()


def _finished(busy: list[ServerProcess]) -> list[ServerProcess]:
    """Servers with a reply or past their deadline; waits for the first."""
    patience = max(0.0, min(server.deadline for server in busy) - time.monotonic())
    poll = select.poll()
    for server in busy:
        poll.register(server.replies, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(patience * 1000)}
    now = time.monotonic()
    return [server for server in busy if server.replies in ready or server.deadline <= now]
