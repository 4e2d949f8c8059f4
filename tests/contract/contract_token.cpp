#include "tests/contract/contract_token.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

namespace skms::test {
namespace {

std::string Setting(const char* name, bool required = true) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody changes the environment
  if (value != nullptr) return value;
  if (!required) return {};
  std::fprintf(stderr, "%s is not set; start this program by tests/contract/run_contract.py\n", name);
  std::abort();
}

void PrintSkip(std::string_view why) {
  const char* name = doctest::getContextOptions()->currentTest->m_name;
  std::printf("skipped: %s: token lacks %.*s\n", name, static_cast<int>(why.size()), why.data());
}

}  // namespace

hsm::TokenOptions ContractOptions() {
  hsm::TokenOptions options;
  options.module_path = Setting("SKMS_CONTRACT_MODULE");
  options.init_args = Setting("SKMS_CONTRACT_INIT_ARGS", false);
  options.label = Setting("SKMS_CONTRACT_LABEL");
  return options;
}

SecretBytes ContractPin() { return SecretBytes::CopyOf(AsBytes(Setting("SKMS_CONTRACT_PIN"))); }
hsm::PinSource ContractPinSource() {
  return [] { return Result<SecretBytes>(ContractPin()); };
}

const hsm::Capabilities& ContractCapabilities() {
  static const hsm::Capabilities found = [] {
    auto probed = hsm::CryptoModule::ProbeToken(ContractOptions(), ContractPin(), nullptr);
    INFO((probed.has_error() ? probed.error().Describe() : ""));
    REQUIRE(probed.has_value());
    return std::move(probed).value();
  }();
  return found;
}

bool Lacks(std::string_view capability, bool has) {
  if (!has) PrintSkip(capability);
  return !has;
}

std::unique_ptr<hsm::CryptoModule> OpenOrSkip() {
  std::string missing;
  for (const hsm::CapabilityRow& row : ContractCapabilities().rows) {
    if (row.finding == hsm::Finding::kFail) missing += (missing.empty() ? "" : ", ") + row.name;
  }
  if (!missing.empty()) {
    PrintSkip(missing);
    return nullptr;
  }
  auto module = hsm::CryptoModule::Provision(ContractOptions(), ContractPinSource());
  INFO((module.has_error() ? module.error().Describe() : ""));
  REQUIRE(module.has_value());
  return std::move(module).value();
}

}  // namespace skms::test
