"""Two servers on one PostgreSQL database and one token, as behind a load balancer."""

import contextlib
import json

from appliance import Appliance, wait_for
from edge_load import UNLIMITED


def member(directory, url, name, first=None, **settings):
    """One of them, not started; `first`: one that is there already, whose token it uses."""
    directory.mkdir()
    appliance = Appliance(directory, store__url=url, store__shared="true", store__server=name, **{**UNLIMITED, **settings})
    appliance.prepare()
    for file in directory.glob("skms.db*"):  # of the one that was copied
        file.unlink()
    if first is None:
        appliance.ctl("init")
    else:
        appliance.environment = {**appliance.environment, "SOFTHSM2_CONF": first.environment["SOFTHSM2_CONF"]}
    return appliance


@contextlib.contextmanager
def pair(url, directory, **settings):
    """Two that run; the first leads."""
    a = member(directory / "a", url, "a", **settings)
    b = member(directory / "b", url, "b", a, **settings)
    try:
        a.start().provision()
        b.start()
        wait_for(lambda: leads(a), "a to lead")
        yield a, b
    finally:
        for one in (a, b):
            if one.process is not None:
                one.stop()


def leads(appliance):
    return appliance.ctl_json("status")["store"]["leads"]


def kids(answer):
    assert answer.status == 200, answer
    return [key["kid"] for key in json.loads(answer.json["keyInfo"])["keys"]]
