#include "keystore/restore_authorisation.h"

#include <utility>

#include "base/clock.h"
#include "base/jws.h"
#include "base/plain_json.h"
#include "keystore/token_signature.h"

namespace skms::keystore {
namespace {

constexpr std::size_t kHashDigits = 64;

Result<RestoreAuthorisation> Read(const Jws& jws) {
  PlainJsonReader reader(jws.payload);
  auto hash = reader.Text("sha256");
  auto approval = reader.Text("approval");
  auto requested_by = reader.Text("requestedBy");
  auto approved_by = reader.Text("approvedBy");
  const auto expires = reader.Number("expires");
  const bool whole = hash && hash->size() == kHashDigits && approval && requested_by && approved_by &&
                     !approved_by->empty() && expires && reader.AtEnd();
  if (jws.header.typ != kRestoreType || !whole) return InvalidArgument("it is no authorisation of a restore");
  return RestoreAuthorisation{std::move(*hash), std::move(*approval), std::move(*requested_by),
                              std::move(*approved_by), *expires};
}

Status VerifyByAny(hsm::CryptoModule& module, const Jws& jws) {
  for (const hsm::TokenStatus& token : module.tokens()) {
    for (const std::uint32_t generation : token.held.sign) {
      if (jws.header.kid != SignKid(generation)) continue;
      SKMS_TRY(const Bytes spki, module.SigningPublicKey(generation));
      if (VerifyJws(jws, spki).has_value()) return Ok();
    }
  }
  return InvalidArgument("it is signed by no key that a token of the configuration holds");
}

}  // namespace

Result<std::string> SignRestoreAuthorisation(hsm::CryptoModule& module, const std::string& hash,
                                             const Approval& approval) {
  std::string approvers;
  for (const PrincipalId& one : approval.approvers) {
    if (!approvers.empty()) approvers += ',';
    approvers += one.value();
  }
  const std::string payload = PlainJsonWriter()
                                  .Text("sha256", hash)
                                  .Text("approval", approval.id)
                                  .Text("requestedBy", approval.requester.value())
                                  .Text("approvedBy", approvers)
                                  .Number("expires", approval.expires)
                                  .Done();
  return SignJws(module, module.generations().sign, kRestoreType, payload);
}

Result<RestoreAuthorisation> VerifyRestoreAuthorisation(hsm::CryptoModule& module, std::string_view jws,
                                                        const std::string& hash, std::int64_t now) {
  const auto read = ReadJws(jws);
  if (read.has_error()) return InvalidArgument("it is no authorisation of a restore");
  SKMS_TRY(RestoreAuthorisation authorisation, Read(read.value()));
  SKMS_TRYV(VerifyByAny(module, read.value()));
  if (authorisation.hash != hash)
    return InvalidArgument("it is for the backup with SHA-256 " + authorisation.hash + ", and this one has " +
                           hash);
  if (authorisation.expires <= now)
    return InvalidArgument("it has expired at " + FormatUtc(authorisation.expires) + "; ask for another");
  return authorisation;
}

}  // namespace skms::keystore
