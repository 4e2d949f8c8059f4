// skmsd: the SEAL key management server.
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "api/http/inherited_listeners.h"
#include "appliance/appliance.h"
#include "appliance/entered_pins.h"
#include "appliance/locked_appliance.h"
#include "appliance/manual.h"
#include "appliance/process_hardening.h"
#include "appliance/watchdog.h"
#include "base/log.h"

namespace {

namespace po = boost::program_options;
using skms::Error;
using skms::ErrorCode;
using skms::LogCritical;
using skms::LogInfo;
using skms::LogLevel;
using skms::Status;
using skms::appliance::Appliance;
using skms::appliance::Configuration;
using skms::appliance::EnteredPins;
using skms::appliance::LockedAppliance;
using skms::appliance::StartsLocked;
using skms::appliance::Watchdog;

using skms::appliance::kExitConfiguration;
using skms::appliance::kExitFailed;
using skms::appliance::kExitPin;
using skms::appliance::kExitToken;
using skms::appliance::kExitUsage;

int ExitCodeFor(ErrorCode code) {
  switch (code) {
    case ErrorCode::kPinIncorrect:
      return kExitPin;
    case ErrorCode::kTokenUnavailable:
    case ErrorCode::kTokenNotFound:
    case ErrorCode::kTokenAmbiguous:
    case ErrorCode::kTokenBlank:
    case ErrorCode::kToken:
    case ErrorCode::kUnsupported:
      return kExitToken;
    case ErrorCode::kConfiguration:
    case ErrorCode::kIo:
    case ErrorCode::kStorage:
    case ErrorCode::kNewerSchema:
    case ErrorCode::kIntegrity:
      return kExitConfiguration;
    default:
      return kExitFailed;
  }
}

int Fail(const Error& error) {
  LogCritical(error.Describe());
  return ExitCodeFor(error.code);
}

LogLevel LeastLogged(const std::string& level) {
  if (level == "debug") return LogLevel::kDebug;
  if (level == "warn") return LogLevel::kWarning;
  return level == "error" ? LogLevel::kError : LogLevel::kInfo;
}

/// Waits for SIGTERM or SIGINT; false when a listener ended first.
bool WaitForStop(const sigset_t& signals, const Appliance& appliance) {
  const timespec one_second{1, 0};
  for (;;) {
    const int signal = ::sigtimedwait(&signals, nullptr, &one_second);
    if (signal == SIGTERM || signal == SIGINT) {
      LogInfo("stopping on signal " + std::to_string(signal) + "; requests in flight finish first");
      return true;
    }
    if (!appliance.healthy()) return false;
  }
}

/// A call that hangs in the token's module cannot be ended, only left. What was answered is in the database.
void EndAnyway(std::chrono::milliseconds after, int exit_code) {
  std::thread([after, exit_code] {
    std::this_thread::sleep_for(after);
    LogCritical(
        "what is still at work does not come back, as when a call hangs in the token's module; ended without "
        "it");
    std::_Exit(exit_code);
  }).detach();
}

/// How long requests are waited for that have begun when the end is asked for: as long as they may take, and
/// a while at least, for a key ceremony has no limit of its own. The unit's TimeoutStopSec is longer.
std::chrono::milliseconds LongestRequest(const Configuration& configuration) {
  constexpr std::uint32_t kLeast = 25000;
  const auto most = [](const auto& listen) { return 2 * listen.request_time_ms + listen.answer_time_ms; };
  const std::uint32_t ue = configuration.listen_ue.present ? most(configuration.listen_ue.listen) : 0;
  const std::uint32_t remote =
      configuration.listen_admin.present ? 2 * configuration.listen_admin.listen.request_time_ms : 0;
  return std::chrono::milliseconds(std::max({kLeast, most(configuration.listen), ue, remote}));
}

/// A token that hangs may have been left behind, and must not keep the process from telling why it ends.
int FailAndEnd(const Error& error) {
  const int exit_code = Fail(error);
  EndAnyway(std::chrono::seconds(15), exit_code);
  return exit_code;
}

skms::Result<skms::http::InheritedListeners> Inherited() {
  const int count = ::sd_listen_fds(1);
  if (count < 0) return skms::ConfigurationError("the sockets of the service manager cannot be taken over");
  std::vector<int> descriptors;
  descriptors.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) descriptors.push_back(SD_LISTEN_FDS_START + i);
  return skms::http::InheritedListeners::Of(descriptors);
}

using Opened = skms::Result<std::unique_ptr<Appliance>>;

/// Serves nothing but the admin socket until somebody gives a PIN that works. nullptr: a signal came first.
Opened AwaitUnlock(const sigset_t& signals, LockedAppliance& locked) {
  const timespec short_while{0, 50'000'000};
  for (int round = 0;; ++round) {
    if (auto opened = locked.TakeOpened()) return opened;
    if (!locked.healthy()) return Error{ErrorCode::kIo, "the admin socket's listener ended by itself"};
    const int signal = ::sigtimedwait(&signals, nullptr, &short_while);
    if (signal == SIGTERM || signal == SIGINT) return std::unique_ptr<Appliance>();
    if (round % 20 == 0) sd_notify(0, "WATCHDOG=1");
  }
}

/// With sockets of the service manager a refused PIN does not end this process: whoever connects would have
/// it started again, and the PIN sent again, until the token is locked.
Opened OpenOrWait(const Configuration& configuration, skms::http::InheritedListeners inherited,
                  const sigset_t& signals, std::unique_ptr<LockedAppliance>& locked) {
  Error why{ErrorCode::kLocked, "the server waits for the PIN of its token"};
  const bool sockets_held = !inherited.empty();
  const auto pins = std::make_shared<EnteredPins>();
  if (!StartsLocked(configuration)) {
    SKMS_TRY(skms::http::InheritedListeners again, inherited.Duplicate());
    auto opened = Appliance::Open(configuration, std::move(again), pins);
    const bool refused = opened.has_error() && opened.error().code == ErrorCode::kPinIncorrect;
    if (!refused || !sockets_held) return opened;
    why = opened.error();
    why.detail = "the token refused the PIN that the daemon read (" + why.Describe() + ")";
    LogCritical(why.detail);
  }
  SKMS_TRY(locked, LockedAppliance::Start(configuration, std::move(inherited), pins, why));
  LogInfo("locked: " + why.detail + "; waiting for: skmsctl unlock");
  sd_notify(0, "READY=1\nSTATUS=locked: waiting for skmsctl unlock");
  return AwaitUnlock(signals, *locked);
}

/// Before the PIN is read.
Status LockMemoryAs(const std::string& asked) {
  if (asked == "off") return skms::Ok();
  Status locked = skms::appliance::LockMemory();
  if (locked.has_value() || asked == "required") return locked;
  skms::LogWarning("memory is not locked, so that what is secret in it may be swapped out: " +
                   locked.error().detail);
  return skms::Ok();
}

int Serve(const Configuration& configuration) {
  const Status memory = LockMemoryAs(configuration.memory.lock);
  if (memory.has_error()) return Fail(memory.error());
  // Blocked before any thread starts, so that only WaitForStop sees them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  auto inherited = Inherited();
  if (inherited.has_error()) return Fail(inherited.error());
  std::unique_ptr<LockedAppliance> locked;
  auto opened = OpenOrWait(configuration, std::move(inherited).value(), signals, locked);
  if (opened.has_error()) return FailAndEnd(opened.error());
  if (!opened.value()) {
    LogInfo("stopped; it was locked");
    // A token that hangs while it is opened must not keep us.
    EndAnyway(std::chrono::seconds(15), 0);
    locked.reset();
    return 0;
  }
  Appliance& appliance = *opened.value();

  const Status started = appliance.Start();
  if (started.has_error()) return FailAndEnd(started.error());
  const std::string where = BehindEdge(configuration)
                                ? configuration.edge.socket + " for the edge"
                                : configuration.listen.address + ":" + std::to_string(appliance.port());
  LogInfo("skmsd " + std::string(skms::appliance::kVersion) + " serves " + configuration.skms.uri + " on " +
          where + ", token '" + appliance.token().label + "' serial " + appliance.token().serial);
  sd_notify(0, "READY=1\nSTATUS=serving");
  std::optional<Watchdog> watchdog;
  std::uint64_t patience_us = 0;
  if (::sd_watchdog_enabled(1, &patience_us) > 0) {
    watchdog.emplace(
        std::chrono::microseconds(patience_us), [&appliance] { return appliance.CheckAnswers(); },
        [] { sd_notify(0, "WATCHDOG=1"); });
    watchdog->Start();
  }

  const bool asked = WaitForStop(signals, appliance);
  EndAnyway(LongestRequest(configuration), asked ? 0 : kExitFailed);
  sd_notify(0, "STOPPING=1");
  if (watchdog) watchdog->BeginStop();
  appliance.Stop();
  if (watchdog) watchdog->Stop();
  if (!asked) {
    LogCritical("a listener ended by itself");
    return kExitFailed;
  }
  LogInfo("stopped");
  return 0;
}

int Run(int argc, const char* const* argv) {
  const skms::manual::Program manual = skms::appliance::Manual();
  po::variables_map given;
  po::store(po::command_line_parser(argc, argv).options(manual.options).positional({}).run(), given);
  po::notify(given);
  const auto path = given["config"].as<std::string>();
  if (given.count("help") > 0) {
    std::cout << skms::appliance::Help();
    return 0;
  }
  if (given.count("manual") > 0) {
    std::cout << skms::manual::ManPage(manual);
    return 0;
  }
  if (given.count("completion") > 0) {
    const std::string script = skms::manual::CompletionFor(manual, given["completion"].as<std::string>());
    if (script.empty()) throw po::error("there is completion for bash and zsh");
    std::cout << script;
    return 0;
  }
  if (given.count("version") > 0) {
    std::cout << "skmsd " << skms::appliance::kVersion << '\n';
    return 0;
  }
  const auto configuration = skms::appliance::LoadConfiguration(path);
  if (given.count("check-config") > 0) {
    if (configuration.has_error()) {
      std::cerr << "skmsd: " << configuration.error().detail << '\n';
      return kExitConfiguration;
    }
    std::cout << path << ": configuration OK\n";
    return 0;
  }
  const skms::appliance::LogSection log =
      configuration.has_value() ? configuration.value().log : skms::appliance::LogSection{};
  skms::OpenLog("skmsd", LeastLogged(log.level),
                log.format == "json" ? skms::LogFormat::kJson : skms::LogFormat::kText);
  if (configuration.has_error()) return Fail(configuration.error());
  return Serve(configuration.value());
}

}  // namespace

int main(int argc, char** argv) {
  const Status hardened = skms::appliance::HardenProcess();
  if (hardened.has_error()) {
    std::cerr << "skmsd: " << hardened.error().detail << '\n';
    return kExitFailed;
  }
  try {
    return Run(argc, argv);
  } catch (const po::error& error) {
    std::cerr << "skmsd: " << error.what() << "\n  see: skmsd --help\n";
    return kExitUsage;
  } catch (const std::exception& error) {
    std::cerr << "skmsd: unexpected: " << error.what() << '\n';
    return kExitFailed;
  }
}
