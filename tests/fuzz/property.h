// What fuzz targets have in common: a property that must hold whatever the input is, and the registration of
// a target. With SKMS_LIBFUZZER a source is a program of libFuzzer's; else its target is in Targets(), and a
// test feeds it its corpus.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace skms::fuzz {

/// Aborts, saying `property` and what it was seen at, unless it holds.
void Require(bool holds, const char* property, std::string_view seen = {});

/// The text up to `separator`, taken off the front of `text` with it; all of it where there is none.
std::string_view TakeUntil(std::string_view& text, char separator);
std::vector<std::string_view> SplitAt(std::string_view text, char separator);
/// C0 or DEL.
bool HasControl(std::string_view text);

/// Removes all that `log` would write: an attacker's lines are tried in their own target.
void BeSilent();

using Check = void (*)(std::string_view input);
struct Target {
  std::string name;
  Check check;
};
std::vector<Target>& Targets();

struct Registration {
  Registration(const char* name, Check check) { Targets().push_back({name, check}); }
};

}  // namespace skms::fuzz

#ifdef SKMS_LIBFUZZER
#define SKMS_FUZZ_TARGET(name, check)                                                   \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* octets, std::size_t size);  \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* octets, std::size_t size) { \
    static const bool silent = (::skms::fuzz::BeSilent(), true);                        \
    static_cast<void>(silent);                                                          \
    check(std::string_view(reinterpret_cast<const char*>(octets), size));               \
    return 0;                                                                           \
  }
#else
#define SKMS_FUZZ_TARGET(name, check) \
  static const ::skms::fuzz::Registration registered_##name(#name, &(check));
#endif
