// Whether a disk has room for what is about to be written, and keeps some. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace skms {

/// Octets; 0 where there is no such file. Errors: kIo.
Result<std::uint64_t> SizeOfFile(const std::string& path);

/// Errors: kStorage: the disk of `directory` has less free than `bytes` and `reserve_mib` MiB; kIo.
Status CheckRoom(const std::string& directory, std::uint64_t bytes, std::uint64_t reserve_mib);

}  // namespace skms
