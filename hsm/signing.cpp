#include "hsm/signing.h"

#include <algorithm>

namespace skms::hsm {
namespace {

/// ECDSA or PSS; the PSS parameters live in the object.
class SignatureMechanism {
 public:
  explicit SignatureMechanism(bool ec)
      : pss_{CKM_SHA256, CKG_MGF1_SHA256, 32}, mechanism_{CKM_RSA_PKCS_PSS, &pss_, sizeof pss_} {
    if (ec) mechanism_ = {CKM_ECDSA, nullptr, 0};
  }
  SignatureMechanism(const SignatureMechanism&) = delete;
  SignatureMechanism& operator=(const SignatureMechanism&) = delete;
  CK_MECHANISM* get() { return &mechanism_; }

 private:
  CK_RSA_PKCS_PSS_PARAMS pss_;
  CK_MECHANISM mechanism_;
};

}  // namespace

Result<Mac> HmacInToken(SessionLease& lease, CK_OBJECT_HANDLE key, ByteView message) {
  CK_MECHANISM mechanism{CKM_SHA256_HMAC, nullptr, 0};
  SKMS_TRYV(lease.Check("C_SignInit", lease.p11()->C_SignInit(lease.handle(), &mechanism, key)));
  Bytes copy(message.begin(), message.end());
  Mac mac{};
  CK_ULONG size = mac.size();
  SKMS_TRYV(lease.Check("C_Sign",
                        lease.p11()->C_Sign(lease.handle(), copy.data(), copy.size(), mac.data(), &size)));
  if (size != mac.size()) return InternalError("C_Sign: an HMAC-SHA-256 of another length");
  return mac;
}

Result<Bytes> SignDigest(SessionLease& lease, CK_OBJECT_HANDLE key, bool ec, const Sha256Digest& digest) {
  SignatureMechanism mechanism(ec);
  SKMS_TRYV(lease.Check("C_SignInit", lease.p11()->C_SignInit(lease.handle(), mechanism.get(), key)));
  Sha256Digest copy = digest;
  Bytes signature(1024);
  CK_ULONG size = signature.size();
  SKMS_TRYV(lease.Check(
      "C_Sign", lease.p11()->C_Sign(lease.handle(), copy.data(), copy.size(), signature.data(), &size)));
  signature.resize(size);
  return signature;
}

Status VerifyDigest(SessionLease& lease, CK_OBJECT_HANDLE key, bool ec, const Sha256Digest& digest,
                    ByteView signature) {
  SignatureMechanism mechanism(ec);
  SKMS_TRYV(lease.Check("C_VerifyInit", lease.p11()->C_VerifyInit(lease.handle(), mechanism.get(), key)));
  Sha256Digest copy = digest;
  Bytes own(signature.begin(), signature.end());
  return lease.Check("C_Verify",
                     lease.p11()->C_Verify(lease.handle(), copy.data(), copy.size(), own.data(), own.size()));
}

}  // namespace skms::hsm
