"""What a browser loads until the first view can be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.console.browser import chromium
from tests.console.first_view import first_view
from tests.served import served

from rhetor.transports.console.assets import STYLES, assets
from rhetor.transports.console.page import FIRST

pytestmark = [pytest.mark.anyio, pytest.mark.browser]


async def test_the_first_view_loads_each_of_its_files_once_and_no_others(tmp_path: Path) -> None:
    files = assets()
    wanted = [files.files[name] for name in (STYLES, "app/early.js")] + files.needed_by(FIRST)
    async with served(tmp_path) as home, chromium() as browser:
        found = await first_view(browser, home)
    assert found.seconds > 0
    # the view of the link that was clicked comes later, and the icon whenever the browser wants it
    loaded = [one for one in found.files if "/permissions." not in one and "/icon." not in one]
    assert sorted(loaded) == sorted(asset.url for asset in wanted)
