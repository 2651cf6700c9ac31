"""Plug-in parsers: real ones, in real processes, that work, fail, hang, crash and talk nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from msgserver.message import Address
from msgserver.records import Priority
from msgserver.routing import plugins as plugged
from msgserver.routing.decision import NO_SUGGESTION, Words
from msgserver.routing.plugins import Plugins, find
from tests.routing.conftest import WayIn
from tests.routing.test_way_in import text

pytestmark = pytest.mark.slow

async_test = pytest_twisted.ensureDeferred
WATER = Words(text="water at the bridge", sender=Address("sms", "+15551234"), connector="modem1", at=5.0)

GOOD = """
def parse(message):
    print("to nobody", message)
    if "water" not in message["text"]:
        return None
    return {"tags": [("incident", "u1")], "priority": "high", "actionable": True, "why": message["sender"],
            "confidence": 0.6}
"""
BAD = {
    "raises": ("def parse(m): raise ValueError('no such well')", "it failed: ValueError: no such well"),
    "syntax": ("def parse(m", "it failed: SyntaxError"),
    "hollow": ("x = 1", "it has no function parse"),
    "nonsense": ("def parse(m): return {'tag': 1}", "no suggestion: Object contains unknown field `tag`"),
    "worse": ("def parse(m): return {'confidence': 7}", "no suggestion"),
    "crash": ("import os\ndef parse(m): os._exit(3)", "exit code 3"),
    "leaves": ("import sys\ndef parse(m): sys.exit(0)", "left without being asked to"),
    "hangs": ("import time\ndef parse(m): time.sleep(60)", "took longer than 1 s"),
    "eats": ("def parse(m): return 'x' * (1 << 40)", "more memory than it is given"),
}


async def until(condition, seconds: float = 60.0) -> None:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await deferLater(reactor, 0.05)
    raise AssertionError("it did not come about")


def put(folder: Path, name: str, code: str) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(code)
    path.chmod(0o600)


@pytest_twisted.async_yield_fixture
async def make_plugins(tmp_path: Path):
    made: list[Plugins] = []

    def make(seconds: float) -> Plugins:
        made.append(Plugins(tmp_path / "parsers", seconds, ("skipped",), reactor))
        return made[-1]

    yield make
    for one in made:
        if one.running:
            await one.stopService()


@pytest.fixture
def plugins(make_plugins) -> Plugins:
    """With so much time that one which works has an answer on any machine."""
    return make_plugins(60.0)


async def started(plugins: Plugins, count: int) -> None:
    """Wait until they are found and loaded, or failed at it."""
    plugins.startService()
    await until(lambda: len(plugins.states()) == count)
    await until(lambda: not any("being loaded" in state.words for state in plugins.states()))


async def answered(plugins: Plugins, words: Words = WATER):
    """Ask until it answers: the machine may be slow."""
    for _ in range(600):
        (said,) = await plugins.suggest([words])
        if said.suggestions or not said.skipped:
            return said
        await deferLater(reactor, 0.1)
    raise AssertionError(said)


@async_test
async def test_without_parsers_nothing_is_asked_and_nothing_waits(plugins: Plugins):
    await plugins.look()
    assert await plugins.suggest([WATER, WATER]) == [NO_SUGGESTION] * 2
    assert plugins.states() == []


@async_test
async def test_one_that_works_is_believed_and_what_it_prints_harms_nobody(plugins: Plugins, tmp_path: Path):
    put(tmp_path / "parsers", "good", GOOD)
    put(tmp_path / "parsers", "skipped", GOOD)
    put(tmp_path / "parsers", "_half", "def parse(")
    await started(plugins, 1)
    said = await answered(plugins)
    (found,) = said.suggestions
    assert (found.parser, found.tags, found.priority, found.confidence) == (
        "good",
        (("incident", "u1"),),
        Priority.HIGH,
        0.6,
    )
    assert (found.why, found.actionable) == ("sms:+15551234", True)
    first, second = await plugins.suggest([Words(text="fire"), WATER])
    assert first == NO_SUGGESTION
    assert second == said
    (state,) = plugins.states()
    assert (state.able, state.words, state.failed) == (True, "works", 0)


@pytest.mark.parametrize("name", BAD)
@async_test
async def test_one_that_fails_is_skipped_in_words(make_plugins, tmp_path: Path, name: str):
    plugins = make_plugins(1.0 if name == "hangs" else 60.0)
    code, words = BAD[name]
    put(tmp_path / "parsers", name, code)
    await started(plugins, 1)
    for _ in range(600):
        (said,) = await plugins.suggest([WATER])
        assert said.suggestions == ()
        (why,) = said.skipped
        assert why.startswith(f'parser "{name}" was skipped: ')
        (state,) = plugins.states()
        if words in state.words:
            assert not state.able
            return
        await deferLater(reactor, 0.1)
    raise AssertionError(plugins.states())


@async_test
async def test_what_the_hub_says_to_it_is_out_of_its_reach(plugins: Plugins, tmp_path: Path):
    put(tmp_path / "parsers", "steals", "import sys\ndef parse(m): return {'why': 'read ' + repr(sys.stdin.read())}")
    await started(plugins, 1)
    (found,) = (await answered(plugins)).suggestions
    assert found.why == "read ''"


@async_test
async def test_one_that_keeps_failing_rests_and_a_changed_file_is_tried_at_once(
    plugins: Plugins, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(plugged, "LOOK", 0.2)
    put(tmp_path / "parsers", "good", "def parse(m): raise ValueError('x')")
    await started(plugins, 1)
    for _ in range(600):
        (said,) = await plugins.suggest([WATER])
        if "it rests" in said.skipped[0]:
            break
        await deferLater(reactor, 0.1)
    (state,) = plugins.states()
    assert (state.able, state.failed) == (False, 3)
    assert "rests for" in state.words
    assert "none is lost" in state.words
    put(tmp_path / "parsers", "good", GOOD)
    await until(lambda: plugins.states() and plugins.states()[0].failed == 0)
    assert (await answered(plugins)).suggestions
    (tmp_path / "parsers" / "good.py").unlink()
    await until(lambda: plugins.states() == [])


@async_test
async def test_a_file_that_others_may_write_is_not_run(plugins: Plugins, tmp_path: Path):
    put(tmp_path / "parsers", "open", GOOD)
    (tmp_path / "parsers" / "open.py").chmod(0o666)
    await started(plugins, 1)
    (state,) = plugins.states()
    assert not state.able
    assert "chmod go-w" in state.words
    assert await plugins.suggest([WATER]) == [NO_SUGGESTION]


@async_test
async def test_one_that_hangs_keeps_the_others_from_nothing(make_plugins, tmp_path: Path):
    plugins = make_plugins(3.0)
    put(tmp_path / "parsers", "good", GOOD)
    put(tmp_path / "parsers", "hangs", BAD["hangs"][0])
    await started(plugins, 2)
    said = await answered(plugins)
    assert [one.parser for one in said.suggestions] == ["good"]
    assert [why for why in said.skipped if '"hangs"' in why]


@async_test
async def test_messages_are_recorded_with_and_without_them(way_in: WayIn, make_plugins, tmp_path: Path):
    plugins = make_plugins(3.0)
    put(tmp_path / "parsers", "good", GOOD)
    put(tmp_path / "parsers", "hangs", BAD["hangs"][0])
    way_in.recorder._suggest = plugins.suggest
    await way_in.router.accept("modem1", text(1))
    await way_in.read()
    await started(plugins, 2)
    for n in range(2, 40):
        await way_in.router.accept("modem1", text(n))
        await way_in.read()
        if len(await way_in.rows("SELECT * FROM msg_tag")) and "longer" in "".join(x.words for x in plugins.states()):
            break
    ((resource, why, confidence),) = await way_in.rows("SELECT resource, why, confidence FROM msg_tag LIMIT 1")
    assert (resource, why, confidence) == ("incident", 'parser "good": sms:+15551234', 0.6)
    assert await way_in.rows("SELECT count(*) FROM msg_log") == [(n,)]
    assert await way_in.rows("SELECT id FROM msg_log WHERE decided LIKE '%hangs%was skipped%' LIMIT 1")


def test_parsers_of_installed_packages_are_found(monkeypatch, tmp_path: Path):
    from importlib.metadata import EntryPoint

    monkeypatch.setattr(plugged, "entry_points", lambda group: [EntryPoint("mine", "some.module:parse", group)])
    assert [(one.name, one.entry, one.mark) for one in find(tmp_path / "none", ())] == [
        ("mine", "mine", "some.module:parse")
    ]
    assert find(tmp_path, ("mine",)) == []


@async_test
async def test_one_of_an_installed_package_is_asked(plugins: Plugins, tmp_path: Path, monkeypatch):
    site = tmp_path / "site"
    (site / "floods-1.dist-info").mkdir(parents=True)
    (site / "floods-1.dist-info" / "METADATA").write_text("Name: floods\nVersion: 1\n")
    (site / "floods-1.dist-info" / "entry_points.txt").write_text("[msgserver.parsers]\nfloods = floods_parser\n")
    (site / "floods_parser.py").write_text(GOOD)
    monkeypatch.syspath_prepend(str(site))
    await started(plugins, 1)
    assert [one.parser for one in (await answered(plugins)).suggestions] == ["floods"]


@async_test
async def test_the_one_in_the_documentation_works(plugins: Plugins, tmp_path: Path):
    page = (Path(__file__).parents[2] / "docs/parsers.md").read_text()
    put(tmp_path / "parsers", "sitrep", page.split("```python\n")[1].split("```")[0])
    await started(plugins, 1)
    (found,) = (await answered(plugins, Words(text="SITREP 4 wounded, 2 missing"))).suggestions
    assert (found.tags, found.priority, found.why) == ((("tag", "sitrep"),), Priority.URGENT, "4 wounded reported")
