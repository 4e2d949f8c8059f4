"""What Prometheus gets: a real scrape, judged by promtool; and that dashboard and alerts ask for what there is."""

import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import time

import pytest
import yaml

from appliance import DEADLINE, PIN, ROOT, running
from test_edge_reload import write_crl
from test_locked import locked, unlock

MONITORING = ROOT / "provisioning/monitoring"
RULES = MONITORING / "skms-rules.yml"
DASHBOARD = MONITORING / "skms-dashboard.json"
SAMPLE = re.compile(r'^([a-z_:]+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
WORDS = re.compile(r"\bskms_[a-z0-9_]+")


def scrape(appliance):
    return appliance.ctl("metrics")


def samples(text):
    """{(name, frozenset of labels): value}"""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = SAMPLE.match(line).groups()
        key = (name, frozenset(LABEL.findall(labels or "")))
        assert key not in found, f"{line}: twice"
        found[key] = float(value)
    return found


def value(all_samples, name, **labels):
    return all_samples[(name, frozenset(labels.items()))]


def promtool(*arguments, **options):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE, check=False, **options)


@pytest.fixture(scope="module")
def appliance(tmp_path_factory):
    directory = tmp_path_factory.mktemp("metrics")
    with running(directory) as server:
        write_crl(server, [])
        server.stop()
        server.write_config(listen__crl="crl.pem")
        server.start()
        assert server.get().status == 200
        assert server.get(token=None).status == 401
        assert server.get(token=server.issuer.token(client_id="val-1", scope="else")).status == 403
        assert server.get("val-service-id=nowhere").status == 404
        assert server.curl("/nowhere").status == 404
        yield server


def test_promtool_finds_nothing_wrong_with_a_scrape(appliance):
    checked = promtool("check", "metrics", input=scrape(appliance))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_promtool_would_find_something(appliance):
    """A counter without _total is what it complains of."""
    assert promtool("check", "metrics", input=scrape(appliance).replace("skms_http_requests_total", "skms_http_requests")).returncode != 0


def test_requests_are_counted_by_route_and_outcome(appliance):
    route = {"listener": "listen", "method": "GET", "route": "/ss-kir/v1/key-records"}
    before = samples(scrape(appliance))
    assert appliance.get().status == 200
    assert appliance.get(token=None).status == 401
    assert appliance.curl("/val-7/secret").status == 404
    after = samples(scrape(appliance))
    grown = {outcome: value(after, "skms_http_requests_total", outcome=outcome, **route) - value(before, "skms_http_requests_total", outcome=outcome, **route)
             for outcome in ("ok", "bad_request", "unauthenticated", "forbidden", "not_found", "rate_limited", "unavailable", "error")}
    assert {outcome: count for outcome, count in grown.items() if count} == {"ok": 1, "unauthenticated": 1}
    none = {"listener": "listen", "method": "none", "route": "none", "outcome": "not_found"}
    assert value(after, "skms_http_requests_total", **none) - value(before, "skms_http_requests_total", **none) == 1
    count = "skms_http_request_duration_seconds_count"
    assert value(after, count, **route) - value(before, count, **route) == 2
    assert value(after, "skms_http_request_duration_seconds_bucket", le="+Inf", **route) == value(after, count, **route)
    assert 0 < value(after, "skms_http_request_duration_seconds_sum", **route) < 60


def test_the_token_the_store_and_the_queues_tell_their_times(appliance):
    appliance.key("val-service-id=s&val-tgt-ue=" + "%7B%22valUserId%22%3A%22new%22%7D")
    now = samples(scrape(appliance))
    assert value(now, "skms_token_up", token="skms") == 1 and value(now, "skms_token_holds_keys", token="skms") == 1
    for name in ("skms_token_call", "skms_token_session_wait", "skms_token_session_hold"):
        assert value(now, f"{name}_duration_seconds_count", token="skms") > 0
    for name in ("skms_store_read", "skms_store_write", "skms_store_commit", "skms_store_reader_wait"):
        assert value(now, f"{name}_duration_seconds_count") > 0
    assert value(now, "skms_http_queue_duration_seconds_count", listener="listen", queue="admission") > 0
    assert value(now, "skms_http_queue_duration_seconds_count", listener="listen", queue="connection") > 0
    assert value(now, "skms_http_requests_running", listener="admin") == 1, "the scrape itself"
    assert value(now, "skms_token_sessions_limit", token="skms") == 8
    assert value(now, "skms_store_free_bytes") > 0 and value(now, "skms_store_file_size_bytes", file="database") > 0


def test_keys_rotation_audit_and_certificates_tell_what_the_database_and_the_files_hold(appliance):
    now = samples(scrape(appliance))
    with sqlite3.connect(f"file:{appliance.directory}/skms.db?mode=ro", uri=True) as database:
        counted = dict(database.execute("SELECT state, count(*) FROM key_versions GROUP BY state"))
        [[entries]] = database.execute("SELECT max(seq) FROM audit").fetchall()
    told = {dict(labels)["state"]: count for (name, labels), count in now.items() if name == "skms_key_versions"}
    assert {state: count for state, count in told.items() if count} == counted and len(told) == 6
    assert value(now, "skms_audit_entries_total") == entries
    assert value(now, "skms_rotation_due_versions") == 0 and value(now, "skms_rotation_late_seconds") == 0
    certificate = subprocess.run(["openssl", "x509", "-in", appliance.directory / "server.pem", "-noout", "-enddate", "-dateopt", "iso_8601"],
                                 capture_output=True, text=True, check=True).stdout.strip().partition("=")[2]
    told = value(now, "skms_certificate_expiry_time_seconds", setting="listen.certificate")
    assert time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(told)) == certificate
    assert value(now, "skms_crl_next_update_time_seconds", setting="listen.crl") > time.time()
    assert value(now, "skms_state", state="operational") == 1 and value(now, "skms_metrics_incomplete") == 0
    assert abs(value(now, "skms_scrape_time_seconds") - time.time()) < 5


def test_no_label_tells_of_a_user_a_service_or_a_key(appliance):
    key = appliance.key("val-service-id=s&val-tgt-ue=%7B%22valUserId%22%3A%22alice-of-the-metrics%22%7D")
    text = scrape(appliance)
    assert "alice-of-the-metrics" not in text and key["kid"] not in text
    labels = {label for _, labels in samples(text) for label, _ in labels}
    assert labels == {"listener", "method", "route", "outcome", "queue", "le", "token", "key", "state", "action", "file", "setting", "version"}
    routes = {dict(labels)["route"] for name, labels in samples(text) if name == "skms_http_requests_total"}
    assert all(re.fullmatch(r"none|(/([a-z0-9.-]+|\{[A-Za-z]+\}))+", route) for route in routes), routes


def test_only_administrators_may_scrape(appliance):
    assert subprocess.run(["curl", "--silent", "--fail", f"{appliance.url}/metrics", "--cacert", appliance.directory / "ca.pem", "--cert",
                           appliance.directory / "val-1.pem", "--key", appliance.directory / "val-1.key"], capture_output=True, check=False).returncode == 22


def expressions():
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    panels = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    assert len(rules) >= 12 and len(panels) >= 20
    return rules, panels


def test_dashboard_and_alerts_ask_for_what_a_scrape_holds_alone(appliance):
    exposed = {name for name, _ in samples(scrape(appliance))}
    rules, panels = expressions()
    asked = {name for expression in rules + panels for name in WORDS.findall(expression)}
    assert asked - exposed == {"skms_ocsp_next_update_time_seconds"}  # behind the edge alone: test_edge_reload.py
    assert "skms_nothing_total" not in exposed and WORDS.findall("rate(skms_nothing_total[5m])") == ["skms_nothing_total"]


def test_promql_of_the_dashboard_is_understood_by_promtool(tmp_path):
    _, panels = expressions()
    rules = [{"record": f"panel:{number}", "expr": expression.replace("$instance", ".+")} for number, expression in enumerate(panels)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked = promtool("check", "rules", tmp_path / "panels.yml")
    assert checked.returncode == 0, checked.stderr


def test_each_alert_fires_for_what_it_is_for(tmp_path):
    shutil.copy(RULES, tmp_path)
    shutil.copy(pathlib.Path(__file__).with_name("skms_rules_test.yml"), tmp_path)
    assert promtool("check", "rules", tmp_path / "skms-rules.yml").returncode == 0
    tried = promtool("test", "rules", tmp_path / "skms_rules_test.yml")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    alerts = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert all(f'alertname="{alert}"' in (tmp_path / "skms_rules_test.yml").read_text() for alert in alerts)


def test_each_alert_says_what_to_do_at_night():
    headings = {line[4:].strip().lower() for line in (ROOT / "docs/monitoring.md").read_text().splitlines() if line.startswith("### ")}
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]:
        annotations = rule["annotations"]
        assert annotations["summary"] and annotations["description"] and rule["labels"]["severity"] in ("warning", "critical")
        page, _, anchor = annotations["runbook_url"].rpartition("#")
        assert page == "file:///usr/share/doc/skms-server/monitoring.md" and anchor in headings


def test_a_file_for_node_exporter_is_whole_readable_and_says_when_nobody_answers(tmp_path):
    with running(tmp_path) as server:
        file = tmp_path / "skms.prom"
        server.ctl("metrics", "--to", file)
        assert file.stat().st_mode & 0o777 == 0o644
        assert promtool("check", "metrics", input=file.read_text()).returncode == 0
        assert value(samples(file.read_text()), "skms_up") == 1
        inode = file.stat().st_ino
        server.ctl("metrics", "--to", file)
        assert file.stat().st_ino != inode, "it was written over while somebody may read it"
        assert server.stop() == 0
        done = server.try_ctl("metrics", "--to", file)
        assert done.returncode == 4 and "systemctl start skmsd" in done.stderr
        assert promtool("check", "metrics", input=file.read_text()).returncode == 0
        told = samples(file.read_text())
        assert value(told, "skms_up") == 0 and abs(value(told, "skms_scrape_time_seconds") - time.time()) < 30
        server.start()


def test_a_locked_server_says_so(tmp_path):
    with locked(tmp_path) as server:
        told = samples(scrape(server))
        assert value(told, "skms_state", state="locked") == 1 and value(told, "skms_up") == 1
        assert ("skms_certificate_expiry_time_seconds", frozenset({("setting", "listen.certificate")})) in told
        assert unlock(server, PIN).returncode == 0
        assert value(samples(scrape(server)), "skms_state", state="locked") == 0
