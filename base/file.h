// Reading and writing small files the careful way: bounded, with errors that name the path, secrets only from
// and to files that others cannot read.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms {

/// Whole file. Errors: kIo (cannot open or read), kTooLarge (over `max_bytes`).
Result<std::string> ReadFile(const std::string& path, std::size_t max_bytes = 1 << 20);

/// As ReadFile, for a PIN or key: refuses (kConfiguration) a file that group or others can read or write, is
/// not a regular file, or is empty. One trailing newline is dropped.
/// `forbidden_mode` are the permission bits that make the file unacceptable.
Result<SecretBytes> ReadSecretFile(const std::string& path, std::size_t max_bytes = 1 << 16,
                                   unsigned forbidden_mode = 0077);

/// Writes a temporary file in the same directory, syncs and renames over `path`. `mode` as in chmod, e.g.
/// 0600.
Status WriteFileAtomically(const std::string& path, ByteView contents, unsigned mode);

}  // namespace skms
