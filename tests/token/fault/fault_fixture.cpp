#include "tests/token/fault/fault_fixture.h"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace skms::test {
namespace {

void SetEnvironment(const char* name, const std::string& value) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the case has no threads yet
  REQUIRE(::setenv(name, value.c_str(), 1) == 0);
}

}  // namespace

ControlClient::ControlClient(const std::string& path)
    : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

ControlClient::~ControlClient() { ::close(fd_); }

std::string ControlClient::Run(const std::string& command, std::vector<std::string>* lines) const {
  return Send(command + '\n') ? Answer(lines) : "";
}

bool ControlClient::Send(const std::string& text) const {
  return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string ControlClient::Answer(std::vector<std::string>* lines) const {
  std::string line;
  for (char octet = 0; ::recv(fd_, &octet, 1, 0) == 1;) {
    if (octet != '\n') {
      line += octet;
      continue;
    }
    if (line == "ok" || line.compare(0, 6, "error ") == 0) return line;
    if (lines != nullptr) lines->push_back(line);
    line.clear();
  }
  return "";
}

FaultedToken::FaultedToken(Start start, const std::string& script)
    : control_(token_.directory() + "/control") {
  SetEnvironment("SKMS_FAULT_MODULE", kSoftHsmModule);
  SetEnvironment("SKMS_FAULT_CONTROL", control_);
  SetEnvironment("SKMS_FAULT_SCRIPT", script.empty() ? "" : token_.directory() + "/script");
  if (!script.empty()) std::ofstream(token_.directory() + "/script") << script;
  void* library = ::dlopen(SKMS_FAULT_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  REQUIRE(get(&p11_) == CKR_OK);
  ::dlclose(library);  // it stays all the same
  if (start == Start::kLoaded) return;
  REQUIRE(Initialise() == CKR_OK);
  if (start == Start::kInitialised) return;
  REQUIRE(Open(session) == CKR_OK);
  REQUIRE(Login(session) == CKR_OK);
}

FaultedToken::~FaultedToken() {
  // A case may leave it forgetful or not initialised at all; after this it is neither, and then ended.
  Initialise();
  const ControlClient client(control_);
  CHECK(client.Run("clear") == "ok");
  CHECK(client.Run("away 0 slot +0") == "ok");
  CHECK(p11_->C_Finalize(nullptr) == CKR_OK);
}

CK_RV FaultedToken::Initialise() const {
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  return p11_->C_Initialize(&arguments);
}

CK_SLOT_ID FaultedToken::Slot() const {
  CK_SLOT_ID slots[16];
  CK_ULONG count = 16;
  REQUIRE(p11_->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK);
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_TOKEN_INFO info{};
    if (p11_->C_GetTokenInfo(slots[i], &info) == CKR_OK && (info.flags & CKF_TOKEN_INITIALIZED) != 0)
      return slots[i];
  }
  FAIL("no token");
  return 0;
}

CK_RV FaultedToken::Open(CK_SESSION_HANDLE& opened) const {
  return p11_->C_OpenSession(Slot(), CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &opened);
}

CK_RV FaultedToken::Login(CK_SESSION_HANDLE with) const {
  std::string pin(SoftToken::kPin);
  return p11_->C_Login(with, CKU_USER, reinterpret_cast<CK_UTF8CHAR*>(pin.data()), pin.size());
}

CK_RV FaultedToken::Random(CK_SESSION_HANDLE with) const {
  CK_BYTE octets[8];
  return p11_->C_GenerateRandom(with, octets, sizeof octets);
}

CK_OBJECT_HANDLE FaultedToken::MakeMacKey(CK_SESSION_HANDLE with) const {
  CK_BBOOL yes = CK_TRUE;
  CK_ULONG bytes = 32;
  CK_ATTRIBUTE attributes[] = {{CKA_SIGN, &yes, sizeof yes}, {CKA_VALUE_LEN, &bytes, sizeof bytes}};
  CK_MECHANISM generate{CKM_GENERIC_SECRET_KEY_GEN, nullptr, 0};
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  REQUIRE(p11_->C_GenerateKey(with, &generate, attributes, 2, &key) == CKR_OK);
  return key;
}

CK_RV FaultedToken::Sign(CK_SESSION_HANDLE with, CK_OBJECT_HANDLE key) const {
  CK_MECHANISM mac{CKM_SHA256_HMAC, nullptr, 0};
  const CK_RV rv = p11_->C_SignInit(with, &mac, key);
  if (rv != CKR_OK) return rv;
  CK_BYTE message[16] = {};
  CK_BYTE signature[32];
  CK_ULONG size = sizeof signature;
  return p11_->C_Sign(with, message, sizeof message, signature, &size);
}

std::vector<std::string> FaultedToken::Lines(const std::string& command) const {
  std::vector<std::string> lines;
  CHECK(ControlClient(control_).Run(command, &lines) == "ok");
  return lines;
}

std::map<std::string, Counted> FaultedToken::Counters() const {
  std::map<std::string, Counted> counters;
  for (const std::string& line : Lines("counters")) {
    std::istringstream words(line);
    std::string name;
    Counted counted;
    words >> name >> counted.calls >> counted.refused >> counted.nanoseconds;
    counters[name] = counted;
  }
  return counters;
}

}  // namespace skms::test
