"""The reference pages match the code."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from rhetor import errors
from rhetor.coding_agents import CODING_AGENTS
from rhetor.routes import TABLE
from rhetor.settings import (
    BudgetSettings,
    IssuerSettings,
    McpServerSettings,
    NotifySettings,
    ProviderSettings,
    Settings,
    SpecialistSettings,
    ToolSettings,
)
from rhetor.transports.mcp import caller as mcp
from rhetor.transports.server.counters import REST, SSE
from rhetor.transports.server.router import SocketRoute
from rhetor.transports.socketio import connection as socketio

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def _keys(section: type[msgspec.Struct], path: str = "") -> list[str]:
    found: list[str] = []
    for field in msgspec.structs.fields(section):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found += _keys(field.type, f"{path}{field.name}.")
        else:
            found.append(path + field.name)
    return found


def test_every_setting_is_documented() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    named = ("auth.issuers", "budgets", "providers", "specialists", "teams", "mcp_servers", "tools")
    keys = [key for key in _keys(Settings) if key not in named]
    keys += _keys(ProviderSettings, "providers.NAME.") + _keys(SpecialistSettings, "specialists.NAME.")
    keys += _keys(McpServerSettings, "mcp_servers.NAME.") + _keys(ToolSettings, "tools.NAME.")
    keys += _keys(NotifySettings, "notify.N.")
    keys += _keys(BudgetSettings, "budgets.NAME.") + _keys(IssuerSettings, "auth.issuers.NAME.")
    documented = set(re.findall(r"^\| `([^`]+)`", page, re.MULTILINE))
    assert documented == {*keys, "budgets.NAME", "specialists.NAME", "teams.NAME"}


def test_every_default_is_documented() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    rows = dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)`", page, re.MULTILINE))
    settings = Settings()
    for key, shown in rows.items():
        if "NAME" in key:
            continue
        value: object = settings
        for name in key.split("."):
            value = getattr(value, name)
        assert (key, shown) == (
            key,
            _shown(value),
        )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_built_in_coding_agent_is_documented() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text()
    rows = re.findall(r"^\| ([a-z][a-z-]*) \| `([^`]+)` \| `([^`]+)` \| (.*) \|$", page, re.MULTILINE)
    (shared,) = re.findall(r"^All pass (.*)\.$", page, re.MULTILINE)
    documented = {
        name: (driver, run, set(re.findall(r"`(\w+)`", passed + shared)))
        for name, driver, run, passed in rows
    }
    assert documented == {
        name: (entry["driver"], " ".join((entry["executable"], *entry["args"])), set(entry["pass_env"]))
        for name, entry in CODING_AGENTS.items()
    }
    how_to = (DOCS / "how-to" / "agents.md").read_text()
    assert [name for name in CODING_AGENTS if f"| `{name}` |" not in how_to] == []


def test_every_route_is_documented() -> None:
    page = (DOCS / "reference" / "rest.md").read_text()
    last = {row.path.rsplit("/", 1)[1] for row in TABLE}
    assert [word for word in sorted(last) if word not in page] == []


def test_every_error_that_a_client_can_see_is_documented() -> None:
    page = (DOCS / "reference" / "rest.md").read_text()
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.RhetorError)]
    hidden = {"internal", "turn_failed", "invalid_settings", "no_database_file", "store_damaged"}
    missing = [k.code for k in kinds if k.code not in hidden and f"`{k.code}`" not in page]
    assert missing == []


def test_every_api_of_the_metrics_is_documented() -> None:
    page = (DOCS / "reference" / "metrics.md").read_text()
    (row,) = re.findall(r"^\| `api` \| (.*) \|$", page, re.MULTILINE)
    apis = {route.api for route in TABLE if isinstance(route, SocketRoute)}
    assert set(re.findall(r"`([\w.]+)`", row)) == {*apis, REST, SSE, mcp.API, socketio.API}


@pytest.mark.parametrize(
    "page", [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name
)
def test_every_table_has_a_heading(page: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", page.read_text(), re.MULTILINE)
    without = [table.splitlines()[0] for table in tables if not re.match(r".*\n\|[-|]+\|\n", table)]
    assert without == []


def test_no_file_has_the_markers_of_a_merge_conflict() -> None:
    texts = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "src").rglob("*.*")]
    marker = re.compile(rb"^(<{7}|>{7}) ", re.MULTILINE)
    assert [path for path in texts if path.is_file() and marker.search(path.read_bytes())] == []


def test_the_limits_on_the_security_page_are_the_defaults() -> None:
    text, limits = (DOCS / "topics" / "security.md").read_text(), Settings().limits
    shown = re.search(r"open ([\d,]+) WebSockets .*?have ([\d,]+) open .*?send\s+(\d+)\s", text, re.DOTALL)
    assert shown is not None
    named = limits.connections_per_minute, limits.connections_at_once, limits.messages_per_second
    assert tuple(int(number.replace(",", "")) for number in shown.groups()) == named


def test_every_package_is_described_in_the_tree_of_the_contributing_page() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    rows = set(re.findall(r"^\| `([a-z_/]+)/` \| ", page, re.MULTILINE))
    packages = {
        path.parent.relative_to(ROOT / "src" / product).as_posix()
        for product in ("aish", "rhetor")
        for path in (ROOT / "src" / product).rglob("*/__init__.py")
        if len(list(path.parent.glob("*.py"))) > 1
    }
    of_one_protocol = {package for package in packages if package.startswith("drivers/agents/")}
    assert packages - of_one_protocol == rows


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_have_a_target(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_links_to_headings_have_a_target(page: Path) -> None:
    for link, heading in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        target = page.parent / link if link else page
        assert heading in _anchors(target.read_text()), (link, heading)


def _anchors(text: str) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
