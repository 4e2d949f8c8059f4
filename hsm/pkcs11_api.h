// The PKCS#11 2.40 types (p11-kit's header) and the few constants of 3.0 that it lacks. Private to hsm/.
#pragma once

#include <p11-kit/pkcs11.h>

namespace skms::hsm {

inline constexpr CK_MECHANISM_TYPE kMechanismAesKeyWrapKwp = 0x210B;  ///< CKM_AES_KEY_WRAP_KWP (3.0)
inline constexpr CK_MECHANISM_TYPE kMechanismRsaAesKeyWrap = 0x1054;  ///< CKM_RSA_AES_KEY_WRAP (2.40)
/// CKA_NSS_DB, a vendor's: NSS unwraps no EC private key without it.
inline constexpr CK_ATTRIBUTE_TYPE kAttributeNssDb = 0xD5A0DB00;

/// CK_RSA_AES_KEY_WRAP_PARAMS (2.40, 6.1.21).
struct RsaAesKeyWrapParameters {
  CK_ULONG aes_key_bits;
  CK_RSA_PKCS_OAEP_PARAMS* oaep;
};

/// CK_GCM_PARAMS as it was before ulIvBits.
struct GcmParametersOfFive {
  CK_BYTE* iv;
  CK_ULONG iv_bytes;
  CK_BYTE* aad;
  CK_ULONG aad_bytes;
  CK_ULONG tag_bits;
};

}  // namespace skms::hsm
