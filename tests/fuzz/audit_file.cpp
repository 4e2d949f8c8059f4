// An export or archive of the audit chain, as somebody hands it to an auditor: lines, and the JWSs in them.
#include "provisioning/audit_file.h"

#include <sstream>

#include "base/encoding.h"
#include "base/jws.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

/// Of whoever wrote the corpus; the private key is gone, so that nothing new can be signed with it.
constexpr std::string_view kKey =
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsbP5LfhRHKH8ZAflg7tHBLYyOhgyvaxs8ih1fYImYNtEvRLUdmQ8M0Js_r6r_"
    "QVCiSmQZWSxF4VfKM0188jrZQ";

void CheckJws(std::string_view text) {
  const auto jws = ReadJws(text);
  if (jws.has_error()) return;
  Require(JwsText(jws.value().signed_part, jws.value().signature) == text, "a JWS has one spelling", text);
  Require(VerifyJws(jws.value(), AsBytes(text)).has_error(), "what is no key verifies nothing", text);
}

void CheckFile(std::string_view input) {
  const Bytes key = *FromBase64Url(kKey);
  const auto read = [&](std::vector<Bytes> keys, keystore::AuditVerdict& verdict) {
    keystore::AuditVerifier verifier(std::move(keys));
    std::istringstream lines{std::string(input)};
    Status done = provisioning::ReadAuditLines(lines, "f", verifier);
    verdict = verifier.verdict();
    if (done.has_error()) {
      Require(!done.error().detail.empty() && done.error().detail.find("f:") == 0, "the line is named",
              input);
      return false;
    }
    return verifier.Finish({}).has_value();
  };
  keystore::AuditVerdict known;
  const bool whole = read({key}, known);
  if (whole && known.last > 0) {
    Require(known.signed_up_to == known.last && known.checkpoints > 0, "what is whole is signed to its end",
            input);
    Require(known.first <= 1, "and begins with the first", input);
    // Nobody can sign anew: each line that counts is one of the corpus's.
    Require(known.last <= 6, "nothing is added to what was signed", input);
  }
  keystore::AuditVerdict unknown;
  Require(!read({}, unknown) || unknown.last == 0, "without a key nothing is believed", input);
  Require(unknown.checkpoints == 0, "and no checkpoint is good", input);
}

void CheckAuditFile(std::string_view input) {
  CheckFile(input);
  for (const std::string_view line : SplitAt(input, '\n')) CheckJws(line);
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(audit_file, skms::fuzz::CheckAuditFile)
