"""axe-core, which finds what keeps people from using a page who use a screen reader or see less."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from playwright.async_api import Page
from tests.clients.having import AXE, folder_with

RUN = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map((one) => one.failureSummary + one.html) }));
}"""  # noqa: E501


@cache
def _source() -> str:
    return (folder_with(AXE) / "node_modules" / "axe-core" / "axe.min.js").read_text()


async def violations(page: Page) -> list[str]:
    """Return what axe-core finds in the page as it is now. The page's policy stays in force: the script comes
    through the debugger, and not from the page."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(_source())
    found: list[dict[str, Any]] = await page.evaluate(RUN)
    return [f"{one['id']}: {one['help']}\n{json.dumps(one['nodes'], indent=1)}" for one in found]
