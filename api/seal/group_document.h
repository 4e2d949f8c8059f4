// VALGroupDocument (TS 29.549 SS_GroupManagement) as far as keys need it: valGroupId, valServiceIds, members.
//
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "api/http/problem_details.h"
#include "keystore/key_store.h"

namespace skms::seal {

/// The document, or the 400 to answer (causes of TS 29.500 table 5.2.7.2-1, with invalidParams as JSON
/// pointers). Members of the object that keys have no use for (grpDesc, locInfo …) are passed over.
std::variant<keystore::GroupDocument, http::ProblemDetails> DecodeGroupDocument(const keystore::GroupId& id,
                                                                                std::string_view body);

/// {"valGroupId", "valServiceIds", "members"} as text.
std::string EncodeGroup(const keystore::GroupView& view);
/// {"valGroupId", "valServiceIds", "memberCount", "rekeyed", "keys": [{"valService", "kid", "version"}]}.
std::string EncodeGroupChange(const keystore::GroupChanged& changed);

/// The group's entity tag: its revision in quotes.
std::string GroupTag(const keystore::GroupRecord& record);
/// If-Match: no field: empty; one entity tag of ours: its revision; another's: one that never fits. 400 for a
/// list, "*", or what is no entity tag.
std::variant<keystore::GroupPrecondition, http::ProblemDetails> DecodeIfMatch(const http::Request& request);

}  // namespace skms::seal
