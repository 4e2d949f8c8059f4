#include "hsm/attribute_template.h"

#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <utility>

namespace skms::hsm {
namespace {

std::map<CK_ATTRIBUTE_TYPE, Bytes> Read(AttributeTemplate& attributes) {
  std::map<CK_ATTRIBUTE_TYPE, Bytes> out;
  for (CK_ULONG i = 0; i < attributes.size(); ++i) {
    const CK_ATTRIBUTE& one = attributes.data()[i];
    const auto* value = static_cast<const std::uint8_t*>(one.pValue);
    CHECK(out.emplace(one.type, Bytes(value, value + one.ulValueLen)).second);
  }
  return out;
}

bool Flag(const std::map<CK_ATTRIBUTE_TYPE, Bytes>& attributes, CK_ATTRIBUTE_TYPE type) {
  REQUIRE(attributes.count(type) == 1);
  return attributes.at(type) == Bytes{CK_TRUE};
}

TEST_CASE("values stay where the attributes point, however the template grows and moves") {
  AttributeTemplate attributes;
  for (CK_ULONG i = 0; i < 200; ++i) attributes.Number(i, i * 7);
  AttributeTemplate moved = std::move(attributes);
  for (CK_ULONG i = 0; i < 200; ++i) {
    CHECK(*static_cast<const CK_ULONG*>(moved.data()[i].pValue) == i * 7);
  }
}

TEST_CASE("every template says every usage flag, and only the wanted ones are set") {
  AttributeTemplate secret =
      SecretKeyTemplate(CKK_AES, Lifetime::kToken, false, {.wrap = true, .unwrap = true});
  const auto key = Read(secret);
  for (const CK_ATTRIBUTE_TYPE type :
       {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_EXTRACTABLE, CKA_MODIFIABLE}) {
    CHECK_FALSE(Flag(key, type));
  }
  for (const CK_ATTRIBUTE_TYPE type : {CKA_WRAP, CKA_UNWRAP, CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE})
    CHECK(Flag(key, type));

  AttributeTemplate private_template = PrivateKeyTemplate(CKK_EC, Lifetime::kSession, true, {.sign = true});
  const auto private_key = Read(private_template);
  for (const CK_ATTRIBUTE_TYPE type : {CKA_DECRYPT, CKA_UNWRAP, CKA_DERIVE, CKA_SIGN_RECOVER, CKA_TOKEN}) {
    CHECK_FALSE(Flag(private_key, type));
  }
  for (const CK_ATTRIBUTE_TYPE type : {CKA_SIGN, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_PRIVATE})
    CHECK(Flag(private_key, type));

  AttributeTemplate public_template = PublicKeyTemplate(CKK_RSA, Lifetime::kSession, {.wrap = true});
  const auto public_key = Read(public_template);
  for (const CK_ATTRIBUTE_TYPE type :
       {CKA_ENCRYPT, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_DERIVE, CKA_PRIVATE}) {
    CHECK_FALSE(Flag(public_key, type));
  }
  CHECK(Flag(public_key, CKA_WRAP));
}

TEST_CASE("an attribute that is taken out leaves the others as they were") {
  AttributeTemplate key = SecretKeyTemplate(CKK_AES, Lifetime::kSession, true, {});
  const CK_ULONG before = key.size();
  key.Without(CKA_EXTRACTABLE).Without(CKA_LABEL);
  CHECK(key.size() == before - 1);
  for (CK_ULONG i = 0; i < key.size(); ++i) CHECK(key.data()[i].type != CKA_EXTRACTABLE);
}

TEST_CASE("a list within a template stays where it is when the template moves, and keeps its order") {
  AttributeTemplate inner;
  inner.Flag(CKA_WRAP_WITH_TRUSTED, true).Number(CKA_CLASS, CKO_SECRET_KEY);
  AttributeTemplate made;
  made.Nested(CKA_UNWRAP_TEMPLATE, std::move(inner)).Flag(CKA_TOKEN, true);
  AttributeTemplate moved(std::move(made));
  REQUIRE(moved.size() == 2);
  const CK_ATTRIBUTE& list = moved.data()[0];
  CHECK(list.type == CKA_UNWRAP_TEMPLATE);
  REQUIRE(list.ulValueLen == 2 * sizeof(CK_ATTRIBUTE));
  const auto* nested = static_cast<const CK_ATTRIBUTE*>(list.pValue);
  CHECK(nested[0].type == CKA_WRAP_WITH_TRUSTED);
  CHECK(*static_cast<const CK_BBOOL*>(nested[0].pValue) == CK_TRUE);
  CHECK(nested[1].type == CKA_CLASS);
  CHECK(*static_cast<const CK_ULONG*>(nested[1].pValue) == CKO_SECRET_KEY);
}

TEST_CASE("numbers are one value, in their order") {
  const CK_ULONG mechanisms[] = {CKM_RSA_PKCS_OAEP, CKM_AES_KEY_WRAP};
  AttributeTemplate key;
  key.Numbers(CKA_ALLOWED_MECHANISMS, mechanisms);
  REQUIRE(key.data()[0].ulValueLen == sizeof mechanisms);
  CHECK(std::memcmp(key.data()[0].pValue, mechanisms, sizeof mechanisms) == 0);
}

}  // namespace
}  // namespace skms::hsm
