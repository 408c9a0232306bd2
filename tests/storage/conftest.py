"""Tests of the stores run against each packaged Postgres major version."""

import pytest


@pytest.fixture(scope="session", params=[16, 18], ids=["pg16", "pg18"])
def postgres_major(request: pytest.FixtureRequest) -> int:
    """Major version of the server."""
    return request.param
