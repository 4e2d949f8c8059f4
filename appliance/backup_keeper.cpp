#include "appliance/backup_keeper.h"

#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "base/encoding.h"
#include "base/log.h"
#include "keystore/scratch_directory.h"

namespace skms::appliance {
namespace {

constexpr std::size_t kIdBytes = 16;
constexpr std::chrono::hours kKept{1};
constexpr const char* kSuffix = ".skms-backup";

bool IsId(const std::string& id) {
  return id.size() == 2 * kIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

BackupKeeper::BackupKeeper(keystore::KeyStore& store, const Configuration& configuration, std::string version)
    : store_(store),
      database_(configuration.store.path),
      directory_(database_ + keystore::kBackupScratch),
      server_(configuration.skms.id),
      version_(std::move(version)) {}

admin::BackupControl BackupKeeper::control() {
  return {[this](const keystore::Requester& by) { return Make(by); },
          [this](const std::string& id, std::int64_t after) { return Read(id, after); },
          [this](const std::string& id) { return Remove(id); }};
}

void BackupKeeper::RemoveLeft() {
  for (const char* left : {keystore::kRestoreScratch, keystore::kDrillScratch}) {
    const Status removed = keystore::ScratchDirectory::RemoveLeft(database_ + left);
    if (removed.has_error()) LogWarning("backups: " + removed.error().detail);
  }
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
  if (error) LogWarning("backups: " + IoError(directory_, error.value()).detail);
}

Status BackupKeeper::RemoveOld() const {
  std::error_code error;
  const auto now = std::filesystem::file_time_type::clock::now();
  for (const auto& one : std::filesystem::directory_iterator(directory_, error)) {
    if (one.path().extension() != kSuffix || now - one.last_write_time(error) < kKept) continue;
    std::filesystem::remove(one.path(), error);
    if (error) break;
  }
  return error ? Status(IoError(directory_, error.value())) : Ok();
}

Result<admin::StoredBackup> BackupKeeper::Make(const keystore::Requester& by) {
  const std::unique_lock alone(making_, std::try_to_lock);
  if (!alone) return Conflict("a backup is just being made; try again when it is done");
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return IoError(directory_, errno);
  SKMS_TRYV(RemoveOld());
  std::array<unsigned char, kIdBytes> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1)
    return InternalError("OpenSSL has no random octets");
  admin::StoredBackup out;
  out.id = ToHex(random);
  const std::string path = PathOf(out.id);
  SKMS_TRY(out.made, store_.MakeBackup(by, {path, directory_ + "/snapshot.db", server_, version_}));
  std::error_code error;
  out.bytes = static_cast<std::int64_t>(std::filesystem::file_size(path, error));
  if (error) return IoError(path, error.value());
  return out;
}

std::string BackupKeeper::PathOf(const std::string& id) const { return directory_ + "/" + id + kSuffix; }

Result<std::string> BackupKeeper::Find(const std::string& id) const {
  std::string path = IsId(id) ? PathOf(id) : std::string();
  if (path.empty() || ::access(path.c_str(), F_OK) != 0)
    return NotFound("there is no backup '" + id + "' to be fetched; make one: skmsctl backup create");
  return path;
}

Result<Bytes> BackupKeeper::Read(const std::string& id, std::int64_t after) const {
  SKMS_TRY(const std::string path, Find(id));
  std::ifstream file(path, std::ios::binary);
  if (!file) return IoError(path, errno);
  Bytes piece(kPiece);
  file.seekg(after);
  file.read(reinterpret_cast<char*>(piece.data()), static_cast<std::streamsize>(piece.size()));
  if (file.bad()) return IoError(path, EIO);
  piece.resize(static_cast<std::size_t>(file.gcount()));
  return piece;
}

Status BackupKeeper::Remove(const std::string& id) {
  SKMS_TRY(const std::string path, Find(id));
  return ::unlink(path.c_str()) == 0 ? Ok() : Status(IoError(path, errno));
}

}  // namespace skms::appliance
