"""The shell may import nothing of the hub's drivers, so both know the provider variables: the same ones."""

from __future__ import annotations

import aish.environment as shell
from rhetor.drivers import environment as hub

SOME = {"OPENAI_API_KEY": "k\u00e4y", "RHETOR_MODEL": "m", "ANTHROPIC_BASE_URL": "", "HOME": "/nowhere"}


def test_the_shell_and_the_hub_mean_the_same_variables() -> None:
    assert shell.PROVIDER_VARIABLES == hub.PROVIDER_VARIABLES
    assert shell.provider_variables(SOME) == hub.provider_variables(SOME)


def test_the_shell_and_the_hub_make_the_same_fingerprint() -> None:
    for environment in ({}, {"HOME": "/nowhere"}, SOME):
        assert shell.fingerprint(environment) == hub.fingerprint(environment)
