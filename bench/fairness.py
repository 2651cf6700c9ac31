"""Whether large things hold up small ones: 5 MiB mails, and a message copied to 100,000 people.

    python -m bench.fairness [--seconds 20] [--people 100000]

Ten kept sessions send a small mail each, 100 a second together; the time from the final dot to the 250 is taken first
with nothing else going on, then while another session sends 5 MiB mails one after the other, then while a mail is
copied to everybody in a group. Postfix takes the same small and large mails in the same run.
"""

from __future__ import annotations

import argparse
import socket
import threading

from bench.hub import Hub
from bench.latency import measure
from bench.postfix import Postfix
from msgserver.message import Address
from msgserver.records import HUB, EntityKind, Rule
from msgserver.store import bulk, people, rules, subscriptions
from msgserver.store.connecting import once
from msgserver.store.schema import pe_contact, pe_entity, pe_membership

RATE = 100.0  # small mails a second
LARGE = b"Subject: large\r\nFrom: <bo@far.example>\r\n\r\n" + (b"y" * 76 + b"\r\n") * (5 * 1024 * 1024 // 78) + b".\r\n"
FLOOD = b"Subject: flood\r\nFrom: <bo@far.example>\r\n\r\nIt rises.\r\n.\r\n"


class Sender:
    """One session that sends whole mails and waits for each 250."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._answer()
        self._say(b"EHLO bench.example\r\n")

    def send(self, mail: bytes) -> None:
        """Returns after the 250."""
        for line in (b"MAIL FROM:<bo@far.example>\r\n", b"RCPT TO:<hub@hub.example>\r\n", b"DATA\r\n", mail):
            self._say(line)

    def _say(self, line: bytes) -> None:
        self._socket.sendall(line)
        answer = self._answer()
        assert answer[:1] in (b"2", b"3"), answer

    def _answer(self) -> bytes:
        answer = b""
        while b"\n" not in answer or answer.rstrip().rsplit(b"\n", 1)[-1][3:4] == b"-":
            answer += self._socket.recv(4000)
        return answer


class LargeMails(threading.Thread):
    """Sends large mails until told to stop."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._sender = Sender(port)
        self._enough = threading.Event()
        self.sent = 0

    def run(self) -> None:
        """One after the other."""
        while not self._enough.is_set():
            self._sender.send(LARGE)
            self.sent += 1

    def end(self) -> int:
        """Stop; returns how many went."""
        self._enough.set()
        self.join()
        return self.sent


def prepare(hub: Hub, people_there: int) -> None:
    """A group of so many people who want to hear of floods."""
    with once(f"sqlite:///{hub.database}") as tx:
        rules.create_rule(tx, HUB, Rule(id=0, name="Flood", position=0, words=("flood",), resource="incident"), 1.0)
        group = people.create_entity(tx, HUB, "everybody", EntityKind.GROUP, "Everybody", 1.0)
        ids = bulk.take_ids(tx, "pe_entity", people_there)
        names = [(n, f"u{n}", "person", f"Person {n}", f"person {n}", 1.0) for n in ids]
        columns = ("id", "uid", "kind", "name", "name_folded", "created_at")
        bulk.insert_rows(tx, pe_entity, columns, names)
        addresses = [(n, "loop", str(Address("loop", f"p{n}")), 1.0) for n in ids]
        bulk.insert_rows(tx, pe_contact, ("entity_id", "scheme", "address", "created_at"), addresses)
        bulk.insert_rows(tx, pe_membership, ("group_id", "member_id", "at"), [(group.id, n, 1.0) for n in ids])
        subscriptions.subscribe(tx, HUB, group.id, "incident", "", 1.0)


def show(what: str, latencies: list[float]) -> None:
    """One line of milliseconds."""
    at = [1000 * latencies[min(int(len(latencies) * part), len(latencies) - 1)] for part in (0.5, 0.99, 0.999)]
    print(
        f"{what:44} p50 {at[0]:6.2f}  p99 {at[1]:7.2f}  p99.9 {at[2]:7.2f}  longest {1000 * latencies[-1]:7.2f}  (ms)",
        flush=True,
    )


def main() -> None:
    """Print a line a situation."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--people", type=int, default=100_000)
    chosen = options.parse_args()
    hub = Hub()
    prepare(hub, chosen.people)
    with Postfix() as postfix, hub:
        for name, port in (("Postfix", postfix.port), ("hub", hub.port)):
            measure(port, RATE, 2)
            show(f"{name}, small mails alone", measure(port, RATE, chosen.seconds)[0])
            large = LargeMails(port)
            large.start()
            latencies, _ = measure(port, RATE, chosen.seconds)
            show(f"{name}, beside {large.end()} mails of 5 MiB", latencies)
        hub.drain()
        flood = threading.Timer(1.0, Sender(hub.port).send, (FLOOD,))
        flood.start()
        show(f"hub, while one is copied to {chosen.people}", measure(hub.port, RATE, chosen.seconds)[0])
        copies = hub.count("SELECT count(*) FROM msg_delivery_status")
        print(f"{copies} copies were planned")


if __name__ == "__main__":
    main()
