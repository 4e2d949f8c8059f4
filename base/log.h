// The log of the appliance: lines on standard error, which journald keeps. No secret goes here; what a client
// sent may, and cannot break a line: a control character, or what is no UTF-8, is written as \xNN. spdlog
// stays behind this header, since its own cost more compile time than all of ours together.
//
// Thread-safe. None of the functions throws.
#pragma once

#include <string>
#include <string_view>

namespace skms {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kCritical };

enum class LogFormat {
  kText,  ///< "time level line", and at its end "[request ID]" where the line does not name it itself
  kJson,  ///< one object a line: time, level, program, message, and requestId within a request
};

/// Sends the lines from `least` up to standard error. Call once, before other threads start.
void OpenLog(std::string_view name, LogLevel least, LogFormat format = LogFormat::kText);

/// While it lives, lines that this thread writes bear the id of the request that it serves.
class LogRequest {
 public:
  /// `id` must outlive it.
  explicit LogRequest(std::string_view id) noexcept;
  LogRequest(const LogRequest&) = delete;
  LogRequest& operator=(const LogRequest&) = delete;
  ~LogRequest();

 private:
  const std::string_view former_;
};

/// What kText and kJson make of a line; of kJson the members from "message" on.
std::string FormatLogLine(std::string_view line, std::string_view request_id, LogFormat format);

void LogInfo(std::string_view line) noexcept;
void LogWarning(std::string_view line) noexcept;   ///< goes on, and someone should look
void LogError(std::string_view line) noexcept;     ///< something asked for was not done
void LogCritical(std::string_view line) noexcept;  ///< the service ends, or holds

/// `text` with every octet of a control character (C0, DEL, C1), of a line or paragraph separator (U+2028,
/// U+2029) and of what is no UTF-8 as \xNN, and a backslash doubled.
std::string OnOneLine(std::string_view text);

}  // namespace skms
