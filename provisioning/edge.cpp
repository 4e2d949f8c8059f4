// edge: HAProxy's configuration, made of ours.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <system_error>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "provisioning/commands.h"
#include "provisioning/edge_config.h"
#include "provisioning/output.h"
#include "provisioning/program.h"

namespace skms::provisioning {
namespace {

namespace fs = std::filesystem;

/// A new directory beside the files that it is to replace; removed at the end.
class Draft {
 public:
  static Result<Draft> In(const std::string& directory) {
    std::string path = directory + "/.draft-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return IoError(path, errno);
    return Draft(path);
  }
  explicit Draft(std::string path) : path_(std::move(path)) {}
  Draft(Draft&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  Draft& operator=(Draft&&) = delete;
  ~Draft() {
    std::error_code ignored;  // what is left is a directory of a name that says so
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

Status WriteAll(const Draft& draft, const EdgeFiles& files) {
  for (const auto& [name, target] : files.links) {
    if (::symlink(target.c_str(), draft.File(name).c_str()) != 0) return IoError(draft.File(name), errno);
  }
  for (const auto& [name, text] : files.texts)
    SKMS_TRYV(WriteFileAtomically(draft.File(name), AsBytes(text), 0644));
  return Ok();
}

/// Whether `program -c -q -f file` finds nothing wrong.
Status Check(const std::string& program, const std::string& file) {
  const auto said = RunProgram({program, "-c", "-q", "-f", file});
  if (said.has_error()) {
    return ConfigurationError(
        "HAProxy cannot be run (" + said.error().detail +
        "); install HAProxy (apt-get install haproxy), say where it is with --haproxy, or "
        "do without the check with --no-check");
  }
  if (said.value().exit_code == 0) return Ok();
  return ConfigurationError("HAProxy refuses what these settings make, and nothing was changed; it says:\n" +
                            said.value().text);
}

/// Links first and HAProxy's file last: it never names what is not there yet.
Status MoveAll(const Draft& draft, const EdgeFiles& files, const std::string& directory) {
  const auto move = [&](const std::string& name) -> Status {
    const std::string to = directory + "/" + name;
    return ::rename(draft.File(name).c_str(), to.c_str()) == 0 ? Ok() : Status(IoError(to, errno));
  };
  for (const auto& [name, target] : files.links) SKMS_TRYV(move(name));
  // What was there for settings that are no more would be taken up, too.
  for (const char* listener : {"km_s.pem", "km_uu.pem"}) {
    for (const char* ending : {"", ".key", ".ocsp"}) {
      const std::string name = std::string(listener) + ending;
      const bool wanted = std::any_of(files.links.begin(), files.links.end(),
                                      [&](const auto& link) { return link.first == name; });
      const std::string path = directory + "/" + name;
      if (!wanted && ::unlink(path.c_str()) != 0 && errno != ENOENT) return IoError(path, errno);
    }
  }
  for (const auto& [name, text] : files.texts) SKMS_TRYV(move(name));
  return Ok();
}

/// As the daemon does where it reads the key itself.
Status CheckKeyModes(const EdgeFiles& files) {
  for (const auto& [name, target] : files.links) {
    struct stat found {};
    if (name.size() < 4 || name.substr(name.size() - 4) != ".key" || ::stat(target.c_str(), &found) != 0)
      continue;
    if ((found.st_mode & (S_IRWXO | S_IWGRP)) != 0)
      return ConfigurationError(target + ": readable by others; run: chmod 0640 " + target);
  }
  return Ok();
}

}  // namespace

Result<appliance::Configuration> LoadWithWholePaths(Session session) {
  std::error_code failed;
  session.config_path = fs::absolute(session.config_path, failed).string();
  if (failed) return IoError(session.config_path, failed.value());
  return session.LoadConfiguration();
}

void DescribeEdgeConfig(OptionsDescription& options) {
  namespace po = boost::program_options;
  options.add_options()(
      "directory", po::value<std::string>()->value_name("FILE")->default_value(kEdgeDirectory),
      "where to write haproxy.cfg and what it refers to")("print", "show haproxy.cfg, write nothing")(
      "haproxy", po::value<std::string>()->value_name("FILE")->default_value(kHaproxy),
      "the program that checks it")("no-check", "do not have HAProxy check it");
}

Status RunEdgeConfig(const Session& session, const Options& options) {
  SKMS_TRY(const appliance::Configuration configuration, LoadWithWholePaths(session));
  SKMS_TRY(const EdgeFiles files, MakeEdgeFiles(configuration));
  if (options.count("print") > 0) {
    std::cout << files.texts.back().second;
    return Ok();
  }
  const auto directory = options["directory"].as<std::string>();
  SKMS_TRYV(CheckKeyModes(files));
  const bool made = ::mkdir(directory.c_str(), 0755) == 0;
  if (!made && errno != EEXIST) return IoError(directory, errno);
  // Whatever the umask: HAProxy's user must come in.
  if (made && ::chmod(directory.c_str(), 0755) != 0) return IoError(directory, errno);
  const bool checked = options.count("no-check") == 0;
  SKMS_TRY(const Draft draft, Draft::In(directory));
  SKMS_TRYV(WriteAll(draft, files));
  if (checked) SKMS_TRYV(Check(options["haproxy"].as<std::string>(), draft.File(kHaproxyFile)));
  SKMS_TRYV(MoveAll(draft, files, directory));
  PrintDone(session.json, "edge", directory + "/" + kHaproxyFile, checked ? "checked" : "written",
            directory + "/" + kHaproxyFile + " is written" +
                (checked ? ", and HAProxy finds nothing wrong" : "") +
                "\nlet a running edge take it up: systemctl reload skms-edge");
  return Ok();
}

}  // namespace skms::provisioning
