"""wokkel can be imported whole, warnings being errors, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys


def fresh(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)


def test_every_module_of_wokkel_that_is_not_for_twistd() -> None:
    program = (
        "import msgserver.wire.wokkel_shim, importlib, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "for name in ('client', 'component', 'data_form', 'delay', 'disco', 'formats', 'generic', 'muc', 'ping',\n"
        "             'pubsub', 'server', 'shim', 'subprotocols', 'xmppim'):\n"
        "    importlib.import_module('wokkel.' + name)\n"
    )
    done = fresh(program)
    assert done.returncode == 0, done.stderr


def test_the_shim_is_still_needed() -> None:
    done = fresh("import warnings; warnings.simplefilter('ignore'); import wokkel.disco")
    assert "_PY3" in done.stderr  # the day this fails, the shim can go
