#include "keystore/scratch_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/log.h"

namespace skms::keystore {
namespace {

Status RemoveAll(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return error ? Status(IoError(path, error.value())) : Ok();
}

}  // namespace

Result<ScratchDirectory> ScratchDirectory::Make(const std::string& path) {
  SKMS_TRY(DatabaseLock lock, DatabaseLock::Take(path));
  SKMS_TRYV(RemoveAll(path));
  if (::mkdir(path.c_str(), 0700) != 0) return IoError(path, errno);
  return ScratchDirectory(path, std::move(lock));
}

ScratchDirectory::~ScratchDirectory() {
  if (path_.empty()) return;  // moved from
  const Status removed = RemoveAll(path_);
  if (removed.has_error()) LogError("what was tried of a backup is left: " + removed.error().detail);
  // Nobody waits for this lock: whoever finds it taken gives up.
  const std::string lock = path_ + ".lock";
  if (::unlink(lock.c_str()) != 0) LogError(IoError(lock, errno).detail);
}

Status ScratchDirectory::RemoveLeft(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) return Ok();
  auto made = Make(path);
  // Somebody is at it: then it is not left.
  if (made.has_error() && made.error().code == ErrorCode::kConflict) return Ok();
  return made.has_error() ? Status(std::move(made).error()) : Ok();
}

}  // namespace skms::keystore
