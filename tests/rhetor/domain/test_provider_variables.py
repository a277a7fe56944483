"""The environment variables that decide which provider answers."""

from __future__ import annotations

import hashlib
import subprocess
import sys

from rhetor.domain.provider_variables import PROVIDER_VARIABLES, fingerprint, provider_variables

SOME = {"OPENAI_API_KEY": "k\u00e4y", "RHETOR_MODEL": "m", "ANTHROPIC_BASE_URL": "", "HOME": "/nowhere"}


def test_only_provider_variables_that_are_set_are_found() -> None:
    assert provider_variables(SOME) == {"OPENAI_API_KEY": "k\u00e4y", "RHETOR_MODEL": "m"}
    assert list(PROVIDER_VARIABLES) == sorted(PROVIDER_VARIABLES)


def test_the_fingerprint_is_of_names_and_values_and_empty_without_any() -> None:
    digest = hashlib.blake2b("OPENAI_API_KEY=k\u00e4y\0".encode(), digest_size=8).hexdigest()
    for environment, expected in (
        ({}, ""),
        ({"HOME": "/nowhere"}, ""),
        ({"RHETOR_MODEL": "m"}, ""),
        (SOME, digest),
    ):
        assert fingerprint(environment) == expected


def test_importing_the_variables_imports_no_other_module_of_the_hub() -> None:
    code = (
        "import sys, rhetor.domain.provider_variables\n"
        "print(*sorted(m for m in sys.modules if m.startswith(('rhetor', 'msgspec', 'hashlib'))))"
    )
    ran = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["rhetor", "rhetor.domain", "rhetor.domain.provider_variables"]
