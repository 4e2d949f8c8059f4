// SecretBytes: an octet string that is wiped when it goes out of scope and never prints itself.
//
// Move-only, so that a copy is a visible act (Clone). Reading needs ExposeSecret(): one grep finds every
// reader. Not thread-safe for concurrent mutation. SP 800-57 part 1, 5.3.6 (zeroisation).
#pragma once

#include <cstddef>

#include "base/bytes.h"

namespace skms {

class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size);
  /// Copies `bytes`; the caller still owns, and must wipe, the original.
  static SecretBytes CopyOf(ByteView bytes);
  /// Takes the contents over and wipes the given buffer.
  static SecretBytes TakeFrom(Bytes& bytes);
  static SecretBytes TakeFrom(std::string& text);

  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  ~SecretBytes();

  SecretBytes Clone() const;
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  /// The plaintext. The view dies with this object.
  ByteView ExposeSecret() const { return bytes_; }
  std::span<std::uint8_t> ExposeForWriting() { return bytes_; }
  /// Wipes what is cut off. `size` may only shrink.
  void Truncate(std::size_t size);
  /// Wipes and empties.
  void Clear() noexcept;

 private:
  Bytes bytes_;
};

/// Overwrites in a way the compiler cannot remove.
void Wipe(std::span<std::uint8_t> bytes) noexcept;
void Wipe(std::string& text) noexcept;

/// Time depends on the lengths only, never on the contents.
bool ConstantTimeEqual(ByteView a, ByteView b);

}  // namespace skms
