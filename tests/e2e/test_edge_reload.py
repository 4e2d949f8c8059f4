"""The edge takes up what is new while clients ask: certificates, a CRL, an OCSP response."""

import datetime
import shutil
import socket
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from appliance import wait_for
from edge import Edge, running_edge
from edge_load import UNLIMITED, Askers
from pki import DAY, NOW


def shown(appliance):
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", appliance.port)))


def test_a_new_certificate_is_taken_up_under_load_and_no_request_fails(tmp_path):
    with running_edge(tmp_path, **UNLIMITED) as appliance:
        before = shown(appliance)
        with Askers(appliance) as load:
            for _ in range(5):
                appliance.ca.issue("server", server=True)
                appliance.reload_edge()
                served = load.served
                wait_for(lambda: load.served > served + 200, "requests after the reload")
        print(f"\n5 reloads, {load.served} requests")
        assert load.failed == []
        assert shown(appliance) != before
        # The former worker goes when its clients have, or after hard_stop_s.
        wait_for(lambda: len(appliance.workers()) == 1, "the former workers to end")


def write_crl(appliance, revoked, until=DAY):
    builder = x509.CertificateRevocationListBuilder().issuer_name(appliance.ca.name).last_update(NOW - DAY).next_update(NOW + until)
    for label in revoked:
        serial = x509.load_pem_x509_certificate((appliance.directory / f"{label}.pem").read_bytes()).serial_number
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build())
    (appliance.directory / "crl.pem").write_bytes(builder.sign(appliance.ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def test_a_revoked_certificate_is_refused_from_the_reload_on_also_in_a_resumed_session(tmp_path):
    appliance = Edge(tmp_path, listen__crl="crl.pem").prepare()
    write_crl(appliance, [])
    try:
        appliance.start().provision().start_edge()
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        context.load_cert_chain(tmp_path / "val-1.pem", tmp_path / "val-1.key")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("127.0.0.1", appliance.port)) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
            session = tls.session
        assert appliance.get().status == 200
        write_crl(appliance, ["val-1"])
        appliance.reload_edge()
        wait_for(lambda: len(appliance.workers()) == 1, "the former worker to end")
        assert appliance.get().status == 0
        assert appliance.get("val-service-id=t", who="val-2").status == 200
        with socket.create_connection(("127.0.0.1", appliance.port)) as plain:
            with pytest.raises(ssl.SSLError):
                with context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
                    assert not tls.session_reused
                    tls.recv(1)
        # What says nothing about now says nothing.
        write_crl(appliance, [], until=-datetime.timedelta(hours=1))
        appliance.reload_edge()
        wait_for(lambda: len(appliance.workers()) == 1, "the former worker to end")
        assert appliance.get("val-service-id=t", who="val-2").status == 0
    finally:
        appliance.stop_edge()
        appliance.stop()


def write_ocsp(appliance, until=DAY):
    certificate = x509.load_pem_x509_certificate((appliance.directory / "server.pem").read_bytes())
    issuer = x509.load_pem_x509_certificate(appliance.ca.path.read_bytes())
    builder = ocsp.OCSPResponseBuilder().add_response(certificate, issuer, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, NOW - 2 * DAY, NOW + until, None, None)
    response = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, issuer).certificates([issuer]).sign(appliance.ca.key, hashes.SHA256())
    (appliance.directory / "server.ocsp").write_bytes(response.public_bytes(serialization.Encoding.DER))


def test_an_ocsp_response_is_stapled_where_there_is_one(tmp_path):
    appliance = Edge(tmp_path, listen__ocsp_response="server.ocsp").prepare()
    try:
        appliance.start().provision().start_edge()  # there is none yet, and the edge serves
        assert appliance.get().status == 200
        assert 'skms_ocsp_next_update_time_seconds{setting="listen.ocsp_response"} 0' in appliance.ctl("metrics")
        write_ocsp(appliance)
        shutil.copy(tmp_path / "server.pem", tmp_path / "leaf.pem")
        (tmp_path / "server.pem").write_bytes((tmp_path / "leaf.pem").read_bytes() + appliance.ca.path.read_bytes())
        appliance.reload_edge()
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{appliance.port}", "-servername", "localhost", "-CAfile", tmp_path / "ca.pem", "-status"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
        assert "OCSP Response Status: successful" in done.stdout and "Cert Status: good" in done.stdout, done.stdout
    finally:
        appliance.stop_edge()
        appliance.stop()
