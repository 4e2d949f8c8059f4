// The PKCS#11 2.40 types (p11-kit's header) and the few constants of 3.0 that it lacks. Private to hsm/.
#pragma once

#include <p11-kit/pkcs11.h>

namespace skms::hsm {

inline constexpr CK_MECHANISM_TYPE kMechanismAesKeyWrapKwp = 0x210B;  ///< CKM_AES_KEY_WRAP_KWP (3.0)
inline constexpr CK_MECHANISM_TYPE kMechanismRsaAesKeyWrap = 0x1054;  ///< CKM_RSA_AES_KEY_WRAP (2.40)

}  // namespace skms::hsm
