"""Fetches the libraries of the console from npm, in pinned versions, into `src/rhetor/console/vendor`.

    python scripts/vendor_console.py

The versions are below. npm checks each package against the digest of its registry, and the files of the
console are listed with their own digests in `vendor/versions.json`; a test compares them. Libraries that are
always loaded together are one file, which esbuild joins without what the console does not import, and terser
minifies. Except for what is left out of uPlot, nothing else is changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "src" / "rhetor" / "console" / "vendor"
TOOLS = ("esbuild@0.28.2", "terser@5.51.4")
PACKAGES = {
    "preact": "11.2.0",
    "htm": "3.1.1",
    "@preact/signals-core": "1.14.5",
    "@preact/signals": "2.11.4",
    "@xterm/xterm": "6.0.0",
    "@xterm/addon-fit": "0.11.0",
    "uplot": "1.6.32",
    "marked": "18.2.1",
    "dompurify": "3.5.0",
}
# each file: what it has, as modules import it
FILES = {
    "preact.js": """
        export { Component, options, render } from "preact";
        export {
          useCallback, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState,
        } from "preact/hooks";
        export { computed, effect, signal } from "@preact/signals";
        export { html } from "htm/preact";
    """,
    "markdown.js": """
        export { marked } from "marked";
        export { default } from "dompurify";
    """,
    "uplot.js": 'export { default } from "uplot";',
    "uplot.css": '@import "uplot/dist/uPlot.min.css";',
    "xterm.js": """
        export { Terminal } from "@xterm/xterm";
        export { FitAddon } from "@xterm/addon-fit";
    """,
    "xterm.css": '@import "@xterm/xterm/css/xterm.css";',
}
# what uPlot's own build can leave out: forms of a plot that the console does not draw
LEFT_OUT = {
    "uplot/dist/uPlot.esm.js": (
        "uPlot.join = join;",
        "uPlot.fmtDate = fmtDate;",
        "uPlot.tzDate  = tzDate;",
        "(paths.stepped = stepped);",
        "(paths.spline  = monotoneCubic);",
    ),
}
JOIN = ("--bundle", "--format=esm", "--minify", "--legal-comments=inline", "--log-level=warning")
KEPT_COMMENTS = "/^!|@license|@preserve|@cc_on/i"
MINIFY = ("--module", "--ecma", "2022", "--compress", "passes=3", "--comments", KEPT_COMMENTS)
# names that begin with `_` are private to their library, and are shortened in all of the file
MANGLE = {"xterm.js": ("--mangle-props", "regex=/^_/,keep_quoted=true")}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _npm(folder, *TOOLS, *(f"{package}@{version}" for package, version in PACKAGES.items()))
        for path, lines in LEFT_OUT.items():
            _leave_out(folder / "node_modules" / path, lines)
        shutil.rmtree(VENDOR, ignore_errors=True)
        VENDOR.mkdir(parents=True)
        for file, text in FILES.items():
            (VENDOR / file).write_text(_joined(folder, file, text))
        packages = [_package(folder, package) for package in PACKAGES]
    files = {file: hashlib.sha256((VENDOR / file).read_bytes()).hexdigest() for file in FILES}
    (VENDOR / "versions.json").write_text(json.dumps({"packages": packages, "files": files}, indent=2) + "\n")


def _npm(folder: Path, *packages: str) -> None:
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--save-exact"]
    subprocess.run([*command, *packages], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _leave_out(path: Path, lines: tuple[str, ...]) -> None:
    text = path.read_text()
    for line in lines:
        if text.count(line) != 1:
            raise SystemExit(f"{path.name} has no line {line!r}; look at what its version exports")
        text = text.replace(line, "")
    path.write_text(text)


def _joined(folder: Path, file: str, text: str) -> str:
    """Return what the packages have of this file, minified."""
    entry = folder / file
    entry.write_text(text)
    joined = _run(folder, "esbuild", entry, *JOIN)
    if entry.suffix == ".css":
        return joined
    entry.write_text(joined)
    return _run(folder, "terser", entry, *MINIFY, "--mangle", *MANGLE.get(file, ())) + "\n"


def _run(folder: Path, tool: str, *arguments: str | Path) -> str:
    command = [folder / "node_modules" / ".bin" / tool, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def _package(folder: Path, package: str) -> dict[str, str]:
    """Copy the license of a package; return its entry in the list of versions."""
    source = folder / "node_modules" / package
    short = package.removeprefix("@").replace("/", "-")
    shutil.copyfile(source / "LICENSE", VENDOR / f"LICENSE.{short}")
    lock = json.loads((folder / "package-lock.json").read_text())
    return {
        "package": package,
        "version": PACKAGES[package],
        "integrity": lock["packages"][f"node_modules/{package}"]["integrity"],
        "license": json.loads((source / "package.json").read_text())["license"],
    }


if __name__ == "__main__":
    main()
