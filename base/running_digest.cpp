#include "base/running_digest.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace skms {

struct RunningSha256::Context {
  EVP_MD_CTX* evp = nullptr;
};

// Each fails only without memory or without a digest provider, as Sha256.
RunningSha256::RunningSha256() : context_(std::make_unique<Context>()) {
  context_->evp = EVP_MD_CTX_new();
  if (context_->evp == nullptr || EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) != 1) std::abort();
}

RunningSha256::~RunningSha256() { EVP_MD_CTX_free(context_->evp); }

void RunningSha256::Add(ByteView bytes) {
  if (EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) != 1) std::abort();
}

Sha256Digest RunningSha256::Finish() {
  Sha256Digest digest{};
  if (EVP_DigestFinal_ex(context_->evp, digest.data(), nullptr) != 1) std::abort();
  return digest;
}

}  // namespace skms
