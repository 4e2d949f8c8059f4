#pragma once

// OpenSSL's objects, owned.

#include <openssl/evp.h>

#include <memory>

namespace skms::hsm {

struct FreePkeyContext {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, FreePkeyContext>;

}  // namespace skms::hsm
