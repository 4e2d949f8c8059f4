// RowMac: what a row's MAC is computed over, and its making and checking by the token.
//
// Fields go in with their lengths, after a word for the table: no two rows, and no rows of two tables, give
// the same octets. Thread-safe functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "hsm/crypto_module.h"

namespace skms::keystore {

/// A row's fields in the order of its table.
class RowFields {
 public:
  explicit RowFields(std::string_view table) { AppendField(octets_, table); }
  RowFields& Add(std::string_view text) {
    AppendField(octets_, text);
    return *this;
  }
  RowFields& Add(std::int64_t number) {
    AppendField(octets_, number);
    return *this;
  }
  const Bytes& octets() const { return octets_; }

 private:
  Bytes octets_;
};

struct RowMac {
  int generation = 0;
  std::string text;  ///< base64url
};

Result<RowMac> MakeRowMac(hsm::CryptoModule& module, const RowFields& fields);

/// kIntegrity naming `row` ("service 'x'"): somebody changed it, or it belongs to another token.
Status CheckRowMac(hsm::CryptoModule& module, const RowFields& fields, const RowMac& mac,
                   const std::string& row);

}  // namespace skms::keystore
