"""Strict recipients, as operators and VAL servers meet them: keys that the token wraps to TRUSTED keys alone."""

import json
import sqlite3

import pytest

from test_key_provisioning import open_jwe, payloads, post, request
from test_token_without_gcm import rows


def officer(appliance, *arguments):
    """One command with the security officer's PIN."""
    path = appliance.directory / "so-pin"
    path.unlink(missing_ok=True)
    path.write_text("12345678\n")
    path.chmod(0o600)
    return appliance.try_ctl(*arguments, "--so-pin-file", path)


def done(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


def make_kek(appliance, *arguments):
    return done(officer(appliance, "token", "make-strict-kek", *arguments))


def trust(appliance, who, verb="trust"):
    return done(officer(appliance, "recipient", verb, "--certificate", appliance.directory / f"{who}.pem"))


def strict_service(appliance, name="v", *arguments):
    appliance.ctl("service", "add", name, "--scope", "service,user", "--reader", "val-1", "--reader", "val-2", "--recipients", "trusted",
                  *arguments)


def refused(answer):
    """403, in words that say what it is and to whom to turn."""
    assert answer.status == 403, (answer.status, answer.body)
    assert "security officer trusts" in answer.problem["detail"], answer.body
    return answer.problem


def audited(appliance, **wanted):
    fields = ("action", "outcome", "service", "reason")
    entries = [dict(zip(fields, row)) for row in rows(appliance, f"select {', '.join(fields)} from audit order by seq")]
    return [entry for entry in entries if wanted.items() <= entry.items()]


@pytest.fixture
def strict(fresh):
    """With a strict KEK, val-1's certificate TRUSTED while the daemon runs, and the strict service 'v'."""
    fresh.start().provision()
    make_kek(fresh)
    trust(fresh, "val-1")
    strict_service(fresh)
    return fresh


def test_a_strict_services_key_goes_to_the_trusted_certificate_and_to_no_other(strict):
    key = strict.key("val-service-id=v")
    assert key["wrapped"]["alg"] == "RSA-OAEP"
    opened = strict.skmc("--service", "v", "--format", "raw")
    assert opened.returncode == 0 and len(opened.stdout) == 32, opened.stderr
    refused(strict.get("val-service-id=v", who="val-2"))
    [entry] = audited(strict, service="v", outcome="refused")
    assert entry["action"] == "deliver" and entry["reason"] == "recipient-not-trusted"
    log = strict.log.read_text()
    assert "skmsctl recipient trust" in log and "spki-sha256:" in log
    # Other services are as they were.
    assert strict.key()["wrapped"]["encryptedKey"]
    assert strict.key("val-service-id=t", who="val-2")["wrapped"]["encryptedKey"]
    assert rows(strict, "select wrap_format, kek_generation from key_versions where service = 'v'") == [("RFC5649-TRUSTED", 1)]
    assert strict.stop() == 0


def test_nothing_is_made_for_who_could_not_have_it(strict):
    refused(strict.get("val-service-id=v&valUserId=alice", who="val-2"))
    assert rows(strict, "select count(*) from key_versions where service = 'v'") == [(0,)]
    assert strict.key("val-service-id=v&valUserId=alice")["version"] == 1


def test_trust_given_and_taken_back_counts_at_once_and_after_a_restart(strict):
    refused(strict.get("val-service-id=v", who="val-2"))
    trust(strict, "val-2")
    kid = strict.key("val-service-id=v", who="val-2")["kid"]
    assert strict.ask_admin("/admin/v1/token")["strict"] == {"strictKek": 1, "trustedRecipients": 2}
    assert strict.stop() == 0
    # Without a daemon, it is done all the same.
    result = officer(strict, "recipient", "distrust", "--certificate", strict.directory / "val-1.pem")
    assert result.returncode == 0 and "no daemon answers" in result.stderr
    strict.start()
    refused(strict.get("val-service-id=v"))
    assert strict.key("val-service-id=v", who="val-2")["kid"] == kid
    trust(strict, "val-2", "distrust")
    refused(strict.get("val-service-id=v", who="val-2"))
    assert [e["reason"] for e in audited(strict, action="token.strict")][-1] == "strict-kek=1 trusted-recipients=0"
    strict.ctl("audit", "verify")
    assert strict.stop() == 0


def test_an_enrolled_recipient_is_trusted_by_its_own_key(strict):
    strict.ca.issue("wrap")
    strict.ctl("recipient", "add", "val-2-wrap", "--principal", "val-2", "--certificate", strict.directory / "wrap.pem")
    refused(strict.get("val-service-id=v", who="val-2"))
    trust(strict, "wrap")
    assert strict.key("val-service-id=v", who="val-2")["wrapped"]["recipient"] == "val-2-wrap"
    [listed] = strict.ctl_json("recipient", "list")["recipients"]
    assert listed["trusted"] is True
    strict.ctl("recipient", "remove", "val-2-wrap")
    path = strict.directory / "transport"
    path.write_bytes(bytes(range(32)))
    path.chmod(0o600)
    strict.ctl("recipient", "add", "val-2-tk", "--principal", "val-2", "--transport-key", path)
    refused(strict.get("val-service-id=v", who="val-2"))
    assert strict.key("val-service-id=t", who="val-2")["wrapped"]["alg"] == "A256KWP"


def test_a_trusted_object_that_goes_behind_the_daemons_back_serves_nobody_and_harms_nobody(strict):
    strict.key("val-service-id=v")
    gone = officer(strict, "recipient", "distrust", "--certificate", strict.directory / "val-1.pem", "--socket", strict.directory / "none")
    assert gone.returncode == 0 and "no daemon answers" in gone.stderr
    refused(strict.get("val-service-id=v"))
    assert strict.key()["wrapped"]["encryptedKey"]
    assert strict.ask_admin("/admin/v1/status")["tokenHealth"]["available"] is True
    trust(strict, "val-1")
    strict.key("val-service-id=v")


def test_rotation_and_a_next_strict_kek(strict):
    first = strict.key("val-service-id=v")["kid"]
    make_kek(strict, "--next")
    strict.ctl("key", "rotate", "--service", "v")
    keys = json.loads(strict.get("val-service-id=v").json["keyInfo"])["keys"]
    assert len(keys) == 2 and keys[1]["kid"] == first
    assert rows(strict, "select kek_generation from key_versions where service = 'v' order by version") == [(1,), (2,)]
    again = officer(strict, "token", "make-strict-kek")
    assert again.returncode != 0 and "--next" in again.stderr


def test_payloads_of_a_strict_service_are_strict_too(strict):
    strict_service(strict, "k", "--provisioner", "val-1")
    assert post(strict, request()).status in (200, 201)
    [delivered] = payloads(strict)
    assert open_jwe(strict, delivered)
    refused(strict.get("val-service-id=k", who="val-2"))
    assert rows(strict, "select wrap_format from payloads") == [("RFC5649-TRUSTED",)]


def test_what_a_strict_service_cannot_be(strict):
    for arguments, words in (
        (("--delivery", "tls"), "exclude each other"),
        (("--profile", "ec-p256"), "secret keys"),
        (("--recipients", "some"), "known: any, trusted"),
    ):
        result = strict.try_ctl("service", "add", "w", "--recipients", "trusted", *arguments[:2]) if arguments[0] != "--recipients" else \
            strict.try_ctl("service", "add", "w", *arguments)
        assert result.returncode == 1 and words in result.stderr, result.stderr
    result = strict.try_ctl("service", "set", "v", "--delivery", "tls")
    assert result.returncode == 1 and "exclude each other" in result.stderr
    # Without keys it may change; with keys, neither way.
    strict.ctl("service", "set", "v", "--recipients", "any")
    strict.ctl("service", "set", "v", "--recipients", "trusted")
    strict.key("val-service-id=v")
    strict.key()
    for service, recipients in (("v", "any"), ("s", "trusted")):
        result = strict.try_ctl("service", "set", service, "--recipients", recipients)
        assert result.returncode != 0 and "make another service" in result.stderr, result.stderr
    assert "trusted" in strict.ctl("service", "show", "v")
    strict.ctl("service", "set", "v", "--overlap", "0")


def test_without_a_strict_kek_the_option_is_refused_in_words(fresh):
    fresh.start().provision()
    result = fresh.try_ctl("service", "add", "v", "--recipients", "trusted")
    assert result.returncode != 0 and "skmsctl token make-strict-kek" in result.stderr
    assert fresh.ask_admin("/admin/v1/token")["strict"] == {"strictKek": 0, "trustedRecipients": 0}


def test_the_probe_shows_what_the_token_enforces(fresh):
    found = {row["capability"]: row for row in fresh.ctl_json("token", "probe")["capabilities"]}
    for name in ("WRAP_WITH_TRUSTED enforced", "unwrap template enforced", "wrap template enforced", "TRUSTED is the security officer's"):
        assert found[name]["finding"] == "yes", found[name]


def test_a_wrong_officers_pin_is_named_and_its_file_must_be_closed(fresh):
    path = fresh.directory / "so-pin"
    path.write_text("99999999\n")
    path.chmod(0o600)
    result = fresh.try_ctl("token", "make-strict-kek", "--so-pin-file", path)
    assert result.returncode == 5 and "security officer's PIN" in result.stderr, (result.returncode, result.stderr)
    path.chmod(0o644)
    assert fresh.try_ctl("token", "make-strict-kek", "--so-pin-file", path).returncode != 0
    assert fresh.try_ctl("token", "make-strict-kek").returncode == 2
    result = fresh.try_ctl("recipient", "trust", "--so-pin-file", path)
    assert result.returncode == 2 and "--certificate" in result.stderr


def test_a_key_slipped_in_from_elsewhere_is_not_delivered(strict):
    """Whoever can write rows with their MACs (a taken-over daemon) could store a key that goes to anybody; the next one refuses it."""
    strict.key("val-service-id=v")
    assert strict.stop() == 0
    with sqlite3.connect(strict.directory / "skms.db") as database:
        database.execute("update services set recipients = 'any' where id = 'v'")
    assert strict.run_skmsd().returncode != 0
    with sqlite3.connect(strict.directory / "skms.db") as database:
        database.execute("update services set recipients = 'trusted' where id = 'v'")
        database.execute("update key_versions set wrap_format = 'RFC5649' where service = 'v'")
    strict.start()
    assert strict.get("val-service-id=v").status == 500


def test_a_kek_rotation_leaves_strict_keys_under_their_kek_and_renews_their_macs(strict):
    before = strict.skmc("--service", "v", "--format", "hex").stdout
    wrapped = rows(strict, "select wrapped from key_versions where service = 'v'")
    strict.key()
    strict.ctl("kek", "rotate", "--wait")
    strict.ctl("kek", "retire", "--yes")
    assert rows(strict, "select wrapped from key_versions where service = 'v'") == wrapped
    assert rows(strict, "select kek_generation, mac_generation from key_versions where service = 'v'") == [(1, 2)]
    assert rows(strict, "select kek_generation, mac_generation from key_versions where service = 's'") == [(2, 2)]
    assert strict.stop() == 0
    strict.start()
    assert len(before) > 60 and strict.skmc("--service", "v", "--format", "hex").stdout == before
    refused(strict.get("val-service-id=v", who="val-2"))
