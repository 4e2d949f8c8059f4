// AttributeTemplate: a PKCS#11 attribute list that owns its bytes and wipes them.
//
// Not thread-safe; the view for a call stays valid until the next change or the end of life.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "hsm/pkcs11_api.h"

namespace skms::hsm {

class AttributeTemplate {
 public:
  AttributeTemplate() = default;
  AttributeTemplate(const AttributeTemplate&) = delete;
  AttributeTemplate& operator=(const AttributeTemplate&) = delete;
  AttributeTemplate(AttributeTemplate&&) noexcept = default;
  AttributeTemplate& operator=(AttributeTemplate&&) = delete;
  ~AttributeTemplate();

  AttributeTemplate& Flag(CK_ATTRIBUTE_TYPE type, bool value);
  AttributeTemplate& Number(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  AttributeTemplate& Octets(CK_ATTRIBUTE_TYPE type, ByteView value);
  AttributeTemplate& Text(CK_ATTRIBUTE_TYPE type, std::string_view value);
  AttributeTemplate& Numbers(CK_ATTRIBUTE_TYPE type, std::span<const CK_ULONG> values);
  /// A list of attributes as a value (CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE).
  AttributeTemplate& Nested(CK_ATTRIBUTE_TYPE type, AttributeTemplate value);

  /// Takes an attribute out, if it is there.
  AttributeTemplate& Without(CK_ATTRIBUTE_TYPE type);

  CK_ATTRIBUTE* data() { return attributes_.data(); }
  CK_ULONG size() const { return attributes_.size(); }

 private:
  std::deque<Bytes> values_;  // a deque: growing it moves no element, so pValue stays true
  std::vector<CK_ATTRIBUTE> attributes_;
  std::vector<std::unique_ptr<AttributeTemplate>> nested_;
};

/// Every usage flag of a key, said in full: a token's default for CKA_WRAP is true.
struct KeyUsage {
  bool encrypt = false;
  bool decrypt = false;
  bool sign = false;
  bool verify = false;
  bool wrap = false;
  bool unwrap = false;
  bool derive = false;
};

enum class Lifetime { kSession, kToken };

/// Class, type, TOKEN, PRIVATE, SENSITIVE, EXTRACTABLE, MODIFIABLE and all usage flags of a secret key.
AttributeTemplate SecretKeyTemplate(CK_KEY_TYPE type, Lifetime lifetime, bool extractable,
                                    const KeyUsage& usage);
/// The same for a private key (usage: decrypt, sign, unwrap, derive).
AttributeTemplate PrivateKeyTemplate(CK_KEY_TYPE type, Lifetime lifetime, bool extractable,
                                     const KeyUsage& usage);
/// The same for a public key (usage: encrypt, verify, wrap).
AttributeTemplate PublicKeyTemplate(CK_KEY_TYPE type, Lifetime lifetime, const KeyUsage& usage);

}  // namespace skms::hsm
