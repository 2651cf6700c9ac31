from msgserver.connector import PermanentFailure, TemporaryFailure, Unknown
from msgserver.message import Receipt
from msgserver.protocols.http.verdicts import AccountRefused

from . import get, query_of, said, settings

SETTINGS = settings(profile="kannel", url="http://kannel.example/cgi-bin/sendsms", sender="12345")
SIGNED = False


def sent(request):
    fields = query_of(request)
    assert request.method == "GET"
    assert fields["username"] == "hub"
    assert fields["password"] == "t0ken"
    assert fields["charset"] == "UTF-8"
    return {"to": fields["to"], "text": fields["text"], "from": fields["from"]}


ANSWERS = [
    ("accepted", said(202, "0: Accepted for delivery"), Receipt, ""),
    ("queued", said(202, "3: Queued for later delivery"), Receipt, ""),
    ("an old one's words", said(202, "Sent."), Receipt, ""),
    ("200 and nothing", said(200), PermanentFailure, ""),
    ("200 and a page", said(200, "<html>captive portal</html>"), PermanentFailure, "captive"),
    ("wrong password", said(403, "Authorization failed for sendsms"), AccountRefused, "password"),
    ("no line", said(503, "Temporal failure, try again later."), TemporaryFailure, "later"),
    ("bad request", said(400, "Empty text not allowed, rejected"), PermanentFailure, "Empty"),
    ("a wrong place", said(404, "Not found"), AccountRefused, "url"),
    ("in between gave up", said(504, "Gateway time-out"), Unknown, "may"),
]

TEXT = {"from_": "+15551234", "to": "12345", "id": "5f-1", "coding": "0", "charset": "UTF-8"}
ARRIVALS = [
    ("text", get(text="hello from phone", **TEXT), "+15551234", "hello from phone", "5f-1"),
    ("without +", get(text="hi", **{**TEXT, "from_": "15551234"}), "+15551234", "hi", "5f-1"),
    (
        "UTF-16",
        get(text="Хай 😀".encode("utf-16-be"), **{**TEXT, "charset": "UTF-16BE", "coding": "2"}),
        "+15551234",
        "Хай 😀",
        "5f-1",
    ),
    ("Latin 1", get(text="é".encode("latin-1"), **{**TEXT, "charset": "ISO-8859-1"}), "+15551234", "é", "5f-1"),
    ("unknown charset", get(text="é", **{**TEXT, "charset": "x-nope"}), "+15551234", "é", "5f-1"),
    ("plus and ampersand", get(text="1+1 & 2", **TEXT), "+15551234", "1+1 & 2", "5f-1"),
    ("a name", get(text="code 1", **{**TEXT, "from_": "BANK"}), "BANK", "code 1", "5f-1"),
    (
        "binary",
        get(text=b"\x01\x02", **{**TEXT, "coding": "1"}),
        "+15551234",
        "[binary message, 2 octets]",
        "5f-1",
    ),
]

REPORTS = [
    ("delivered", get(dlr="1", ref="d1.abc", words="stat:DELIVRD"), "delivered", "d1.abc"),
    ("failed", get(dlr="2", ref="d1.abc", words="stat:UNDELIV"), "failed", "d1.abc"),
    ("expired", get(dlr="2", ref="d1.abc", words="id:1 stat:EXPIRED err:000"), "expired", "d1.abc"),
    ("taken by the network", get(dlr="8", ref="d1.abc", words="ACK/"), "sent", "d1.abc"),
    ("refused by the network", get(dlr="16", ref="d1.abc", words="NACK/11"), "failed", "d1.abc"),
    ("queued", get(dlr="4", ref="d1.abc"), None, ""),
]
