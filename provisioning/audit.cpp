#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/date_time.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/public_key_file.h"
#include "keystore/audit_verifier.h"
#include "provisioning/admin_client.h"
#include "provisioning/audit_file.h"
#include "provisioning/commands.h"
#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

namespace po = boost::program_options;
using keystore::AuditVerdict;
using keystore::AuditVerifier;
using nlohmann::json;

constexpr std::size_t kPemColumns = 64;

std::string Text(const Options& options, const char* name) {
  return options.count(name) > 0 ? options[name].as<std::string>() : std::string();
}

std::vector<std::string> Texts(const Options& options, const char* name) {
  return options.count(name) > 0 ? options[name].as<std::vector<std::string>>() : std::vector<std::string>();
}

json VerdictJson(const AuditVerdict& verdict) {
  json out{{"entries", verdict.last},
           {"head", verdict.head},
           {"whole", true},
           {"first", verdict.first},
           {"checkpoints", verdict.checkpoints},
           {"unverified", verdict.unverified},
           {"signedUpTo", verdict.signed_up_to}};
  if (verdict.signed_at_ms > 0) out["signedAt"] = FormatUtc(verdict.signed_at_ms / 1000);
  return out;
}

void PrintVerdict(const json& verdict) {
  const auto first = verdict.at("first").get<std::int64_t>();
  const auto last = verdict.at("entries").get<std::int64_t>();
  const auto signed_up_to = verdict.at("signedUpTo").get<std::int64_t>();
  std::cout << "the chain of entries " << first << " to " << last << " is whole\n"
            << "signed  up to entry " << signed_up_to
            << (verdict.contains("signedAt") ? ", " + Cell(verdict, "signedAt") : std::string()) << ", "
            << "checkpoints: " << Cell(verdict, "checkpoints") << '\n';
  if (last > signed_up_to) std::cout << "        not yet signed: " << last - signed_up_to << '\n';
  if (verdict.at("unverified").get<std::int64_t>() > 0)
    std::cout << "        checkpoints by keys that are not known: " << Cell(verdict, "unverified") << '\n';
  if (first > 1)
    std::cout << "        entries 1 to " << first - 1 << " are in archives: skmsctl audit verify --file\n";
  std::cout << "head    " << Cell(verdict, "head") << '\n';
}

/// One that was kept: its line of an export, or the JWS alone.
Result<std::string> KeptCheckpoint(const std::string& path) {
  SKMS_TRY(std::string text, ReadFile(path));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  const json line = json::parse(text, nullptr, false);
  if (line.is_object() && line.contains("checkpoint") && line.at("checkpoint").is_string())
    return line.at("checkpoint").get<std::string>();
  return text;
}

Result<AuditVerdict> VerifyFiles(const Options& options) {
  const std::vector<std::string> key_files = Texts(options, "public-key");
  if (key_files.empty())
    return InvalidArgument("--file needs --public-key: what skmsctl audit key printed, kept elsewhere");
  std::vector<Bytes> keys;
  for (const std::string& file : key_files) {
    SKMS_TRY(std::vector<Bytes> some, ReadPublicKeys(file));
    std::move(some.begin(), some.end(), std::back_inserter(keys));
  }
  AuditVerifier verifier(std::move(keys));
  if (const std::string path = Text(options, "checkpoint"); !path.empty()) {
    SKMS_TRY(const std::string kept, KeptCheckpoint(path));
    SKMS_TRYV(verifier.MustReach(kept));
  }
  for (const std::string& path : Texts(options, "receipt")) {
    SKMS_TRY(const std::string kept, KeptCheckpoint(path));
    const Status taken = verifier.MustHoldReceipt(kept);
    if (taken.has_error()) return InvalidArgument(path + ": " + taken.error().detail);
  }
  for (const std::string& file : Texts(options, "file")) SKMS_TRYV(ReadAuditFile(file, verifier));
  SKMS_TRYV(verifier.Finish(
      {.unsigned_tail = options.count("unsigned-tail") > 0, .part = options.count("part") > 0}));
  if (verifier.verdict().last == 0) return InvalidArgument("there is no entry in what was given");
  return verifier.verdict();
}

/// A chain whose tail was cut has no checkpoint of a late time.
Status CheckAsOf(const AuditVerdict& verdict, const std::string& as_of) {
  if (as_of.empty()) return Ok();
  const auto time = ParseDateTime(as_of);
  if (!time) return InvalidArgument("--as-of is a time like 2026-12-31T00:00:00Z");
  if (verdict.signed_at_ms >= *time) return Ok();
  const std::string signed_at = verdict.signed_at_ms > 0
                                    ? "was signed last at " + FormatUtc(verdict.signed_at_ms / 1000)
                                    : std::string("is not signed at all");
  return IntegrityError("the tail may be cut: the chain " + signed_at + ", and should be as of " + as_of);
}

std::string PemOf(const Bytes& spki) {
  const std::string text = ToBase64(spki);
  std::string pem = "-----BEGIN PUBLIC KEY-----\n";
  for (std::size_t i = 0; i < text.size(); i += kPemColumns) pem += text.substr(i, kPemColumns) + "\n";
  return pem + "-----END PUBLIC KEY-----\n";
}

std::string TimeOf(const json& entry) { return FormatUtc(entry.at("timeMs").get<std::int64_t>() / 1000); }

std::string Target(const json& entry) {
  const std::string kind = Cell(entry, "targetKind");
  const std::string pseudonym = Cell(entry, "target");
  return pseudonym.empty() || pseudonym == "-" ? kind : kind + " " + pseudonym;
}

/// The daemon's next entry goes on where the file ends.
Status CheckFollows(const std::string& path, const AuditFileEnd& end, const json& entry) {
  if (entry.at("seq").get<std::int64_t>() != end.seq + 1)
    return Conflict("what follows entry " + std::to_string(end.seq) + ", the last of " + path +
                    ", was archived meanwhile; export to another file");
  if (entry.at("previous") == end.hash) return Ok();
  return IntegrityError(path + " ends with another chain than the daemon's; export to another file");
}

}  // namespace

void DescribeAuditVerify(OptionsDescription& options) {
  options.add_options()("file", po::value<std::vector<std::string>>()->value_name("FILE"),
                        "an export or archive, verified without the daemon; give several in their order")(
      "public-key", po::value<std::vector<std::string>>()->value_name("FILE"),
      "what skmsctl audit key printed (PEM); the one that was first is enough")(
      "checkpoint", po::value<std::string>()->value_name("FILE"),
      "a checkpoint that was kept elsewhere: the chain must reach it")(
      "receipt", po::value<std::vector<std::string>>()->value_name("FILE"),
      "a receipt that skmc kept: the chain must hold the entry of that delivery")(
      "as-of", po::value<std::string>()->value_name("TIME"),
      "the chain must be signed at this time or later")("unsigned-tail",
                                                        "let entries pass that no checkpoint covers yet")(
      "part", "let a file pass that begins in the middle, though nothing in it says what was before");
}

Status RunAuditVerify(const Session& session, const Options& options) {
  json verdict;
  if (options.count("file") > 0) {
    SKMS_TRY(const AuditVerdict found, VerifyFiles(options));
    SKMS_TRYV(CheckAsOf(found, Text(options, "as-of")));
    verdict = VerdictJson(found);
  } else {
    for (const char* name : {"public-key", "checkpoint", "receipt", "as-of", "unsigned-tail", "part"}) {
      if (options.count(name) > 0) return InvalidArgument("--" + std::string(name) + " needs --file");
    }
    SKMS_TRY(verdict, AdminGet(session, "/admin/v1/audit/verification"));
  }
  if (session.json) {
    PrintJson(verdict);
  } else {
    PrintVerdict(verdict);
  }
  return Ok();
}

Status RunAuditKey(const Session& session, const Options& /*options*/) {
  SKMS_TRY(const json answer, AdminGet(session, "/admin/v1/audit/keys"));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  for (const json& key : answer.at("keys")) {
    const auto spki = FromBase64Url(key.at("spki").get<std::string>());
    if (!spki) return InternalError("the daemon's answer holds no key");
    std::cout << PemOf(*spki);
  }
  return Ok();
}

void DescribeAuditExport(OptionsDescription& options) {
  options.add_options()("file", po::value<std::string>()->value_name("FILE")->required(),
                        "JSON lines are added to it; '-' is standard output");
}

Status RunAuditExport(const Session& session, const Options& options) {
  const std::string path = Text(options, "file");
  SKMS_TRY(const AuditFileEnd end, path == "-" ? Result<AuditFileEnd>(AuditFileEnd{}) : EndOfAuditFile(path));
  // What is exported ends signed.
  SKMS_TRY(const json last, AdminSend(session, "POST", "/admin/v1/audit/checkpoints", json::object()));
  const auto up_to = last.at("seq").get<std::int64_t>();
  SKMS_TRY(AuditFileWriter writer, AuditFileWriter::Open(path));
  std::int64_t after = end.seq;
  std::int64_t written = 0;
  for (bool more = true; more && after < up_to;) {
    const std::int64_t from = after;
    SKMS_TRY(const json page,
             AdminGet(session, "/admin/v1/audit/chain?limit=1000&after=" + std::to_string(after)));
    for (const json& line : LinesOf(page)) {
      const auto seq = line.at("seq").get<std::int64_t>();
      if (seq > up_to) break;
      const bool entry = !line.contains("checkpoint");
      if (!entry && seq <= from) continue;  // it is there already
      if (entry && end.seq > 0 && written == 0) SKMS_TRYV(CheckFollows(path, end, line));
      if (entry) after = seq;
      if (entry) ++written;
      SKMS_TRYV(writer.Write(line));
    }
    more = page.at("more").get<bool>();
  }
  SKMS_TRYV(writer.Finish());
  if (path == "-") return Ok();
  if (session.json) {
    PrintJson({{"file", path}, {"written", written}, {"upTo", up_to}, {"head", last.at("hash")}});
  } else {
    std::cout << written << " entries added to " << Printable(path) << ", up to entry " << up_to
              << ", which is signed\n";
  }
  return Ok();
}

void DescribeAuditQuery(OptionsDescription& options) {
  const auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
  options.add_options()("since", text("TIME"), "entries from this time on, like 2026-12-31T00:00:00Z")(
      "before", text("TIME"), "entries before this time")("actor", text("TEXT"),
                                                          "who did it, as listed: val-1, admin:0")(
      "action", text("TEXT"), "like deliver, or a beginning: service.")(
      "outcome", text("granted|refused"), "how it ended")("service", text("ID"), "VAL service")(
      "kid", text("KID"), "key version")("request-id", text("ID"), "as in X-Request-Id and in the log")(
      "target", text("TEXT"), "pseudonym, as listed")("user", text("ID"), "the user behind a pseudonym")(
      "ue", text("ID"), "the UE behind it")("client", text("ID"), "the client behind it")(
      "group-id", text("ID"), "the VAL group behind it")("after", po::value<std::int64_t>()->value_name("N"),
                                                         "entries after this one")(
      "limit", po::value<std::int64_t>()->value_name("N"), "at most so many, 1 to 1000; default 100");
}

Status RunAuditQuery(const Session& session, const Options& options) {
  json body = json::object();
  for (const auto& [option, member] :
       {std::pair("since", "since"), std::pair("before", "before"), std::pair("actor", "actor"),
        std::pair("action", "action"), std::pair("outcome", "outcome"), std::pair("service", "service"),
        std::pair("kid", "kid"), std::pair("request-id", "requestId"), std::pair("target", "target"),
        std::pair("user", "userId"), std::pair("ue", "ueId"), std::pair("client", "clientId"),
        std::pair("group-id", "groupId")}) {
    if (options.count(option) > 0) body[member] = options[option].as<std::string>();
  }
  for (const char* number : {"after", "limit"}) {
    if (options.count(number) > 0) body[number] = options[number].as<std::int64_t>();
  }
  SKMS_TRY(const json answer, AdminSend(session, "POST", "/admin/v1/audit/search", body));
  if (session.json) {
    PrintJson(answer);
    return Ok();
  }
  std::vector<std::vector<std::string>> rows;
  for (const json& entry : answer.at("entries")) {
    rows.push_back({Cell(entry, "seq"), TimeOf(entry), Cell(entry, "actor"), Cell(entry, "action"),
                    Cell(entry, "outcome"), Cell(entry, "service"), Target(entry), Cell(entry, "kid"),
                    Cell(entry, "reason")});
  }
  std::cout << RenderTable(
      {"ENTRY", "TIME", "ACTOR", "ACTION", "OUTCOME", "SERVICE", "TARGET", "KID", "REASON"}, rows);
  return Ok();
}

}  // namespace skms::provisioning
