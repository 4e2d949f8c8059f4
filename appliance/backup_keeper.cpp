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

#include "base/disk_room.h"
#include "base/encoding.h"
#include "base/log.h"
#include "keystore/scratch_directory.h"

namespace skms::appliance {
namespace {

constexpr std::size_t kIdBytes = 16;
constexpr const char* kSuffix = ".skms-backup";

bool IsId(const std::string& id) {
  return id.size() == 2 * kIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

BackupKeeper::BackupKeeper(keystore::KeyStore& store, const Configuration& configuration, std::string version,
                           std::chrono::milliseconds kept)
    : store_(store),
      database_(configuration.store.path),
      directory_(database_ + keystore::kBackupScratch),
      server_(configuration.skms.id),
      version_(std::move(version)),
      warn_free_mib_(configuration.audit.warn_free_mib),
      kept_(kept) {}

BackupKeeper::~BackupKeeper() { Stop(); }

admin::BackupControl BackupKeeper::control() {
  return {[this](const keystore::Requester& by, bool with_damage) { return Make(by, with_damage); },
          [this](const std::string& id, std::int64_t after) { return Read(id, after); },
          [this](const std::string& id) { return Remove(id); }};
}

void BackupKeeper::Start() {
  for (const char* left : {keystore::kRestoreScratch, keystore::kDrillScratch}) {
    const Status removed = keystore::ScratchDirectory::RemoveLeft(database_ + left);
    if (removed.has_error()) LogWarning("backups: " + removed.error().detail);
  }
  RemoveDirectory();
  remover_ = std::thread([this] { RemoveInTime(); });
}

void BackupKeeper::Interrupt() { interrupted_ = true; }

void BackupKeeper::Stop() {
  Interrupt();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (!remover_.joinable()) return;  // never started, or stopped before
  remover_.join();
  RemoveDirectory();
}

void BackupKeeper::RemoveDirectory() {
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
  if (error) LogWarning("backups: " + IoError(directory_, error.value()).detail);
}

Status BackupKeeper::RemoveMade(std::chrono::milliseconds least_age) const {
  std::error_code error;
  const auto now = std::filesystem::file_time_type::clock::now();
  auto one = std::filesystem::directory_iterator(directory_, error);
  for (; !error && one != std::filesystem::directory_iterator(); one.increment(error)) {
    if (one->path().extension() != kSuffix) continue;
    std::error_code gone;  // somebody fetched it meanwhile
    const auto written = one->last_write_time(gone);
    if (gone || (least_age.count() > 0 && now - written < least_age)) continue;
    std::filesystem::remove(one->path(), error);
  }
  if (!error || error == std::errc::no_such_file_or_directory) return Ok();
  return IoError(directory_, error.value());
}

void BackupKeeper::RemoveInTime() {
  const auto pause = std::min<std::chrono::milliseconds>(kept_ / 2, std::chrono::minutes(1));
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, pause, [this] { return stopping_; })) {
    const Status removed = RemoveMade(kept_);
    if (removed.has_error()) LogWarning("backups: " + removed.error().detail);
  }
}

Status BackupKeeper::CheckSpace() const {
  SKMS_TRY(const std::int64_t stored, store_.StoredBytes());
  const auto file = static_cast<std::uint64_t>(stored);
  std::error_code none;
  const std::uintmax_t beside = std::filesystem::file_size(database_ + "-wal", none);
  const std::uintmax_t log = none ? 0 : beside;
  // The copy, and the backup that is made of it.
  return CheckRoom(directory_, 2 * (file + log), warn_free_mib_);
}

Result<admin::StoredBackup> BackupKeeper::Make(const keystore::Requester& by, bool with_damage) {
  const std::unique_lock alone(making_, std::try_to_lock);
  if (!alone) return Conflict("a backup is just being made; try again when it is done");
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return IoError(directory_, errno);
  SKMS_TRYV(RemoveMade(std::chrono::milliseconds(0)));
  SKMS_TRYV(CheckSpace());
  std::array<unsigned char, kIdBytes> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1)
    return InternalError("OpenSSL has no random octets");
  admin::StoredBackup out;
  out.id = ToHex(random);
  const std::string path = PathOf(out.id);
  SKMS_TRY(out.made, store_.MakeBackup(by, {path, directory_ + "/snapshot.db", server_, version_, with_damage,
                                            [this] { return interrupted_.load(); }}));
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
