// Files: who owns them and who may read them; certificates, keys and CRLs.
#include <pwd.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "base/clock.h"
#include "base/file.h"
#include "base/x509_file.h"
#include "provisioning/doctor.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDay = 86400;

std::string Octal(mode_t mode) {
  std::ostringstream text;
  text << '0' << std::oct << (mode & 07777U);
  return text.str();
}

std::string UserName(uid_t uid) {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  const int failed = ::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return failed == 0 && found != nullptr ? found->pw_name : std::to_string(uid);
}

/// How a file must be.
struct Wanted {
  std::string check;
  std::string path;
  mode_t forbidden = 077;  ///< permission bits
  std::string mode;        ///< for the cure
  std::optional<uid_t> owner{};
  std::string if_missing{};  ///< the cure; empty: it need not be there
  bool may_be_link = false;  ///< of root's; elsewhere whoever made it would have root change what it leads to
};

/// What this user may not read is neither missing nor wrong.
std::string CureOf(const std::string& path, std::string cure) {
  return ::access(path.c_str(), R_OK) != 0 && errno == EACCES ? kAsRoot : std::move(cure);
}

void ExamineFile(const Wanted& wanted, Findings& found) {
  struct stat seen {};
  const bool there =
      (wanted.may_be_link ? ::stat(wanted.path.c_str(), &seen) : ::lstat(wanted.path.c_str(), &seen)) == 0;
  if (!there && (errno == EACCES || errno == EPERM))
    return found.Warn(wanted.check, wanted.path + ": this user may not look at it", kAsRoot);
  if (!there) {
    if (!wanted.if_missing.empty())
      found.Fail(wanted.check, wanted.path + ": " + std::system_category().message(errno), wanted.if_missing);
    return;
  }
  const std::string path = ShellWord(wanted.path);
  if (S_ISLNK(seen.st_mode)) {
    found.Fail(wanted.check, wanted.path + " is a symbolic link, which nothing here makes",
               "ls -l " + path + "  # who made it, and why? put the file itself there");
  } else if ((seen.st_mode & wanted.forbidden) != 0) {
    found.Fail(wanted.check, wanted.path + " has mode " + Octal(seen.st_mode) + ": too open",
               "chmod " + wanted.mode + " " + path);
  } else if (wanted.owner && seen.st_uid != *wanted.owner) {
    found.Fail(wanted.check,
               wanted.path + " is " + UserName(seen.st_uid) + "'s, and the rest of the server " +
                   UserName(*wanted.owner) + "'s",
               "chown -h " + UserName(*wanted.owner) + " " + path);
  } else {
    found.Ok(wanted.check,
             wanted.path + ", mode " + Octal(seen.st_mode) + ", " + UserName(seen.st_uid) + "'s");
  }
}

/// The daemon's user: the package's where the configuration is the package's, else whom the state directory
/// belongs to.
std::optional<uid_t> DaemonUser(const appliance::Configuration& configuration, const std::string& directory) {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  const bool packaged = configuration.path.rfind("/etc/skms/", 0) == 0;
  if (packaged && ::getpwnam_r("skms", &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
    return found->pw_uid;
  struct stat seen {};
  if (::lstat(directory.c_str(), &seen) != 0) return std::nullopt;
  return seen.st_uid;
}

void ExaminePins(const appliance::Configuration& configuration, std::optional<uid_t> owner, Findings& found) {
  for (const appliance::TokenSection& token : configuration.tokens) {
    const std::string check = "PIN of " + token.label;
    if (token.attended) {
      found.Ok(check, "an administrator types it (skmsctl unlock)");
    } else if (token.pin_file.empty()) {
      constexpr const char* kCredential = "/etc/credstore.encrypted/skms-pin";
      ExamineFile({check, kCredential, 0077, "0600", std::nullopt,
                   std::string("systemd-ask-password -n PIN: | systemd-creds encrypt --name=skms-pin - ") +
                       kCredential},
                  found);
    } else {
      ExamineFile({check, token.pin_file, 0077, "0400", owner,
                   "systemd-ask-password -n PIN: | install -m 0400 -o " + UserName(owner.value_or(0)) +
                       " /dev/stdin " + ShellWord(token.pin_file)},
                  found);
    }
  }
}

/// SoftHSM's tokens are files: whoever reads them may try PINs for ever.
void ExamineSoftTokens(const appliance::Configuration& configuration, Findings& found) {
  if (configuration.token.module.find("softhsm") == std::string::npos) return;
  const char* named = ::secure_getenv("SOFTHSM2_CONF");  // NOLINT(concurrency-mt-unsafe): there is one thread
  const std::string file = named != nullptr ? named : "/etc/softhsm/softhsm2.conf";
  const auto text = ReadFile(file);
  if (text.has_error()) {
    return found.Warn("token directory", text.error().detail, CureOf(file, "apt-get install softhsm2"));
  }
  std::istringstream lines(text.value());
  std::string directory;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find('=');
    if (line.rfind("directories.tokendir", 0) != 0 || equals == std::string::npos) continue;
    const std::size_t first = line.find_first_not_of(" \t", equals + 1);
    directory = first == std::string::npos ? "" : line.substr(first);
  }
  if (directory.empty())
    return found.Fail("token directory", "SoftHSM's configuration names none (directories.tokendir)",
                      "softhsm2-util --show-slots");
  ExamineFile({"token directory", directory, 0022, "go-w", std::nullopt, "softhsm2-util --show-slots"},
              found);
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(directory, failed)) {
    if (entry.is_directory(failed)) ExamineFile({"token files", entry.path().string(), 0077, "0700"}, found);
  }
  if (failed)
    found.Fail("token files", directory + ": " + failed.message(),
               CureOf(directory, "chmod u+rwx " + ShellWord(directory)));
}

std::string RestartOf(const appliance::Configuration& configuration) {
  return appliance::BehindEdge(configuration) ? "skmsctl edge config && systemctl reload skms-edge"
                                              : "systemctl restart skmsd";
}

struct Listener {
  std::string name;
  const appliance::ListenSection* section;
};

void ExamineCertificateFile(const std::string& check, const std::string& path, std::int64_t now,
                            const std::string& cure, Findings& found) {
  const auto dates = ReadCertificateDates(path);
  if (dates.has_error()) return found.Fail(check, dates.error().detail, CureOf(path, cure));
  for (const CertificateDates& one : dates.value()) {
    if (one.not_before > now) {
      found.Fail(check, path + " (" + one.subject + ") is good only from " + FormatUtc(one.not_before),
                 "timedatectl status  # is the clock right? else wait, or put another one there");
    } else {
      JudgeExpiry(check, path + " (" + one.subject + ")", one.not_after, now, 14 * kDay, cure, found);
    }
  }
}

void ExamineListener(const appliance::Configuration& configuration, const Listener& listener,
                     std::int64_t now, Findings& found) {
  const appliance::ListenSection& section = *listener.section;
  const std::string then =
      listener.name == "listen_admin" ? "systemctl restart skmsd" : RestartOf(configuration);
  const auto replace = [&](const std::string& path) {
    return "openssl x509 -in " + ShellWord(path) + " -noout -dates  # put a new one there, then: " + then;
  };
  ExamineCertificateFile(listener.name + ".certificate", section.certificate, now,
                         replace(section.certificate), found);
  if (const Status chain = CheckChainOrder(section.certificate); chain.has_error())
    found.Fail(listener.name + ".certificate", chain.error().detail,
               CureOf(section.certificate, "put leaf first, then its issuers, into " +
                                               ShellWord(section.certificate) + "; then: " + then));
  ExamineFile({listener.name + ".private_key", section.private_key, S_IRWXO | S_IWGRP, "0600", std::nullopt,
               "put the certificate's key there; then: " + then, true},
              found);
  if (const Status key = CheckKeyBelongs(section.certificate, section.private_key); key.has_error())
    found.Fail(listener.name + ".private_key", key.error().detail,
               CureOf(section.private_key,
                      "put the key of " + ShellWord(section.certificate) + " there; then: " + then));
  if (!section.client_ca.empty())
    ExamineCertificateFile(listener.name + ".client_ca", section.client_ca, now, replace(section.client_ca),
                           found);
  if (!section.ocsp_response.empty()) {
    const std::string cure = "fetch it anew into " + ShellWord(section.ocsp_response) + "; then: " + then;
    const auto until = ReadOcspNextUpdate(section.ocsp_response);
    if (until.has_error() && until.error().code == ErrorCode::kIo) {
      found.Warn(listener.name + ".ocsp_response", until.error().detail + "; nothing is stapled",
                 CureOf(section.ocsp_response, cure));
    } else if (until.has_error()) {
      found.Fail(listener.name + ".ocsp_response", until.error().detail, CureOf(section.ocsp_response, cure));
    } else if (until.value() == 0) {
      found.Ok(listener.name + ".ocsp_response", section.ocsp_response + " says no end");
    } else {
      JudgeExpiry(listener.name + ".ocsp_response", section.ocsp_response, until.value(), now, kDay, cure,
                  found);
    }
  }
  if (section.crl.empty()) return;
  const std::string cure = "fetch the CRLs anew into " + ShellWord(section.crl) + "; then: " + then;
  const auto crls = ReadCrlDates(section.crl);
  if (crls.has_error())
    return found.Fail(listener.name + ".crl", crls.error().detail, CureOf(section.crl, cure));
  for (const CrlDates& crl : crls.value()) {
    if (crl.next_update == 0) {
      found.Ok(listener.name + ".crl", section.crl + " (" + crl.issuer + ") says no end");
    } else {
      JudgeExpiry(listener.name + ".crl", section.crl + " (" + crl.issuer + ")", crl.next_update, now, kDay,
                  cure, found);
    }
  }
}

}  // namespace

void ExamineFiles(const appliance::Configuration& configuration, Findings& found) {
  const std::string& database = configuration.store.path;
  const std::string directory = fs::path(database).parent_path().string();
  const std::optional<uid_t> owner = DaemonUser(configuration, directory);
  // Whoever writes it decides which library is loaded into this process, too.
  ExamineFile({"configuration file", configuration.path, 0022, "go-w", std::nullopt, "", true}, found);
  ExamineFile({"state directory", directory, 0022, "0700", owner, "systemd-tmpfiles --create skms.conf"},
              found);
  if (configuration.store.url.empty()) {
    // That there is one is told where it is looked into.
    for (const char* ending : {"", "-wal", "-shm"})
      ExamineFile({"database file", database + ending, 0077, "0600", owner}, found);
  }
  ExaminePins(configuration, owner, found);
  ExamineSoftTokens(configuration, found);
  ExamineFile(
      {"admin socket", configuration.admin.socket, 0007, configuration.admin.group.empty() ? "0600" : "0660"},
      found);
}

void ExamineCertificates(const appliance::Configuration& configuration, std::int64_t now, Findings& found) {
  ExamineListener(configuration, {"listen", &configuration.listen}, now, found);
  if (configuration.listen_ue.present)
    ExamineListener(configuration, {"listen_ue", &configuration.listen_ue.listen}, now, found);
  if (configuration.listen_admin.present)
    ExamineListener(configuration, {"listen_admin", &configuration.listen_admin.listen}, now, found);
}

void JudgeExpiry(const std::string& check, const std::string& what, std::int64_t until, std::int64_t now,
                 std::int64_t warn_before, const std::string& cure, Findings& found) {
  const std::string seen = what + (until < now ? " ended at " : " is good until ") + FormatUtc(until);
  if (until < now) {
    found.Fail(check, seen, cure);
  } else if (until - now < warn_before) {
    found.Warn(check, seen, cure);
  } else {
    found.Ok(check, seen);
  }
}

}  // namespace skms::provisioning
