// What the database says of the token keys: which generations are in use, and the key of pseudonyms and
// digests, which must outlive the MAC key that it once came from.
//
// Both are rows of `meta` with a MAC of the generation in use; before the first change of token keys there
// are none. The lasting key stands there XORed with a MAC over a fresh nonce: one octet string a nonce, never
// used again. Functions over a database connection.
#pragma once

#include <optional>

#include "base/secret_bytes.h"
#include "hsm/crypto_module.h"
#include "keystore/database.h"

namespace skms::keystore {

struct TokenKeyUse {
  hsm::TokenKeyGenerations generations;
  SecretBytes lasting_key;  ///< 32 octets
};

/// Whether any token holds keys that are older than those in use.
bool HoldFormer(const std::vector<hsm::TokenStatus>& tokens, const hsm::TokenKeyGenerations& use);

/// nullopt: the token keys were never changed. Errors: kIntegrity (changed outside skms, or the token lacks
/// the MAC key), kStorage, the token's.
Result<std::optional<TokenKeyUse>> ReadTokenKeyUse(Database& database, hsm::CryptoModule& module);

/// Both rows as they stand there, unchecked: for a look whether they are others by now. Errors: kStorage.
Result<std::string> ReadTokenKeyUseText(Database& database);

/// The rows as text, made before the transaction that writes them: it needs the token.
struct TokenKeyUseRows {
  std::string use;
  std::string lasting;
};
Result<TokenKeyUseRows> EncodeTokenKeyUse(hsm::CryptoModule& module, const hsm::TokenKeyGenerations& use,
                                          const SecretBytes& lasting_key);
/// Within a write transaction.
void WriteTokenKeyUse(soci::session& session, const TokenKeyUseRows& rows);

}  // namespace skms::keystore
