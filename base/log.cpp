#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

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

void Log(spdlog::level::level_enum level, std::string_view line) noexcept {
  try {
    if (spdlog::should_log(level)) spdlog::log(level, "{}", OnOneLine(line));
  } catch (...) {
    // No memory for a line: the work that wrote it goes on.
  }
}

}  // namespace

void OpenLog(std::string_view name, LogLevel least) {
  auto logger = spdlog::stderr_logger_mt(std::string(name));
  // journald adds its own time; elsewhere UTC with milliseconds.
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  logger->set_level(ToSpdlog(least));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
}

void LogInfo(std::string_view line) noexcept { Log(spdlog::level::info, line); }
void LogWarning(std::string_view line) noexcept { Log(spdlog::level::warn, line); }
void LogError(std::string_view line) noexcept { Log(spdlog::level::err, line); }
void LogCritical(std::string_view line) noexcept { Log(spdlog::level::critical, line); }

std::string OnOneLine(std::string_view text) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string line;
  line.reserve(text.size());
  for (const char c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7F) {
      line += "\\x";
      line += kDigits[octet >> 4U];
      line += kDigits[octet & 0xFU];
    } else if (c == '\\') {
      line += "\\\\";
    } else {
      line += c;
    }
  }
  return line;
}

}  // namespace skms
