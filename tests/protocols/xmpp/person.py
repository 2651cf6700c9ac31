"""A person at a chat client: slixmpp, told what to do by lines of JSON, telling what it sees in the same way."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import slixmpp
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath


def tell(event: str, **words: Any) -> None:
    print(json.dumps({"event": event, **words}), flush=True)


class Person(slixmpp.ClientXMPP):
    def __init__(self, jid: str, password: str) -> None:
        super().__init__(f"{jid}/phone", password)
        for plugin in ("xep_0030", "xep_0092", "xep_0199"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("disconnected", lambda _: tell("disconnected"))
        self.add_event_handler("presence_subscribed", lambda p: tell("subscribed", sender=p["from"].bare))
        self.add_event_handler("changed_subscription", lambda p: tell(p["type"], sender=p["from"].bare))
        self.register_handler(Callback("all", MatchXPath("{jabber:client}message"), self.heard))

    async def started(self, _: object) -> None:
        self.send_presence()
        await self.get_roster()
        tell("ready")

    def heard(self, message: slixmpp.Message) -> None:
        received = message.xml.find("{urn:xmpp:receipts}received")
        words = {
            "sender": message["from"].bare,
            "full": str(message["from"]),
            "type": message["type"],
            "id": message["id"],
            "body": message["body"],
            "xml": ET.tostring(message.xml, encoding="unicode"),
        }
        if message["type"] == "error":
            tell("error", condition=message["error"]["condition"], kind=message["error"]["type"], **words)
        elif received is not None:
            tell("received", of=received.get("id"), **words)
        elif message["body"]:
            tell("message", **words)
            if message.xml.find("{urn:xmpp:receipts}request") is not None:
                self.send_raw(
                    f"<message to='{message['from']}' type='chat'>"
                    f"<received xmlns='urn:xmpp:receipts' id='{message['id']}'/></message>"
                )

    async def obey(self, order: dict[str, Any]) -> None:
        what, to = order["do"], order.get("to")
        if what == "say":
            message = self.make_message(mto=to, mbody=order["body"], mtype="chat")
            message["id"] = order["id"]
            message.xml.append(ET.Element("{urn:xmpp:receipts}request"))
            message.send()
        elif what == "raw":
            self.send_raw(order["xml"])
        elif what == "add":
            self.send_presence_subscription(pto=to, ptype="subscribe")
        elif what == "ping":
            tell("pong", seconds=await self["xep_0199"].ping(to, timeout=90))
        elif what == "disco":
            info = await self["xep_0030"].get_info(jid=to, timeout=90)
            identities = [list(one[:2]) for one in info["disco_info"]["identities"]]
            version = await self["xep_0092"].get_version(to, timeout=90)
            tell(
                "disco",
                identities=identities,
                features=sorted(info["disco_info"]["features"]),
                software=version["software_version"]["name"],
            )


async def main() -> None:
    jid, password, port, ca = sys.argv[1:5]
    person = Person(jid, password)
    if ca:
        person.ca_certs = ca
    else:
        person.enable_plaintext = True
        person.enable_starttls = False
        person["feature_mechanisms"].unencrypted_plain = True
    person.connect(host="127.0.0.1", port=int(port))
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        await person.obey(json.loads(line))


if __name__ == "__main__":
    asyncio.run(main())
