// Provisioned payloads as rows. Statements throw SOCI's exceptions; MACs are checked by the caller.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "keystore/database.h"
#include "keystore/payloads.h"
#include "keystore/row_mac.h"

namespace skms::keystore {

struct StoredPayload {
  Payload payload;
  RowMac mac;
};

RowFields FieldsOf(const Payload& payload);
/// "payload <id>": names a row without its target, which may be a user's identity.
std::string RowName(const Payload& payload);

/// The newest version of each payload of a selector, by payload id.
Result<std::vector<StoredPayload>> ReadCurrentPayloads(soci::session& session, const Selector& selector);
Result<std::optional<StoredPayload>> ReadPayload(Database& database, const std::string& id);
/// Ids of newest versions, in their order behind `after`; of one service, or of all where it is empty.
Result<std::vector<std::string>> ReadPayloadIds(Database& database, const std::string& service,
                                                const std::string& after, int limit);
Result<bool> HasPayloads(Database& database);

/// In the order of ids, those that are under another MAC key or KEK than `use`, old versions too.
Result<std::vector<StoredPayload>> ReadPayloadsNotUnder(Database& database,
                                                        const hsm::TokenKeyGenerations& use,
                                                        const std::string& after, int limit);

// Inside a write transaction.
/// The content key, its KEK's generation and the MAC. False: it is not what `former` was the MAC of.
bool RewrapPayload(soci::session& session, const StoredPayload& stored, const RowMac& former);
void InsertPayload(soci::session& session, const StoredPayload& stored);
/// Of the same payload_id and selector; 0: there is none.
std::uint32_t NewestPayloadVersion(soci::session& session, const Payload& of);
/// Versions of the same payload up to `version`.
void DropPayloads(soci::session& session, const Payload& of, std::uint32_t version);
/// Selectors of the service that have payloads.
std::int64_t CountPayloadSelectors(soci::session& session, const ValServiceId& service);

}  // namespace skms::keystore
