// InheritedListeners: listening sockets that the service manager made and keeps (sd_listen_fds(3)), so that
// no connection is refused while one process of ours follows another.
//
// One thread. What is not taken is closed by the destructor.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace skms::http {

class InheritedListeners {
 public:
  InheritedListeners() = default;
  /// Owns `descriptors` from now on. Errors: kConfiguration (one of them does not listen for streams).
  static Result<InheritedListeners> Of(const std::vector<int>& descriptors);
  InheritedListeners(InheritedListeners&& other) noexcept;
  InheritedListeners& operator=(InheritedListeners&& other) noexcept;
  InheritedListeners(const InheritedListeners&) = delete;
  InheritedListeners& operator=(const InheritedListeners&) = delete;
  ~InheritedListeners();

  bool empty() const { return listeners_.empty(); }
  bool HasUnix(const std::string& path) const;
  /// Owns one more. Errors: as Of.
  Status Add(int descriptor);
  /// The same sockets again, for another to take: what is closed of the one stays open in the other. Errors:
  /// kIo.
  Result<InheritedListeners> Duplicate() const;
  /// The one that is bound to this path, or to this IP address and port; it is the caller's from now on.
  std::optional<int> TakeUnix(const std::string& path);
  std::optional<int> TakeTcp(const std::string& address, int port);
  /// kConfiguration naming those that nobody took: whoever connects to them would wait for ever.
  Status CheckAllTaken() const;

 private:
  struct Listener {
    int descriptor;
    std::string where;  ///< a path, or "address:port"
  };
  std::optional<int> Take(const std::string& where);
  static Status Check(const Listener& one);

  std::vector<Listener> listeners_;
};

}  // namespace skms::http
