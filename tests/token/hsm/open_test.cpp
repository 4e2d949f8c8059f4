// Opening a token: the right one, once, with its keys proven; and every way it may be refused.
#include <doctest/doctest.h>
#include <p11-kit/pkcs11.h>

#include <algorithm>
#include <vector>

#include "hsm/crypto_module.h"
#include "hsm/key_operations.h"
#include "hsm/profile.h"
#include "hsm/token.h"
#include "tests/token/soft_token.h"

namespace skms::hsm {
namespace {

using test::RawSession;
using test::SoftToken;

Error OpenError(const TokenOptions& options, const SecretBytes& pin) {
  const auto opened = CryptoModule::Open(options, [&pin] { return Result<SecretBytes>(pin.Clone()); });
  REQUIRE(opened.has_error());
  return opened.error();
}

const CapabilityRow& Row(const Capabilities& capabilities, const std::string& name) {
  for (const CapabilityRow& row : capabilities.rows) {
    if (row.name == name) return row;
  }
  FAIL("no row " << name);
  return capabilities.rows.front();
}

TEST_CASE("a provisioned token opens again with the same generation of every key") {
  const SoftToken token;
  token.Provision();
  token.Provision();  // again: makes nothing new
  const auto module = CryptoModule::Open(token.options(), token.pin_source());
  REQUIRE(module.has_value());
  CHECK(module.value()->generations().kek == 1);
  CHECK(module.value()->generations().mac == 1);
  CHECK(module.value()->generations().sign == 1);
  CHECK(module.value()->generations().transfer == 1);
  CHECK(module.value()->info().label == "skms");
  CHECK_FALSE(module.value()->info().serial.empty());
}

TEST_CASE("our token keys are sensitive, stay in the token, and may do one thing each") {
  const SoftToken token;
  token.Provision();
  const RawSession raw;
  struct Row {
    const char* label;
    unsigned long object_class;
    std::vector<unsigned long> allowed;
  };
  const Row rows[] = {{"skms-kek-1", CKO_SECRET_KEY, {CKA_WRAP, CKA_UNWRAP}},
                      {"skms-mac-1", CKO_SECRET_KEY, {CKA_SIGN, CKA_VERIFY}},
                      {"skms-sign-1", CKO_PRIVATE_KEY, {CKA_SIGN}},
                      {"skms-transfer-1", CKO_PRIVATE_KEY, {CKA_UNWRAP}}};
  for (const Row& row : rows) {
    CAPTURE(row.label);
    CHECK(raw.Count(row.label, row.object_class) == 1);
    CHECK(raw.Flag(row.label, row.object_class, CKA_TOKEN));
    CHECK(raw.Flag(row.label, row.object_class, CKA_PRIVATE));
    CHECK(raw.Flag(row.label, row.object_class, CKA_SENSITIVE));
    CHECK(raw.Flag(row.label, row.object_class, CKA_NEVER_EXTRACTABLE));
    CHECK(raw.Flag(row.label, row.object_class, CKA_ALWAYS_SENSITIVE));
    CHECK_FALSE(raw.Flag(row.label, row.object_class, CKA_EXTRACTABLE));
    CHECK_FALSE(raw.Flag(row.label, row.object_class, CKA_MODIFIABLE));
    std::vector<unsigned long> usages = {CKA_DECRYPT, CKA_SIGN, CKA_UNWRAP, CKA_DERIVE};
    if (row.object_class == CKO_SECRET_KEY) usages.insert(usages.end(), {CKA_ENCRYPT, CKA_VERIFY, CKA_WRAP});
    for (const unsigned long usage : usages) {
      CAPTURE(usage);
      const bool allowed = std::find(row.allowed.begin(), row.allowed.end(), usage) != row.allowed.end();
      CHECK(raw.Flag(row.label, row.object_class, usage) == allowed);
    }
  }
}

TEST_CASE("a token without our keys is refused with the command that makes them") {
  const SoftToken token;
  const Error error = OpenError(token.options(), token.pin());
  CHECK(error.code == ErrorCode::kTokenBlank);
  CHECK(error.detail.find("skms-kek-1") != std::string::npos);
  CHECK(error.detail.find("skmsctl init") != std::string::npos);
}

TEST_CASE("a wrong PIN is tried once and said so") {
  const SoftToken token;
  const Error error = OpenError(token.options(), SecretBytes::CopyOf(AsBytes("000000")));
  CHECK(error.code == ErrorCode::kPinIncorrect);
  CHECK(error.function == "C_Login");
  CHECK(error.detail.find("C_Login: CKR_PIN_INCORRECT") == 0);
  CHECK(error.detail.find("000000") == std::string::npos);
}

TEST_CASE("an absent label is refused and the labels that are there are named") {
  const SoftToken token;
  TokenOptions options = token.options();
  options.label = "other";
  const Error error = OpenError(options, token.pin());
  CHECK(error.code == ErrorCode::kTokenNotFound);
  CHECK(error.detail.find("'skms'") != std::string::npos);
}

TEST_CASE("a blank token is refused and never initialised") {
  const SoftToken token;
  TokenOptions options = token.options();
  options.label = "";
  const Error error = OpenError(options, token.pin());
  CHECK(error.code == ErrorCode::kTokenBlank);
  CHECK(CryptoModule::Provision(options, token.pin_source()).error().code == ErrorCode::kTokenBlank);
}

TEST_CASE("a labelled token without a user PIN is refused as blank, and stays as it is") {
  SoftToken token;
  token.AddTokenWithoutPin("half");
  TokenOptions options = token.options();
  options.label = "half";
  const Error error = OpenError(options, token.pin());
  CHECK(error.code == ErrorCode::kTokenBlank);
  CHECK(error.detail.find("maker's tool") != std::string::npos);
  CHECK(CryptoModule::Provision(options, token.pin_source()).error().code == ErrorCode::kTokenBlank);
}

TEST_CASE("a request waits for a session as long as it is told, and no longer") {
  const SoftToken token;
  TokenOptions options = token.options();
  options.max_sessions = 2;
  options.session_wait = std::chrono::milliseconds(20);
  const auto opened = Token::Open(options, token.pin());
  REQUIRE(opened.has_value());
  const auto first = opened.value()->Lease();
  {
    const auto second = opened.value()->Lease();
    REQUIRE(second.has_value());
    const auto third = opened.value()->Lease();
    REQUIRE(third.has_error());
    CHECK(third.error().code == ErrorCode::kResourceExhausted);
  }
  CHECK(opened.value()->Lease().has_value());
}

TEST_CASE("what sessions cost is counted: leases, calls, time held, in the module, and waited") {
  const SoftToken token;
  TokenOptions options = token.options();
  options.max_sessions = 1;
  options.session_wait = std::chrono::milliseconds(20);
  const auto opened = Token::Open(options, token.pin());
  REQUIRE(opened.has_value());
  const Token& open = *opened.value();
  CHECK(open.session_use().limit == 1);
  CHECK(open.session_use().leases == 0);
  {
    SessionLease lease = std::move(opened.value()->Lease()).value();
    CHECK(RandomOctets(lease, 16).has_value());
    CHECK(RandomOctets(lease, 16).has_value());
    CHECK(open.session_use().waited.count() == 0);
    CHECK(opened.value()->Lease().has_error());
  }
  const CryptoModule::SessionUse use = open.session_use();
  CHECK(use.leased == 0);
  CHECK(use.leases == 1);
  CHECK(use.calls == 2);
  CHECK(use.inside.count() > 0);
  CHECK(use.waited >= std::chrono::milliseconds(20));
  CHECK(use.held >= use.waited + use.inside);
}

TEST_CASE("two tokens of one label are refused until the serial tells them apart") {
  SoftToken token;
  std::string serial;
  {
    const auto module = token.Provision();
    serial = module->info().serial;
  }
  token.AddToken("skms");
  CHECK(OpenError(token.options(), token.pin()).code == ErrorCode::kTokenAmbiguous);
  TokenOptions options = token.options();
  options.serial = serial;
  CHECK(CryptoModule::Open(options, token.pin_source()).has_value());
  options.serial = "nonsense";
  CHECK(OpenError(options, token.pin()).code == ErrorCode::kTokenNotFound);
}

TEST_CASE("two objects of one name are refused, not guessed between") {
  const SoftToken token;
  token.Provision();
  RawSession().PlantSecretKey("skms-kek-1", false);
  const Error error = OpenError(token.options(), token.pin());
  CHECK(error.code == ErrorCode::kTokenAmbiguous);
  CHECK(error.detail.find("skms-kek-1") != std::string::npos);
}

TEST_CASE("a KEK that may leave the token is refused") {
  const SoftToken token;
  token.Provision();
  RawSession().PlantSecretKey("skms-kek-2", true);
  CHECK(OpenError(token.options(), token.pin()).code == ErrorCode::kIntegrity);
}

TEST_CASE("a module that is not there, or is none, is a configuration error") {
  const SoftToken token;
  TokenOptions options = token.options();
  options.module_path = "/nonexistent.so";
  CHECK(OpenError(options, token.pin()).code == ErrorCode::kConfiguration);
  options.module_path = "/lib/x86_64-linux-gnu/libm.so.6";
  CHECK(OpenError(options, token.pin()).detail.find("C_GetFunctionList") != std::string::npos);
}

TEST_CASE("the probe finds on SoftHSM what SoftHSM does") {
  const SoftToken token;
  TokenInfo info;
  const auto probed = CryptoModule::ProbeToken(token.options(), token.pin(), &info);
  REQUIRE(probed.has_value());
  const Capabilities& capabilities = probed.value();
  CHECK(info.label == "skms");
  CHECK(capabilities.usable());
  CHECK(capabilities.kwp_mechanism == 0x210A);
  CHECK(capabilities.oaep_hash == OaepHash::kSha1);
  CHECK(capabilities.unwrap_honours_sensitive);
  CHECK(capabilities.refuses_wrapping_unextractable);
  CHECK_FALSE(capabilities.unwrap_accepts_value_len);
  CHECK(capabilities.ec_p256);
  CHECK(capabilities.ecdsa);
  CHECK(capabilities.rsa_pss);
  CHECK(Row(capabilities, "RSA-OAEP with SHA-256").finding == Finding::kNo);
  CHECK(Row(capabilities, "RSA-OAEP hash in use").finding == Finding::kWarn);
  CHECK(Row(capabilities, "AES-GCM").finding == Finding::kYes);
  CHECK(Row(capabilities, "wrap an EC private key").finding == Finding::kYes);
  CHECK(Judge(Profile::kStandard, capabilities).passes());
  const std::string strict = FailedLines(Judge(Profile::kStrict, capabilities));
  CHECK(strict.find("RSA-OAEP with SHA-256: C_WrapKey: CKR_ARGUMENTS_BAD") != std::string::npos);
}

}  // namespace
}  // namespace skms::hsm
