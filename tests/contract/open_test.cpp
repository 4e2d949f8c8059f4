// What Open and Provision promise, on any module: refusal where the token is not safe, keys made once, twins
// and a wrong PIN told.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>

#include "hsm/attribute_template.h"
#include "hsm/key_operations.h"
#include "hsm/profile.h"
#include "hsm/quirks.h"
#include "hsm/token.h"
#include "hsm/token_keys.h"
#include "tests/contract/contract_token.h"

namespace skms::hsm {
namespace {

using test::ContractOptions;
using test::ContractPin;
using test::ContractPinSource;

TEST_CASE("the probe answers, and this is what it found") {
  TokenInfo info;
  const auto probed = CryptoModule::ProbeToken(ContractOptions(), ContractPin(), &info);
  REQUIRE(probed.has_value());
  CHECK(info.label == ContractOptions().label);
  static constexpr const char* kWords[] = {"yes", "no", "WARN", "FAIL"};
  for (const CapabilityRow& row : probed.value().rows) {
    std::printf("  %-40s %-5s %s\n", row.name.c_str(), kWords[static_cast<int>(row.finding)],
                row.detail.c_str());
    CHECK_FALSE(row.detail.empty());
  }
}

TEST_CASE("a token that is refused meets no profile, any other at least lab") {
  const Capabilities& found = test::ContractCapabilities();
  for (const Profile profile : kProfiles) {
    const ProfileVerdict verdict = Judge(profile, found);
    std::printf("  profile %s: %s\n", std::string(NameOf(profile)).c_str(),
                verdict.passes() ? "met" : FailedLines(verdict).c_str());
  }
  CHECK(Judge(Profile::kLab, found).passes() == found.usable());
}

TEST_CASE("each quirk of the token was found by a row of the probe") {
  const Capabilities& found = test::ContractCapabilities();
  for (const Quirk& quirk : QuirksOf(found)) {
    std::printf("  quirk: %s: %s\n", std::string(quirk.name).c_str(), std::string(quirk.measure).c_str());
    const auto names = [&](const CapabilityRow& row) { return row.name == quirk.found_by; };
    CHECK(std::count_if(found.rows.begin(), found.rows.end(), names) == 1);
  }
}

TEST_CASE("a token that is not safe is refused, and the refusal names each row; any other opens") {
  const auto opened = CryptoModule::Provision(ContractOptions(), ContractPinSource());
  if (test::ContractCapabilities().usable()) {
    INFO((opened.has_error() ? opened.error().Describe() : ""));
    CHECK(opened.has_value());
    return;
  }
  REQUIRE(opened.has_error());
  CHECK(opened.error().code == ErrorCode::kUnsupported);
  for (const CapabilityRow& row : test::ContractCapabilities().rows) {
    if (row.finding == Finding::kFail) CHECK(opened.error().detail.find(row.name) != std::string::npos);
  }
  CHECK(CryptoModule::Open(ContractOptions(), ContractPinSource()).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("our keys are made once: a second Provision and an Open find the first ones") {
  auto module = test::OpenOrSkip();
  if (module == nullptr) return;
  const Mac mac = module->ComputeMac(1, AsBytes("row")).value();
  const Bytes transfer = module->TransferPublicKey().value();
  for (const bool provision : {true, false}) {
    module.reset();
    auto again = provision ? CryptoModule::Provision(ContractOptions(), ContractPinSource())
                           : CryptoModule::Open(ContractOptions(), ContractPinSource());
    REQUIRE(again.has_value());
    module = std::move(again).value();
    CHECK(module->ComputeMac(1, AsBytes("row")).value() == mac);
    CHECK(module->TransferPublicKey().value() == transfer);
    CHECK(module->generations().kek == 1);
    CHECK(module->generations().sign == 1);
  }
}

TEST_CASE("two keys of one name are refused") {
  if (test::OpenOrSkip() == nullptr) return;
  const auto token = Token::Open(ContractOptions(), ContractPin());
  REQUIRE(token.has_value());
  {
    auto lease = token.value()->Lease();
    REQUIRE(lease.has_value());
    AttributeTemplate twin =
        SecretKeyTemplate(CKK_AES, Lifetime::kToken, false, {.wrap = true, .unwrap = true});
    twin.Text(CKA_LABEL, "skms-kek-1");
    const auto planted = GenerateSecret(lease.value(), CKM_AES_KEY_GEN, std::move(twin), 32);
    REQUIRE(planted.has_value());
    const auto resolved = TokenKeys::Resolve(*token.value(), test::ContractCapabilities());
    REQUIRE(resolved.has_error());
    CHECK(resolved.error().code == ErrorCode::kTokenAmbiguous);
  }
  CHECK(TokenKeys::Resolve(*token.value(), test::ContractCapabilities()).has_value());
}

TEST_CASE("a wrong PIN and a wrong label are told apart") {
  const auto wrong_pin = CryptoModule::Open(
      ContractOptions(), [] { return Result<SecretBytes>(SecretBytes::CopyOf(AsBytes("111111"))); });
  REQUIRE(wrong_pin.has_error());
  CHECK(wrong_pin.error().code == ErrorCode::kPinIncorrect);
  TokenOptions other = ContractOptions();
  other.label = "nobody";
  CHECK(CryptoModule::Open(other, ContractPinSource()).error().code == ErrorCode::kTokenNotFound);
  CHECK(CryptoModule::ProbeToken(ContractOptions(), ContractPin(), nullptr).has_value());
}

}  // namespace
}  // namespace skms::hsm
