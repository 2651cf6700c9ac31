"""Makes wokkel importable on today's Twisted: import this module before anything of wokkel's.

wokkel 18.0.0 asks for two names which Twisted has dropped (``compat._PY3`` and ``twisted.python.constants``) and for
four which it means to drop. This is the only place in the program that lends them back.
"""

from __future__ import annotations

import sys
import warnings

import constantly  # type: ignore[import-untyped]
from twisted.python import compat

_LENT = {
    "_PY3": True,
    "unicode": str,
    "StringType": str,
    "iteritems": lambda mapping: iter(mapping.items()),
    "itervalues": lambda mapping: iter(mapping.values()),
}


def _lend() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name, value in _LENT.items():
            if not hasattr(compat, name):
                setattr(compat, name, value)
        sys.modules.setdefault("twisted.python.constants", constantly)
        # wokkel's own modules import deprecated names; the warnings are for its authors, who are gone.
        for module in ("client", "disco", "generic", "ping", "subprotocols"):
            __import__(f"wokkel.{module}")


_lend()
