// What only the token's security officer can do: make the strict KEK and mark recipients' keys TRUSTED. For
// `skmsctl`, which ends afterwards; the daemon never has this PIN.
//
// Each opens the module for itself, logs in once and closes it: no other login may be open in the process.
// One thread at a time. Errors of all: those of CryptoModule::Open (kPinIncorrect: tried once), the token's.
#pragma once

#include <cstdint>

#include "hsm/crypto_module.h"

namespace skms::hsm {

/// Makes "skms-strict-kek-<n>", the first or, with `next`, the one after the newest, then proves it as the
/// user, as the daemon will. It cannot be destroyed again. Returns n. Errors: kUnsupported (the token does
/// not enforce TRUSTED; the probe's rows that say so, or what the proof found), kAlreadyExists (there is one,
/// and not `next`), kTokenBlank (run `skmsctl init` first).
Result<std::uint32_t> MakeStrictKek(const TokenOptions& options, const SecretBytes& user_pin,
                                    const SecretBytes& officer_pin, bool next);

/// Makes a TRUSTED object of an RSA public key (SubjectPublicKeyInfo DER). Errors: kInvalidArgument,
/// kAlreadyExists, kConflict (the token has this key for another purpose: its private half may be there, too,
/// and whoever is logged in could unwrap with it).
Status TrustRecipient(const TokenOptions& options, const SecretBytes& officer_pin, ByteView spki);

/// Destroys that object: nothing more is wrapped to it. Errors: kInvalidArgument, kNotFound.
Status DistrustRecipient(const TokenOptions& options, const SecretBytes& officer_pin, ByteView spki);

}  // namespace skms::hsm
