"""The command line: what each command does, and that what goes wrong is one line and exit code 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from msgserver import cli


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.delenv("MSGSERVER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_init_writes_a_configuration_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init"]) == 0
    assert "Wrote var/msgserver.toml." in capsys.readouterr().out
    assert (place / "var").stat().st_mode & 0o777 == 0o700
    (place / "var/msgserver.toml").write_text('[hub]\nname = "mine"\n')
    assert cli.main(["init"]) == 0
    assert (place / "var/msgserver.toml").read_text() == '[hub]\nname = "mine"\n'


def test_check_says_what_is_in_force(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "word").write_text("canary")
    text = '[store]\nurl = "postgresql+psycopg://a@b/c"\npassword = { file = "word" }\n'
    (place / "hub.toml").write_text(text)
    assert cli.main(["check", "--config", "hub.toml"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("hub.toml: nothing is wrong\n")
    assert "password = '****'" in said
    assert "canary" not in said


def test_check_finds_mistakes_in_tables_and_connectors(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "hub.toml").write_text('[connector.mail]\ntype = "smtp"\nlisen = "tcp:25"\n')
    assert cli.main(["check", "--config", "hub.toml"]) == 1
    caught = capsys.readouterr()
    assert caught.err == 'hub.toml: [connector.mail] lisen: unknown key; did you mean "listen"?\n'
    assert caught.out == ""


def test_the_environment_names_the_configuration(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSGSERVER_CONFIG", "other.toml")
    assert cli.main(["check"]) == 1
    assert capsys.readouterr().err.startswith("other.toml: cannot be read: no such file or directory; make one with")


def test_backup_and_restore(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init"]) == 0
    assert cli.main(["upgrade"]) == 0
    assert cli.main(["backup", "saved"]) == 0
    assert cli.main(["backup", "saved"]) == 1
    assert "saved is there already" in capsys.readouterr().err
    assert cli.main(["restore", "saved"]) == 0
    assert "What was there is kept as var/msgserver.db.replaced-" in capsys.readouterr().out


@pytest.mark.slow
def test_no_traceback_reaches_the_terminal(place: Path) -> None:
    """In a process of its own, as people start it: a folder as the file, and nobody who reads the output."""
    msgserver = Path(sys.executable).with_name("msgserver")
    done = subprocess.run([msgserver, "check", "--config", "."], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, ".: cannot be read: is a directory\n")
    (place / "hub.toml").write_text("")
    reader, writer = os.pipe()
    os.close(reader)
    command = [msgserver, "check", "--config", "hub.toml"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
