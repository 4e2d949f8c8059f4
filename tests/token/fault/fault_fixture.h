// FaultedToken: a SoftHSM token of the case's own, used through libskms_fault.so, with a control socket.
//
// The module's rules outlive C_Finalize and the library stays loaded, so that each case begins and ends with
// `clear`; counters go on through the whole program, and cases look at differences.
#pragma once

#include <p11-kit/pkcs11.h>

#include <map>
#include <string>
#include <vector>

#include "tests/support/temporary_directory.h"
#include "tests/token/soft_token.h"

namespace skms::test {

/// A client's connection to the control socket.
class ControlClient {
 public:
  explicit ControlClient(const std::string& path);
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;
  ~ControlClient();
  /// Lines before the last, and the last: "ok" or "error …"; "" when the connection was closed.
  std::string Run(const std::string& command, std::vector<std::string>* lines = nullptr) const;
  /// As it is, without the end of a line.
  bool Send(const std::string& text) const;
  std::string Answer(std::vector<std::string>* lines = nullptr) const;

 private:
  int fd_ = -1;
};

struct Counted {
  std::uint64_t calls = 0;
  std::uint64_t refused = 0;
  std::uint64_t nanoseconds = 0;
};

class FaultedToken {
 public:
  enum class Start { kLoggedIn, kInitialised, kLoaded };

  explicit FaultedToken(Start start = Start::kLoggedIn, const std::string& script = "");
  FaultedToken(const FaultedToken&) = delete;
  FaultedToken& operator=(const FaultedToken&) = delete;
  ~FaultedToken();

  CK_FUNCTION_LIST* operator->() const { return p11_; }
  CK_RV Initialise() const;
  CK_SLOT_ID Slot() const;
  CK_RV Open(CK_SESSION_HANDLE& session) const;
  CK_RV Login(CK_SESSION_HANDLE session) const;
  CK_RV Random(CK_SESSION_HANDLE session) const;
  CK_OBJECT_HANDLE MakeMacKey(CK_SESSION_HANDLE session) const;
  /// C_SignInit and C_Sign.
  CK_RV Sign(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) const;

  /// The last line of the answer.
  std::string Order(const std::string& command) const { return ControlClient(control_).Run(command); }
  std::vector<std::string> Lines(const std::string& command) const;
  std::map<std::string, Counted> Counters() const;

  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  const std::string& control() const { return control_; }
  const std::string& directory() const { return token_.directory(); }

 private:
  SoftToken token_;
  std::string control_;
  CK_FUNCTION_LIST* p11_ = nullptr;
};

}  // namespace skms::test
