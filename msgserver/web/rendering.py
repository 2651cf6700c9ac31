"""Templates: one Jinja2 environment, everything escaped, words ready for gettext, and the files that pages load."""

from __future__ import annotations

import hashlib
import zlib
from importlib import resources
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from msgserver.routing.may import Act, may
from msgserver.store.views import COUNTED
from msgserver.web import words
from msgserver.web.sessions import form_token


class StaticFile(msgspec.Struct, frozen=True):
    """A file of ours as it goes out; ``mark`` changes with its bytes and stands in its address."""

    body: bytes
    squeezed: bytes
    media_type: str
    mark: str


MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


def static_files() -> dict[str, StaticFile]:
    """Read the static files once, squeezed once."""
    files = {}
    for item in (resources.files("msgserver.web") / "static").iterdir():
        media_type = MEDIA_TYPES.get(item.name.rpartition(".")[2])
        if media_type:
            body = item.read_bytes()
            squeeze = zlib.compressobj(9, wbits=31)
            mark = hashlib.sha256(body).hexdigest()[:12]
            files[item.name] = StaticFile(body, squeeze.compress(body) + squeeze.flush(), media_type, mark)
    return files


class Pages:
    """Renders templates; ``render`` gives bytes."""

    def __init__(self, hub_name: str, clock: Any) -> None:
        self.files = static_files()
        self._clock = clock
        self._environment = Environment(
            loader=PackageLoader("msgserver.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
            auto_reload=False,
        )
        self._environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
        self._environment.globals.update(
            hub_name=hub_name,
            static=self._static,
            may=may,
            Act=Act,
            words=words,
            form_token=form_token,
            counted=COUNTED,
        )

    def _static(self, name: str) -> str:
        return f"/static/{name}?v={self.files[name].mark}"

    def render(self, template: str, **values: Any) -> bytes:
        """A template as UTF-8; ``now`` is there for words about time."""
        page = self._environment.get_template(template)
        return page.render(now=self._clock.seconds(), **values).encode("utf-8", "replace")
