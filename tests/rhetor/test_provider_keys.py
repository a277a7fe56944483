"""The stored API keys, as the running hub uses them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import keyring
import pytest
from keyring.backends import fail

from rhetor.domain.secrets import Secrets
from rhetor.provider_keys import ProviderKeys
from rhetor.sealing.ring import Ring
from rhetor.store.api_keys import ApiKeys, Values

pytestmark = pytest.mark.anyio
OLD, NEW = "sk-old-0123456789", "sk-new-0123456789"


class Slow(ApiKeys):
    """Holds back the keys that were read until the test lets them go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Ring(folder))
        self.was_read, self.goes_on = threading.Event(), threading.Event()

    def values(self) -> Values:
        found = super().values()
        self.was_read.set()
        self.goes_on.wait(10)
        return found


@pytest.fixture(autouse=True)
def no_keyring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    yield
    keyring.set_keyring(before)


async def test_a_key_that_is_stored_while_the_keys_are_read_is_used(tmp_path: Path) -> None:
    stored = Slow(tmp_path)
    stored.put("openai", OLD)
    secrets = Secrets()
    keys = ProviderKeys(stored, secrets)
    access = SimpleNamespace(key_variables={"openai": ""}, forget=lambda: None, check_models=lambda: None)
    background = SimpleNamespace(start=lambda work, name: None)
    hub = SimpleNamespace(state=SimpleNamespace(background=background))
    keys.reloading = cast(Any, SimpleNamespace(access=access, node=SimpleNamespace(hub=hub)))
    reading = asyncio.create_task(keys.kept())
    await asyncio.to_thread(stored.was_read.wait)
    put = await keys.put("openai", NEW)
    stored.goes_on.set()
    assert (await reading, await keys.kept()) == ({"openai": NEW}, {"openai": NEW})
    assert (put["stored"], NEW in str(put)) == ("file", False)
    assert NEW not in secrets.mask(f"the key {NEW}")
