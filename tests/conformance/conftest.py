import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from appliance import running  # noqa: E402: it stands in the neighbouring suite
from recording import pytest_runtest_teardown  # noqa: E402, F401: judges what the daemons answered


@pytest.fixture(scope="module")
def shared():
    """One running appliance for a module's requests."""
    with tempfile.TemporaryDirectory(prefix="skms-conformance-") as directory, running(
        pathlib.Path(directory), limits__refused_per_second="100000", limits__refused_burst="100000", limits__requests_per_second="100000",
        limits__burst="100000",
    ) as appliance:
        yield appliance
