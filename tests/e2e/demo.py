"""What provisioning/quickstart.sh leaves for developers to try things with, on an appliance of the tests."""

import subprocess


def secret(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


def environment(appliance):
    """Makes service 'demo' and alice's recipient; the variables of build/quickstart/env."""
    home = appliance.directory
    appliance.ctl("service", "add", "demo", "--scope", "service,user", "--reader", "val-1", "--provisioner", "val-1", "--ue-issuer", "sim-s")
    appliance.ca.issue("alice")
    with open(home / "alice.pub", "wb") as public:
        subprocess.run(["openssl", "pkey", "-in", home / "alice.key", "-pubout"], stdout=public, check=True)
    appliance.ctl("recipient", "add", "alice", "--user", "alice", "--public-key", home / "alice.pub")
    token = appliance.issuer.token(scope="ss-kir")
    made = {
        "SKMS_URL": appliance.url, "SKMS_CA": home / "ca.pem", "SKMS_CERT": home / "val-1.pem", "SKMS_KEY": home / "val-1.key",
        "SKMS_TOKEN": token, "SKMS_TOKEN_FILE": secret(home / "demo-token", token), "SKMS_SERVICE": "demo",
        "SKMS_CONFIG": appliance.config, "SKMS_RECIPIENT_KEY": home / "val-1.key",
        "SKMS_PROVISION_TOKEN_FILE": secret(home / "provision-token", appliance.issuer.token(scope="ss-kpp", SKeyProv=True)),
        "SKMS_UE_URL": appliance.ue_url,
        "SKMS_UE_TOKEN_FILE": secret(home / "ue-token", appliance.issuer.token(
            client_id="sim-c", scope="skm", val_service_ids=["demo"], val_user_id="alice")),
        "SKMS_UE_RECIPIENT_KEY": home / "alice.key", "SOFTHSM2_CONF": home / "softhsm2.conf",
    }
    return {name: str(value) for name, value in made.items()}
