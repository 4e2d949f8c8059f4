// Linked into skmsd and skmc: wipes every C++ heap block when it is freed, so that copies of a key delivered
// in the clear
// (`delivery: tls`), of tokens and of answers do not outlive the request in strings, JSON trees and buffers
// of libraries. The sanitizers bring an allocator of their own and keep it.
#include <malloc.h>
#include <string.h>

#include <cstdlib>
#include <new>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

void WipeAndFree(void* block) {
  if (block == nullptr) return;
  ::explicit_bzero(block, ::malloc_usable_size(block));
  std::free(block);  // NOLINT(cppcoreguidelines-no-malloc): operator new's own counterpart
}

}  // namespace

void operator delete(void* block) noexcept { WipeAndFree(block); }
void operator delete[](void* block) noexcept { WipeAndFree(block); }
void operator delete(void* block, std::size_t /*size*/) noexcept { WipeAndFree(block); }
void operator delete[](void* block, std::size_t /*size*/) noexcept { WipeAndFree(block); }
void operator delete(void* block, const std::nothrow_t& /*tag*/) noexcept { WipeAndFree(block); }
void operator delete[](void* block, const std::nothrow_t& /*tag*/) noexcept { WipeAndFree(block); }
void operator delete(void* block, std::align_val_t /*alignment*/) noexcept { WipeAndFree(block); }
void operator delete[](void* block, std::align_val_t /*alignment*/) noexcept { WipeAndFree(block); }
void operator delete(void* block, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  WipeAndFree(block);
}
void operator delete[](void* block, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  WipeAndFree(block);
}

#endif
