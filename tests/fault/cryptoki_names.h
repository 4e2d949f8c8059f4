// CKR_ and CKM_ names as people write them in a command, and the numbers they stand for.
#pragma once

#include <p11-kit/pkcs11.h>

#include <optional>
#include <string>
#include <string_view>

namespace skms::fault {

/// "CKR_DEVICE_ERROR" or "0x30"; nullopt: neither a name of v2.40 nor a hexadecimal number.
std::optional<CK_RV> ReturnValueNamed(const std::string& text);
/// "CKM_AES_GCM" or "0x1087"; a vendor's own mechanism has a number only.
std::optional<CK_MECHANISM_TYPE> MechanismNamed(const std::string& text);

}  // namespace skms::fault
