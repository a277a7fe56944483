"""The view of costs: its plot and its tables show what the hub reports."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from tests.console.browser import console
from tests.served import Served, served

from rhetor.domain.budget import Budget
from rhetor.domain.output import Done, Text, Usage
from rhetor.hub.core.ids import Ids

pytestmark = [pytest.mark.anyio, pytest.mark.browser, pytest.mark.long]

DAY_MS = 86_400_000
MODELS = ("x/large", "x/small", "y,n")


def script(index: int) -> list[object]:
    """A turn with a known price, one with an unknown price, or one that reports nothing."""
    if index % 7 == 3:
        return [Text("a"), Done()]
    model = MODELS[index % 3]
    price = None if model == "y,n" else f"{0.05 + index % 5 * 0.11:.2f}"
    return [Text("a"), Usage(model, 1_000 + 500 * index, 200 + index, cost=price), Done()]


@asynccontextmanager
async def used(folder: Path, turns: int = 24, **options: Any) -> AsyncIterator[Served]:
    """Run a hub whose peers have answered over the last days, two messages per day, in a browser's name."""
    async with served(folder, *(script(index) for index in range(turns)), **options) as home:
        now = int(time.time() * 1000)
        at = [now - (turns // 2) * DAY_MS]
        home.hub.state.ids = Ids(lambda: at[0])
        token = {"authorization": "Bearer " + (folder / "token").read_text()}
        for index in range(turns):
            peer = ("apollo", "athena")[index % 2]
            sent = await home.ask_tcp("POST", f"/api/v2/ai/{peer}/message", token, json={"content": "hi"})
            assert sent.status == 200, sent.text
            at[0] += DAY_MS // 2
        home.hub.state.ids = Ids(lambda: int(time.time() * 1000))
        yield home


async def cells(page: Page, table: str) -> list[list[str]]:
    """Return the exact values of the rows of a table, the total included, without their names."""
    rows = page.get_by_role("region", name=table).locator("tbody tr, tfoot tr")
    return [
        [await value.get_attribute("value") or "" for value in await row.locator("data").all()]
        for row in await rows.all()
    ]


def expected(row: dict[str, Any]) -> list[str]:
    members = ("turns", "sessions", "input_tokens", "output_tokens", "cost", "unpriced_turns")
    return ["" if row[name] is None else str(row[name]) for name in members]


async def test_the_table_shows_every_row_and_the_total_that_the_hub_reports(tmp_path: Path) -> None:
    async with used(tmp_path) as home, console(home, "/costs?days=90") as page:
        await expect(page.get_by_role("heading", name="Costs", level=1)).to_be_visible()
        token = {"authorization": "Bearer " + (tmp_path / "token").read_text()}
        for by in ("day", "peer", "model", "project", "caller"):
            report = (await home.ask_tcp("GET", f"/api/analytics/costs?group_by={by}", token)).json
            assert report["total"]["turns"] == 24
            await page.get_by_label("Group by").select_option(by.title())
            await expect(page.get_by_role("region", name=f"Figures by {by}")).to_be_visible()
            assert await cells(page, f"Figures by {by}") == [
                *(expected(row) for row in report["rows"]),
                expected(report["total"]),
            ]
            assert await page.locator(".total data").get_attribute("value") == report["total"]["cost"]


async def test_turns_without_a_known_price_are_counted_by_model_and_never_as_0(tmp_path: Path) -> None:
    async with used(tmp_path) as home, console(home, "/costs?by=peer") as page:
        note = page.locator(".unpriced")
        await expect(note).to_contain_text("10 turns without a known price are not in the cost")
        await expect(note.get_by_role("listitem")).to_have_text(
            ["Unknown model: 3 turns, no tokens reported", "y,n: 7 turns"]
        )
        await page.get_by_label("Group by").select_option("Model")
        region = page.get_by_role("region", name="Figures by model")
        row = region.get_by_role("row", name="y,n")
        assert await row.locator("data").nth(4).text_content() == "unknown"


async def test_the_plot_is_read_out_day_by_day_with_the_keyboard(tmp_path: Path) -> None:
    async with used(tmp_path) as home, console(home, "/costs?show=tokens&by=day&days=7") as page:
        plot = page.get_by_role("slider", name="Tokens per day from")
        await plot.focus()
        await page.keyboard.press("Home")
        token = {"authorization": "Bearer " + (tmp_path / "token").read_text()}
        days = (await home.ask_tcp("GET", "/api/analytics/usage", token)).json["rows"][-6:]
        for row in days[-6:]:
            text = (
                f"{row['key']}: Input tokens {row['input_tokens']:,}, Output tokens {row['output_tokens']:,}"
            )
            if await plot.get_attribute("aria-valuetext") != text:
                await page.keyboard.press("ArrowRight")
            await expect(plot).to_have_attribute("aria-valuetext", text)
            await expect(page.locator(".legend .amount").first).to_have_text(f"{row['input_tokens']:,}")


async def test_the_bars_are_drawn_in_the_colors_of_the_legend_in_light_and_dark(tmp_path: Path) -> None:
    async with used(tmp_path) as home, console(home, "/costs?by=peer&days=30", width=900) as page:
        await expect(page.locator(".plot canvas")).to_be_visible()
        await page.wait_for_function(DRAWN)
        light = await page.locator(".plot canvas").screenshot()
        await page.emulate_media(color_scheme="dark")
        await page.wait_for_function(DRAWN)
        assert await page.locator(".plot canvas").screenshot() != light


# whether the canvas has pixels in the color of each swatch of the legend
DRAWN = """() => {
  const canvas = document.querySelector(".plot canvas");
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const pixels = copy.getImageData(0, 0, width, height).data;
  const seen = new Set();
  for (let at = 0; at < pixels.length; at += 4) seen.add(`rgb(${pixels.slice(at, at + 3).join(", ")})`);
  const swatches = [...document.querySelectorAll(".swatch")];
  return swatches.length === 2 && swatches.every((one) => seen.has(getComputedStyle(one).backgroundColor));
}"""


async def test_the_figures_are_saved_as_csv(tmp_path: Path) -> None:
    async with used(tmp_path) as home, console(home, "/costs?by=model&days=30") as page:
        async with page.expect_download() as started:
            await page.get_by_role("button", name="Download as CSV").click()
        saved = await started.value
        assert saved.suggested_filename.startswith("usage-by-model-")
        path = await saved.path()
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        assert sum(int(row["turns"]) for row in rows) == 24
        assert sum(Decimal(row["cost"]) for row in rows if row["cost"]) == Decimal("3.78")


async def test_the_choice_is_in_the_address_and_survives_loading_the_page_again(tmp_path: Path) -> None:
    async with used(tmp_path) as home, console(home, "/costs") as page:
        await page.get_by_role("combobox", name="Show").select_option("Tokens")
        await page.get_by_label("Period").select_option("Last 7 days")
        await page.wait_for_url("**/costs?show=tokens&by=peer&days=7")
        await page.reload()
        await expect(page.get_by_role("combobox", name="Show")).to_have_value("tokens")
        await page.get_by_label("From", exact=True).fill("2026-01-05")
        await page.wait_for_url("**from=2026-01-05**")
        await expect(page.get_by_label("Period")).to_have_value("")


async def test_without_usage_the_page_says_so_and_days_in_the_wrong_order_are_explained(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home, console(home, "/costs") as page:
        await expect(page.get_by_text("Nothing was used from")).to_be_visible()
        await expect(page.get_by_text("No budget limits what you use.")).to_be_visible()
        await page.goto(f"{home.node.console}/costs?from=2026-11-30&to=2026-11-01")
        await expect(page.get_by_role("alert")).to_contain_text("must not be after")


async def test_budgets_show_what_is_used(tmp_path: Path) -> None:
    budgets = [Budget("global", usd_per_month=Decimal(50)), Budget("peer.apollo", tokens_per_day=100_000)]
    async with used(tmp_path, budgets=budgets) as home, console(home, "/costs") as page:
        section = page.get_by_role("region", name="Budgets")
        await expect(section.get_by_role("meter", name="global: ")).to_be_visible()
        answer = (await home.ask("GET", "/api/v2/budgets/global")).json["limits"][0]
        shown = section.locator(".budget", has_text="global")
        await expect(shown).to_contain_text(f"${answer['spent']} of $50.00 per month")
