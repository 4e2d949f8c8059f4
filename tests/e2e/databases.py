"""A PostgreSQL server for a module's tests, and an empty database of it for each."""

import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "postgresql"))
import cluster  # noqa: E402: it stands in the neighbouring suite

NEEDS_SERVER = pytest.mark.skipif(not cluster.INSTALLED, reason="no PostgreSQL server is installed")


@pytest.fixture(scope="module")
def server():
    with cluster.running() as one:
        yield one


@pytest.fixture
def database(server, request):
    """The URL of an empty database of the test's own."""
    name = f"case_{abs(hash(request.node.name))}"
    server.make_database(name)
    yield server.url(name)
    server.sql(f"DROP DATABASE {name} WITH (FORCE)", "postgres")


def name_in(url):
    return url.partition("?")[0].rpartition("/")[2]
