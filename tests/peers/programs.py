"""Finding, starting and stopping the programs that the tests run against."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

_PLACES = ["/usr/sbin", "/usr/lib/kannel/test"]
_PORTS = range(15_000, 32_000)  # below those that systems give to whoever asks for any, or connects
_BLOCK = 100


def program(name: str, package: str) -> str:
    """The full path of an installed program; the test fails, with what to do, where it is not there."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))
    if found is None:
        pytest.fail(f"{name} is not installed: run tests/peers/install, or apt-get install {package}")
    return found


class _Ports:
    """Ports of this test run alone: a block of them is claimed by a name that no two processes can have."""

    def __init__(self) -> None:
        blocks = list(range(_PORTS.start, _PORTS.stop, _BLOCK))
        random.shuffle(blocks)
        self._claim = socket.socket(socket.AF_UNIX)
        for first in blocks:
            with contextlib.suppress(OSError):
                self._claim.bind(f"\0msgserver-tests-{first}")
                self._turns = itertools.cycle(range(first, first + _BLOCK))
                return
        raise RuntimeError("every block of ports is claimed by a test run")

    def next(self) -> int:
        for port in itertools.islice(self._turns, _BLOCK):
            with contextlib.suppress(OSError), socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
                return port
        raise RuntimeError("somebody listens on every port of this test run")


_ports: dict[int, _Ports] = {}  # by process


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on, nor will until as many have been asked for as are in a block.

    No connection goes out from it either, so a server that is stopped finds its port again.
    """
    if os.getpid() not in _ports:
        _ports[os.getpid()] = _Ports()
    return _ports[os.getpid()].next()


def wait_until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Look every 20 ms until ``true()`` is; AssertionError with ``what`` when the time is up."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on 127.0.0.1:port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10):
        return True
    return False


@contextlib.contextmanager
def home(name: str, owner: str | None = None) -> Iterator[Path]:
    """A directory for a server's files, gone afterwards; given to ``owner`` where we are root."""
    path = Path(tempfile.mkdtemp(prefix=f"msgserver-{name}-"))
    path.chmod(0o755)
    if owner and os.geteuid() == 0:
        shutil.chown(path, owner, owner)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Program:
    """A running program in a process group of its own; what it prints goes to ``log``.

    It ends when the test run ends, however that ends.
    """

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        log: Path,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.argv = [os.fspath(word) for word in argv]
        self.log = log
        as_user = {"user": user, "group": user, "extra_groups": []} if user and os.geteuid() == 0 else {}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self.argv],  # it dies with us, however we die
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else {**os.environ, **env},
                cwd=cwd or log.parent,
                start_new_session=True,
                **as_user,  # type: ignore[arg-type]
            )

    def wait_ready(self, ready: Callable[[], object], seconds: float = 90) -> None:
        """Wait until ``ready()`` is true; AssertionError with the end of the log where it is not, or died."""
        with self.stopped_on_error():
            wait_until(lambda: self.process.poll() is not None or ready(), f"{self.argv[0]} is ready", seconds)
            code = self.process.poll()
            assert code is None or ready(), f"{self.argv[0]} ended with {code}"

    @contextlib.contextmanager
    def stopped_on_error(self) -> Iterator[None]:
        """Kill it when the block fails, and put the end of its log into the failure."""
        try:
            yield
        except BaseException as error:
            self.kill()
            error.add_note(self.log.read_text(errors="replace")[-4000:])
            raise

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        """Ask it to end, then make it; returns its exit code (negative: the signal)."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL to the whole group; returns the exit code (negative: the signal)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()
