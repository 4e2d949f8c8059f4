#include "client/jwe.h"

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "client/crypto.h"

namespace skms::client {

Result<std::string> SealJwe(ByteView payload, const Discovery::TransferKey& to) {
  if (to.alg != "RSA-OAEP" && to.alg != "RSA-OAEP-256")
    return Error{ErrorCode::kUnsupported,
                 "the server's transfer key is for '" + to.alg + "', which this client does not know"};
  const OaepHash hash = to.alg == "RSA-OAEP" ? OaepHash::kSha1 : OaepHash::kSha256;
  const nlohmann::json header{{"alg", to.alg}, {"enc", "A256GCM"}, {"kid", to.kid}};
  const std::string protected_header = ToBase64Url(AsBytes(header.dump()));
  SKMS_TRY(const SecretBytes content_key, RandomOctets(32));
  SKMS_TRY(const Bytes encrypted_key, OaepEncrypt(to.modulus, to.exponent, hash, content_key));
  SKMS_TRY(const Sealed sealed, SealGcm(content_key.ExposeSecret(), payload, AsBytes(protected_header)));
  return protected_header + "." + ToBase64Url(encrypted_key) + "." + ToBase64Url(sealed.iv) + "." +
         ToBase64Url(sealed.ciphertext) + "." + ToBase64Url(sealed.tag);
}

}  // namespace skms::client
