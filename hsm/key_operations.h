// The PKCS#11 calls that verbs are made of, each with its read-back: unwrap, wrap, generate, read an
// attribute.
//
// Functions over a leased session; a lease is used by one thread.
#pragma once

#include <vector>

#include "hsm/attribute_template.h"
#include "hsm/capabilities.h"
#include "hsm/session_object.h"
#include "hsm/wrapped_key.h"

namespace skms::hsm {

/// RFC 5649 where the probe found it. Errors: kUnsupported.
Result<CK_MECHANISM> KwpMechanism(const Capabilities& capabilities);

/// An OAEP mechanism whose parameters live in the object; keep it alive during the call.
class OaepMechanism {
 public:
  explicit OaepMechanism(OaepHash hash);
  OaepMechanism(const OaepMechanism&) = delete;
  OaepMechanism& operator=(const OaepMechanism&) = delete;
  CK_MECHANISM* get() { return &mechanism_; }

 private:
  CK_RSA_PKCS_OAEP_PARAMS parameters_;
  CK_MECHANISM mechanism_;
};

/// Attributes by value. Errors: the token's.
Result<bool> ReadFlag(SessionLease& lease, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
Result<CK_ULONG> ReadNumber(SessionLease& lease, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
Result<Bytes> ReadOctets(SessionLease& lease, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
/// Every object that fits. Errors: the token's.
Result<std::vector<CK_OBJECT_HANDLE>> FindAll(SessionLease& lease, AttributeTemplate search);
/// From the token's generator.
Result<Bytes> RandomOctets(SessionLease& lease, std::size_t count);

/// C_WrapKey with a size query first where the buffer is too small.
Result<Bytes> Wrap(SessionLease& lease, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key);

/// What an unwrapped object must be afterwards, whatever the token was asked for.
struct Protection {
  bool extractable = false;
  bool leave_out_extractable = false;  ///< the token refuses the attribute in an unwrap template
};
/// As the token takes it.
Protection ProtectionOn(const Capabilities& capabilities, bool extractable);

/// C_UnwrapKey, then SENSITIVE and EXTRACTABLE read back; a token that ignored them is tightened with
/// C_SetAttributeValue, and if that fails the object is destroyed and the answer is kIntegrity.
/// A blob that does not unwrap is kIntegrity, whatever CKR_ the module chose.
Result<SessionObject> Unwrap(SessionLease& lease, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE with,
                             ByteView blob, AttributeTemplate attributes, Protection protection);

/// kUnsupported unless the key reads back as SENSITIVE and not EXTRACTABLE.
Status CheckHidden(SessionLease& lease, CK_OBJECT_HANDLE key);

Result<SessionObject> GenerateSecret(SessionLease& lease, CK_MECHANISM_TYPE mechanism,
                                     AttributeTemplate attributes, CK_ULONG bytes);
Result<SessionObject> Create(SessionLease& lease, AttributeTemplate attributes);

/// The template a VAL key has while it is in the token: sensitive, extractable (it must be wrapped again), no
/// usage.
AttributeTemplate ValKeyTemplate(const KeySpec& spec);

/// The same as this token wants it at unwrap. `public_key` as in CryptoModule::RewrapFor. Errors:
/// kUnsupported: the token needs it and it is empty.
Result<AttributeTemplate> UnwrapTemplate(const KeySpec& spec, const Capabilities& capabilities,
                                         ByteView public_key);

/// A session public key that may only wrap. Errors: kInvalidArgument, as RsaNumbersFromSpki.
Result<AttributeTemplate> RsaRecipientTemplate(ByteView spki);
Result<SessionObject> ImportRsaRecipient(SessionLease& lease, ByteView spki);

/// "RSA-AES-KWP" or "RSA-AES-KWP-256".
std::string RsaAesName(OaepHash hash);
/// A fresh AES-256 key wraps the target; the recipient's RSA key wraps the fresh key (PKCS#11 2.40
/// CKM_RSA_AES_KEY_WRAP, composed here because few tokens have it).
Result<DeliveredKey> WrapByRsaAes(SessionLease& lease, CK_MECHANISM* kwp, OaepHash hash,
                                  CK_OBJECT_HANDLE recipient, CK_OBJECT_HANDLE key);

/// DER of the curve's OID, for CKA_EC_PARAMS.
ByteView CurveParameters(Curve curve);

}  // namespace skms::hsm
