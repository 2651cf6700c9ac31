"""The emulated modem is good enough for programs that know only real ones: smsd, gammu, python-gsmmodem."""

import json
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers.programs import Program, program, wait_until

HOUSE = Path(__file__).parents[2]

pytestmark = pytest.mark.peer


@contextmanager
def running(argv, log, cwd=None):
    started = Program(argv, log, cwd=cwd)
    try:
        with started.stopped_on_error():
            yield started
    finally:
        started.stop(seconds=5)


def finish(argv, log):
    with running(argv, log) as started:
        wait_until(lambda: started.process.poll() is not None, f"{argv[0]} has ended", 180)
    return log.read_text()


@pytest.fixture
def plugged(tmp_path):
    """A modem on a pty, in a process of its own, with one text on its SIM."""
    link = tmp_path / "ttyGSM"
    argv = [sys.executable, "-m", "tests.emulators.modem", "--pty", str(link), "--journal", str(tmp_path / "sent")]
    with running([*argv, "--receive", "+15551234:hello from the field"], tmp_path / "modem.log", HOUSE):
        wait_until(link.is_symlink, "the modem's line")
        yield link


def received(tmp_path):
    return [path.read_text() for path in (tmp_path / "in").iterdir()]


def sent(tmp_path):
    path = tmp_path / "sent"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_gammu_identifies_reads_and_sends(plugged, tmp_path):
    rc = tmp_path / "gammurc"
    rc.write_text(f"[gammu]\ndevice = {plugged}\nconnection = at115200\nsynchronizetime = no\n")

    def gammu(*words):
        return finish([program("gammu", "gammu"), "-c", str(rc), *words], tmp_path / f"gammu-{words[0]}.log")

    assert "356938035643809" in gammu("identify")
    assert "hello from the field" in gammu("getallsms")
    assert "OK" in gammu("sendsms", "TEXT", "+15559876", "-text", "over to you")
    assert sent(tmp_path) == [{"to": "+15559876", "text": "over to you"}]


def test_smsd_receives_and_sends(plugged, tmp_path):
    for folder in ("out", "in", "checked", "failed", "sent-by-smsd"):
        (tmp_path / folder).mkdir()
    config = tmp_path / "smsd.conf"
    config.write_text(
        f"devices = M\noutgoing = {tmp_path}/out\nchecked = {tmp_path}/checked\nincoming = {tmp_path}/in\n"
        f"failed = {tmp_path}/failed\nsent = {tmp_path}/sent-by-smsd\nlogfile = {tmp_path}/smsd.log\n"
        f"pidfile = {tmp_path}/pid\ninfofile = {tmp_path}/info\ndelaytime = 1\n"
        f"[M]\ndevice = {plugged}\ninit = AT\nrtscts = no\nincoming = yes\nbaudrate = 115200\ncheck_network = no\n"
    )
    (tmp_path / "out" / "one").write_text("To: 15559876\n\nover to you")
    with running([program("smsd", "smstools"), f"-c{config}", "-t"], tmp_path / "smsd.out"):
        wait_until(lambda: [text for text in received(tmp_path) if text], "a text in")
        wait_until(lambda: sent(tmp_path), "a text out")
        (text,) = received(tmp_path)
    assert text.endswith("hello from the field")
    assert sent(tmp_path) == [{"to": "+15559876", "text": "over to you"}]


def test_gsmmodem_receives_and_sends(plugged, tmp_path):
    script = tmp_path / "use.py"
    script.write_text(
        "import sys\nfrom gsmmodem.modem import GsmModem\n"
        "modem = GsmModem(sys.argv[1], 115200)\nmodem.connect()\n"
        "print([sms.text for sms in modem.listStoredSms(memory='SM')], flush=True)\n"
        "modem.sendSms('+15559876', 'over to you')\nmodem.close()\n"
    )
    said = finish([sys.executable, str(script), str(plugged)], tmp_path / "use.log")
    assert "hello from the field" in said
    assert sent(tmp_path) == [{"to": "+15559876", "text": "over to you"}]
