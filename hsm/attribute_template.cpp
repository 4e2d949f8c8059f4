#include "hsm/attribute_template.h"

#include <cstring>

#include "base/secret_bytes.h"

namespace skms::hsm {

AttributeTemplate::~AttributeTemplate() {
  for (Bytes& value : values_) Wipe(value);
}

AttributeTemplate& AttributeTemplate::Octets(CK_ATTRIBUTE_TYPE type, ByteView value) {
  Bytes& stored = values_.emplace_back(value.begin(), value.end());
  attributes_.push_back({type, stored.data(), stored.size()});
  return *this;
}

AttributeTemplate& AttributeTemplate::Flag(CK_ATTRIBUTE_TYPE type, bool value) {
  const CK_BBOOL flag = value ? CK_TRUE : CK_FALSE;
  return Octets(type, ByteView(&flag, sizeof flag));
}

AttributeTemplate& AttributeTemplate::Number(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
  Bytes octets(sizeof value);
  std::memcpy(octets.data(), &value, sizeof value);
  return Octets(type, octets);
}

AttributeTemplate& AttributeTemplate::Text(CK_ATTRIBUTE_TYPE type, std::string_view value) {
  return Octets(type, AsBytes(value));
}

AttributeTemplate& AttributeTemplate::Numbers(CK_ATTRIBUTE_TYPE type, std::span<const CK_ULONG> values) {
  const std::span<const std::byte> octets = std::as_bytes(values);
  return Octets(type, {reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size()});
}

AttributeTemplate& AttributeTemplate::Nested(CK_ATTRIBUTE_TYPE type, AttributeTemplate value) {
  nested_.push_back(std::make_unique<AttributeTemplate>(std::move(value)));
  AttributeTemplate& inner = *nested_.back();
  attributes_.push_back({type, inner.data(), inner.size() * sizeof(CK_ATTRIBUTE)});
  return *this;
}

AttributeTemplate& AttributeTemplate::Without(CK_ATTRIBUTE_TYPE type) {
  std::erase_if(attributes_, [type](const CK_ATTRIBUTE& attribute) { return attribute.type == type; });
  return *this;
}

namespace {

AttributeTemplate HiddenKey(CK_OBJECT_CLASS object_class, CK_KEY_TYPE type, Lifetime lifetime,
                            bool extractable) {
  AttributeTemplate key;
  key.Number(CKA_CLASS, object_class)
      .Number(CKA_KEY_TYPE, type)
      .Flag(CKA_TOKEN, lifetime == Lifetime::kToken)
      .Flag(CKA_PRIVATE, true)
      .Flag(CKA_SENSITIVE, true)
      .Flag(CKA_EXTRACTABLE, extractable)
      .Flag(CKA_MODIFIABLE, lifetime == Lifetime::kSession);
  return key;
}

}  // namespace

AttributeTemplate SecretKeyTemplate(CK_KEY_TYPE type, Lifetime lifetime, bool extractable,
                                    const KeyUsage& usage) {
  AttributeTemplate key = HiddenKey(CKO_SECRET_KEY, type, lifetime, extractable);
  key.Flag(CKA_ENCRYPT, usage.encrypt)
      .Flag(CKA_DECRYPT, usage.decrypt)
      .Flag(CKA_SIGN, usage.sign)
      .Flag(CKA_VERIFY, usage.verify)
      .Flag(CKA_WRAP, usage.wrap)
      .Flag(CKA_UNWRAP, usage.unwrap)
      .Flag(CKA_DERIVE, usage.derive);
  return key;
}

AttributeTemplate PrivateKeyTemplate(CK_KEY_TYPE type, Lifetime lifetime, bool extractable,
                                     const KeyUsage& usage) {
  AttributeTemplate key = HiddenKey(CKO_PRIVATE_KEY, type, lifetime, extractable);
  key.Flag(CKA_DECRYPT, usage.decrypt)
      .Flag(CKA_SIGN, usage.sign)
      .Flag(CKA_SIGN_RECOVER, false)
      .Flag(CKA_UNWRAP, usage.unwrap)
      .Flag(CKA_DERIVE, usage.derive);
  return key;
}

AttributeTemplate PublicKeyTemplate(CK_KEY_TYPE type, Lifetime lifetime, const KeyUsage& usage) {
  AttributeTemplate key;
  key.Number(CKA_CLASS, CKO_PUBLIC_KEY)
      .Number(CKA_KEY_TYPE, type)
      .Flag(CKA_TOKEN, lifetime == Lifetime::kToken)
      .Flag(CKA_PRIVATE, false)
      .Flag(CKA_MODIFIABLE, lifetime == Lifetime::kSession)
      .Flag(CKA_ENCRYPT, usage.encrypt)
      .Flag(CKA_VERIFY, usage.verify)
      .Flag(CKA_VERIFY_RECOVER, false)
      .Flag(CKA_WRAP, usage.wrap)
      .Flag(CKA_DERIVE, usage.derive);
  return key;
}

}  // namespace skms::hsm
