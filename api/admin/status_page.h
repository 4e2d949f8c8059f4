// The status page: what somebody looks at who has a browser and no time. One HTML document with its style and
// its pictures (SVG) in it: no script, nothing from elsewhere. Readable at the width of a phone, by keyboard,
// and without colours.
//
// Pure functions over plain values; thread-safe. Everything in them that came from outside is escaped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/http/message.h"

namespace skms::admin {

struct PageMinute {
  std::int64_t begun = 0;  ///< seconds since 1970
  std::uint64_t delivered = 0;
  std::uint64_t refused = 0;                   ///< 4xx
  std::uint64_t failed = 0;                    ///< 5xx
  std::optional<double> token_call_seconds{};  ///< mean of the calls into the tokens; nullopt: there was none
  std::vector<std::int64_t> keys{};  ///< as many as StatusPage::key_states; empty: could not be read
};

struct PageToken {
  std::string label;
  std::string state;  ///< "serving", "lost: …"
  bool serves = false;
};

struct PageExpiry {
  std::string setting;     ///< "listen.certificate"
  std::int64_t until = 0;  ///< seconds since 1970; 0: cannot be read
};

struct StatusPage {
  std::string skms_id;
  std::string version;
  std::int64_t now = 0;  ///< seconds since 1970, as all times here
  std::int64_t started = 0;
  std::string state;                 ///< "operational", "degraded"
  std::vector<std::string> reasons;  ///< why it is not operational
  std::vector<PageToken> tokens;
  std::vector<std::string> key_states;
  std::vector<std::int64_t> keys;  ///< versions in each of them; empty: could not be read
  /// Versions that rotation is to make, activate or end by now; nullopt: could not be read.
  std::optional<std::int64_t> due;
  bool more_due = false;      ///< there are more than were counted
  std::int64_t late = 0;      ///< seconds that the first of them has been due
  std::string rotation_held;  ///< why; empty: it is not
  std::int64_t audit_entries = 0;
  std::int64_t audit_signed = 0;     ///< up to this one
  std::int64_t audit_signed_at = 0;  ///< 0: never
  bool audit_checked = false;        ///< since the start what was new was checked, and signed, once at least
  std::string audit_trouble;         ///< empty: that goes well
  std::string audit_export;          ///< empty: off
  std::vector<PageExpiry> expiries;
  std::vector<PageMinute> minutes;  ///< the oldest first; the last is not over. None: it is locked
};

std::string RenderStatusPage(const StatusPage& page);
/// As an answer, with the header fields that keep a browser from loading, running or framing anything.
http::Response StatusPageResponse(const StatusPage& page);

}  // namespace skms::admin
