"""The page of the console, its files, and the policy under which a browser shows them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest
from tests.served import CONSOLE, Served, served

from rhetor.transports.console.assets import FOLDER, LIBRARIES, STYLES, assets, compressed, script_as_sent
from rhetor.transports.console.packs import PACKS, imported
from rhetor.transports.console.page import FIRST, page, service_worker
from rhetor.transports.console.table import VIEWS

pytestmark = pytest.mark.anyio
KIB = 1024
ALL_BYTES, FIRST_VIEW_BYTES = 250 * KIB, 60 * KIB  # in gzip
PATHS = [row.path.replace("{id}", "x") for row in VIEWS]
REGEX = re.compile(r"(?<=[(=,:|&! ])/(?![/>*])(?:\\.|\[[^\]]*\]|[^/\\<])+/(?=[\w.,);])")
MODULE = re.compile(r"^export const (\w+) = \(", re.MULTILINE)
LOADED = re.compile(r"""import\("#([^"]+)"\)""")


async def logged_in(home: Served) -> dict[str, str]:
    """Return the headers of a browser that has logged in."""
    host = {"host": f"{CONSOLE}:{home.port}"}
    code = (await home.ask("POST", "/api/auth/code")).json["code"]
    login = await home.ask_tcp("GET", f"/login?code={code}", host)
    assert (login.status, login.headers["location"]) == (303, "/")
    return {**host, "cookie": login.headers["set-cookie"].split(";")[0], "sec-fetch-site": "none"}


async def test_every_view_has_the_page_after_a_login_only(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        browser = await logged_in(home)
        for path in PATHS:
            assert (await home.ask_tcp("GET", path, {"host": browser["host"]})).status == 401
            page = await home.ask_tcp("GET", path, browser)
            assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert page.headers["cache-control"] == "no-store"


async def test_the_only_inline_script_is_the_import_map_and_only_terminals_have_inline_styles(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        browser = await logged_in(home)
        for path in PATHS:
            page = await home.ask_tcp("GET", path, browser)
            (policy,) = (v for k, v in page.headers.items() if k.lower() == "content-security-policy")
            rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
            (inline,) = re.findall(r"<script[^>]*>([^<]+)</script>", page.text)
            digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
            assert rules["script-src"] == f"'self' 'sha256-{digest}'"
            assert ("unsafe-inline" in rules["style-src"]) == path.startswith("/terminals")
            assert rules["default-src"] == "'none'" and rules["frame-ancestors"] == "'none'"
            assert rules["require-trusted-types-for"] == "'script'"
            assert "style=" not in page.text and "<style" not in page.text


async def test_each_file_is_served_compressed_under_a_name_that_changes_with_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for asset in assets().files.values():
            digest = hashlib.sha256(asset.content).hexdigest()[:12]
            assert f".{digest}." in asset.url
            if asset.media_type == "image/png":
                continue  # is not text
            answer = await home.ask_tcp("GET", asset.url, {"accept-encoding": "gzip"})
            assert (answer.status, answer.headers["content-type"]) == (200, asset.media_type)
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["content-encoding"] == "gzip"
        plain = await home.ask_tcp("GET", asset.url, {"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers


@pytest.mark.parametrize(
    "name", ["app/main.js", "app/main.000000000000.js", "../app.py", "..%2Findex.html", "index.html", ""]
)
async def test_nothing_else_is_served(tmp_path: Path, name: str) -> None:
    async with served(tmp_path) as home:
        answer = await home.ask_tcp("GET", f"/assets/{name}")
        assert answer.status in (401, 404)
        assert answer.json["code"] in ("not_found", "unauthenticated")


async def test_the_app_can_be_installed(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        manifest = await home.ask_tcp("GET", "/manifest.webmanifest")
        assert manifest.headers["content-type"].startswith("application/manifest+json")
        for icon in manifest.json["icons"]:
            async with home.remote.get(f"{home.node.url}{icon['src']}") as image:
                assert (image.status, image.headers["content-type"]) == (200, icon["type"])
        worker = await home.ask_tcp("GET", "/service-worker.js")
        assert worker.headers["content-type"].startswith("text/javascript")
        shell = json.loads(worker.text.splitlines()[1].removeprefix("const SHELL = ").rstrip(";"))
        assert all(url.startswith("/assets/") for url in shell)


def test_the_files_and_the_first_view_are_small() -> None:
    files = assets()
    every = sum(len(compressed(asset)) for asset in files.files.values())
    first = [files.files[STYLES], *files.needed_by(FIRST)]
    others = (service_worker(), page().html)
    assert every + sum(len(gzip.compress(each)) for each in others) <= ALL_BYTES
    assert sum(len(compressed(asset)) for asset in first) <= FIRST_VIEW_BYTES


def test_every_module_is_in_one_pack_and_every_import_of_a_pack_is_in_the_import_map() -> None:
    files = assets()
    texts = {pack: files.files[f"{pack}.js"].content.decode() for pack in PACKS}
    modules = [name for text in texts.values() for name in MODULE.findall(text)]
    written = (path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("*.js"))
    names = {"_".join(path.parts) for path in written if path.parts[0] not in ("vendor", "worker")}
    assert sorted(modules) == sorted(names - {"app_early"})
    for text in texts.values():
        assert {*imported(text), *(f"#{name}" for name in LOADED.findall(text))} <= files.imports.keys()


def test_the_libraries_are_those_of_the_list() -> None:
    listed = json.loads((FOLDER / "vendor" / "versions.json").read_text())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (FOLDER / "vendor").iterdir()
        if path.suffix in (".js", ".css")
    }
    assert found == listed["files"]
    assert {path.removeprefix("vendor/") for path in LIBRARIES.values()} <= found.keys()
    licenses = {path.name for path in (FOLDER / "vendor").glob("LICENSE.*")}
    names = (one["package"].removeprefix("@").replace("/", "-") for one in listed["packages"])
    assert licenses == {f"LICENSE.{name}" for name in names}


def test_no_line_of_a_text_looks_like_a_comment() -> None:
    # such a part of a text would not be sent
    for path in FOLDER.rglob("*.js"):
        if path.parent.name == "vendor":
            continue
        is_inside = False
        for line in path.read_text().splitlines():
            is_comment = line.lstrip().startswith("//")
            sent = script_as_sent(line).rstrip("\n")
            code = REGEX.sub("", sent)
            is_cut = sent != line.strip()
            assert (path.name, line, is_cut and is_inside) == (path.name, line, False)
            assert (path.name, line, is_cut and code.count('"') % 2) == (path.name, line, False)
            is_inside ^= not is_comment and code.count("`") % 2 == 1


def test_no_text_of_a_style_sheet_looks_like_a_comment() -> None:
    for path in (FOLDER / "styles").iterdir():
        assert not re.search(r"""(["'])[^"'\n]*/\*[^"'\n]*\1""", path.read_text())
