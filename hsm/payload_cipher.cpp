#include "hsm/payload_cipher.h"

#include <utility>

namespace skms::hsm {
namespace {

/// The parameters live in the object, with copies of what PKCS#11 takes as non-const.
class GcmMechanism {
 public:
  GcmMechanism(GcmLayout layout, ByteView nonce, ByteView aad)
      : nonce_(nonce.begin(), nonce.end()),
        aad_(aad.begin(), aad.end()),
        parameters_{nonce_.data(), nonce_.size(), nonce_.size() * 8,
                    aad_.data(),   aad_.size(),   kGcmTagBytes * 8},
        parameters_of_five_{nonce_.data(), nonce_.size(), aad_.data(), aad_.size(), kGcmTagBytes * 8},
        mechanism_{CKM_AES_GCM, &parameters_, sizeof parameters_} {
    if (layout == GcmLayout::kFiveFields)
      mechanism_ = {CKM_AES_GCM, &parameters_of_five_, sizeof parameters_of_five_};
  }
  GcmMechanism(const GcmMechanism&) = delete;
  GcmMechanism& operator=(const GcmMechanism&) = delete;
  CK_MECHANISM* get() { return &mechanism_; }

 private:
  Bytes nonce_;
  Bytes aad_;
  CK_GCM_PARAMS parameters_;
  GcmParametersOfFive parameters_of_five_;
  CK_MECHANISM mechanism_;
};

}  // namespace

Result<Bytes> EncryptGcm(SessionLease& lease, GcmLayout layout, CK_OBJECT_HANDLE key, ByteView nonce,
                         ByteView aad, ByteView plain) {
  GcmMechanism mechanism(layout, nonce, aad);
  SKMS_TRYV(lease.Check("C_EncryptInit", lease.p11()->C_EncryptInit(lease.handle(), mechanism.get(), key)));
  SecretBytes copy = SecretBytes::CopyOf(plain);
  Bytes sealed(plain.size() + kGcmTagBytes);
  CK_ULONG size = sealed.size();
  SKMS_TRYV(lease.Check("C_Encrypt", lease.p11()->C_Encrypt(lease.handle(), copy.ExposeForWriting().data(),
                                                            copy.size(), sealed.data(), &size)));
  if (size != sealed.size()) return InternalError("C_Encrypt: AES-GCM of another length");
  return sealed;
}

Result<SecretBytes> DecryptGcm(SessionLease& lease, GcmLayout layout, CK_OBJECT_HANDLE key, ByteView nonce,
                               ByteView aad, ByteView sealed) {
  if (sealed.size() < kGcmTagBytes) return IntegrityError("shorter than a tag");
  GcmMechanism mechanism(layout, nonce, aad);
  const auto for_the_data = [](Error error) {
    if (error.code != ErrorCode::kTokenUnavailable && error.code != ErrorCode::kResourceExhausted)
      error.code = ErrorCode::kIntegrity;
    return error;
  };
  const Status begun =
      lease.Check("C_DecryptInit", lease.p11()->C_DecryptInit(lease.handle(), mechanism.get(), key));
  if (begun.has_error()) return for_the_data(begun.error());
  Bytes copy(sealed.begin(), sealed.end());
  // Some modules want room for the tag too.
  SecretBytes plain(sealed.size());
  CK_ULONG size = plain.size();
  const Status decrypted =
      lease.Check("C_Decrypt", lease.p11()->C_Decrypt(lease.handle(), copy.data(), copy.size(),
                                                      plain.ExposeForWriting().data(), &size));
  if (decrypted.has_error()) return for_the_data(decrypted.error());
  if (size != sealed.size() - kGcmTagBytes) return InternalError("C_Decrypt: AES-GCM of another length");
  plain.Truncate(size);
  return plain;
}

}  // namespace skms::hsm
