"""The command line beside the hub: a first configuration, checks, users, backups. Errors are one line, exit code 1."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from msgserver.config import Config, ConfigError, load, load_connectors, show
from msgserver.formats.dkim import Signer, new_key
from msgserver.formats.phones import known_region
from msgserver.records import Grant, Role, Viewer
from msgserver.routing import imports
from msgserver.routing.commands import conflicts
from msgserver.routing.passwords import hash_password, weakness
from msgserver.store import exporting, fsck, importing, logins, messages, rules, trace, users
from msgserver.store.backup import backup, restore
from msgserver.store.connecting import once, peek
from msgserver.store.door import StoreError
from msgserver.store.edits import Refused

ROLES = {role.value.replace(" ", "_"): role for role in Role}

Act = Callable[[argparse.Namespace], int]


TERMINAL = Viewer(0, "command line", (Grant(Role.ADMINISTRATOR),))  # who may run us may administer


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 not, with the reason on stderr."""
    asked = _parser().parse_args(argv)
    act: Act = asked.act
    try:
        return act(asked)
    except (ConfigError, StoreError, Refused) as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: no words at the exit
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or 'the system'}: {error.strerror}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="msgserver", description="The command line beside the hub.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(of: Any, name: str, act: Act, words: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = of.add_parser(name, help=words, description=words)
        default = os.environ.get("MSGSERVER_CONFIG", "var/msgserver.toml")
        added.add_argument("--config", metavar="F", type=Path, default=Path(default), help=f"default: {default}")
        added.set_defaults(act=act)
        return added

    command(commands, "init", _init, "write a first configuration where there is none, and print a setup link")
    command(commands, "check", _check, "read the configuration and say all that is wrong with it")
    adding = command(_group(commands, "user", "those who log in"), "add", _add_user, "make a user")
    adding.add_argument("name", metavar="NAME")
    adding.add_argument("--role", required=True, choices=list(ROLES), metavar="R", help=", ".join(ROLES))
    adding.add_argument("--password-file", required=True, type=Path, metavar="F", help="its first line; - is stdin")
    adding = command(_group(commands, "token", "API tokens"), "add", _add_token, "make a token; it is the last word")
    adding.add_argument("user", metavar="USER")
    adding.add_argument("--name", default="command line", help="what it is for, shown in lists")
    command(commands, "upgrade", _upgrade, "bring the database up to date (a starting hub does so too)")
    command(commands, "fsck", _fsck, "look whether all that must be true of the database is")
    tracing = command(commands, "trace", _trace, "say what became of a message, from the wire to each recipient")
    tracing.add_argument("id", metavar="ID", type=_message_id, help="a message's id, or 42.3: the third on ticket 42")
    exporting = command(commands, "export", _export, "print the log, newest first, one JSON object a line")
    exporting.add_argument("--query", default="", metavar="Q", help="only what this search finds")
    crowd = _group(commands, "people", "people, groups and organisations as a table (CSV)")
    bringing = command(crowd, "import", _import_people, "read them from a table; what is wrong is said with its line")
    bringing.add_argument("file", type=Path, metavar="FILE")
    bringing.add_argument("--dry-run", action="store_true", help="only look, write nothing")
    bringing.add_argument("--region", default="", metavar="CC", help="country of numbers that name none, as in AF")
    command(crowd, "export", _export_people, "print all of them as a table, safe to open in a spreadsheet")
    saving = command(commands, "backup", _backup, "copy the whole hub into one file, while it runs (SQLite)")
    saving.add_argument("file", type=Path, metavar="FILE")
    signing = command(commands, "dkim", _dkim, "make a key that signs mail, and print what the DNS must say")
    signing.add_argument("domain", metavar="DOMAIN", help="the domain that mail is sent from")
    signing.add_argument("selector", metavar="SELECTOR", help="a name for this key, such as hub2026")
    signing.add_argument("file", type=Path, metavar="FILE", help="where the key goes; nothing is overwritten")
    signing.add_argument("--algorithm", choices=["rsa", "ed25519"], default="rsa", help="default: rsa")
    putting = command(commands, "restore", _restore, "put a backup in the place of the database (SQLite)")
    putting.add_argument("file", type=Path, metavar="FILE")
    return parser


def _group(commands: Any, name: str, words: str) -> Any:
    return commands.add_parser(name, help=words, description=words).add_subparsers(metavar="COMMAND", required=True)


def _store(config: Config, *, writing: bool = True) -> AbstractContextManager[Any]:
    """One transaction, beside a hub that may be running; one that only reads may take its time."""
    url, state = config.store.full_url(), Path(config.hub.state)
    if not writing:
        with once(url, state):
            pass  # up to date from here on
    return once(url, state, writing=writing)


def _init(asked: argparse.Namespace) -> int:
    if asked.config.exists():
        print(f"{asked.config} is there, and stays as it is.")
    else:
        asked.config.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        starter = resources.files("msgserver").joinpath("starter.toml").read_text(encoding="utf-8")
        with asked.config.open("x", encoding="utf-8") as file:
            file.write(starter)
        print(f"Wrote {asked.config}.")
    config = load(asked.config)
    state = Path(config.hub.state)
    if not state.exists():
        state.mkdir(parents=True, mode=0o700)
    key = secrets.token_urlsafe(24)
    with _store(config) as tx:
        fresh = users.setup_token(tx, key)
    if fresh:
        print(f"Make the first administrator here, once:\n\n    {config.web.url.rstrip('/')}/setup?token={key}\n")
    return 0


def _check(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    settings = load_connectors(config)
    print(f"{asked.config}: nothing is wrong")
    for words in _clashing(config):
        print(words)
    for table, keys in show(config, settings).items():
        print(f"\n[{table}]")
        for key, value in keys.items():
            print(f"{key} = {value!r}")
    return 0


def _clashing(config: Config) -> list[str]:
    """Warnings of rules that wait for reserved words; none where there is no database yet, or it does not answer."""
    listed = peek(config.store.full_url(), Path(config.hub.state), rules.rules) or ()
    return [f"warning: the rule {one.name!r}: {words}" for one in listed if one.active for words in conflicts(one)]


def _add_user(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    file = sys.stdin if str(asked.password_file) == "-" else asked.password_file.open(encoding="utf-8")
    with file:
        password = file.readline().removesuffix("\n").removesuffix("\r")
    weak = weakness(password, asked.name)
    if weak:
        raise Refused(f"The password in {asked.password_file} cannot be used. {weak}")
    hashed = hash_password(password)
    with _store(config) as tx:
        made = users.create_user(tx, TERMINAL, asked.name, hashed, [Grant(ROLES[asked.role])], time.time())
    print(f"Made {made.name}, {ROLES[asked.role].value}.")
    return 0


def _add_token(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    key = secrets.token_urlsafe(32)
    with _store(config) as tx:
        found = users.find_user(tx, asked.user)
        if found is None:
            raise Refused(f"There is no user named {asked.user}. Make one with: msgserver user add {asked.user}")
        logins.create_token(tx, TERMINAL, found[0].id, asked.name, key, time.time())
    print(f"A token of {found[0].name}, shown this once: {key}")
    return 0


def _upgrade(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    with _store(config):
        print("The database is up to date.")
    return 0


def _fsck(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    with _store(config, writing=False) as tx:
        wrong = fsck.check(tx, time.time())
    for sentence in (*wrong, *_clashing(config)):
        print(sentence)
    print(f"{len(wrong)} things are wrong." if wrong else "Nothing is wrong.")
    return 1 if wrong else 0


def _message_id(word: str) -> tuple[int, ...]:
    parts = word.removeprefix("#").split(".")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise argparse.ArgumentTypeError(f"{word!r} is no message: write its id, or 42.3 for the third on ticket 42")
    return tuple(int(part) for part in parts)


def _trace(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    with _store(config, writing=False) as tx:
        number: int | None = asked.id[0]
        if len(asked.id) == 2:
            named = messages.numbered(tx, TERMINAL, *asked.id)
            number = named.id if named else None
        found = trace.trace(tx, TERMINAL, number) if number is not None else None
    if found is None:
        raise Refused(f"There is no message {'.'.join(map(str, asked.id))}.")
    for line in _told(found):
        print(_harmless(line))
    return 0


def _told(found: trace.Trace) -> Iterator[str]:
    message = found.message
    place = f", {message.ticket_id}.{message.number} on its ticket" if message.ticket_id else ""
    yield f"Message {message.id}{place}: {message.subject or message.body[:60]}"
    yield f"  uid      {message.uid}"
    yield f"  from     {message.sender}  to {', '.join(message.recipients)}"
    for came in [found.came, *found.repeats] if found.came else []:
        yield f"  arrived  {_time(came.received_at)} by {came.connector}, {came.size} bytes, arrival {came.raw_id}"
        yield f"           called {came.wire_id} there; {came.state} {_time(came.read_at)} {came.reason}".rstrip()
    if not found.came:
        yield f"  written  {_time(message.received_at)}{f': {message.cause}' if message.cause else ''}"
    for tag in found.tags:
        yield f"  tag      {tag.resource} {tag.name or tag.record}: {tag.why}"
    for went in found.deliveries:
        delivery = went.delivery
        why = f" ({went.why})" if went.why else ""
        yield f"  delivery {delivery.id} to {delivery.address} by {delivery.connector}{why}: {delivery.state.value}"
        for event in went.events:
            yield f"           {_time(event.at)} {event.state}, attempt {event.attempt} {event.words}".rstrip()
        for part in went.parts:
            yield f"           part {part.part} is called {part.wire_id} there: {part.state}"


def _time(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at is not None else "never"


def _export(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    with _store(config, writing=False) as tx:
        cursor = ""
        while True:
            page = messages.log(tx, TERMINAL, asked.query, cursor, 200, whole=True, now=time.time())
            if page.ignored:
                raise Refused(f"The search does not know: {', '.join(page.ignored)}")
            for message in page.items:
                print(msgspec.json.encode(message).decode())
            cursor = page.next
            if not cursor:
                return 0


def _import_people(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    region = asked.region.upper() or config.hub.region
    if region and not known_region(region):
        raise Refused(f"There is no country {region!r}: write two letters, as in AF.")
    steps = imports.Steps(asked.file.read_bytes(), region)
    while (rows := steps.take()) is not None:
        with _store(config, writing=not asked.dry_run) as tx:  # each slice by itself: a running hub never waits long
            if asked.dry_run:
                steps.add(importing.check(tx, rows, steps.seen))
            else:
                steps.add(importing.write(tx, TERMINAL, rows, steps.seen, asked.file.name, time.time()))
    report = steps.report
    for one in report.problems:
        column = f", {one.column}" if one.column else ""
        print(_harmless(f"line {one.line}{column}: {one.words}{' (row left out)' if one.left_out else ''}"))
    if report.problems_in_all > len(report.problems):
        print(f"... and {report.problems_in_all - len(report.problems)} more")
    for names, words in ((report.ignored_columns, "Columns left aside"), (report.new_groups, "New groups")):
        if names:
            print(_harmless(f"{words}: {', '.join(names)}"))
    say = "would be " if asked.dry_run else ""
    print(
        f"{report.rows} rows: {report.new} {say}new, {report.known} {say or 'were '}known already,"
        f" {report.left_out} {say}left out."
    )
    return 0


def _export_people(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    with _store(config, writing=False) as tx:
        place = ""
        while True:
            lines, place = exporting.page(tx, TERMINAL, place)
            sys.stdout.buffer.write(lines)
            if not place:
                sys.stdout.buffer.flush()
                return 0


def _harmless(line: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in line)  # no stranger's words steer a terminal


def _backup(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    backup(config.store.full_url(), Path(config.hub.state), asked.file)
    print(f"Wrote {asked.file}.")
    return 0


def _dkim(asked: argparse.Namespace) -> int:
    key = new_key(asked.algorithm)
    try:
        signer = Signer(asked.domain, asked.selector, key)
    except ValueError as error:
        raise Refused(f"Nothing was made: {error}.") from None
    with open(os.open(asked.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(key)
    place = f"{signer.selector}._domainkey.{signer.domain}"
    print(f"Wrote {asked.file}. Put this into the DNS, as a TXT record of {place}:\n\n{signer.record()}")
    return 0


def _restore(asked: argparse.Namespace) -> int:
    config = load(asked.config)
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = restore(config.store.full_url(), Path(config.hub.state), asked.file, stamp)
    print(f"Restored {asked.file}." + (f" What was there is kept as {kept}." if kept else ""))
    return 0
