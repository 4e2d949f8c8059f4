#include "hsm/quirks.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/file.h"

namespace skms::hsm {
namespace {

/// What a token does that keeps to the book.
Capabilities Faultless() {
  Capabilities can;
  can.kwp_mechanism = 0x210B;
  can.oaep_hash = OaepHash::kSha256;
  can.kwp_keeps_odd_lengths = can.unwrap_accepts_value_len = true;
  can.unwrap_honours_sensitive = can.unwrap_protects = can.refuses_wrapping_unextractable = true;
  can.tells_local = can.ecdh = can.ecdh_kdf_p256 = can.aes_gcm = true;
  return can;
}

bool Has(const Capabilities& can, std::string_view found_by) {
  const std::vector<Quirk> quirks = QuirksOf(can);
  return std::any_of(quirks.begin(), quirks.end(),
                     [&](const Quirk& quirk) { return quirk.found_by == found_by; });
}

TEST_CASE("a token that keeps to the book has no quirk") { CHECK(QuirksOf(Faultless()).empty()); }

TEST_CASE("a finding that departs from the book is a quirk, and no other is") {
  Capabilities can = Faultless();
  can.kwp_mechanism = 0x210A;
  CHECK(Has(can, "wrap RFC 5649 (KWP)"));
  can = Faultless();
  can.unwrap_honours_sensitive = false;
  CHECK(Has(can, "SENSITIVE and EXTRACTABLE at unwrap"));
  CHECK(QuirksOf(can).size() == 1);
  can = Faultless();
  can.refuses_wrapping_unextractable = false;
  CHECK(Has(can, "refuses to wrap a non-extractable key"));
  can = Faultless();
  can.unwrap_ec_needs_nss_db = true;
  CHECK(Has(can, "wrap an EC private key"));
  can = Faultless();
  can.gcm_layout = GcmLayout::kFiveFields;
  CHECK(Has(can, "AES-GCM parameters of 5 fields"));
  can = Faultless();
  can.kwp_mechanism = std::nullopt;
  can.cbc_pad_wrap = true;
  CHECK(Has(can, "wrap AES-CBC-PAD"));
}

TEST_CASE("the table of the documentation is this table") {
  const std::string page = ReadFile(SKMS_SOURCE_DIR "/docs/token-attributes.md", 1U << 20U).value();
  for (const Quirk& quirk : KnownQuirks()) {
    const std::string line = "| " + std::string(quirk.name) + " | " + std::string(quirk.found_by) + " | " +
                             std::string(quirk.measure) + " |";
    CAPTURE(line);
    CHECK(page.find(line) != std::string::npos);
  }
}

}  // namespace
}  // namespace skms::hsm
