#include "provisioning/commands.h"

namespace skms::provisioning {
namespace {

constexpr Command kCommands[] = {
    {"init", "", "", "Make the token keys that are missing, and the database.",
     "skmsctl --config /etc/skms/skms.yaml init", NoOptions, RunInit},
    {"status", "", "", "Show the daemon, its token, keys and audit chain.", "skmsctl status", NoOptions,
     RunStatus},
    {"service", "add", "ID", "Add a VAL service with its key policy.",
     "skmsctl service add uav.c2 --profile aes-256 --scope service,user --reader val-1", DescribeServiceAdd,
     RunServiceAdd},
    {"service", "set", "ID", "Change a service's policy; what is not given stays.",
     "skmsctl service set uav.c2 --add-reader val-2", DescribeServiceSet, RunServiceSet},
    {"service", "list", "", "List the services.", "skmsctl service list", NoOptions, RunServiceList},
    {"service", "show", "ID", "Show one service.", "skmsctl service show uav.c2", NoOptions, RunServiceShow},
    {"service", "remove", "ID", "Remove a service that has no keys.", "skmsctl service remove uav.c2",
     NoOptions, RunServiceRemove},
    {"principal", "add", "ID", "Enrol a VAL server by its client certificate.",
     "skmsctl principal add val-1 --certificate val-1.pem --client-id val-1", DescribePrincipalAdd,
     RunPrincipalAdd},
    {"principal", "list", "", "List the principals.", "skmsctl principal list", NoOptions, RunPrincipalList},
    {"principal", "remove", "ID", "Remove a principal; it is refused from then on.",
     "skmsctl principal remove val-1", NoOptions, RunPrincipalRemove},
    {"recipient", "add", "ID", "Enrol the key that a principal's keys are wrapped to.",
     "skmsctl recipient add val-1-hsm --principal val-1 --public-key val-1-wrap.pem", DescribeRecipientAdd,
     RunRecipientAdd},
    {"recipient", "list", "", "List the recipients.", "skmsctl recipient list", NoOptions, RunRecipientList},
    {"recipient", "remove", "ID", "Remove a recipient; the certificate's key is used again.",
     "skmsctl recipient remove val-1-hsm", NoOptions, RunRecipientRemove},
    {"issuer", "add", "ID", "Trust an issuer of access tokens.",
     "skmsctl issuer add sim-s --issuer https://sim-s.example --audience skms --jwks jwks.json",
     DescribeIssuerAdd, RunIssuerAdd},
    {"issuer", "list", "", "List the trusted issuers.", "skmsctl issuer list", NoOptions, RunIssuerList},
    {"issuer", "remove", "ID", "Trust an issuer no longer.", "skmsctl issuer remove sim-s", NoOptions,
     RunIssuerRemove},
    {"key", "list", "", "List key versions (never key material).", "skmsctl key list --service uav.c2",
     DescribeKeyList, RunKeyList},
    {"key", "show", "KID", "Show one key version.", "skmsctl key show 5yJ3kQ0mT1eXw8Zb2uVfRA", NoOptions,
     RunKeyShow},
    {"key", "rotate", "", "Make the next version of a key now.", "skmsctl key rotate --service uav.c2",
     DescribeKeyRotate, RunKeyRotate},
    {"audit", "verify", "", "Check the whole audit chain of the running daemon.", "skmsctl audit verify",
     NoOptions, RunAuditVerify},
    {"token", "probe", "", "Try what the token can do, and say whether it is fit.", "skmsctl token probe",
     NoOptions, RunTokenProbe},
    {"completion", "", "bash", "Print the completion script for bash.", "skmsctl completion bash", NoOptions,
     RunCompletion},
};

}  // namespace

void NoOptions(OptionsDescription& /*options*/) {}

std::span<const Command> Commands() { return kCommands; }

}  // namespace skms::provisioning
