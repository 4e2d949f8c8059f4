#include "api/http/request_reader.h"

namespace skms::http {

std::optional<std::size_t> ReadHead(Connection& connection, const Limits& limits, std::string& buffered,
                                    std::chrono::steady_clock::time_point deadline, bool stoppable,
                                    std::optional<ProblemDetails>& oversize) {
  const std::size_t most = limits.max_header_bytes + limits.max_target_bytes;
  std::size_t searched = 0;
  for (;;) {
    const std::size_t end = buffered.find("\r\n\r\n", searched > 3 ? searched - 3 : 0);
    if (end != std::string::npos && end + 4 <= most) return end + 4;
    const bool long_line =
        buffered.size() > limits.max_target_bytes + 64 && buffered.find('\n') == std::string::npos;
    if (buffered.size() > most || long_line) {
      oversize = OversizeProblem(buffered);
      return std::nullopt;
    }
    searched = buffered.size();
    char chunk[8192];
    const std::size_t got = connection.Read(chunk, sizeof chunk, deadline, stoppable);
    if (got == 0) return std::nullopt;
    buffered.append(chunk, got);
  }
}

bool ReadBody(Connection& connection, const RequestHead& head, std::string& buffered, std::string& body,
              std::chrono::steady_clock::time_point deadline) {
  if (head.body_bytes == 0) return true;
  if (head.expects_continue && !connection.WriteAll("HTTP/1.1 100 Continue\r\n\r\n", deadline)) return false;
  while (buffered.size() < head.body_bytes) {
    char chunk[8192];
    const std::size_t got = connection.Read(chunk, sizeof chunk, deadline, false);
    if (got == 0) return false;
    buffered.append(chunk, got);
  }
  body = buffered.substr(0, head.body_bytes);
  buffered.erase(0, head.body_bytes);
  return true;
}

}  // namespace skms::http
