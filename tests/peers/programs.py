"""Finding, starting and stopping the programs that the tests run against."""

from __future__ import annotations

import contextlib
import os
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


def program(name: str, package: str) -> str:
    """The full path of an installed program; the test fails, with what to do, where it is not there."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))
    if found is None:
        pytest.fail(f"{name} is not installed: run tests/peers/install, or apt-get install {package}")
    return found


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Look every 20 ms until ``true()`` is; AssertionError with ``what`` when the time is up."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on 127.0.0.1:port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
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

    def wait_ready(self, ready: Callable[[], object], seconds: float = 20) -> None:
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

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 15) -> int:
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
