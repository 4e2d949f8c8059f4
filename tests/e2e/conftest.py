import pathlib
import tempfile

import pytest

from appliance import Appliance, running
from recording import pytest_runtest_teardown  # noqa: F401: judges what the daemons answered


@pytest.fixture(scope="module")
def shared():
    """One running appliance for a module's requests that change nothing for each other."""
    with tempfile.TemporaryDirectory(prefix="skms-e2e-") as directory, running(pathlib.Path(directory)) as appliance:
        yield appliance


@pytest.fixture
def fresh():
    """A prepared appliance of the test's own, not yet started."""
    with tempfile.TemporaryDirectory(prefix="skms-e2e-") as directory:
        appliance = Appliance(pathlib.Path(directory)).prepare()
        yield appliance
        if appliance.process is not None:
            appliance.process.kill()
            appliance.process.wait()
