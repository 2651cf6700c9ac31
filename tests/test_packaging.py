"""What is shipped: the wheel holds everything, installs into an empty environment and starts there."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.peers.programs import Program, free_port, home

ROOT = Path(__file__).parent.parent


def test_the_plugins_folder_is_no_package() -> None:
    """With an __init__.py there, Twisted would see our plugins and no one else's."""
    assert list(ROOT.glob("twisted/**/__init__.py")) == []


def test_every_dependency_has_an_upper_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    loose = [line for line in named if not re.search(r"[<=]=?\s*\d[\d.]*$", line) and not line.startswith("msgserver")]
    assert loose == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git knows."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    there = b"\0".join(name for name in listed.split(b"\0") if name and (ROOT / name.decode()).is_file())
    packed = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=there, capture_output=True, check=True)
    subprocess.run(["tar", "-x"], cwd=tree, input=packed.stdout, check=True)
    (tree / "twisted/plugins/dropin.cache").write_bytes(b"left behind by a run from the tree")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(out), str(tree))
    (built,) = out.glob("*.whl")
    return built


def run(*argv: str, cwd: Path | None = None) -> str:
    """Run a program, return what it printed; the test fails where the program does."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.peer
@pytest.mark.slow
def test_the_wheel_holds_everything(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "twisted/plugins/msgserver_plugin.py" in names
    assert not {"twisted/__init__.py", "twisted/plugins/__init__.py", "twisted/plugins/dropin.cache"} & names
    shipped = [path for path in (ROOT / "msgserver").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {str(path.relative_to(ROOT)) for path in shipped} <= names
    assert any(name.startswith("msgserver/web/templates/") for name in names)
    assert any(name.startswith("msgserver/store/migrations/versions/") for name in names)
    assert not any(name.startswith(("tests/", "bench/", "docs/")) for name in names)


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Iterator[Path]:
    """The ``bin`` of an empty virtual environment into which the wheel was installed."""
    with home("environment") as directory:
        run(sys.executable, "-m", "venv", str(directory / "venv"))
        run(str(directory / "venv/bin/python"), "-m", "pip", "install", "-q", str(wheel))
        yield directory / "venv/bin"


@pytest.mark.peer
@pytest.mark.slow
def test_the_wheel_starts_in_an_empty_environment(environment: Path, tmp_path: Path) -> None:
    help_words = run(str(environment / "twistd"), "-n", "msgserver", "--help", cwd=tmp_path)
    assert "--config" in help_words

    run(str(environment / "msgserver"), "init", cwd=tmp_path)
    config = tmp_path / "var/msgserver.toml"
    ports = {"8080": str(free_port()), "2525": str(free_port()), "2526": str(free_port())}
    config.write_text(re.sub("|".join(ports), lambda found: ports[found[0]], config.read_text()))
    assert "nothing is wrong" in run(str(environment / "msgserver"), "check", cwd=tmp_path)

    def ready() -> bool:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{ports['8080']}/readyz", timeout=30) as answer,
        ):
            return bool(answer.status == 200)
        return False

    hub = Program([environment / "twistd", "-n", "msgserver"], tmp_path / "hub.log", cwd=tmp_path)
    hub.wait_ready(ready)
    assert hub.stop() == -signal.SIGTERM  # twistd ends by the signal that ended it, once all is stopped
    assert "has stopped" in hub.log.read_text()
