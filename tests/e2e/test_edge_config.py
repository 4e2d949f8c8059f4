"""skmsctl edge config: what it makes of settings, and what it says of those that cannot be."""

import os
import re
import subprocess

import pytest

from appliance import BIN, free_port
from edge import Edge, ask_ue, of_ue, refused


def test_both_reference_points_can_be_on_one_port(tmp_path):
    port = free_port()
    shared = Edge(tmp_path, listen__port=port, listen_ue__port=port, listen_ue__uri=f"https://localhost:{port}", skms__uri=f"https://localhost:{port}").prepare()
    shared.port = shared.ue_port = port
    shared.url = shared.ue_url = f"https://localhost:{port}"
    try:
        shared.start().provision()
        shared.ctl("service", "add", "p", "--scope", "user", "--delivery", "tls", "--ue-issuer", "sim-s")
        shared.start_edge()
        assert shared.get().status == 200 and ask_ue(shared).status == 200
        points = {api["referencePoint"] for api in shared.curl("/.well-known/skms", who=None, token=None).json["apis"]}
        assert {"KM-S", "KM-UU"} <= points
        refused(shared.curl("/skm%2Fv1/key-request", "--data", "{}"), 404)
        # By name where they have two.
        shared.write_config(listen_ue__uri=f"https://127.0.0.1:{port}")
        shared.stop()
        shared.start()
        shared.configure_edge()
        shared.reload_edge()
        ue = f"https://127.0.0.1:{port}"
        assert shared.get().status == 200
        assert ask_ue(shared, url=ue, text=of_ue(shared, skmsUri=ue)).status == 200
        points = {api["referencePoint"] for api in shared.curl("/.well-known/skms", who=None, token=None, url=ue).json["apis"]}
        assert points == {"KM-UU"}
    finally:
        shared.stop_edge()
        shared.stop()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"listen__mode": "direct"}, "section 'edge' counts with 'listen.mode: edge' alone"),
        ({"listen_ue__port": "{port}", "listen_ue__certificate": "other.pem"}, "differ, but both listen on one port"),
        ({"listen__client_ca": "it's.pem"}, "has a quote or a control character"),
        ({"listen__certificate": "nowhere.pem"}, "HAProxy refuses what these settings make, and nothing was changed"),
        ({"listen__certificate": "val-1.key"}, "HAProxy refuses"),
        ({"listen_ue__crl": "crl.pem", "listen_ue__client_ca": ""}, "listen_ue.client_ca"),
        ({"limits__body_bytes": 2_000_000}, "'limits.body_bytes' is more than the edge can hold"),
        ({"edge__user": "no-such-user"}, None),
    ],
)
def test_settings_that_cannot_be_are_told_and_what_is_there_stays(fresh, settings, complaint):
    appliance = Edge(fresh.directory)
    appliance.write_config()
    appliance.configure_edge()
    before = {file.name: os.readlink(file) if file.is_symlink() else file.read_bytes() for file in (fresh.directory / "edge").iterdir()}
    appliance.write_config(**{key: str(value).format(port=appliance.port) for key, value in settings.items()})
    if complaint is None:
        done = appliance.run_skmsd()
        assert done.returncode == 3 and "edge.user: no user 'no-such-user' on this host" in done.stderr
        return
    done = appliance.try_ctl("edge", "config", "--directory", fresh.directory / "edge")
    assert done.returncode == 3 and complaint in done.stderr, done.stderr
    assert before == {file.name: os.readlink(file) if file.is_symlink() else file.read_bytes() for file in (fresh.directory / "edge").iterdir()}


def test_the_command_says_what_it_did_and_what_to_do_without_haproxy(fresh):
    appliance = Edge(fresh.directory)
    appliance.write_config()
    directory = fresh.directory / "edge"
    directory.mkdir()
    (directory / "km_s.pem.ocsp").symlink_to("/of/former/settings")
    said = appliance.configure_edge()
    assert not (directory / "km_s.pem.ocsp").is_symlink()
    assert "HAProxy finds nothing wrong" in said and "systemctl reload skms-edge" in said
    assert not list(directory.glob(".draft*")) and (directory / "km_s.pem.key").readlink() == fresh.directory / "server.key"
    done = appliance.try_ctl("edge", "config", "--directory", directory, "--haproxy", "/nowhere/haproxy")
    assert done.returncode == 3 and "--no-check" in done.stderr
    assert "is written" in appliance.ctl("edge", "config", "--directory", directory, "--haproxy", "/nowhere/haproxy", "--no-check")
    (fresh.directory / "server.key").chmod(0o644)
    done = appliance.try_ctl("edge", "config", "--directory", directory)
    assert done.returncode == 3 and "server.key: readable by others; run: chmod 0640" in done.stderr
    (fresh.directory / "server.key").chmod(0o600)
    # From wherever it is run.
    done = subprocess.run([BIN / "skmsctl", "--config", "skms.yaml", "edge", "config", "--directory", directory], cwd=fresh.directory, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and (directory / "km_s.pem.key").readlink() == fresh.directory / "server.key", done.stderr
    # What needs memory that is written and run does not start under the unit's MemoryDenyWriteExecute.
    assert not re.search(r"regsub|_reg\b|-m reg", (directory / "haproxy.cfg").read_text())
    assert appliance.ctl("edge", "config", "--print") == (directory / "haproxy.cfg").read_text()
