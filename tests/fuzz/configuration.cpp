// skms.yaml, and HAProxy's configuration that is made of it.
#include "appliance/config/configuration.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "base/api_root.h"
#include "provisioning/edge_config.h"
#include "tests/fuzz/property.h"

namespace skms::fuzz {
namespace {

using appliance::Configuration;

/// A file that lies in memory alone.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("skms.yaml", MFD_CLOEXEC)) {
    Require(descriptor_ >= 0, "there is a file in memory");
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(descriptor_); }

  std::string Holding(std::string_view text) const {
    Require(::ftruncate(descriptor_, 0) == 0, "the file is emptied");
    Require(::pwrite(descriptor_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()),
            "the file is written");
    return "/proc/self/fd/" + std::to_string(descriptor_);
  }

 private:
  int descriptor_;
};

bool Within(std::uint32_t value, std::uint32_t least, std::uint32_t most) {
  return value >= least && value <= most;
}

void CheckListener(const appliance::ListenSection& listen) {
  Require(listen.port <= 65535, "a port is one", std::to_string(listen.port));
  Require(Within(listen.max_connections, 1, 4096) && Within(listen.answer_time_ms, 100, 600000) &&
              Within(listen.request_time_ms, 100, 600000) && Within(listen.keep_alive_ms, 1, 60000),
          "a listener's limits are within theirs");
  Require(!listen.certificate.empty() && listen.certificate.front() == '/', "a path is whole",
          listen.certificate);
  Require(!listen.private_key.empty() && listen.private_key.front() == '/', "a path is whole",
          listen.private_key);
}

void CheckAccepted(const Configuration& configuration) {
  Require(IsApiRoot(configuration.skms.uri) && !configuration.skms.id.empty(), "the server has a name",
          configuration.skms.uri);
  Require(!configuration.tokens.empty() && configuration.tokens.size() <= appliance::kMaxTokens,
          "there is a token");
  for (const appliance::TokenSection& token : configuration.tokens)
    Require(!token.label.empty() && Within(token.max_sessions, 1, 1024) && token.weight <= 100,
            "a token is within its limits", token.label);
  Require(configuration.skms.also_known_as.size() <= appliance::kMaxAlsoKnownAs, "other names are few");
  CheckListener(configuration.listen);
  if (configuration.listen_ue.present) CheckListener(configuration.listen_ue.listen);
  Require(Within(configuration.limits.target_bytes, 256, 8000) &&
              Within(configuration.limits.body_bytes, 1024, 16U << 20U) &&
              Within(configuration.limits.header_bytes, 1024, 65536) &&
              configuration.access_token.leeway_s <= 30,
          "limits are within theirs");
  Require(configuration.limits.requests_per_second >= 0.01 && configuration.limits.burst >= 1,
          "a rate is one");
}

/// A line of HAProxy's configuration that stands at the margin, or that takes a value of ours.
bool IsHaproxyLine(std::string_view line) {
  if (line.empty() || line.substr(0, 2) == "# ") return true;
  if (line.substr(0, 4) == "    ") {
    constexpr std::string_view kBind = "    bind ";
    if (line.substr(0, kBind.size()) != kBind) return true;
    const std::string_view address = line.substr(kBind.size(), line.find(" ssl crt ") - kBind.size());
    return line.find(" ssl crt ") != std::string_view::npos &&
           address.find_first_not_of("0123456789abcdefABCDEF.:[]@ipv") == std::string_view::npos;
  }
  constexpr std::string_view kSections[] = {
      "global",       "defaults",      "frontend km_s",     "frontend km_uu",
      "backend km_s", "backend km_uu", "backend addresses", "backend clients"};
  return std::find(std::begin(kSections), std::end(kSections), line) != std::end(kSections);
}

void CheckEdge(const Configuration& configuration) {
  const auto files = provisioning::MakeEdgeFiles(configuration);
  if (files.has_error()) {
    Require(files.error().code == ErrorCode::kConfiguration && !files.error().detail.empty(),
            "what the edge cannot do is told", files.error().detail);
    return;
  }
  Require(appliance::BehindEdge(configuration), "there is an edge only where one is configured");
  const auto& [name, text] = files.value().texts.back();
  std::size_t frontends = 0;
  for (const std::string_view line : SplitAt(text, '\n')) {
    Require(!HasControl(line) && IsHaproxyLine(line), "no value of ours becomes a line of HAProxy's", line);
    frontends += line.substr(0, 9) == "frontend " ? 1U : 0U;
  }
  Require(frontends == 1 || frontends == 2, "there are as many listeners as configured", text);
}

void CheckConfiguration(std::string_view input) {
  static const MemoryFile file;
  const auto loaded = appliance::LoadConfiguration(file.Holding(input));
  if (loaded.has_error()) {
    const ErrorCode code = loaded.error().code;
    Require(code == ErrorCode::kConfiguration || code == ErrorCode::kTooLarge,
            "a bad configuration is told as one", loaded.error().Describe());
    Require(loaded.error().detail.rfind("/proc/self/fd/", 0) == 0, "and where it is", loaded.error().detail);
    return;
  }
  CheckAccepted(loaded.value());
  CheckEdge(loaded.value());
}

}  // namespace
}  // namespace skms::fuzz

SKMS_FUZZ_TARGET(configuration, skms::fuzz::CheckConfiguration)
