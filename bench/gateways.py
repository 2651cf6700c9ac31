"""What the gateway benchmarks share: a gateway that only says yes, clients that hammer, and a hub that can be probed.

python -m bench.gateways sink PORT                     answers every request at once, forever
python -m bench.gateways requests URL COUNT THREADS    sends with ``requests``; prints texts a second
python -m bench.gateways source PORT COUNT CONNECTIONS NAME    calls the webhook; prints calls a second
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.hub import Hub
from bench.postfix import free_port
from bench.smtp_wire import wait_for

TEXT = "Water is handed out at the school from eight; bring your own cans."
FIELDS = {"from": "+15550100", "text": TEXT, "id": "d1.abc"}

GATEWAY = """
[connector.gateway]
type = "http"
profile = "generic"
url = "http://127.0.0.1:{sink}/send"
sender = "+15550100"
callback = "http://127.0.0.1/in/gateway"
callback_secret = {{ file = "{root}/secret" }}
allow_private = true
connections = 32
[connector.gateway.options]
success = '"ok": *true'
id = '"id": *"([^"]+)"'
"""
SECRET = "a-word-for-the-bench"

_TAC = """
import resource
from pathlib import Path
from twisted.application.service import Application
from twisted.internet import reactor, task
from msgserver.service import Options, makeService
options = Options()
options.parseOptions(["--config", {config!r}])
application = Application("bench")
hub = makeService(options)
hub.setServiceParent(application)
if not {reading}:
    hub.reader.start = lambda: None
    hub.reader.take = lambda item: None
    hub.reader.full = lambda mail: False
late, expected = [], [None]
def beat():
    now = reactor.seconds()
    if expected[0] is not None:
        late.append(max(0.0, now - expected[0]))
    expected[0] = now + 0.005
    reactor.callLater(0.005, beat)
def tell():
    late.sort()
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = used.ru_maxrss / 1024
    p50, p99 = (late[int(len(late) * part)] * 1000 for part in (0.5, 0.99))
    Path({told!r}).write_text(f"{{p50}} {{p99}} {{late[-1] * 1000}} {{peak}}")
reactor.callWhenRunning(beat)
reactor.addSystemEventTrigger("after", "shutdown", tell)
"""


class Sink:
    """``with Sink() as port``: a gateway in a process of its own, which takes everything."""

    def __init__(self, delay: float = 0.0) -> None:
        self.port = free_port()
        self._delay = delay

    def __enter__(self) -> int:
        command = [sys.executable, "-m", "bench.gateways", "sink", str(self.port), str(self._delay)]
        self._process = subprocess.Popen(command)
        wait_for(self.port)
        return self.port

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


class ProbedHub(Hub):
    """A hub with an http connector, which tells at its end how late its reactor was."""

    def __init__(self, sink: int, *, extra: str = "", web: bool = False, reading: bool = True) -> None:
        super().__init__(web=web)
        (self.root / "secret").write_text(SECRET)
        gateway = GATEWAY.format(sink=sink, root=self.root) + extra
        self.config.write_text(self.config.read_text() + gateway)
        self.tac = self.root / "hub.tac"
        self.told = self.root / "told"
        self.tac.write_text(_TAC.format(config=str(self.config), told=str(self.told), reading=reading))

    def start(self) -> float:
        """Start it; returns seconds until it listens and its gateway may call."""
        begun = time.perf_counter()
        super().start()
        able = "SELECT count(*) FROM connector_status WHERE name = 'gateway' AND able"
        while time.perf_counter() - begun < 30 and not self.count(able):
            time.sleep(0.01)
        return time.perf_counter() - begun

    def command(self) -> list[str]:
        """The hub, and a probe beside it in the same process."""
        return [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "-oy", str(self.tac)]

    def lateness(self) -> tuple[float, float, float, float]:
        """The reactor's lag, once it has stopped: median, 99 % and worst in ms; and the peak of memory in MiB."""
        p50, p99, worst, peak = map(float, self.told.read_text().split())
        return p50, p99, worst, peak


# --- processes of their own ----------


class _Answering(asyncio.Protocol):
    """One connection: as many requests as come, each answered with an id of its own."""

    given = 0
    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = transport
        self._kept = b""

    def data_received(self, data: bytes) -> None:
        self._kept += data
        while True:
            head, end, rest = self._kept.partition(b"\r\n\r\n")
            if not end:
                return
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0
            if len(rest) < length:
                return
            self._kept = rest[length:]
            _Answering.given += 1
            body = b'{"ok": true, "id": "g%d"}' % _Answering.given
            answer = (
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self._line.write, answer)
            else:
                self._line.write(answer)


async def _sink(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", port)
    await server.serve_forever()


def _requests(url: str, count: int, threads: int) -> float:
    """What a program with threads does: a kept session each, one text a request. Nothing is written down."""
    import requests

    share = count // threads

    def work(thread: int) -> None:
        with requests.Session() as session:
            for n in range(share):
                answer = session.post(url, data={**FIELDS, "to": f"+1555{thread:02}{n:05}"}, timeout=30)
                assert answer.status_code == 200
                assert answer.json()["ok"]

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return share * threads / (time.perf_counter() - begun)


def with_requests(port: int, count: int, threads: int = 16) -> tuple[float, float]:
    """Texts a second that ``requests`` sends, in a process of its own, and microseconds of processor time for each."""
    url = f"http://127.0.0.1:{port}/send"
    command = [sys.executable, "-m", "bench.gateways", "requests", url, str(count), str(threads)]
    rate, used = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(rate), float(used)


class _Calling(asyncio.Protocol):
    """One connection of a gateway that brings texts: the next call when the last is answered."""

    def __init__(self, name: str, numbers: Iterator[int], ended: asyncio.Semaphore) -> None:
        self._name = name
        self._numbers = numbers
        self._ended = ended
        self._kept = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = transport
        self._next()

    def _next(self) -> None:
        number = next(self._numbers, None)
        if number is None:
            self._line.close()
            self._ended.release()
            return
        text = TEXT.replace(" ", "+").replace(";", "%3B")
        if self._name == "jasmin":
            path = "/send"
            body = f"username=hub&password=word&to=1555{number % 500:07}&from=15550100&content={text}"
        else:
            path = f"/in/gateway/{SECRET}"
            body = f"id={self._name}-{number}&from=1555{number % 500:07}&to=15550100&text={text}"
        self._line.write(
            f"POST {path} HTTP/1.1\r\nHost: hub.example\r\nUser-Agent: gateway\r\nAccept: */*\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._kept += data
        head, end, rest = self._kept.partition(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        whole = len(rest) >= int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else rest.endswith(b"0\r\n\r\n")
        if end and whole:
            assert head.startswith(b"HTTP/1.1 200"), self._kept
            self._kept = b""
            self._next()


async def _source(port: int, count: int, connections: int, name: str) -> float:
    numbers, ended = iter(range(count)), asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Calling(name, numbers, ended), "127.0.0.1", port)
    for _ in range(connections):
        await ended.acquire()
    return count / (time.perf_counter() - begun)


def source(port: int, count: int, connections: int, name: str) -> float:
    """Bring texts to ``/in/gateway``, from 500 numbers; texts a second."""
    command = [sys.executable, "-m", "bench.gateways", "source", str(port), str(count), str(connections), name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """One of the processes above."""
    match sys.argv[1:]:
        case ["sink", port, delay]:
            _Answering.delay = float(delay)
            asyncio.run(_sink(int(port)))
        case ["source", port, count, connections, name]:
            print(asyncio.run(_source(int(port), int(count), int(connections), name)))
        case ["requests", url, count, threads]:
            rate = _requests(url, int(count), int(threads))
            print(rate, time.process_time() / int(count) * 1e6)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
