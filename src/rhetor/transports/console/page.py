"""The page of the web console. It is the same for all views: the browser shows the one in the path."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache

from msgspec import Struct

from .assets import STYLES, Assets, assets

FIRST = "app"  # the pack of the first view, which is loaded before anything asks for it
EARLY = "app/early.js"  # a classic script, which runs before the page is drawn


class Page(Struct, frozen=True):
    html: bytes
    policy: str


@cache
def page(*, inline_styles: bool = False) -> Page:
    """Return the page and its Content-Security-Policy. `inline_styles`: the terminal needs them to color
    text; no other view may use them."""
    files = assets()
    imports = json.dumps({"imports": files.imports}, separators=(",", ":"))
    digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()
    template = (files.folder / "index.html").read_text()
    replaced = {
        "<!-- version -->": f'<meta name="version" content="{files.version}">',
        "<!-- early -->": f'<script src="{files.files[EARLY].url}"></script>',  # does not wait for the styles
        "<!-- styles -->": f'<link rel="stylesheet" href="{files.files[STYLES].url}">',
        "<!-- import map -->": f'<script type="importmap">{imports}</script>',
        "<!-- modules -->": _modules(files),
        "/icon.svg": files.files["icons/icon.svg"].url,
        "/icon.png": files.files["icons/icon-180.png"].url,
    }
    for mark, text in replaced.items():
        template = template.replace(mark, text)
    return Page(template.encode(), _policy(digest, inline_styles))


@cache
def manifest() -> bytes:
    """Return the web app manifest, with which browsers install the console as an app."""
    files = assets()
    found = json.loads((files.folder / "manifest.json").read_text())
    for icon in found["icons"]:
        icon["src"] = files.files[icon["src"]].url
    return json.dumps(found).encode()


@cache
def service_worker() -> bytes:
    """Return the service worker, which keeps the page and the files of the first view for a time without
    connection. It never sees an answer of the hub's APIs."""
    files = assets()
    kept = [files.files[name].url for name in (STYLES, EARLY, "icons/icon.svg")]
    kept += [asset.url for asset in files.needed_by(FIRST)]
    script = (files.folder / "worker" / "service-worker.js").read_text()
    return (
        f"const VERSION = {json.dumps(files.version)};\nconst SHELL = {json.dumps(kept)};\n{script}".encode()
    )


def _modules(files: Assets) -> str:
    needed = files.needed_by(FIRST)
    preloads = "".join(f'<link rel="modulepreload" href="{asset.url}">' for asset in needed)
    return f'{preloads}<script type="module" src="{needed[0].url}"></script>'


def _policy(imports: str, inline_styles: bool) -> str:
    styles = "'self' 'unsafe-inline'" if inline_styles else "'self'"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{imports}'",
            f"style-src {styles}",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "connect-src 'self'",
            "manifest-src 'self'",
            "worker-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types dompurify console",
        )
    )
