// What is said to and of a token: how to open it, what it is, which of our keys it holds, how it fares.
//
// Plain values.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "base/duration_histogram.h"
#include "base/result.h"
#include "base/secret_bytes.h"
#include "hsm/capabilities.h"

namespace skms::hsm {

struct TokenOptions {
  std::string module_path;       ///< shared object of the PKCS#11 module
  std::string init_args;         ///< parameter string for C_Initialize; empty: none, as the standard has it
  std::string label;             ///< token label, must be unique among the module's tokens
  std::string serial;            ///< optional; narrows the search, never replaces the label
  std::size_t max_sessions = 8;  ///< 1 to 1024; clipped to what the token tells
  std::chrono::milliseconds session_wait{2000};
};

struct TokenInfo {
  std::string label;
  std::string serial;
  std::string manufacturer;
  std::string model;
  std::string firmware;
  std::uint64_t max_sessions = 0;  ///< 0: the token does not say
};

/// One generation of each of our keys; 0 for none.
struct TokenKeyGenerations {
  std::uint32_t kek = 0;
  std::uint32_t mac = 0;
  std::uint32_t sign = 0;
  std::uint32_t transfer = 0;
  bool operator==(const TokenKeyGenerations&) const = default;
};

/// Generations of our keys that a token holds.
struct HeldGenerations {
  std::set<std::uint32_t> kek;
  std::set<std::uint32_t> mac;
  std::set<std::uint32_t> sign;
  std::set<std::uint32_t> transfer;

  bool Hold(const TokenKeyGenerations& all) const {
    return kek.count(all.kek) > 0 && mac.count(all.mac) > 0 && sign.count(all.sign) > 0 &&
           transfer.count(all.transfer) > 0;
  }
};

using Mac = std::array<std::uint8_t, 32>;

/// Where the PIN is read, anew for each opening: it is not kept in memory. Called by any thread, one at a
/// time.
using PinSource = std::function<Result<SecretBytes>()>;

struct TokenHealth {
  bool available = false;
  std::string trouble;  ///< why it is lost, one sentence; empty while it is available
  std::chrono::steady_clock::time_point since{};  ///< it is as it is
  std::uint64_t recoveries = 0;                   ///< losses that it came back from
};

/// One of several tokens, and how much of the work it gets.
struct TokenMember {
  TokenOptions options;
  PinSource pin;
  std::uint32_t weight = 1;  ///< 1 to 100, beside the others' weights; 0: only while no other is well
  /// Judges what it can do at each opening; an error keeps it out. Empty: any will do.
  std::function<Status(const Capabilities&)> accept{};
  /// Told what the token said to a PIN. Empty: nobody wants to know.
  std::function<void(const SecretBytes& pin, bool took)> answered{};
};

/// Of the sessions of a token, since it was opened last.
struct SessionTimes {
  DurationHistogram::Snapshot waited;  ///< for a session, by each who asked for one
  DurationHistogram::Snapshot held;    ///< from a lease to its return
  DurationHistogram::Snapshot inside;  ///< each call into the module
};

/// How a token of the list fares.
struct TokenStatus {
  TokenInfo info;  ///< its label alone until it was opened once
  std::uint32_t weight = 1;
  TokenHealth health;
  HeldGenerations held;      ///< as it was opened last; empty until then
  bool opened = false;       ///< since the start
  bool blank = false;        ///< it holds no keys of ours: it waits to join
  bool holds_all = false;    ///< the generations in use
  std::size_t leased = 0;    ///< sessions
  std::size_t sessions = 0;  ///< the pool's bound, 0 while it is lost
  SessionTimes times{};      ///< empty while it is lost
};

}  // namespace skms::hsm
