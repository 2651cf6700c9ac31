"""A relay for each domain that mail is sent from, with real servers that ask for a login; one for all others."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
import pytest_twisted
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from twisted.internet import reactor

from msgserver.connector import TemporaryFailure
from msgserver.message import Address
from msgserver.protocols.smtp import Settings, make_connector
from msgserver.protocols.smtp.settings import SenderRelay
from msgserver.settings import Secret, read_table
from tests.fakes import FakeHub
from tests.peers.mail import Mail, SMTPSink
from tests.peers.programs import free_port, wait_until
from tests.protocols.smtp.test_connector import envelope, until


class Smarthost:
    """An SMTP server that takes mail from whoever logs in with these words (None: from everybody)."""

    def __init__(self, login: tuple[str, str] | None) -> None:
        self._controller: Controller | None
        self.port = free_port()
        self.mails: list[tuple[str, Mail]] = []  # the login, the mail
        self._login = login
        offers = {"auth_require_tls": False, "authenticator": self._may} if login else {}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **offers)
        self._controller.start()

    def stop(self) -> None:
        """Stop, once."""
        controller, self._controller = self._controller, None
        if controller is not None:
            controller.stop()

    def _may(self, _server, _session, _envelope, _mechanism, data) -> AuthResult:
        assert isinstance(data, LoginPassword)
        good = (data.login.decode(), data.password.decode()) == self._login
        return AuthResult(success=good, handled=False, auth_data=data.login.decode())

    async def handle_MAIL(self, _server, session, their, address, options) -> str:
        """Called by aiosmtpd with each sender."""
        if self._login and not session.authenticated:
            return "530 5.7.0 log in first"
        their.mail_from, their.mail_options = address, options
        return "250 ok"

    async def handle_DATA(self, _server, session, their) -> str:
        """Called by aiosmtpd with each mail."""
        mail = Mail(str(their.mail_from), list(their.rcpt_tos), their.original_content or b"")
        self.mails.append((session.auth_data or "", mail))
        return "250 2.0.0 taken"


@pytest.fixture
def smarthost():
    made: list[Smarthost] = []

    def make(user: str = "", password: str = "") -> Smarthost:
        made.append(Smarthost((user, password) if user else None))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def at(host: Smarthost, user: str = "", password: str = "") -> SenderRelay:
    way = {"relay_user": user, "relay_password": Secret(password)} if user else {}
    return SenderRelay(relay=f"tcp:127.0.0.1:{host.port}", **way)


def sender(running, main: Smarthost, **relays: SenderRelay):
    """A connector that is at home in three domains and sends all mail through ``main`` but what ``relays`` name."""
    settings = Settings(
        domains=["a.example", "b.example", "c.example", "bücher.example"],
        relay=f"tcp:127.0.0.1:{main.port}",
        relay_user="all",
        relay_password=Secret("all's"),
        sender="desk@c.example",
        relays={name.replace("_", "."): way for name, way in relays.items()},
    )
    return running(make_connector("mail", settings, FakeHub(), reactor))


def asked_at(domain: str, **changes):
    """What answers a question that came to the desk's address in this domain."""
    return envelope(reached=(Address("mailto", f"desk@{domain}"),) if domain else (), **changes)


def came(host: Smarthost) -> list[tuple[str, str, str]]:
    return [(login, mail.sender, str(mail.message["from"].addresses[0].addr_spec)) for login, mail in host.mails]


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_each_domain_s_mail_goes_its_own_way_with_its_own_login(running, smarthost: Callable[..., Smarthost]):
    main, for_a, for_b = smarthost("all", "all's"), smarthost("desk@a.example", "a's"), smarthost()
    mail = sender(running, main, a_example=at(for_a, "desk@a.example", "a's"), B_EXAMPLE=at(for_b))
    await until(lambda: mail.status.able and mail.status.words.count("through") == 3)
    for domain in ("a.example", "b.example", "c.example", ""):
        await mail.send(asked_at(domain, ref=f"d1.{domain}"))
    assert came(for_a) == [("desk@a.example", "desk+d1.a.example@a.example", "desk@a.example")]
    assert came(for_b) == [("", "desk+d1.b.example@b.example", "desk@b.example")]
    assert came(main) == [
        ("all", "desk+d1.c.example@c.example", "desk@c.example"),
        ("all", "desk+d1.@c.example", "desk@c.example"),
    ]


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_domain_beyond_ascii_goes_its_own_way_however_it_is_written(running, smarthost):
    main, own = smarthost("all", "all's"), smarthost()
    mail = sender(running, main, bücher_example=at(own))
    await until(lambda: mail.status.able and mail.status.words.count("through") == 2)
    await mail.send(asked_at("xn--bcher-kva.example"))
    await mail.send(asked_at("bücher.example", ref="d2"))
    assert [way for _, _, way in came(own)] == ["desk@xn--bcher-kva.example"] * 2
    assert came(main) == []


@pytest.mark.peer
@pytest_twisted.ensureDeferred
async def test_a_relay_that_is_away_or_refuses_the_login_holds_up_no_other_and_nothing_takes_a_wrong_way(
    running, smarthost
):
    main, for_a, for_b = smarthost("all", "all's"), smarthost("desk", "right"), smarthost()
    mail = sender(running, main, a_example=at(for_a, "desk", "wrong"), b_example=at(for_b))
    for_b.stop()
    await until(lambda: mail.status.able)
    await until(lambda: mail.status.words.count("retry") == 2)
    for domain, why in (("a.example", "535"), ("b.example", "no connection")):
        with pytest.raises(TemporaryFailure, match=why) as failure:
            await mail.send(asked_at(domain))
        assert failure.value.alone
    await mail.send(asked_at("c.example"))
    assert (len(main.mails), for_a.mails) == (1, [])
    assert "for a.example" in mail.status.words
    assert "for b.example" in mail.status.words
    assert "wrong" not in mail.status.words


def test_a_relay_for_a_domain_that_nothing_is_sent_from_is_a_mistake():
    table = {
        "listen": "tcp:2525",
        "domains": ["hub.example"],
        "relay": "tcp:127.0.0.1:2526",
        "relays": {"hub.exmaple": {"relay": "tcp:127.0.0.1:2527"}},
    }
    _, mistakes = read_table(table, Settings, "connector.mail", None)
    [mistake] = mistakes
    assert "hub.exmaple" in str(mistake)
    assert "nothing is sent from it" in str(mistake)
    settings = Settings(relay="mx", sender="x@bücher.example", relays={"BÜCHER.example": SenderRelay(relay="mx")})
    assert msgspec.structs.asdict(settings)["relays"]


_TWO = """
[connector.mail]
type = "smtp"
listen = "tcp:{smtp}:interface=127.0.0.1"
domains = ["hub.example", "b.example"]
relay = "tcp:127.0.0.1:{relay}"
[connector.mail.relays."b.example"]
relay = "tcp:127.0.0.1:PORT"
relay_user = "desk@b.example"
relay_password = { env = "B_PASSWORD" }
"""


@pytest.mark.peer
@pytest.mark.slow
def test_an_answer_leaves_by_the_relay_of_the_domain_that_was_written_to(make_hub, swaks, smarthost):
    """Through the whole house: a question by swaks, the answer by the API, out through two real servers."""
    own, other = SMTPSink(), smarthost("desk@b.example", "b's")
    hub = make_hub(relay_port=own.port, connectors=_TWO.replace("PORT", str(other.port)), env={"B_PASSWORD": "b's"})
    try:
        hub.start()
        token = hub.token()
        for domain in ("hub.example", "b.example"):
            swaks(
                "-s", f"127.0.0.1:{hub.smtp_port}", "-f", f"ana@{domain}.there", "-t", f"hub@{domain}",
                "--header", f"Subject: to {domain}", "--body", "Where is the boat?",
            )  # fmt: skip
        wait_until(lambda: len(hub.api(token, "/messages")["items"]) == 2, "both have come")
        for message in hub.api(token, "/messages")["items"]:
            hub.api(
                token,
                f"/messages/{message['id']}/reply",
                {"text": "At the bridge."},
                **{"Idempotency-Key": str(message["id"])},
            )
        wait_until(lambda: own.mails and other.mails, "both answers have come")
        [first], [(login, second)] = own.mails, other.mails
        assert first.recipients == ["ana@hub.example.there"]
        assert first.message["from"].addresses[0].addr_spec == "hub@hub.example"
        assert (login, second.recipients) == ("desk@b.example", ["ana@b.example.there"])
        assert second.message["from"].addresses[0].addr_spec == "hub@b.example"
        assert second.message["reply-to"].addresses[0].domain == "b.example"
        assert second.sender.endswith("@b.example")
    finally:
        own.stop()
