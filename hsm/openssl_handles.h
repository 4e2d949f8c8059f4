// OpenSSL's objects that more than one file owns for a while.
#pragma once

#include <openssl/evp.h>

#include <memory>

namespace skms::hsm {

struct FreePkeyContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, FreePkeyContext>;

}  // namespace skms::hsm
