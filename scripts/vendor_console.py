"""Fetches the libraries of the console from npm, in pinned versions, into `src/rhetor/console/vendor`.

    python scripts/vendor_console.py

The versions are below. npm checks each package against the digest of its registry, and the files of the
console are listed with their own digests in `vendor/versions.json`; a test compares them. Large modules are
minified by terser. Nothing else is changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "src" / "rhetor" / "console" / "vendor"
TERSER = "terser@5.51.4"
# package: its version, and its files by the names under which they are served
PACKAGES: dict[str, tuple[str, dict[str, str]]] = {
    "preact": ("11.2.0", {"preact.js": "dist/preact.mjs", "preact-hooks.js": "hooks/dist/hooks.mjs"}),
    "htm": ("3.1.1", {"htm.js": "dist/htm.mjs", "htm-preact.js": "preact/index.mjs"}),
    "@preact/signals-core": ("1.14.5", {"signals-core.js": "dist/signals-core.mjs"}),
    "@preact/signals": ("2.11.4", {"signals.js": "dist/signals.mjs"}),
    "@xterm/xterm": ("6.0.0", {"xterm.js": "lib/xterm.mjs", "xterm.css": "css/xterm.css"}),
    "@xterm/addon-fit": ("0.11.0", {"xterm-fit.js": "lib/addon-fit.mjs"}),
    "uplot": ("1.6.32", {"uplot.js": "dist/uPlot.esm.js", "uplot.css": "dist/uPlot.min.css"}),
    "marked": ("18.2.1", {"marked.js": "lib/marked.esm.js"}),
    "dompurify": ("3.5.0", {"dompurify.js": "dist/purify.es.mjs"}),
}
# smaller than what their packages have
MINIFIED = ("dompurify.js", "marked.js", "uplot.js", "xterm.js")
OPTIONS = ("--module", "--mangle", "--compress", "passes=3", "--comments", "/^!|@license|@preserve|@cc_on/i")
SOURCE_MAP = re.compile(r"^(//# sourceMappingURL=.*|/\*# sourceMappingURL=.*\*/)$", re.MULTILINE)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _npm(folder, TERSER, *(f"{package}@{version}" for package, (version, _) in PACKAGES.items()))
        shutil.rmtree(VENDOR, ignore_errors=True)
        VENDOR.mkdir(parents=True)
        listed = [_vendor(folder, package) for package in PACKAGES]
    (VENDOR / "versions.json").write_text(json.dumps(listed, indent=2) + "\n")


def _npm(folder: Path, *packages: str) -> None:
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--save-exact"]
    subprocess.run([*command, *packages], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _vendor(folder: Path, package: str) -> dict[str, object]:
    """Copy the files of a package and its license; return its entry in the list of versions."""
    version, files = PACKAGES[package]
    source = folder / "node_modules" / package
    for name, path in files.items():
        text = SOURCE_MAP.sub("", _text(folder, source / path, name in MINIFIED)).rstrip() + "\n"
        (VENDOR / name).write_text(text)
    short = package.removeprefix("@").replace("/", "-")
    shutil.copyfile(source / "LICENSE", VENDOR / f"LICENSE.{short}")
    lock = json.loads((folder / "package-lock.json").read_text())
    return {
        "package": package,
        "version": version,
        "integrity": lock["packages"][f"node_modules/{package}"]["integrity"],
        "license": json.loads((source / "package.json").read_text())["license"],
        "files": {name: hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() for name in files},
    }


def _text(folder: Path, path: Path, is_minified: bool) -> str:
    if not is_minified:
        return path.read_text()
    command: list[str | Path] = [folder / "node_modules" / ".bin" / "terser", path, *OPTIONS]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
