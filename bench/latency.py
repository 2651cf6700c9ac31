"""From the final dot to the 250, at a given rate, against Postfix in the same run.

    python -m bench.latency [--seconds 8]

Twenty kept sessions; mails leave on a fixed schedule, so a slow answer does not slow the next question.
"""

from __future__ import annotations

import argparse
import heapq
import selectors
import socket
import time

from bench.hub import Hub
from bench.postfix import Postfix

SESSIONS = 20
BODY = b"Subject: tick\r\nFrom: <ana@far.example>\r\n\r\n" + (b"x" * 70 + b"\r\n") * 13 + b".\r\n"
_STEPS = (b"MAIL FROM:<ana@far.example>\r\n", b"RCPT TO:<hub@hub.example>\r\n", b"DATA\r\n")


class Session:
    """One kept SMTP session: ready, or somewhere on the way to its next 250."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert self.socket.recv(500).startswith(b"220")
        self.socket.sendall(b"EHLO bench.example\r\n")
        while b"250 " not in self.socket.recv(2000):
            pass
        self.step = -1
        self.dotted = 0.0

    def begin(self) -> None:
        """Start a mail."""
        self.step = 0
        self.socket.sendall(_STEPS[0])

    def go_on(self, number: int) -> float | None:
        """An answer came; the latency when it was the one to the dot."""
        answer = self.socket.recv(500)
        assert answer[:1] in (b"2", b"3"), answer
        self.step += 1
        if self.step < len(_STEPS):
            self.socket.sendall(_STEPS[self.step])
        elif self.step == len(_STEPS):
            self.socket.sendall(b"Message-ID: <%d.%d@far.example>\r\n" % (number, id(self)) + BODY)
            self.dotted = time.perf_counter()
        else:
            self.step = -1
            return time.perf_counter() - self.dotted
        return None


def measure(port: int, rate: float, seconds: float) -> tuple[list[float], float]:
    """Latencies in seconds, ascending, and the rate that was reached."""
    ready = [Session(port) for _ in range(SESSIONS)]
    sessions = list(ready)
    taken: list[float] = []
    with selectors.DefaultSelector() as selector:
        for session in sessions:
            selector.register(session.socket, selectors.EVENT_READ, session)
        begun = time.perf_counter()
        due, sent, number = begun, 0, 0
        while time.perf_counter() < begun + seconds or len(ready) < SESSIONS:
            now = time.perf_counter()
            while due <= now and ready and now < begun + seconds:
                ready.pop().begin()
                sent, due = sent + 1, due + 1 / rate
            for key, _ in selector.select(max(0.0, min(due - time.perf_counter(), 0.05)) if ready else 0.05):
                number += 1
                latency = key.data.go_on(number)
                if latency is not None:
                    heapq.heappush(taken, latency)
                    ready.append(key.data)
    for session in sessions:
        session.socket.close()
    return [heapq.heappop(taken) for _ in range(len(taken))], sent / seconds


def main() -> None:
    """Print p50 and p99 of both, and the ratio of the p99."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=8.0)
    chosen = options.parse_args()
    with Postfix() as postfix, Hub() as hub:
        for port in (postfix.port, hub.port):
            measure(port, 200, 2)
        print(f"{'mails/s':>8} {'Postfix p50':>12} {'p99':>7} {'hub p50':>8} {'p99':>7} {'ratio of p99':>12}   (ms)")
        for rate in (200, 500, 1000):
            figures = []
            for port in (postfix.port, hub.port):
                latencies, reached = measure(port, rate, chosen.seconds)
                at = [1000 * latencies[int(len(latencies) * part)] for part in (0.5, 0.99)]
                figures.append((*at, reached))
            (peer50, peer99, peer), (hub50, hub99, ours) = figures
            print(
                f"{rate:8} {peer50:12.2f} {peer99:7.2f} {hub50:8.2f} {hub99:7.2f} {hub99 / peer99:12.2f}"
                f"   reached {peer:.0f} and {ours:.0f} a second",
                flush=True,
            )


if __name__ == "__main__":
    main()
