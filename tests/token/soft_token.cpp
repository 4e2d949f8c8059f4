#include "tests/token/soft_token.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "hsm/attribute_template.h"

namespace skms::test {
namespace {

void Require(bool true_thing, const char* what) {
  if (true_thing) return;
  std::fprintf(stderr, "soft token: %s\n", what);
  std::abort();
}

CK_FUNCTION_LIST* P11(void* functions) { return static_cast<CK_FUNCTION_LIST*>(functions); }

std::string Padded(std::string_view label) {
  std::string padded(label);
  padded.resize(32, ' ');
  return padded;
}

CK_SLOT_ID SlotOf(CK_FUNCTION_LIST* p11, const std::string& padded) {
  CK_SLOT_ID slots[16];
  CK_ULONG count = 16;
  Require(p11->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK, "C_GetSlotList");
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_TOKEN_INFO info{};
    if (p11->C_GetTokenInfo(slots[i], &info) != CKR_OK) continue;
    if (std::string(reinterpret_cast<char*>(info.label), sizeof info.label) == padded) return slots[i];
  }
  Require(false, "no token of that label");
  return 0;
}

}  // namespace

SoftToken::SoftToken() {
  const std::string tokens = directory_.File("tokens");
  std::filesystem::create_directory(tokens);
  const std::string configuration = directory_.File("softhsm2.conf");
  std::ofstream(configuration) << "directories.tokendir = " << tokens
                               << "\nobjectstore.backend = file\nlog.level = ERROR\n";
  // NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread
  Require(::setenv("SOFTHSM2_CONF", configuration.c_str(), 1) == 0, "setenv");
  AddToken(std::string(kLabel));
}

void SoftToken::AddToken(const std::string& label) {
  pristine_ = pristine_ && label == kLabel && std::exchange(first_, false);
  const std::string command = "softhsm2-util --init-token --free --label " + label + " --so-pin " +
                              std::string(kOfficerPin) + " --pin " + std::string(kPin) + " >/dev/null";
  // NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread
  Require(std::system(command.c_str()) == 0, "softhsm2-util --init-token failed");
}

void SoftToken::AddTokenWithoutPin(const std::string& label) {
  pristine_ = false;
  void* library = ::dlopen(kSoftHsmModule, RTLD_NOW | RTLD_LOCAL);
  Require(library != nullptr, "dlopen");
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* p11 = nullptr;
  Require(get(&p11) == CKR_OK, "C_GetFunctionList");
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  Require(p11->C_Initialize(&arguments) == CKR_OK, "C_Initialize: close the CryptoModule first");
  CK_SLOT_ID slots[16];
  CK_ULONG count = 16;
  Require(p11->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK, "C_GetSlotList");
  std::string so_pin(SoftToken::kOfficerPin);
  std::string padded = Padded(label);
  // SoftHSM's free slot is the last.
  Require(p11->C_InitToken(slots[count - 1], reinterpret_cast<CK_UTF8CHAR*>(so_pin.data()), so_pin.size(),
                           reinterpret_cast<CK_UTF8CHAR*>(padded.data())) == CKR_OK,
          "C_InitToken");
  p11->C_Finalize(nullptr);
  ::dlclose(library);
}

hsm::TokenOptions SoftToken::options() const {
  hsm::TokenOptions options;
  options.module_path = kSoftHsmModule;
  options.label = std::string(kLabel);
  return options;
}

std::unique_ptr<hsm::CryptoModule> SoftToken::Provision() const {
  // The keys of a provisioned token, made once in a process; every case opens a copy of its own.
  static const TemporaryDirectory model;
  const std::filesystem::path kept = model.File("tokens");
  const std::filesystem::path ours = directory_.File("tokens");
  const auto copy_all = std::filesystem::copy_options::recursive;
  const bool copied = pristine_ && std::filesystem::exists(kept);
  if (copied) {
    std::filesystem::remove_all(ours);
    std::filesystem::copy(kept, ours, copy_all);
  }
  auto module = hsm::CryptoModule::Provision(options(), pin_source());
  Require(module.has_value(), module.has_error() ? module.error().detail.c_str() : "");
  if (pristine_ && !copied) std::filesystem::copy(ours, kept, copy_all);
  pristine_ = false;
  return std::move(module).value();
}

RawSession::RawSession(std::string_view label) {
  library_ = ::dlopen(kSoftHsmModule, RTLD_NOW | RTLD_LOCAL);
  Require(library_ != nullptr, "dlopen");
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library_, "C_GetFunctionList"));
  CK_FUNCTION_LIST* p11 = nullptr;
  Require(get(&p11) == CKR_OK, "C_GetFunctionList");
  functions_ = p11;
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  Require(p11->C_Initialize(&arguments) == CKR_OK, "C_Initialize: close the CryptoModule first");
  slot_ = SlotOf(p11, Padded(label));
  Require(
      p11->C_OpenSession(slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session_) == CKR_OK,
      "C_OpenSession");
  std::string pin(SoftToken::kPin);
  Require(p11->C_Login(session_, CKU_USER, reinterpret_cast<CK_UTF8CHAR*>(pin.data()), pin.size()) == CKR_OK,
          "C_Login");
}

RawSession::~RawSession() {
  P11(functions_)->C_Finalize(nullptr);
  ::dlclose(library_);
}

unsigned long RawSession::Find(const std::string& label, unsigned long object_class,
                               std::size_t* count) const {
  CK_FUNCTION_LIST* p11 = P11(functions_);
  hsm::AttributeTemplate search;
  search.Text(CKA_LABEL, label).Number(CKA_CLASS, object_class);
  Require(p11->C_FindObjectsInit(session_, search.data(), search.size()) == CKR_OK, "C_FindObjectsInit");
  CK_OBJECT_HANDLE handles[16];
  CK_ULONG found = 0;
  Require(p11->C_FindObjects(session_, handles, 16, &found) == CKR_OK, "C_FindObjects");
  p11->C_FindObjectsFinal(session_);
  if (count != nullptr) *count = found;
  return found > 0 ? handles[0] : CK_INVALID_HANDLE;
}

std::size_t RawSession::Count(const std::string& label, unsigned long object_class) const {
  std::size_t count = 0;
  Find(label, object_class, &count);
  return count;
}

bool RawSession::Flag(const std::string& label, unsigned long object_class, unsigned long attribute) const {
  CK_BBOOL flag = CK_FALSE;
  CK_ATTRIBUTE read{attribute, &flag, sizeof flag};
  const CK_OBJECT_HANDLE handle = Find(label, object_class, nullptr);
  Require(P11(functions_)->C_GetAttributeValue(session_, handle, &read, 1) == CKR_OK, "C_GetAttributeValue");
  return flag != CK_FALSE;
}

void RawSession::PlantSecretKey(const std::string& label, bool extractable) const {
  hsm::AttributeTemplate key =
      hsm::SecretKeyTemplate(CKK_AES, hsm::Lifetime::kToken, extractable, {.wrap = true, .unwrap = true});
  key.Text(CKA_LABEL, label).Number(CKA_VALUE_LEN, 32);
  CK_MECHANISM generate{CKM_AES_KEY_GEN, nullptr, 0};
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  Require(P11(functions_)->C_GenerateKey(session_, &generate, key.data(), key.size(), &handle) == CKR_OK,
          "C_GenerateKey");
}

unsigned long RawSession::TokenFlags() const {
  CK_TOKEN_INFO info{};
  Require(P11(functions_)->C_GetTokenInfo(slot_, &info) == CKR_OK, "C_GetTokenInfo");
  return info.flags;
}

}  // namespace skms::test
