"""Seals the files that are plain, or sealed with an earlier key, while the hub runs.

The database is sealed by its store.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence

from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.errors import RhetorError
from rhetor.store.api_keys import ApiKeys
from rhetor.store.blobs import FileBlobs
from rhetor.store.files.base import DamagedObject
from rhetor.store.files.on_demand import FilesOnDemand
from rhetor.store.prompt_history import PromptHistory

log = logging.getLogger(__name__)


class SealedFiles:
    """The files of one hub: binary content, the files of checkpoints, the keys of its programs' output, the
    history of the prompt, and API keys. `blobs`: None if it is in
    the database. `hosts`: those of all folders.
    """

    def __init__(
        self,
        blobs: FileBlobs | None,
        files: FilesOnDemand,
        hosts: Sequence[Hosts],
        prompt: PromptHistory,
        api_keys: ApiKeys,
    ) -> None:
        self._blobs = blobs
        self._files = files
        self._hosts = hosts
        self._prompt = prompt
        self._api_keys = api_keys
        self._stopped = threading.Event()
        self._one = asyncio.Lock()

    async def renew(self) -> bool:
        """Seal everything with the current key that is not. Return whether that was done; what could not be
        sealed is logged, and stays as it was."""
        async with self._one:
            done = True
            work: Sequence[Callable[[], bool]] = (
                self._renew_keys,
                self._seal_prompt,
                self._seal_blobs,
                self._seal_files,
            )
            for step in work:
                try:
                    done &= await asyncio.to_thread(step)
                except (OSError, RhetorError, DamagedObject) as error:
                    done = False
                    log.warning("stored files cannot be sealed", extra={"reason": str(error)})
            return done

    def stop(self) -> None:
        """Make `renew` stop soon. The next hub continues."""
        self._stopped.set()

    def _renew_keys(self) -> bool:
        for hosts in self._hosts:
            hosts.renew_keys()
        self._api_keys.renew()
        return True

    def _seal_prompt(self) -> bool:
        self._prompt.settle()
        return True

    def _seal_blobs(self) -> bool:
        return self._blobs is None or self._blobs.seal_stored(self._is_wanted)

    def _seal_files(self) -> bool:
        return self._files.seal_stored(self._is_wanted)

    def _is_wanted(self) -> bool:
        return not self._stopped.is_set()
