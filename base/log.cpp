#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "base/encoding.h"

namespace skms {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kCritical:
      break;
  }
  return spdlog::level::critical;
}

LogFormat chosen_format = LogFormat::kText;  // set before there is a second thread
thread_local std::string_view request_of_thread;

void Log(spdlog::level::level_enum level, std::string_view line) noexcept {
  try {
    if (spdlog::should_log(level))
      spdlog::log(level, "{}", FormatLogLine(line, request_of_thread, chosen_format));
  } catch (...) {
    // No memory for a line: the work that wrote it goes on.
  }
}

/// Octets of the character that `text` begins with; 0: it may not stand in a line.
std::size_t PrintableSize(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return first < 0x20 || first == 0x7F ? 0 : 1;
  const std::size_t size = first >= 0xF0 ? 4 : (first >= 0xE0 ? 3 : 2);
  const std::string_view character = text.substr(0, size);
  if (character.size() < size || !IsValidUtf8(character)) return 0;
  const bool c1 = first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
  const bool separator = character == "\u2028" || character == "\u2029";
  return c1 || separator ? 0 : size;
}

/// Of a text that holds no control character.
std::string InJsonString(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size() + 8);
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

void AppendEscaped(std::string& line, char c) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  const auto octet = static_cast<unsigned char>(c);
  line += "\\x";
  line += kDigits[octet >> 4U];
  line += kDigits[octet & 0xFU];
}

}  // namespace

void OpenLog(std::string_view name, LogLevel least, LogFormat format) {
  chosen_format = format;
  auto logger = spdlog::stderr_logger_mt(std::string(name));
  // journald adds its own time; elsewhere UTC with milliseconds.
  logger->set_pattern(format == LogFormat::kJson
                          ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","program":"%n",%v})"
                          : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                      spdlog::pattern_time_type::utc);
  logger->set_level(ToSpdlog(least));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
}

void LogInfo(std::string_view line) noexcept { Log(spdlog::level::info, line); }
void LogWarning(std::string_view line) noexcept { Log(spdlog::level::warn, line); }
void LogError(std::string_view line) noexcept { Log(spdlog::level::err, line); }
void LogCritical(std::string_view line) noexcept { Log(spdlog::level::critical, line); }

LogRequest::LogRequest(std::string_view id) noexcept : former_(std::exchange(request_of_thread, id)) {}
LogRequest::~LogRequest() { request_of_thread = former_; }

std::string FormatLogLine(std::string_view line, std::string_view request_id, LogFormat format) {
  const std::string text = OnOneLine(line);
  if (format == LogFormat::kText) {
    const bool named = request_id.empty() || text.find(request_id) != std::string::npos;
    return named ? text : text + " [request " + std::string(request_id) + "]";
  }
  std::string members = R"("message":")" + InJsonString(text) + '"';
  if (!request_id.empty()) members += R"(,"requestId":")" + InJsonString(OnOneLine(request_id)) + '"';
  return members;
}

std::string OnOneLine(std::string_view text) {
  std::string line;
  line.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = PrintableSize(text.substr(at));
    if (size == 0) {
      AppendEscaped(line, text[at++]);
      continue;
    }
    if (text[at] == '\\') line += '\\';
    line.append(text.substr(at, size));
    at += size;
  }
  return line;
}

}  // namespace skms
