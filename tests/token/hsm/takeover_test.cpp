// The taken-over daemon: it holds the user's PIN and the database's wrapped octets, and speaks PKCS#11 as it
// likes. Each line is what it tries to get a strict service's key out, and what the token answers.
// docs/threat-model.md shows the table and what remains.
#include <doctest/doctest.h>

#include <functional>

#include "hsm/key_operations.h"
#include "hsm/key_pair.h"
#include "hsm/strict_checks.h"
#include "hsm/strict_objects.h"
#include "hsm/strict_template.h"
#include "hsm/token_error.h"
#include "tests/token/hsm/officer.h"

namespace skms::hsm {
namespace {

using test::Holder;
using test::OfficerToken;

const KeySpec kSpec{KeyKind::kAes, 32};

CK_ATTRIBUTE FlagAttribute(CK_ATTRIBUTE_TYPE type, bool value) {
  static CK_BBOOL on = CK_TRUE;
  static CK_BBOOL off = CK_FALSE;
  return {type, value ? &on : &off, sizeof(CK_BBOOL)};
}

/// Logged in as the user, with one stored key of a strict service, unwrapped as the daemon unwraps it.
class Intruder {
 public:
  Intruder(const OfficerToken& token, const Holder& trusted, Bytes stored)
      : opened_(Token::Open(token.options(), token.pin()).value()),
        lease_(opened_->Lease().value()),
        stored_(std::move(stored)) {
    kek_ = Find("skms-strict-kek-1", CKO_SECRET_KEY);
    trusted_ = Find(TrustedRecipientLabel(TrustedRecipientDigest(trusted.spki).value()), CKO_PUBLIC_KEY);
    AttributeTemplate strict = StrictKeyTemplate();
    REQUIRE(Unwrap(std::move(strict), &key_) == CKR_OK);
    own_ = Generate(CKM_AES_KEY_GEN,
                    SecretKeyTemplate(CKK_AES, Lifetime::kSession, true, {.wrap = true, .unwrap = true}));
    AttributeTemplate import = PublicKeyTemplate(CKK_RSA, Lifetime::kSession, {.wrap = true});
    const RsaPublicNumbers numbers = RsaNumbersFromSpki(stranger_.spki).value();
    import.Octets(CKA_MODULUS, numbers.modulus).Octets(CKA_PUBLIC_EXPONENT, numbers.exponent);
    REQUIRE(CreateObject(std::move(import), &stranger_object_) == CKR_OK);
  }

  auto p11() const { return lease_.p11(); }
  CK_SESSION_HANDLE session() const { return lease_.handle(); }
  CK_OBJECT_HANDLE kek() const { return kek_; }
  CK_OBJECT_HANDLE key() const { return key_; }
  CK_OBJECT_HANDLE own() const { return own_; }
  CK_OBJECT_HANDLE trusted() const { return trusted_; }
  CK_OBJECT_HANDLE stranger() const { return stranger_object_; }

  CK_OBJECT_HANDLE Find(const std::string& label, CK_OBJECT_CLASS object_class) {
    AttributeTemplate search;
    search.Text(CKA_LABEL, label).Number(CKA_CLASS, object_class);
    const auto found = FindAll(lease_, std::move(search)).value();
    REQUIRE(found.size() == 1);
    return found.front();
  }
  CK_RV Unwrap(AttributeTemplate attributes, CK_OBJECT_HANDLE* out = nullptr) {
    CK_MECHANISM kwp{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    const CK_RV rv = p11()->C_UnwrapKey(session(), &kwp, kek_, stored_.data(), stored_.size(),
                                        attributes.data(), attributes.size(), &handle);
    if (out != nullptr) *out = handle;
    return rv;
  }
  /// The stored key as the daemon unwraps it, but for one attribute.
  template <class Change>
  CK_RV UnwrapBut(CK_ATTRIBUTE_TYPE type, Change change) {
    AttributeTemplate attributes = StrictKeyTemplate();
    attributes.Without(type).Without(CKA_MODIFIABLE);
    change(attributes);
    if (type != CKA_MODIFIABLE) attributes.Flag(CKA_MODIFIABLE, false);
    return Unwrap(std::move(attributes));
  }
  CK_RV UnwrapWith(CK_ATTRIBUTE_TYPE type, bool value) {
    return UnwrapBut(type, [&](AttributeTemplate& attributes) { attributes.Flag(type, value); });
  }
  CK_RV UnwrapAs(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
    return UnwrapBut(type, [&](AttributeTemplate& attributes) { attributes.Number(type, value); });
  }
  CK_RV WrapBy(CK_MECHANISM mechanism, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE what) {
    Bytes out(1024);
    CK_ULONG size = out.size();
    return p11()->C_WrapKey(session(), &mechanism, with, what, out.data(), &size);
  }
  CK_RV WrapByOaep(CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE what) {
    OaepMechanism oaep(OaepHash::kSha1);
    return WrapBy(*oaep.get(), with, what);
  }
  CK_RV WrapByKwp(CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE what) {
    return WrapBy({CKM_AES_KEY_WRAP_PAD, nullptr, 0}, with, what);
  }
  CK_OBJECT_HANDLE Generate(CK_MECHANISM_TYPE mechanism, AttributeTemplate attributes) {
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    REQUIRE(TryGenerate(mechanism, std::move(attributes), &handle) == CKR_OK);
    return handle;
  }
  CK_RV TryGenerate(CK_MECHANISM_TYPE mechanism, AttributeTemplate attributes, CK_OBJECT_HANDLE* out) {
    attributes.Number(CKA_VALUE_LEN, 32);
    CK_MECHANISM generate{mechanism, nullptr, 0};
    return p11()->C_GenerateKey(session(), &generate, attributes.data(), attributes.size(), out);
  }
  CK_RV CreateObject(AttributeTemplate attributes, CK_OBJECT_HANDLE* out) {
    return p11()->C_CreateObject(session(), attributes.data(), attributes.size(), out);
  }
  CK_RV Set(CK_OBJECT_HANDLE object, CK_ATTRIBUTE attribute) {
    return p11()->C_SetAttributeValue(session(), object, &attribute, 1);
  }
  CK_RV Copy(CK_OBJECT_HANDLE object, CK_ATTRIBUTE attribute) {
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    return p11()->C_CopyObject(session(), object, &attribute, 1, &copy);
  }
  CK_RV ReadValue(CK_OBJECT_HANDLE object) {
    Bytes value(64);
    CK_ATTRIBUTE attribute{CKA_VALUE, value.data(), value.size()};
    return p11()->C_GetAttributeValue(session(), object, &attribute, 1);
  }

 private:
  const Holder stranger_;
  const std::unique_ptr<Token> opened_;
  SessionLease lease_;
  Bytes stored_;
  CK_OBJECT_HANDLE kek_ = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE key_ = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE own_ = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE trusted_ = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE stranger_object_ = CK_INVALID_HANDLE;
};

/// A token with one strict key stored, and somebody who took the daemon over.
struct Takeover {
  OfficerToken token;
  Holder trusted;
  Bytes stored;
  std::optional<Intruder> intruder;

  Takeover() {
    token.Trust(trusted);
    stored = token.Open()->GenerateWrapped(kSpec, Recipients::kTrusted).value().wrapped.bytes;
    intruder.emplace(token, trusted, stored);
  }
};

struct Attempt {
  const char* what;
  std::function<CK_RV(Intruder&)> act;
  const char* answer;
};

void Try(Intruder& intruder, const std::vector<Attempt>& attempts) {
  for (const Attempt& attempt : attempts) {
    const std::string what = attempt.what;
    CAPTURE(what);
    CHECK(CkrName(attempt.act(intruder)) == attempt.answer);
  }
}

CK_MECHANISM Bare(CK_MECHANISM_TYPE type) { return {type, nullptr, 0}; }

TEST_CASE("a taken-over daemon unwraps the stored octets as nothing weaker") {
  Takeover takeover;
  Try(*takeover.intruder,
      {
          {"WRAP_WITH_TRUSTED=false", [](auto& i) { return i.UnwrapWith(CKA_WRAP_WITH_TRUSTED, false); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"WRAP_WITH_TRUSTED left out",
           [](auto& i) { return i.UnwrapBut(CKA_WRAP_WITH_TRUSTED, [](auto&) {}); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"WRAP_WITH_TRUSTED said twice",
           [](auto& i) {
             return i.UnwrapBut(CKA_WRAP_WITH_TRUSTED, [](AttributeTemplate& attributes) {
               attributes.Flag(CKA_WRAP_WITH_TRUSTED, true).Flag(CKA_WRAP_WITH_TRUSTED, false);
             });
           },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"SENSITIVE=false", [](auto& i) { return i.UnwrapWith(CKA_SENSITIVE, false); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"PRIVATE=false", [](auto& i) { return i.UnwrapWith(CKA_PRIVATE, false); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"TOKEN=true", [](auto& i) { return i.UnwrapWith(CKA_TOKEN, true); }, "CKR_TEMPLATE_INCONSISTENT"},
          {"COPYABLE=true", [](auto& i) { return i.UnwrapWith(CKA_COPYABLE, true); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"MODIFIABLE=true", [](auto& i) { return i.UnwrapWith(CKA_MODIFIABLE, true); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"DERIVE=true", [](auto& i) { return i.UnwrapWith(CKA_DERIVE, true); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"ENCRYPT=true", [](auto& i) { return i.UnwrapWith(CKA_ENCRYPT, true); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"DECRYPT=true", [](auto& i) { return i.UnwrapWith(CKA_DECRYPT, true); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"SIGN=true", [](auto& i) { return i.UnwrapWith(CKA_SIGN, true); }, "CKR_TEMPLATE_INCONSISTENT"},
          {"WRAP=true", [](auto& i) { return i.UnwrapWith(CKA_WRAP, true); }, "CKR_TEMPLATE_INCONSISTENT"},
          {"TRUSTED=true", [](auto& i) { return i.UnwrapWith(CKA_TRUSTED, true); },
           "CKR_ATTRIBUTE_READ_ONLY"},
          {"as an AES key", [](auto& i) { return i.UnwrapAs(CKA_KEY_TYPE, CKK_AES); },
           "CKR_TEMPLATE_INCONSISTENT"},
          {"as a DES key, to search for its first octets",
           [](auto& i) { return i.UnwrapAs(CKA_KEY_TYPE, CKK_DES); }, "CKR_TEMPLATE_INCONSISTENT"},
          {"as a private key", [](auto& i) { return i.UnwrapAs(CKA_CLASS, CKO_PRIVATE_KEY); },
           "CKR_TEMPLATE_INCONSISTENT"},
      });
}

TEST_CASE("a taken-over daemon wraps a strict key to nobody of its own, and not more weakly to a recipient") {
  Takeover takeover;
  Try(*takeover.intruder,
      {
          {"to a stranger's RSA key", [](auto& i) { return i.WrapByOaep(i.stranger(), i.key()); },
           "CKR_KEY_NOT_WRAPPABLE"},
          {"under an AES key of its own", [](auto& i) { return i.WrapByKwp(i.own(), i.key()); },
           "CKR_KEY_NOT_WRAPPABLE"},
          {"under the KEK of other services",
           [](auto& i) { return i.WrapByKwp(i.Find("skms-kek-1", CKO_SECRET_KEY), i.key()); },
           "CKR_KEY_NOT_WRAPPABLE"},
          {"to the transfer key, whose private half the token has",
           [](auto& i) { return i.WrapByOaep(i.Find("skms-transfer-1", CKO_PUBLIC_KEY), i.key()); },
           "CKR_KEY_NOT_WRAPPABLE"},
          {"to the recipient by RSA without padding",
           [](auto& i) { return i.WrapBy(Bare(CKM_RSA_X_509), i.trusted(), i.key()); },
           "CKR_MECHANISM_INVALID"},
          {"to the recipient by PKCS#1 v1.5",
           [](auto& i) { return i.WrapBy(Bare(CKM_RSA_PKCS), i.trusted(), i.key()); },
           "CKR_MECHANISM_INVALID"},
          {"under the strict KEK by another mechanism",
           [](auto& i) { return i.WrapBy(Bare(CKM_AES_KEY_WRAP), i.kek(), i.key()); },
           "CKR_MECHANISM_INVALID"},
      });
}

TEST_CASE("a taken-over daemon neither changes nor copies nor reads a strict key, nor derives from it") {
  Takeover takeover;
  const auto set = [](CK_ATTRIBUTE_TYPE type, bool value) {
    return [=](Intruder& i) { return i.Set(i.key(), FlagAttribute(type, value)); };
  };
  Try(*takeover.intruder,
      {
          {"set WRAP_WITH_TRUSTED=false", set(CKA_WRAP_WITH_TRUSTED, false), "CKR_ACTION_PROHIBITED"},
          {"set SENSITIVE=false", set(CKA_SENSITIVE, false), "CKR_ACTION_PROHIBITED"},
          {"set DERIVE=true", set(CKA_DERIVE, true), "CKR_ACTION_PROHIBITED"},
          {"set SIGN=true", set(CKA_SIGN, true), "CKR_ACTION_PROHIBITED"},
          {"set DECRYPT=true", set(CKA_DECRYPT, true), "CKR_ACTION_PROHIBITED"},
          {"set MODIFIABLE=true", set(CKA_MODIFIABLE, true), "CKR_ACTION_PROHIBITED"},
          {"copy with WRAP_WITH_TRUSTED=false",
           [](auto& i) { return i.Copy(i.key(), FlagAttribute(CKA_WRAP_WITH_TRUSTED, false)); },
           "CKR_ACTION_PROHIBITED"},
          {"copy with DERIVE=true", [](auto& i) { return i.Copy(i.key(), FlagAttribute(CKA_DERIVE, true)); },
           "CKR_ACTION_PROHIBITED"},
          {"read its value", [](auto& i) { return i.ReadValue(i.key()); }, "CKR_ATTRIBUTE_SENSITIVE"},
          {"sign with it",
           [](auto& i) {
             CK_MECHANISM hmac = Bare(CKM_SHA256_HMAC);
             return i.p11()->C_SignInit(i.session(), &hmac, i.key());
           },
           "CKR_KEY_FUNCTION_NOT_PERMITTED"},
          {"encrypt with it",
           [](auto& i) {
             CK_MECHANISM ecb = Bare(CKM_AES_ECB);
             return i.p11()->C_EncryptInit(i.session(), &ecb, i.key());
           },
           "CKR_KEY_FUNCTION_NOT_PERMITTED"},
          {"derive from it",
           [](auto& i) {
             Bytes data(32);
             CK_KEY_DERIVATION_STRING_DATA text{data.data(), data.size()};
             CK_MECHANISM derive{CKM_AES_ECB_ENCRYPT_DATA, &text, sizeof text};
             AttributeTemplate child = SecretKeyTemplate(CKK_GENERIC_SECRET, Lifetime::kSession, true, {});
             child.Number(CKA_VALUE_LEN, 32);
             CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
             return i.p11()->C_DeriveKey(i.session(), &derive, i.key(), child.data(), child.size(), &handle);
           },
           "CKR_KEY_FUNCTION_NOT_PERMITTED"},
      });
}

TEST_CASE("a taken-over daemon cannot change, copy, use otherwise, take out or destroy the strict KEK") {
  Takeover takeover;
  const auto set = [](CK_ATTRIBUTE_TYPE type, bool value) {
    return [=](Intruder& i) { return i.Set(i.kek(), FlagAttribute(type, value)); };
  };
  Try(*takeover.intruder,
      {
          {"read its value", [](auto& i) { return i.ReadValue(i.kek()); }, "CKR_ATTRIBUTE_SENSITIVE"},
          {"wrap it under an own key", [](auto& i) { return i.WrapByKwp(i.own(), i.kek()); },
           "CKR_KEY_UNEXTRACTABLE"},
          {"wrap it to the recipient", [](auto& i) { return i.WrapByOaep(i.trusted(), i.kek()); },
           "CKR_KEY_UNEXTRACTABLE"},
          {"take its unwrap template away",
           [](auto& i) {
             return i.Set(i.kek(), {CKA_UNWRAP_TEMPLATE, nullptr, 0});
           },
           "CKR_ACTION_PROHIBITED"},
          {"let it decrypt", set(CKA_DECRYPT, true), "CKR_ACTION_PROHIBITED"},
          {"let it be taken out", set(CKA_EXTRACTABLE, true), "CKR_ACTION_PROHIBITED"},
          {"let it be destroyed", set(CKA_DESTROYABLE, true), "CKR_ACTION_PROHIBITED"},
          {"copy it without the template",
           [](auto& i) {
             return i.Copy(i.kek(), {CKA_UNWRAP_TEMPLATE, nullptr, 0});
           },
           "CKR_ACTION_PROHIBITED"},
          {"copy it so that it decrypts",
           [](auto& i) { return i.Copy(i.kek(), FlagAttribute(CKA_DECRYPT, true)); },
           "CKR_ACTION_PROHIBITED"},
          {"decrypt with it",
           [](auto& i) {
             CK_MECHANISM ecb = Bare(CKM_AES_ECB);
             return i.p11()->C_DecryptInit(i.session(), &ecb, i.kek());
           },
           "CKR_KEY_FUNCTION_NOT_PERMITTED"},
          {"encrypt with it",
           [](auto& i) {
             CK_MECHANISM ecb = Bare(CKM_AES_ECB);
             return i.p11()->C_EncryptInit(i.session(), &ecb, i.kek());
           },
           "CKR_KEY_FUNCTION_NOT_PERMITTED"},
          {"destroy it", [](auto& i) { return i.p11()->C_DestroyObject(i.session(), i.kek()); },
           "CKR_ACTION_PROHIBITED"},
      });
}

/// A secret key that the user asks to be TRUSTED.
AttributeTemplate SelfTrusted() {
  AttributeTemplate key = SecretKeyTemplate(CKK_AES, Lifetime::kSession, true, {.wrap = true});
  key.Flag(CKA_TRUSTED, true);
  return key;
}

TEST_CASE("a taken-over daemon makes no TRUSTED key, in no way") {
  Takeover takeover;
  const Holder other;
  const RsaPublicNumbers numbers = RsaNumbersFromSpki(other.spki).value();
  Try(*takeover.intruder,
      {
          {"generate",
           [](auto& i) {
             CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
             return i.TryGenerate(CKM_AES_KEY_GEN, SelfTrusted(), &made);
           },
           "CKR_ATTRIBUTE_READ_ONLY"},
          {"create a secret key",
           [](auto& i) {
             AttributeTemplate key = SelfTrusted();
             key.Octets(CKA_VALUE, Bytes(32, 7));
             CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
             return i.CreateObject(std::move(key), &made);
           },
           "CKR_ATTRIBUTE_READ_ONLY"},
          {"create a public key",
           [&](auto& i) {
             CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
             return i.CreateObject(
                 TrustedRecipientTemplate(numbers.modulus, numbers.exponent, "mine", Bytes{1}), &made);
           },
           "CKR_ATTRIBUTE_READ_ONLY"},
          {"generate a key pair",
           [](auto& i) {
             AttributeTemplate public_key = PublicKeyTemplate(CKK_RSA, Lifetime::kSession, {.wrap = true});
             public_key.Number(CKA_MODULUS_BITS, 2048)
                 .Octets(CKA_PUBLIC_EXPONENT, Bytes{1, 0, 1})
                 .Flag(CKA_TRUSTED, true);
             AttributeTemplate private_key =
                 PrivateKeyTemplate(CKK_RSA, Lifetime::kSession, true, {.unwrap = true});
             CK_MECHANISM rsa = Bare(CKM_RSA_PKCS_KEY_PAIR_GEN);
             CK_OBJECT_HANDLE handles[2]{};
             return i.p11()->C_GenerateKeyPair(i.session(), &rsa, public_key.data(), public_key.size(),
                                               private_key.data(), private_key.size(), &handles[0],
                                               &handles[1]);
           },
           "CKR_ATTRIBUTE_READ_ONLY"},
          {"set", [](auto& i) { return i.Set(i.own(), FlagAttribute(CKA_TRUSTED, true)); },
           "CKR_ATTRIBUTE_READ_ONLY"},
          {"copy", [](auto& i) { return i.Copy(i.own(), FlagAttribute(CKA_TRUSTED, true)); },
           "CKR_ATTRIBUTE_READ_ONLY"},
          {"change the modulus of a recipient's",
           [](auto& i) {
             Bytes modulus(256, 0xC1);
             return i.Set(i.trusted(), {CKA_MODULUS, modulus.data(), modulus.size()});
           },
           "CKR_ACTION_PROHIBITED"},
          {"copy a recipient's with another modulus",
           [](auto& i) {
             Bytes modulus(256, 0xC1);
             return i.Copy(i.trusted(), {CKA_MODULUS, modulus.data(), modulus.size()});
           },
           "CKR_ACTION_PROHIBITED"},
      });
}

TEST_CASE("what a taken-over daemon makes itself is not stored as a strict key unless it is one") {
  Takeover takeover;
  const auto store = [](bool strict, CK_ATTRIBUTE_TYPE changed, bool value) {
    return [=](Intruder& i) {
      AttributeTemplate key = StrictKeyTemplate();
      key.Without(changed).Flag(changed, value);
      if (!strict) key.Without(CKA_WRAP_WITH_TRUSTED).Flag(CKA_WRAP_WITH_TRUSTED, false);
      return i.WrapByKwp(i.kek(), i.Generate(CKM_GENERIC_SECRET_KEY_GEN, std::move(key)));
    };
  };
  Try(*takeover.intruder,
      {
          {"a strict one", store(true, CKA_SIGN, false), "CKR_OK"},
          {"one that goes to anybody, too", store(false, CKA_SIGN, false), "CKR_KEY_NOT_WRAPPABLE"},
          {"one that more is derived from", store(true, CKA_DERIVE, true), "CKR_KEY_NOT_WRAPPABLE"},
          {"one that can be copied", store(true, CKA_COPYABLE, true), "CKR_KEY_NOT_WRAPPABLE"},
          {"one that can be changed", store(true, CKA_MODIFIABLE, true), "CKR_KEY_NOT_WRAPPABLE"},
          {"one that it knows",
           [](auto& i) {
             AttributeTemplate known = StrictKeyTemplate();
             known.Octets(CKA_VALUE, Bytes(32, 7));
             CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
             REQUIRE(i.CreateObject(std::move(known), &handle) == CKR_OK);
             return i.WrapByKwp(i.kek(), handle);
           },
           "CKR_KEY_NOT_WRAPPABLE"},
      });
}

TEST_CASE("the same daemon takes an ordinary service's key out at once: what strict recipients are for") {
  Takeover takeover;
  takeover.intruder.reset();
  const WrappedKey ordinary = takeover.token.Open()->GenerateWrapped(kSpec).value().wrapped;
  Intruder intruder(takeover.token, takeover.trusted, takeover.stored);
  CK_MECHANISM kwp = Bare(CKM_AES_KEY_WRAP_PAD);
  Bytes blob = ordinary.bytes;
  AttributeTemplate attributes = ValKeyTemplate(kSpec);
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  REQUIRE(intruder.p11()->C_UnwrapKey(intruder.session(), &kwp, intruder.Find("skms-kek-1", CKO_SECRET_KEY),
                                      blob.data(), blob.size(), attributes.data(), attributes.size(),
                                      &key) == CKR_OK);
  CHECK(intruder.WrapByOaep(intruder.stranger(), key) == CKR_OK);
  CHECK(intruder.WrapByKwp(intruder.own(), key) == CKR_OK);
}

TEST_CASE(
    "what remains: it wraps to recipients as ever, digests a key, and can destroy a recipient's object") {
  Takeover takeover;
  Try(*takeover.intruder,
      {
          {"wrap to a TRUSTED recipient", [](auto& i) { return i.WrapByOaep(i.trusted(), i.key()); },
           "CKR_OK"},
          {"digest a key",
           [](auto& i) {
             CK_MECHANISM sha256 = Bare(CKM_SHA256);
             const CK_RV begun = i.p11()->C_DigestInit(i.session(), &sha256);
             return begun == CKR_OK ? i.p11()->C_DigestKey(i.session(), i.key()) : begun;
           },
           "CKR_OK"},
          {"destroy a recipient's object",
           [](auto& i) { return i.p11()->C_DestroyObject(i.session(), i.trusted()); }, "CKR_OK"},
      });
  takeover.intruder.reset();
  // The recipient gets nothing until the officer makes it anew; nobody else gets anything.
  const auto module = takeover.token.Open();
  const WrappedKey key{1, std::string(kFormatTrusted), takeover.stored};
  CHECK(module->RewrapFor(takeover.trusted.recipient, key, kSpec).error().code ==
        ErrorCode::kRecipientNotTrusted);
}

TEST_CASE("objects that a taken-over daemon leaves under our names are not seen") {
  Takeover takeover;
  const Holder stranger;
  const RsaPublicNumbers numbers = RsaNumbersFromSpki(stranger.spki).value();
  for (const char* label : {"skms-strict-kek-1", "skms-strict-kek-2"}) {
    AttributeTemplate kek =
        SecretKeyTemplate(CKK_AES, Lifetime::kToken, true, {.wrap = true, .unwrap = true});
    kek.Text(CKA_LABEL, label).Without(CKA_PRIVATE).Flag(CKA_PRIVATE, false);
    takeover.intruder->Generate(CKM_AES_KEY_GEN, std::move(kek));
  }
  AttributeTemplate recipient = TrustedRecipientTemplate(
      numbers.modulus, numbers.exponent, TrustedRecipientLabel(TrustedRecipientDigest(stranger.spki).value()),
      Bytes{1});
  recipient.Without(CKA_TRUSTED);
  CK_OBJECT_HANDLE planted = CK_INVALID_HANDLE;
  REQUIRE(takeover.intruder->CreateObject(std::move(recipient), &planted) == CKR_OK);
  takeover.intruder.reset();

  const auto module = takeover.token.Open();
  CHECK(module->ViewStrict().value().kek == 1);
  CHECK(module->ViewStrict().value().recipients == 1);
  const WrappedKey key{1, std::string(kFormatTrusted), takeover.stored};
  CHECK(module->RewrapFor(takeover.trusted.recipient, key, kSpec).has_value());
  CHECK(module->RewrapFor(stranger.recipient, key, kSpec).error().code == ErrorCode::kRecipientNotTrusted);
}

}  // namespace
}  // namespace skms::hsm
