#include "hsm/profile.h"

#include <doctest/doctest.h>

namespace skms::hsm {
namespace {

/// What a token does that meets every profile.
Capabilities Best() {
  Capabilities can;
  can.rows = {{"wrap RFC 5649 (KWP)", Finding::kYes, "0x210B"},
              {"RSA-OAEP with SHA-256", Finding::kYes, "opened by OpenSSL"}};
  can.kwp_mechanism = 0x210B;
  can.oaep_hash = OaepHash::kSha256;
  can.kwp_keeps_odd_lengths = true;
  can.unwrap_honours_sensitive = can.unwrap_protects = can.refuses_wrapping_unextractable = true;
  can.ecdsa = can.aes_gcm = true;
  return can;
}

/// "lab standard", the profiles that `can` meets.
std::string Met(const Capabilities& can) {
  std::string met;
  for (const Profile profile : kProfiles) {
    if (Judge(profile, can).passes()) met += (met.empty() ? "" : " ") + std::string(NameOf(profile));
  }
  return met;
}

TEST_CASE("each profile contains the one before it") {
  CHECK(Met(Best()) == "lab standard strict");
  Capabilities can = Best();
  can.oaep_hash = OaepHash::kSha1;
  CHECK(Met(can) == "lab standard");
  can = Best();
  can.unwrap_honours_sensitive = false;
  CHECK(Met(can) == "lab standard");
  can = Best();
  can.refuses_wrapping_unextractable = false;
  CHECK(Met(can) == "lab");
  can = Best();
  can.unwrap_protects = false;
  CHECK(Met(can).empty());
}

TEST_CASE("a row that fails is below every profile, whatever else the token does") {
  Capabilities can = Best();
  can.rows.push_back({"random numbers", Finding::kFail, "C_GenerateRandom: CKR_DEVICE_ERROR"});
  for (const Profile profile : kProfiles) {
    const ProfileVerdict verdict = Judge(profile, can);
    REQUIRE(verdict.failed.size() == 1);
    CHECK(FailedLines(verdict) == "random numbers: C_GenerateRandom: CKR_DEVICE_ERROR");
  }
}

TEST_CASE("the failed line is the probe's, and a row that was never tried says so") {
  Capabilities can = Best();
  can.oaep_hash = OaepHash::kSha1;
  can.rows[1] = {"RSA-OAEP with SHA-256", Finding::kNo, "C_WrapKey: CKR_ARGUMENTS_BAD"};
  can.aes_gcm = false;
  CHECK(FailedLines(Judge(Profile::kStrict, can)) ==
        "RSA-OAEP with SHA-256: C_WrapKey: CKR_ARGUMENTS_BAD; AES-GCM: not tried");
}

TEST_CASE("a token about which nothing was found meets nothing") { CHECK(Met(Capabilities{}).empty()); }

TEST_CASE("profiles have names, and no other name is one") {
  for (const Profile profile : kProfiles) CHECK(ProfileNamed(NameOf(profile)) == profile);
  CHECK_FALSE(ProfileNamed("Strict").has_value());
  CHECK_FALSE(ProfileNamed("").has_value());
}

}  // namespace
}  // namespace skms::hsm
