"""Fixtures that every test may use: an empty PostgreSQL database, in each version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .cluster import VERSIONS, Cluster, shared

POSTGRES = [pytest.param(version, marks=pytest.mark.postgres) for version in VERSIONS]


@pytest.fixture(params=POSTGRES)
def postgres(request: pytest.FixtureRequest) -> Cluster:
    """The cluster of the test run, which does not flush what it commits."""
    return shared(request.param)


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    """The URL of an empty database."""
    with postgres.database() as url:
        yield url
