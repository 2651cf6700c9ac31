"""The whole API asked what nobody sane asks: a real hub, and Schemathesis over the API's own description of itself.

Schemathesis makes from each route's description requests that fit it and requests that do not (wrong types, missing
and unknown names, too long, too many, 2**63, NUL, other methods, no token), and holds every answer against the
description: no 500, no status, media type, header or body that is not described, nothing accepted that does not fit.
"""

from __future__ import annotations

import json
import re
import smtplib
import subprocess
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from msgserver.web.api.map import API
from msgserver.web.api.openapi import description
from tests.peers.hub import HubProcess
from tests.peers.programs import wait_until

pytestmark = [pytest.mark.peer, pytest.mark.slow]

# Two checks are left out:
# positive_data_acceptance wants that all that fits the description is done. A description cannot say that a resource
# type must exist, that a rule needs a condition, or that an Idempotency-Key is not one that was used for another
# request; these are refused in words, with a 422 that is described.
# object_level_authorization compares two users; what each may see is the matter of test_rights.py.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
    "allow_header_conformance", "ignored_auth", "use_after_free", "ensure_resource_availability",
)  # fmt: skip
# What would cut off the one who asks, and with that all that is asked after it, is asked last, by somebody else.
CUT_OFF = ("desk_revoke_token", "rights_patch")
# An If-Match that is no version of ours is a 412, which Schemathesis does not count among the refusals by itself.
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 428, 429]
"""
MAIL = b"""From: Rai <rai@clinic.example>
To: desk@hub.example
Subject: flood
Message-ID: <1@clinic.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=part

--part
Content-Type: text/plain

The flood took the bridge.
--part
Content-Type: text/plain
Content-Disposition: attachment; filename=list.txt

insulin
--part--
"""


def fill(hub: HubProcess, token: str) -> None:
    """Something of every kind, so that not every id leads nowhere."""
    ana = hub.api(token, "/entities", {"name": "Ana", "addresses": ["mailto:ana@ngo.example", "sms:+15551234567"]})
    crew = hub.api(token, "/entities", {"name": "Crew", "kind": "group"})
    hub.api(token, f"/groups/{crew['id']}/members", {"entity": ana["id"], "role": "driver"})
    flood = hub.api(token, "/records", {"resource": "incident", "name": "Flood"})
    named = {"resource": "incident", "record": flood["uid"]}
    hub.api(token, "/rules", {"name": "flood", "words": ["flood"], **named})
    hub.api(token, "/subscriptions", {"entity": crew["id"], **named})
    with smtplib.SMTP("127.0.0.1", hub.smtp_port, timeout=120) as mail:
        mail.sendmail("rai@clinic.example", ["desk@hub.example"], MAIL.replace(b"\n", b"\r\n"))
    wait_until(lambda: hub.api(token, "/messages")["items"], "the mail is in the log")
    (message,) = hub.api(token, "/messages")["items"]
    hub.api(token, f"/messages/{message['id']}/reply", {"text": "We are coming."})
    hub.api(token, f"/tickets/{message['ticket']}/notes", {"text": "Call the ferry."})


def ask_everything(hub: HubProcess, token: str, phases: str, *, cut_off: bool = False) -> str:
    """Run Schemathesis; returns what it said. The test fails with all of that where it found something."""
    settings = hub.directory / "schemathesis.toml"
    settings.write_text(SETTINGS)
    choice = "--include-operation-id" if cut_off else "--exclude-operation-id"
    argv = [
        Path(sys.executable).with_name("schemathesis"), "--config-file", settings, "run",
        f"{hub.url}/api/v1/openapi.json", "--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS),
        "--phases", phases, "--max-examples", "2", "--generation-deterministic",
        *(word for name in CUT_OFF for word in (choice, name)),
        "--workers", "1", "--no-shrink", "--continue-on-failure", "--no-color", "--request-timeout", "120",
        "--suppress-health-check", "too_slow",
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, cwd=hub.directory, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout[-30_000:] + done.stderr[-5000:]
    # All but those, and but the description itself, which Schemathesis does not ask for again.
    routes = sum(len(item) for item in description(API, "", "")["paths"].values())
    tested = len(CUT_OFF) if cut_off else routes - len(CUT_OFF) - 1
    assert f"Tested: {tested}\n" in done.stdout, done.stdout[-5000:]
    return done.stdout


def start(hub: HubProcess) -> None:
    # More than a token may usually ask: here it is no more than the machine can.
    hub.config.write_text(hub.config.read_text().replace("[web]\n", "[web]\ntoken_rate = 1000000\n"))
    hub.start()


def unbroken(hub: HubProcess) -> None:
    """It still serves, and nothing broke in the log."""
    assert hub.ready()
    log = hub.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]


def test_an_administrator_asks_everything(make_hub: Callable[..., HubProcess]) -> None:
    hub = make_hub()
    start(hub)
    token = hub.token()
    fill(hub, token)
    said = ask_everything(hub, token, "examples,coverage,fuzzing")
    assert "returned only 401/403" not in said, said  # its token was good to the end
    ask_everything(hub, hub.token("bela"), "examples,coverage,fuzzing", cut_off=True)
    unbroken(hub)


def test_a_reader_asks_everything(make_hub: Callable[..., HubProcess]) -> None:
    hub = make_hub()
    start(hub)
    token = hub.token()
    fill(hub, token)
    kept = ("/messages", "/entities", "/rules", "/records", "/subscriptions")
    before = {path: hub.api(token, path)["items"] for path in kept}
    ask_everything(hub, hub.token("rhea", "reader"), "examples,fuzzing")
    assert {path: hub.api(token, path)["items"] for path in kept} == before
    unbroken(hub)


def send(hub: HubProcess, token: str, method: str, path: str, body: bytes, **headers: str) -> tuple[int, bytes, str]:
    """One request as its bytes are; returns status, body and media type."""
    wire = HTTPConnection("127.0.0.1", hub.web_port, timeout=120)
    try:
        sent = {"Authorization": f"Bearer {token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        wire.request(method, f"/api/v1{path}", body or None, sent)
        answer = wire.getresponse()
        return answer.status, answer.read(), answer.headers.get_content_type()
    finally:
        wire.close()


HOSTILE = [
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\xff"',
    b"9223372036854775808",
    b"-1",
    b"1e400",
    b"NaN",
    b"[]",
    b"{}",
    b"null",
]


def test_hostile_values(make_hub: Callable[..., HubProcess], postgresql_url: str) -> None:
    """Every name of every body holds what no database, or no sane program, likes; every id is one that is not.

    On PostgreSQL, which is the stricter: no NUL in a text, no number over 2**63.
    """
    hub = make_hub(store=postgresql_url)
    start(hub)
    token = hub.token()
    fill(hub, token)
    ids = ("1", "0", "999999999999999", "9223372036854775808", "%00", "%ED%A0%80", "x%27%22%3B")
    for row in API:
        for number in ids:
            path = re.sub(r"\{[^}]+\}", number, row.pattern.removeprefix("/api/v1"))
            if row.takes is bytes:
                bodies = [b"name,phone\nAna\x00,+1555\x00\n", b"\xff\xfe", b"name\n\xed\xa0\x80\n"]
                kind = "text/csv"
            elif row.takes is not None and number == "1":
                kind = "application/json"
                bodies = [
                    b'{"%s":%s}' % (field.encode(), value) for field in row.takes.__struct_fields__ for value in HOSTILE
                ]
            else:
                bodies, kind = [b""], "application/json"
            for body in bodies:
                status, said, _kind = send(hub, token, row.method, path, body, Content_Type=kind)
                assert status < 500, (row.method, path, body, said)
            if "{" not in row.pattern:
                break
    unbroken(hub)


def test_bodies_too_large_and_conditions(make_hub: Callable[..., HubProcess]) -> None:
    hub = make_hub()
    start(hub)
    token = hub.token()
    fill(hub, token)
    status, said, kind = send(hub, token, "POST", "/entities", b" " * (2 << 20), Content_Type="application/json")
    assert (status, kind, json.loads(said)["status"]) == (413, "application/problem+json", 413)
    change = b'{"priority": "high"}'
    for tag in ('"999"', 'W/"999"', "x", '""', "9" * 40, "\u00e9"):
        status, said, _kind = send(
            hub, token, "PATCH", "/tickets/1", change, Content_Type="application/json", If_Match=tag
        )
        assert (status, json.loads(said)["status"]) == (412, 412), tag
    assert hub.api(token, "/tickets/1")["priority"] == "normal"
    status, _said, _kind = send(
        hub, token, "PATCH", "/tickets/1", change, Content_Type="application/json", If_Match="*"
    )
    assert status == 200
    for tag in ('"1"', "*"):  # a GET knows no conditions: it answers in full
        assert send(hub, token, "GET", "/tickets/1", b"", If_None_Match=tag)[0] == 200
    status, said, _kind = send(
        hub, token, "POST", "/entities", b'{"name": "Ben"}', Content_Type="application/json", Idempotency_Key="k" * 201
    )
    assert (status, json.loads(said)["status"]) == (400, 400)
    unbroken(hub)
