#include "hsm/quirks.h"

#include <algorithm>
#include <iterator>

namespace skms::hsm {
namespace {

constexpr unsigned long kKeyWrapPad = 0x210A;  // CKM_AES_KEY_WRAP_PAD

constexpr Quirk kQuirks[] = {
    {"RFC 5649 under the number of another format (0x210A)", "wrap RFC 5649 (KWP)",
     "the mechanism is chosen by the bytes it gives; the format's name is stored, never a number",
     [](const Capabilities& can) { return can.kwp_mechanism == kKeyWrapPad; }},
    {"wraps by AES-CBC alone, which has no integrity", "wrap AES-CBC-PAD", "refused",
     [](const Capabilities& can) { return can.cbc_pad_wrap && !can.kwp_mechanism; }},
    {"RFC 5649 pads odd lengths to 8 octets", "KWP keeps odd lengths",
     "readers of PKCS#8 ignore what follows; secrets have lengths that need no padding",
     [](const Capabilities& can) { return can.kwp_mechanism && !can.kwp_keeps_odd_lengths; }},
    {"refuses EXTRACTABLE in an unwrap template", "unwrap template",
     "left out, then read back like everything else",
     [](const Capabilities& can) { return can.unwrap_leaves_out_extractable; }},
    {"ignores SENSITIVE and EXTRACTABLE at unwrap", "SENSITIVE and EXTRACTABLE at unwrap",
     "read back after every unwrap, set with C_SetAttributeValue, and the key destroyed if that fails; below "
     "profile strict",
     [](const Capabilities& can) { return can.unwrap_protects && !can.unwrap_honours_sensitive; }},
    {"refuses VALUE_LEN in an unwrap template", "VALUE_LEN in an unwrap template", "never given at unwrap",
     [](const Capabilities& can) { return can.unwrap_protects && !can.unwrap_accepts_value_len; }},
    {"wraps a key that is not extractable", "refuses to wrap a non-extractable key",
     "a warning, and below profile standard: whoever is logged in can take the KEK out",
     [](const Capabilities& can) { return can.unwrap_protects && !can.refuses_wrapping_unextractable; }},
    {"says CKA_LOCAL 0 of a key it generated", "CKA_LOCAL of a generated key",
     "not relied upon: each key of ours is proven by use",
     [](const Capabilities& can) { return !can.tells_local; }},
    {"RSA-OAEP with SHA-1 alone", "RSA-OAEP with SHA-256",
     "SHA-1 is used, with a warning; below profile strict",
     [](const Capabilities& can) { return can.oaep_hash == OaepHash::kSha1; }},
    {"unwraps an EC private key with the vendor attribute CKA_NSS_DB alone", "wrap an EC private key",
     "the public key that is kept beside the wrapped key goes along",
     [](const Capabilities& can) { return can.unwrap_ec_needs_nss_db; }},
    {"takes AES-GCM parameters of 5 fields alone", "AES-GCM parameters of 5 fields", "given so",
     [](const Capabilities& can) { return can.aes_gcm && can.gcm_layout == GcmLayout::kFiveFields; }},
    {"ECDH without a KDF alone", "ECDH with KDF, P-256",
     "no delivery to EC recipients: the raw secret would have to leave the token",
     [](const Capabilities& can) { return can.ecdh && !can.ecdh_kdf_p256; }},
};

}  // namespace

std::span<const Quirk> KnownQuirks() { return kQuirks; }

std::vector<Quirk> QuirksOf(const Capabilities& capabilities) {
  std::vector<Quirk> found;
  std::copy_if(std::begin(kQuirks), std::end(kQuirks), std::back_inserter(found),
               [&](const Quirk& quirk) { return quirk.present(capabilities); });
  return found;
}

}  // namespace skms::hsm
