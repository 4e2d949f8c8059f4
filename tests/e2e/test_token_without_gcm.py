"""A token without AES-GCM: keys are served as ever, payloads are refused in words, nothing is kept of them.

The token is SoftHSM behind libskms_fault.so, which hides the mechanism.
"""

import base64
import json
import sqlite3
import subprocess
import sys

import pytest

from appliance import BIN, ROOT
from test_key_provisioning import PAYLOAD, kp, open_jwe, payloads, post, provision, request

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
FAULT = BIN.parent / "lib/libskms_fault.so"
DETAIL = "this server's token cannot encrypt payloads"

sys.path.append(str(ROOT / "tests/fault"))
from skms_fault import FaultSocket  # noqa: E402: it stands beside the module that it speaks to


def behind_faults(appliance, script):
    """From its next start on, the appliance has its token through the fault module, with `script` in force."""
    path = appliance.directory / "faults"
    path.write_text(script)
    appliance.environment.update({"SKMS_FAULT_MODULE": MODULE, "SKMS_FAULT_SCRIPT": str(path)})
    appliance.write_config(token__module=FAULT)


def start_with_service(appliance):
    appliance.start().provision()
    appliance.ctl("service", "add", "k", "--reader", "val-1", "--reader", "val-2", "--provisioner", "val-1", "--scope", "service,client")
    appliance.ctl("service", "add", "plain", "--reader", "val-1", "--provisioner", "val-1", "--delivery", "tls", "--generate-on-request", "no")
    return appliance


def refused(answer):
    assert answer.status == 501, (answer.status, answer.body)
    problem = answer.problem
    assert problem["title"] == "Not Implemented" and DETAIL in problem["detail"]
    assert problem.get("errorCode") in (None, "01", "02", "03", "04")
    return problem


def rows(appliance, statement, *values):
    with sqlite3.connect(appliance.directory / "skms.db") as database:
        return database.execute(statement, values).fetchall()


@pytest.fixture
def without_gcm(fresh):
    behind_faults(fresh, "hide CKM_AES_GCM\n")
    return start_with_service(fresh)


def test_keys_are_served_all_the_same(without_gcm):
    key = without_gcm.key()
    assert key["state"] == "active" and key["wrapped"]["encryptedKey"]
    assert without_gcm.key("val-service-id=k")["kid"]
    assert without_gcm.ask_admin("/readyz")["status"] == "ready"
    assert without_gcm.stop() == 0


def test_the_probe_says_what_is_missing_and_what_that_means(without_gcm):
    assert without_gcm.stop() == 0
    text = without_gcm.ctl("token", "probe")
    [row] = [line for line in text.splitlines() if line.startswith("AES-GCM ")]
    assert " no " in row and "CKR_MECHANISM_INVALID" in row and "no payloads can be provisioned" in row
    assert "can be used" in text and "CANNOT" not in text
    capabilities = {row["capability"]: row for row in without_gcm.ctl_json("token", "probe")["capabilities"]}
    assert capabilities["AES-GCM"]["finding"] == "no"


def test_both_forms_of_provisioning_are_refused_and_nothing_is_kept(without_gcm):
    discovery = without_gcm.curl("/.well-known/skms", token=None).json
    assert "payloadEncryption" not in discovery
    assert "cause" not in refused(post(without_gcm, request()))
    problem = refused(post(without_gcm, kp(without_gcm, clientId="app-1"), "/skm/v1/key-provisioning"))
    # Table 5.3.3-1's members come with the refusal, and none of its error codes fits.
    assert problem["serviceId"] == "k" and problem["clientId"] == "app-1" and "errorCode" not in problem

    assert without_gcm.ctl_json("payload", "list", "--service", "k")["payloads"] == []
    assert payloads(without_gcm) == []
    assert rows(without_gcm, "select count(*) from payloads") == [(0,)]
    audited = rows(without_gcm, "select outcome, reason from audit where action = 'provision'")
    assert len(audited) == 2 and all("unsupported" in entry for entry in audited), audited
    without_gcm.ctl("audit", "verify")
    log = without_gcm.log.read_text()
    assert log.count("this token has no AES-GCM") == 2 and "skmsctl token probe" in log
    assert base64.b64encode(PAYLOAD).decode() not in log
    assert without_gcm.stop() == 0


def test_a_payload_kept_before_the_token_lost_gcm(fresh):
    start_with_service(fresh)
    provision(fresh)
    provision(fresh, valServiceId="plain", payload=base64.b64encode(b"in clear").decode())
    assert fresh.stop() == 0
    behind_faults(fresh, "hide CKM_AES_GCM\n")
    fresh.start()
    # To address it anew takes no AES-GCM.
    [delivered] = payloads(fresh)
    assert open_jwe(fresh, delivered) == PAYLOAD
    assert len(payloads(fresh, who="val-2")) == 1
    # To decrypt it does.
    answer = fresh.get("val-service-id=plain")
    assert answer.status == 501 and "token cannot do" in answer.problem["detail"]
    # What is there is listed, and the same bytes sent again need no encryption.
    assert [p["payloadId"] for p in fresh.ctl_json("payload", "list", "--service", "k")["payloads"]] == ["p1"]
    assert post(fresh, request()).status == 200
    refused(post(fresh, request(payload=base64.b64encode(b"other").decode())))
    assert len(payloads(fresh)) == 1
    assert fresh.ask_admin("/readyz")["status"] == "ready"
    # With the mechanism back, it comes out as it went in.
    assert fresh.stop() == 0
    behind_faults(fresh, "# nothing is hidden\n")
    fresh.start()
    info = json.loads(fresh.get("val-service-id=plain").json["keyInfo"])
    assert base64.urlsafe_b64decode(info["payloads"][0]["payload"] + "==") == b"in clear"
    assert fresh.stop() == 0


def test_gcm_that_goes_while_the_daemon_runs_is_refused_too(fresh):
    behind_faults(fresh, "# nothing yet\n")
    control = fresh.directory / "control"
    fresh.environment["SKMS_FAULT_CONTROL"] = str(control)
    start_with_service(fresh)
    provision(fresh)
    with FaultSocket(control) as fault:
        fault.run("hide CKM_AES_GCM")
        refused(post(fresh, request(payload=base64.b64encode(b"other").decode())))
        assert len(payloads(fresh)) == 1
        command = [sys.executable, ROOT / "tests/fault/skms_fault.py", control, "clear"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "ok\n"
        provision(fresh, payload=base64.b64encode(b"other").decode())
        assert fault.counters()["finalize-under-call"] == 0
    assert fresh.stop() == 0
    assert not control.exists()
