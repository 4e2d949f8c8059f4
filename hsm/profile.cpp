#include "hsm/profile.h"

#include <algorithm>

namespace skms::hsm {
namespace {

/// What a profile asks beyond "no row fails": the probe's row that tells, and the test.
struct Requirement {
  Profile from;  ///< the weakest profile that asks it
  std::string_view row;
  bool (*met)(const Capabilities&);
};

constexpr Requirement kRequirements[] = {
    {Profile::kLab, "wrap RFC 5649 (KWP)",
     [](const Capabilities& can) { return can.kwp_mechanism.has_value(); }},
    {Profile::kLab, "SENSITIVE and EXTRACTABLE at unwrap",
     [](const Capabilities& can) { return can.unwrap_protects; }},
    {Profile::kStandard, "refuses to wrap a non-extractable key",
     [](const Capabilities& can) { return can.refuses_wrapping_unextractable; }},
    {Profile::kStrict, "SENSITIVE and EXTRACTABLE at unwrap",
     [](const Capabilities& can) { return can.unwrap_honours_sensitive; }},
    {Profile::kStrict, "KWP keeps odd lengths",
     [](const Capabilities& can) { return can.kwp_keeps_odd_lengths; }},
    {Profile::kStrict, "RSA-OAEP with SHA-256",
     [](const Capabilities& can) { return can.oaep_hash == OaepHash::kSha256; }},
    {Profile::kStrict, "ECDSA", [](const Capabilities& can) { return can.ecdsa; }},
    {Profile::kStrict, "AES-GCM", [](const Capabilities& can) { return can.aes_gcm; }},
};

CapabilityRow RowNamed(const Capabilities& capabilities, std::string_view name) {
  for (const CapabilityRow& row : capabilities.rows) {
    if (row.name == name) return row;
  }
  return {std::string(name), Finding::kNo, "not tried"};
}

void AddOnce(std::vector<CapabilityRow>& rows, CapabilityRow row) {
  const auto same = [&](const CapabilityRow& other) { return other.name == row.name; };
  if (std::none_of(rows.begin(), rows.end(), same)) rows.push_back(std::move(row));
}

}  // namespace

std::string_view NameOf(Profile profile) {
  switch (profile) {
    case Profile::kLab:
      return "lab";
    case Profile::kStandard:
      return "standard";
    case Profile::kStrict:
      return "strict";
  }
  return "";
}

std::optional<Profile> ProfileNamed(std::string_view name) {
  for (const Profile profile : kProfiles) {
    if (NameOf(profile) == name) return profile;
  }
  return std::nullopt;
}

ProfileVerdict Judge(Profile profile, const Capabilities& capabilities) {
  ProfileVerdict verdict{profile, {}};
  for (const CapabilityRow& row : capabilities.rows) {
    if (row.finding == Finding::kFail) AddOnce(verdict.failed, row);
  }
  for (const Requirement& requirement : kRequirements) {
    if (requirement.from <= profile && !requirement.met(capabilities))
      AddOnce(verdict.failed, RowNamed(capabilities, requirement.row));
  }
  return verdict;
}

std::string FailedLines(const ProfileVerdict& verdict) {
  std::string lines;
  for (const CapabilityRow& row : verdict.failed)
    lines += (lines.empty() ? "" : "; ") + row.name + ": " + row.detail;
  return lines;
}

}  // namespace skms::hsm
