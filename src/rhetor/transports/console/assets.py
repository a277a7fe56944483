"""The files of the web console: each has a name with its digest, and is served compressed.

The modules and the style sheets are served in fewer files than they are kept in. Nothing is read before the
first request. A file keeps its name as long as its content stays the same, so browsers may cache it for ever.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgspec import Struct

from .packs import PACKS, imported, packs

FOLDER = Path(__file__).parent.parent.parent / "console"
PREFIX = "/assets/"
SCRIPT, STYLES = "text/javascript; charset=utf-8", "styles.css"
# the names under which the modules import the libraries
LIBRARIES = {
    "preact": "vendor/preact.js",
    "preact/hooks": "vendor/preact.js",
    "@preact/signals": "vendor/preact.js",
    "htm/preact": "vendor/preact.js",
    "@xterm/xterm": "vendor/xterm.js",
    "@xterm/addon-fit": "vendor/xterm.js",
    "uplot": "vendor/uplot.js",
    "marked": "vendor/markdown.js",
    "dompurify": "vendor/markdown.js",
}
# files that are served as they are
SINGLE = {
    "app/early.js": SCRIPT,
    "icons/*.svg": "image/svg+xml",
    "icons/*.png": "image/png",
    "vendor/*.js": SCRIPT,
}
# the first style sheets, in this order; the others only have rules for parts of their own
FIRST_STYLES = ("styles/base.css", "styles/parts.css")
_COMMENT_AT_END = re.compile(r"(?<=[;{,)\]}]) // .*")
_MARGIN = re.compile(r"^[ \t]*(?://.*)?\n?", re.MULTILINE)  # of a line of code, or all of another line
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class Asset(Struct, frozen=True):
    """A file as it is served. `name`: with the digest of its content before its suffix."""

    name: str
    media_type: str
    content: bytes

    @property
    def url(self) -> str:
        return PREFIX + self.name


class Assets:
    """All files that are served, by their names and by their names with digests. A pack is `NAME.js`, and all
    style sheets are `styles.css`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.files = {name: _asset(name, kind, content) for name, kind, content in _files(folder)}
        self._served = {asset.name: asset for asset in self.files.values()}

    def find(self, name: str) -> Asset | None:
        """Return the file with this name, which has a digest; None if there is none."""
        return self._served.get(name)

    @property
    def version(self) -> str:
        """A digest of all files. A page and a service worker with the same one belong together."""
        return hashlib.sha256("".join(self._served).encode()).hexdigest()[:12]

    @property
    def imports(self) -> dict[str, str]:
        """The import map of the page: the URL of each library, and of each pack, which is imported as
        `#NAME`."""
        own = {f"#{pack}": self.files[f"{pack}.js"].url for pack in PACKS}
        return {name: self.files[file].url for name, file in LIBRARIES.items()} | own

    def needed_by(self, pack: str) -> list[Asset]:
        """Return a pack and the libraries that it imports, each once."""
        asset = self.files[f"{pack}.js"]
        names = {LIBRARIES[name]: None for name in imported(asset.content.decode()) if name in LIBRARIES}
        return [asset, *(self.files[name] for name in names)]


@cache
def compressed(asset: Asset) -> bytes:
    """Return the content of a file in gzip, which takes a moment the first time."""
    return gzip.compress(asset.content, 9, mtime=0)


@cache
def assets() -> Assets:
    """Return the files of the console. They are read once."""
    return Assets()


def script_as_sent(text: str) -> str:
    """Return a script without indentation, comments and empty lines. A comment begins a line, or follows code
    that ends there; no text in a script may look like one."""
    return _MARGIN.sub("", _COMMENT_AT_END.sub("", text))


def styles_as_sent(text: str) -> str:
    """Return style sheets without indentation, comments and empty lines."""
    return _MARGIN.sub("", _COMMENT.sub("", text))


def _asset(name: str, media_type: str, content: bytes) -> Asset:
    path = Path(name)
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(f"{path.with_suffix('')}.{digest}{path.suffix}", media_type, content)


def _files(folder: Path) -> Iterator[tuple[str, str, bytes]]:
    for pack, text in packs(PACKS, lambda name: (folder / name).read_text()).items():
        yield f"{pack}.js", SCRIPT, script_as_sent(text).encode()
    yield STYLES, "text/css; charset=utf-8", styles_as_sent(_styles(folder)).encode()
    for pattern, media_type in SINGLE.items():
        for path in sorted(folder.glob(pattern)):
            yield path.relative_to(folder).as_posix(), media_type, path.read_bytes()


def _styles(folder: Path) -> str:
    first = [folder / name for name in FIRST_STYLES]
    others = sorted({*folder.glob("styles/*.css"), *folder.glob("vendor/*.css")} - {*first})
    return "\n".join(path.read_text() for path in (*first, *others))
