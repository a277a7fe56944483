"""What the page says by itself covers no control."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.console.browser import console
from tests.served import served

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]

# the controls around the conversation in whose middle something else is
COVERED = """() => [...document.querySelectorAll(".session-head, .message-box, nav[aria-label=Main]")]
  .flatMap((part) => [...part.querySelectorAll("button, a, textarea, select, input")])
  .filter((one) => one.checkVisibility() && !one.closest(".visually-hidden") && one.offsetWidth > 1)
  .filter((one) => {
    const { left, top, width, height } = one.getBoundingClientRect();
    const [x, y] = [left + width / 2, top + height / 2];
    const there = document.elementFromPoint(x, y);
    return x > 0 && x < innerWidth && !one.contains(there) && !there?.contains(one);
  })
  .map((one) => one.outerHTML.slice(0, 120))
"""


@pytest.mark.parametrize("width", [1200, 360])
async def test_an_error_covers_no_control_of_a_session_and_stays_until_it_is_closed(
    tmp_path: Path, width: int
) -> None:
    async with served(tmp_path) as home:
        id = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})).json["id"]
        async with console(home, f"/sessions/{id}", width=width, height=740, faultless=False) as page:
            box = page.get_by_role("textbox", name="Message")
            await box.fill("hello")
            await page.context.set_offline(True)
            await page.get_by_role("button", name="Actions").click()
            await page.get_by_role("button", name="Pause", exact=True).click()
            notice = page.locator(".notice.problem")
            await expect(notice).to_contain_text("The hub does not answer")
            assert await page.evaluate(COVERED) == []
            await page.context.set_offline(False)
            await page.get_by_role("button", name="Send").click()
            await expect(page.locator(".row-message")).to_contain_text("hello")
            await expect(notice).to_be_visible()
            await notice.get_by_role("button", name="Close").click()
            await expect(notice).to_have_count(0)
