"""The command line: what each command does, and that what goes wrong is one line and exit code 1."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import insert

from msgserver import cli
from msgserver.formats.dkim import Signer
from msgserver.records import HUB, Role, Rule
from msgserver.routing.passwords import password_matches
from msgserver.store import logins, rules, users
from msgserver.store.connecting import once
from msgserver.store.schema import msg_log, msg_raw


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


def test_check_and_fsck_warn_of_rules_that_wait_for_reserved_words(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init"]) == 0
    capsys.readouterr()
    for command, whole in (("check", "nothing is wrong\n"), ("fsck", "Nothing is wrong.\n")):
        assert cli.main([command]) == 0
        said = capsys.readouterr().out
        assert whole in said
        assert "warning" not in said
    with once(f"sqlite:///{place}/var/msgserver.db") as tx:
        for name, words, active in (("ends", ("stop",), True), ("floods", ("flood",), True), ("old", ("end",), False)):
            rule = Rule(id=0, name=name, position=0, words=words, resource="tag", record=name, active=active)
            rules.create_rule(tx, HUB, rule, 1.0)
    for command in ("check", "fsck"):
        assert cli.main([command]) == 0
        [warning] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
        assert warning.startswith("warning: the rule 'ends': whoever writes \"stop\" wants no more messages")


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


def administrators(place: Path) -> int:
    with once(f"sqlite:///{place}/var/msgserver.db") as tx:
        return users.administrators(tx)


def link(said: str) -> str:
    found = re.search(r"^ +http://127\.0\.0\.1:8080/setup\?token=([\w-]{32})$", said, re.M)
    assert found, said
    return found[1]


def test_init_prints_a_link_until_somebody_has_used_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init"]) == 0
    first = link(capsys.readouterr().out)
    assert cli.main(["init"]) == 0
    second = link(capsys.readouterr().out)
    with once(f"sqlite:///{place}/var/msgserver.db") as tx:
        assert (users.setup_open(tx, first), users.setup_open(tx, second)) == (False, True)
        users.set_up(tx, second, "ana", "hash", 0.0)
    assert cli.main(["init"]) == 0
    assert "/setup" not in capsys.readouterr().out


def test_a_user_is_made_with_a_password_from_a_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init"]) == 0
    (place / "word").write_text("thirty blue elephants\n")
    assert cli.main(["user", "add", "Ana", "--role", "alert_sender", "--password-file", "word"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Made ana, alert sender."
    with once(f"sqlite:///{place}/var/msgserver.db") as tx:
        found = users.find_user(tx, "ana")
    assert found is not None
    assert [grant.role for grant in found[0].grants] == [Role.ALERT_SENDER]
    assert password_matches(found[1], "thirty blue elephants")
    assert administrators(place) == 0


def test_a_second_user_of_that_name_and_a_weak_password_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "word").write_text("thirty blue elephants\n")
    (place / "weak").write_text("secret\n")
    assert cli.main(["init"]) == 0
    command = ["user", "add", "ana", "--role", "reader", "--password-file"]
    assert cli.main([*command, "word"]) == 0
    for file, words in {
        "word": "already a user named ana",
        "weak": "in weak cannot be used",
        "gone": "gone: No such",
    }.items():
        capsys.readouterr()
        assert cli.main([*command, file]) == 1
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
        assert "secret" not in said


def test_a_token_is_the_last_word_and_kept_as_a_hash_only(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init"]) == 0
    assert cli.main(["token", "add", "ana"]) == 1
    assert "There is no user named ana" in capsys.readouterr().err
    (place / "word").write_text("thirty blue elephants\n")
    assert cli.main(["user", "add", "ana", "--role", "reader", "--password-file", "word"]) == 0
    assert cli.main(["token", "add", "ana", "--name", "radio log"]) == 0
    key = capsys.readouterr().out.split()[-1]
    with once(f"sqlite:///{place}/var/msgserver.db") as tx:
        found = logins.token(tx, key, 0.0)
    assert found is not None
    assert (found[0].name, found[1].name) == ("radio log", "ana")
    assert key.encode() not in (place / "var/msgserver.db").read_bytes()


@pytest.mark.parametrize("words", [[], ["user"], ["token", "add"], ["user", "add", "ana"], ["nonsense"]])
def test_a_command_that_is_not_one_shows_how_it_is_used(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: msgserver")


def test_export_prints_the_log_as_lines_of_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init"]) == 0
    with once(f"sqlite:///{place}/var/msgserver.db") as tx:
        for n in range(450):
            row = {"uid": str(n), "direction": "in", "connector": "loop", "sender": "loop:ana", "received_at": n}
            tx.execute(insert(msg_log).values(body="Wasser" if n else "Pflaumenmus " * 100, **row))
    capsys.readouterr()
    assert cli.main(["export"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["uid"] for line in lines] == [str(n) for n in reversed(range(450))]
    assert lines[-1]["body"] == "Pflaumenmus " * 100
    assert cli.main(["export", "--query", "from:nobody"]) == 0
    assert capsys.readouterr().out == ""
    assert cli.main(["export", "--query", "is:nonsense"]) == 1
    assert "is:nonsense" in capsys.readouterr().err


def test_fsck_of_a_whole_database_and_of_one_that_is_not(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init"]) == 0
    assert cli.main(["fsck"]) == 0
    assert capsys.readouterr().out.endswith("Nothing is wrong.\n")
    with once(f"sqlite:///{place}/var/msgserver.db") as tx:
        row = {"connector": "loop", "wire_id": "1", "state": "read", "outcome": "", "received_at": 0.0, "read_at": 0.0}
        row |= {"envelope": "{}", "sha256": hashlib.sha256(b"").hexdigest(), "size": 0}
        tx.execute(insert(msg_raw).values(**row))
    assert cli.main(["fsck"]) == 1
    assert "I1: arrival 1 is read, but became nothing\n" in capsys.readouterr().out


def test_trace_tells_a_message_and_lets_no_stranger_steer_the_terminal(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init"]) == 0
    with once(f"sqlite:///{place}/var/msgserver.db") as tx:
        row = {"uid": "u", "direction": "out", "connector": "", "sender": "loop:desk", "received_at": 0}
        tx.execute(insert(msg_log).values(body="x", subject="red \x1b[31m alert", ticket_id=42, number=3, **row))
    capsys.readouterr()
    for name in ("1", "42.3", "#42.3"):
        assert cli.main(["trace", name]) == 0
        said = capsys.readouterr().out
        assert said.startswith("Message 1, 42.3 on its ticket: red ?[31m alert\n")
        assert "1970-01-01 00:00:00 UTC" in said
    assert cli.main(["trace", "42.4"]) == 1
    assert capsys.readouterr().err == "There is no message 42.4.\n"
    with pytest.raises(SystemExit):
        cli.main(["trace", "four"])


def test_people_in_and_out_as_a_table(place: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    (place / "var").mkdir()
    (place / "var/msgserver.toml").write_text('[hub]\nregion = "AF"\n')
    (place / "crew.csv").write_text("name,phone,shoe\nMina,0701234567,38\nBo\x1b[2J,12,40\n,1,\n")
    assert cli.main(["people", "import", "--dry-run", "crew.csv"]) == 0
    looked = capsysbinary.readouterr().out.decode()
    assert "line 4, name: has no name (row left out)\n" in looked
    assert "Columns left aside: shoe\n" in looked
    assert looked.endswith("3 rows: 2 would be new, 0 would be known already, 1 would be left out.\n")
    assert "\x1b" not in looked
    assert cli.main(["people", "export"]) == 0
    assert capsysbinary.readouterr().out.count(b"\r\n") == 1
    assert cli.main(["people", "import", "crew.csv"]) == 0
    assert capsysbinary.readouterr().out.endswith(b"3 rows: 2 new, 0 were known already, 1 left out.\n")
    assert cli.main(["people", "export"]) == 0
    table = capsysbinary.readouterr().out
    assert b"'+93701234567" in table
    assert table.count(b"\r\n") == 3
    for wrong in (["crew.csv", "--region", "XX"], ["nowhere.csv"], ["var/msgserver.toml"]):
        assert cli.main(["people", "import", *wrong]) == 1


@pytest.mark.parametrize(("words", "kind"), [((), "rsa"), (("--algorithm", "ed25519"), "ed25519")])
def test_a_key_for_signing_mail_is_made_once(
    place: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], kind: str
) -> None:
    assert cli.main(["dkim", "Hub.example", "hub2026", "dkim.pem", *words]) == 0
    said = capsys.readouterr().out
    assert "hub2026._domainkey.hub.example" in said
    assert f"v=DKIM1; k={kind}; p=" in said
    assert (place / "dkim.pem").stat().st_mode & 0o777 == 0o600
    key = (place / "dkim.pem").read_text()
    assert key not in said
    assert Signer("hub.example", "hub2026", key).record() == said.strip().splitlines()[-1]
    assert cli.main(["dkim", "hub.example", "hub2026", "dkim.pem"]) == 1
    assert "dkim.pem: File exists" in capsys.readouterr().err
    assert (place / "dkim.pem").read_text() == key


def test_a_key_for_no_domain_is_not_made(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dkim", "hub example", "s", "dkim.pem"]) == 1
    assert "Nothing was made: the DKIM domain" in capsys.readouterr().err
    assert not (place / "dkim.pem").exists()
