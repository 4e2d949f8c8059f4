#include "base/disk_room.h"

#include <filesystem>
#include <system_error>

namespace skms {
namespace {

constexpr std::uint64_t kMebibyte = 1048576;

std::string MebibytesOf(std::uint64_t bytes) {
  return std::to_string((bytes + kMebibyte - 1) / kMebibyte) + " MiB";
}

}  // namespace

Result<std::uint64_t> SizeOfFile(const std::string& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory) return std::uint64_t{0};
  if (error) return IoError(path, error.value());
  return std::uint64_t{size};
}

Status CheckRoom(const std::string& directory, std::uint64_t bytes, std::uint64_t reserve_mib) {
  std::error_code error;
  const auto space = std::filesystem::space(directory, error);
  if (error) return IoError(directory, error.value());
  if (space.available / kMebibyte >= reserve_mib && space.available - reserve_mib * kMebibyte >= bytes)
    return Ok();
  return StorageError("the disk of " + directory + " has " + std::to_string(space.available / kMebibyte) +
                      " MiB of free space, and this takes " + MebibytesOf(bytes) + " while " +
                      std::to_string(reserve_mib) +
                      " MiB are to stay free (audit.warn_free_mib); make room first");
}

}  // namespace skms
