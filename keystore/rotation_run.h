// What the scheduler remembers between runs: which services have nothing to do for a while, and which keys
// could not be rotated and are left alone until later. Losing it costs a look at the database, nothing else.
//
// Not thread-safe; KeyStore::RunRotation holds its lock.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <tuple>

#include "keystore/identifiers.h"

namespace skms::keystore {

class RotationMemory {
 public:
  /// Forgets what a change by others or a clock set back has made wrong.
  /// `changes` grows with what others than the scheduler changed.
  void Begin(std::uint64_t changes, std::int64_t now);
  /// After the log could not be emptied, for a while: each try keeps writers waiting.
  bool MayEmptyLog() const { return now_ >= empty_log_at_; }
  void EmptyLogLater() { empty_log_at_ = now_ + 60; }
  bool IsQuiet(const std::string& service) const;
  void QuietUntil(const std::string& service, std::int64_t time) { quiet_until_[service] = time; }

  bool IsLeftAlone(const Selector& selector) const;
  void LeaveAlone(const Selector& selector);
  std::size_t left_alone() const { return failed_until_.size(); }

 private:
  using Key = std::tuple<std::string, TargetKind, std::string>;
  std::int64_t now_ = std::numeric_limits<std::int64_t>::min();
  std::uint64_t changes_ = 0;
  std::int64_t empty_log_at_ = std::numeric_limits<std::int64_t>::min();
  std::map<std::string, std::int64_t> quiet_until_;
  std::map<Key, std::int64_t> failed_until_;
};

}  // namespace skms::keystore
