#include "keystore/identifiers.h"

#include <algorithm>

#include "base/encoding.h"

namespace skms::keystore {
namespace {

constexpr TargetKind kKinds[] = {TargetKind::kService, TargetKind::kUser, TargetKind::kUe,
                                 TargetKind::kClient, TargetKind::kGroup};

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == ':' || c == '@';
}

}  // namespace

std::string_view Name(TargetKind kind) {
  switch (kind) {
    case TargetKind::kService:
      return "service";
    case TargetKind::kUser:
      return "user";
    case TargetKind::kUe:
      return "ue";
    case TargetKind::kClient:
      return "client";
    case TargetKind::kGroup:
      return "group";
  }
  return "service";
}

Result<TargetKind> ParseTargetKind(std::string_view name) {
  for (const TargetKind kind : kKinds) {
    if (Name(kind) == name) return kind;
  }
  return InvalidArgument("'" + std::string(name) + "' is no scope; known: " + TargetKindNames());
}

std::string TargetKindNames() {
  std::string names;
  for (const TargetKind kind : kKinds) names += (names.empty() ? "" : ", ") + std::string(Name(kind));
  return names;
}

Status CheckIdentifier(std::string_view what, std::string_view value) {
  const bool fits = !value.empty() && value.size() <= kMaxIdentifierBytes;
  if (fits && IsValidUtf8(value) && std::none_of(value.begin(), value.end(), IsControl)) return Ok();
  return InvalidArgument(std::string(what) + " must be 1 to 255 bytes of UTF-8 without control characters");
}

Status CheckName(std::string_view what, std::string_view value) {
  const bool fits = !value.empty() && value.size() <= kMaxIdentifierBytes;
  if (fits && std::all_of(value.begin(), value.end(), IsNameCharacter)) return Ok();
  return InvalidArgument(std::string(what) + " must be 1 to 255 letters, digits or any of - . _ : @");
}

}  // namespace skms::keystore
