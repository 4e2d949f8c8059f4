// The edge: HAProxy's files as the configuration makes them, and the sockets before it.
#include <sys/stat.h>

#include <filesystem>
#include <system_error>

#include "base/file.h"
#include "provisioning/doctor.h"
#include "provisioning/edge_config.h"
#include "provisioning/output.h"
#include "provisioning/program.h"

namespace skms::provisioning {
namespace {

namespace fs = std::filesystem;

/// The first file that is not what the configuration makes; empty: none.
std::string Outdated(const EdgeFiles& files, const std::string& directory) {
  for (const auto& [name, text] : files.texts) {
    const auto there = ReadFile(directory + "/" + name, 4U << 20U);
    if (there.has_error() || there.value() != text) return directory + "/" + name;
  }
  for (const auto& [name, target] : files.links) {
    std::error_code failed;
    if (fs::read_symlink(directory + "/" + name, failed).string() != target || failed)
      return directory + "/" + name;
  }
  return "";
}

void ExamineSocket(const std::string& path, Findings& found) {
  struct stat seen {};
  if (::stat(path.c_str(), &seen) == 0 && S_ISSOCK(seen.st_mode)) return found.Ok("edge socket", path);
  found.Fail("edge socket", path + " is not there, and the daemon runs",
             "systemctl restart skmsd-edge.socket skmsd");
}

}  // namespace

void ExamineEdge(const appliance::Configuration& configuration, const std::string& directory,
                 const std::string& haproxy, const DaemonSeen& daemon, Findings& found) {
  if (!appliance::BehindEdge(configuration)) return;
  const std::string cure = "skmsctl --config " + ShellWord(configuration.path) + " edge config --directory " +
                           ShellWord(directory) + " && systemctl reload skms-edge";
  const auto files = MakeEdgeFiles(configuration);
  if (files.has_error()) return found.Fail("edge files", files.error().detail, cure);
  if (const std::string outdated = Outdated(files.value(), directory); !outdated.empty()) {
    found.Fail("edge files", outdated + " is not what " + configuration.path + " makes", cure);
  } else {
    found.Ok("edge files", directory + " is what the configuration makes");
  }
  const std::string file = directory + "/" + kHaproxyFile;
  const auto said = RunProgram({haproxy, "-c", "-q", "-f", file});
  if (said.has_error()) {
    found.Fail("HAProxy", said.error().detail, "apt-get install haproxy");
  } else if (said.value().exit_code != 0) {
    found.Fail("HAProxy", "it refuses " + file, ShellWord(haproxy) + " -c -f " + ShellWord(file));
  } else {
    found.Ok("HAProxy", "it finds nothing wrong with " + file);
  }
  if (!daemon.answers || daemon.locked) return;
  ExamineSocket(configuration.edge.socket, found);
  if (configuration.listen_ue.present) ExamineSocket(configuration.edge.ue_socket, found);
}

}  // namespace skms::provisioning
