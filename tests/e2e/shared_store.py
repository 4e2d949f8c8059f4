"""Servers on one PostgreSQL database and one token, as behind a load balancer."""

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
def servers(url, directory, names, **settings):
    """So many that run; the first leads."""
    first = member(directory / names[0], url, names[0], **settings)
    all_of_them = [first, *(member(directory / name, url, name, first, **settings) for name in names[1:])]
    try:
        first.start().provision()
        for other in all_of_them[1:]:
            other.start()
        wait_for(lambda: leads(first), "the first to lead")
        yield all_of_them
    finally:
        for one in all_of_them:
            if one.process is not None:
                one.stop()


def pair(url, directory, **settings):
    return servers(url, directory, "ab", **settings)


def leads(appliance):
    return appliance.ctl_json("status")["store"]["leads"]


def kids(answer):
    assert answer.status == 200, answer
    return [key["kid"] for key in json.loads(answer.json["keyInfo"])["keys"]]
