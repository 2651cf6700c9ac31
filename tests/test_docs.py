"""The documentation is true: every command in it runs, every key is explained, every link leads somewhere.

A ``console`` block's lines that begin with ``$`` are run, the others are what they must print (``...``: anything).
``console serve=PORT`` goes on running; what follows waits until it listens there. ``console stopped`` runs after
everything that was started so has been stopped. All pages are one story, in a copy of the tree and in a network
of its own, so that the ports are those a newcomer sees.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from msgserver import config as configuration
from msgserver.cli import ROLES
from msgserver.config import HubSettings, RedisSettings, StoreSettings, WebSettings
from msgserver.formats.dkim import new_key
from tests.peers.programs import home, program

ROOT = Path(__file__).parent.parent
STORY = ["README.md", "docs/configuration.md", "docs/operating.md", "docs/people.md", "docs/sending-mail.md"]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_BLOCK = re.compile(r"^```console(?: (?P<how>\S+))?\n(?P<lines>.*?)^```$", re.M | re.S)


class Block(msgspec.Struct, frozen=True):
    """One ``console`` block: where it stands, how it is run, its commands, and what they must print."""

    place: str
    how: str
    commands: list[str]
    printed: list[str]


def blocks(page: str) -> Iterator[Block]:
    text = (ROOT / page).read_text()
    for found in _BLOCK.finditer(text):
        lines = found["lines"].splitlines()
        commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        printed = [line for line in lines if not line.startswith("$ ")]
        place = f"{page}:{text.count(chr(10), 0, found.start()) + 1}"
        yield Block(place, found["how"] or "", commands, printed)


def story(told: list[Block], tree: Path) -> str:
    """The shell script that runs the blocks; block N is the file ``N.sh`` and prints into ``N.out``."""
    script = ["set -eu", "ip link set lo up", "trap stop_all EXIT", _FUNCTIONS]
    for number, block in enumerate(told):
        (tree / f"{number}.sh").write_text("\n".join(block.commands))
        script.append(f"echo {block.place}")
        if block.how.startswith("serve="):
            script.append(f"bash -e {number}.sh > {number}.out 2>&1 &")
            script.append(f"await_port {block.how.removeprefix('serve=')} $! {number}.out")
            continue
        if block.how == "stopped":
            script.append("stop_all")
        script.append(f"bash -e {number}.sh > {number}.out 2>&1 || {{ cat {number}.out; exit 1; }}")
    return "\n".join(script)


_FUNCTIONS = """
await_port() {
  for _ in $(seq 1800); do
    (exec 3<> /dev/tcp/127.0.0.1/$1) 2> /dev/null && return 0
    kill -0 $2 2> /dev/null || { cat $3; exit 1; }
    sleep 0.1
  done
  cat $3; echo "nobody listens on port $1"; exit 1
}
stop_all() {
  for shell in $(jobs -p); do pkill -TERM -P $shell || true; kill $shell 2> /dev/null || true; done
  wait || true
}
"""


@pytest.mark.peer
@pytest.mark.slow
def test_every_command_runs() -> None:
    told = [block for page in STORY for block in blocks(page)]
    assert told
    with home("docs") as tree:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        (tree / ".venv").symlink_to(ROOT / ".venv")
        (tree / ".stamps").mkdir()
        for stamp in ("python", "run", "dev"):
            (tree / ".stamps" / stamp).touch()
        alone = [
            program("unshare", "util-linux"),
            "-rn",
            "--pid",
            "--mount-proc",
            "--kill-child",
            "bash",
            "-c",
            story(told, tree),
        ]
        done = subprocess.run(alone, cwd=tree, capture_output=True, text=True, timeout=1800, check=False)
        hub = (tree / "0.out").read_text() if (tree / "0.out").exists() else ""
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{hub}"
        for number, block in enumerate(told):
            expected = ".*".join(re.escape("\n".join(part)) for part in _parts(block.printed))
            assert re.search(expected, (tree / f"{number}.out").read_text(), re.S), block.place


def _parts(lines: list[str]) -> list[list[str]]:
    """The printed lines, split where ``...`` stands for anything."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if line == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def test_every_page_of_docs_is_part_of_the_story() -> None:
    """A page with commands that nobody runs would be a page that may lie."""
    told = {str(page.relative_to(ROOT)) for page in PAGES if _BLOCK.search(page.read_text())}
    assert told <= set(STORY)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


# etc/msgserver.toml

SAMPLE = ROOT / "etc/msgserver.toml"
_SETTING = re.compile(r"^#(?=[a-z_0-9]+ = |\[)", re.M)


def uncommented() -> str:
    """The sample file with every setting in it switched on; prose has a space after its #."""
    return _SETTING.sub("", SAMPLE.read_text())


def table_of(kind: Any) -> type[msgspec.Struct] | None:
    """The Struct that a field's type is, alone or beside None."""
    if get_origin(kind) in (list, dict):
        return None
    arms = [arm for arm in get_args(kind) or (kind,) if isinstance(arm, type) and issubclass(arm, msgspec.Struct)]
    return arms[0] if arms else None


def keys(kind: type[msgspec.Struct], where: str) -> Iterator[str]:
    """Every key of a Settings type, as ``table key``; a table within it counts by its own keys."""
    for field in msgspec.structs.fields(kind):
        inner = table_of(field.type)
        if inner:
            yield from keys(inner, f"{where}.{field.encode_name}")
        else:
            yield f"{where} {field.encode_name}"


def explained(tables: dict[str, Any], kinds: dict[str, type[msgspec.Struct]]) -> set[str]:
    """The keys that the sample has, as ``table key``."""
    found = set()
    for name, kind in kinds.items():
        table: Any = tables
        for part in name.split("."):
            table = table.get(part, {})
        found |= set(_flat(table, name, kind))
    return found


def _flat(table: dict[str, Any], where: str, kind: type[msgspec.Struct]) -> Iterator[str]:
    types = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in table.items():
        inner = table_of(types.get(key))
        if inner:
            yield from _flat(value, f"{where}.{key}", inner)
        else:
            yield f"{where} {key}"


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> configuration.Config:
    """The sample, switched on and read, with the secrets it names."""
    text = uncommented()
    for name in re.findall(r'file = "([^"]+)"', text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(new_key("ed25519") if "dkim" in name else "a-secret-word\n")
    for name in re.findall(r'env = "([^"]+)"', text):
        monkeypatch.setenv(name, "a-secret-word")
    path = tmp_path / "msgserver.toml"
    path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return configuration.load(path)


def test_the_sample_loads_with_every_setting_switched_on(sample: configuration.Config) -> None:
    configuration.load_connectors(sample)
    shown = {table.type for table in sample.connector.values()}
    missing = set(configuration.connector_types()) - shown
    assert missing == set(), "give each of these a [connector.NAME] table with every key in etc/msgserver.toml"


def test_the_sample_loads_as_it_stands() -> None:
    configuration.load(SAMPLE)


def test_the_sample_has_every_key(sample: configuration.Config) -> None:
    kinds: dict[str, type[msgspec.Struct]] = {
        "hub": HubSettings,
        "store": StoreSettings,
        "redis": RedisSettings,
        "web": WebSettings,
    }
    for name, entry in configuration.load_connectors(sample).items():
        kinds[f"connector.{name}"] = entry.module.Settings
    wanted = {key for name, kind in kinds.items() for key in keys(kind, name)}
    assert wanted - explained(tomllib.loads(uncommented()), kinds) == set()


def test_every_key_of_the_sample_is_explained() -> None:
    """By words behind it on its line, or by a line of prose right above it or above its neighbours."""
    bare, above = [], False
    for line in SAMPLE.read_text().splitlines():
        setting = re.match(r"^#?([a-z_0-9]+) = ", line)
        above = line.startswith("# ") or (above and bool(setting))
        if setting and setting[1] != "type" and not above and " # " not in line:
            bare.append(line)
    assert bare == []


def test_the_operators_page_names_every_role() -> None:
    page = (ROOT / "docs/operating.md").read_text()
    listed = re.search(r"^Roles: (.*)\.$", page, re.M)
    assert listed
    assert re.findall(r"`(\w+)`", listed[1]) == list(ROLES)
