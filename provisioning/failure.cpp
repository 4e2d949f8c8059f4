#include "provisioning/failure.h"

#include "provisioning/output.h"

namespace skms::provisioning {
namespace {

struct Row {
  ErrorCode code;
  ExitCode exit;
  const char* advice;  ///< "%" stands for the command's group
};

constexpr Row kRows[] = {
    {ErrorCode::kInvalidArgument, kExitFailed, "see: skmsctl % --help"},
    {ErrorCode::kTooLarge, kExitFailed, "give less: the daemon accepts 64 KiB in one request"},
    {ErrorCode::kUnauthenticated, kExitFailed,
     "run as root, as the daemon's user, or as a member of admin.group"},
    {ErrorCode::kPermissionDenied, kExitFailed,
     "compare the policy (skmsctl service show SERVICE) with what was asked for"},
    {ErrorCode::kRoleMissing, kExitFailed,
     "ask somebody who has the role, or whoever keeps skms.yaml (section roles)"},
    {ErrorCode::kApprovalNeeded, kExitApproval,
     "have it approved (skmsctl approval list), then type the same command again"},
    {ErrorCode::kRecipientUnusable, kExitFailed, "enrol another key: skmsctl recipient add"},
    {ErrorCode::kRecipientNotTrusted, kExitFailed,
     "mark the recipient's key: skmsctl recipient trust --help"},
    {ErrorCode::kPreconditionFailed, kExitFailed, "look at it again, and decide on what it is now"},
    {ErrorCode::kNotFound, kExitNotFound, "look at what there is: skmsctl % list"},
    {ErrorCode::kAlreadyExists, kExitConflict, "look at what there is: skmsctl % list"},
    {ErrorCode::kConflict, kExitConflict, "end what uses it first, then try again"},
    {ErrorCode::kResourceExhausted, kExitUnreachable,
     "start the daemon (systemctl start skmsd), or try again when it is less busy; another daemon is named "
     "with --config or --socket"},
    {ErrorCode::kConfiguration, kExitConfiguration,
     "mend the file that is named; skmsd --config FILE --check-config checks a configuration"},
    {ErrorCode::kIo, kExitConfiguration, "check the path, and that this user may read it"},
    {ErrorCode::kStorage, kExitConfiguration,
     "check the database's path, owner and free space; skmsctl init makes a new one where there is none"},
    {ErrorCode::kStoreUnavailable, kExitUnreachable,
     "look at the database's server: psql URL -c 'SELECT pg_is_in_recovery()' with store.url "
     "(docs/postgresql.md)"},
    {ErrorCode::kNewerSchema, kExitConfiguration, "use the skmsd and skmsctl that this database belongs to"},
    {ErrorCode::kIntegrity, kExitConfiguration,
     "stored data was changed behind the daemon's back: keep a copy, then restore the last backup"},
    {ErrorCode::kPinIncorrect, kExitToken,
     "put the right PIN into its file (token.pin_file, or that of --so-pin-file) before anything else: it "
     "was "
     "tried once, and tokens lock after a few wrong ones"},
    {ErrorCode::kTokenBlank, kExitToken,
     "initialise the token as its maker says (SoftHSM: softhsm2-util --init-token --free --label LABEL), "
     "then: skmsctl init"},
    {ErrorCode::kTokenNotFound, kExitToken,
     "compare token.label and token.serial in the configuration with the tokens that are there"},
    {ErrorCode::kTokenAmbiguous, kExitToken,
     "set token.serial, or take the second token or object of that name away"},
    {ErrorCode::kLocked, kExitToken, "give it the token's PIN: skmsctl unlock"},
    {ErrorCode::kTokenUnavailable, kExitToken,
     "check that the token is plugged in or its server is up; then: skmsctl token probe"},
    {ErrorCode::kToken, kExitToken, "see what the token can do: skmsctl token probe"},
    {ErrorCode::kUnsupported, kExitToken, "see what the token can do: skmsctl token probe"},
    {ErrorCode::kInternal, kExitFailed, "read the daemon's log: journalctl -u skmsd"},
};

const Row& RowFor(ErrorCode code) {
  for (const Row& row : kRows) {
    if (row.code == code) return row;
  }
  return RowFor(ErrorCode::kInternal);
}

std::string TwoLines(std::string_view what, std::string_view advice) {
  return "skmsctl: " + Printable(what) + "\n  what to do: " + Printable(advice) + "\n";
}

/// The group whose list shows what is missing: `key rotate` may miss a service. Empty: none has one.
std::string_view ListedGroup(std::string_view detail, std::string_view group) {
  for (const std::string_view listed : {"service", "principal", "recipient", "issuer", "key"}) {
    if (detail.find("there is no " + std::string(listed) + " '") == 0) return listed;
  }
  for (const std::string_view listed : {"service", "principal", "recipient", "issuer", "key"}) {
    if (group == listed) return listed;
  }
  return {};
}

}  // namespace

int ExitCodeFor(ErrorCode code) { return RowFor(code).exit; }

std::string DescribeFailure(const Error& error, std::string_view group) {
  std::string advice = RowFor(error.code).advice;
  if (group == "init" && error.code == ErrorCode::kConflict) {
    advice =
        "nothing, if the daemon runs well: all is made already; else stop it first: systemctl stop skmsd";
  }
  if (group == "approval" && error.code == ErrorCode::kPermissionDenied)
    advice = "see who asked, and have another person decide: skmsctl approval list";
  if (group == "backup") {
    if (error.code == ErrorCode::kIntegrity)
      advice = "do not rely on this file; keep it apart, and take another backup: skmsctl backup verify";
    if (error.detail.find("the database was changed outside skms") == 0)
      advice =
          "keep a copy of the database, look at it (skmsctl audit verify), and restore the last good backup; "
          "to have the rest in one meanwhile: skmsctl backup create --with-damage";
    if (error.detail.find("the database was damaged before") == 0)
      advice = "take an earlier backup; what is wrong with this one: skmsctl backup drill";
    if (error.code == ErrorCode::kConflict)
      advice = "end or move away what is named, then try again; the daemon is stopped for a restore";
    if (error.code == ErrorCode::kTokenBlank)
      advice =
          "put a token that holds them into the configuration (token or tokens): the one that the backup was "
          "made "
          "with, a clone, or one that had joined before it; do not run skmsctl init on another";
    if (error.code == ErrorCode::kAlreadyExists || error.code == ErrorCode::kIo)
      advice = "check the path, its free space, and that this user may read or write there";
  }
  if (group == "doctor") advice = "type the cures above, the first one first; then: skmsctl doctor";
  const std::string_view listed = ListedGroup(error.detail, group);
  if (listed.empty() && advice.find("% list") != std::string::npos) advice = "see: skmsctl % --help";
  if (const std::size_t mark = advice.find('%'); mark != std::string::npos)
    advice.replace(mark, 1, listed.empty() ? group : listed);
  return TwoLines(error.detail.empty() ? std::string(Name(error.code)) : error.detail, advice);
}

std::string DescribeUsageError(std::string_view message, std::string_view see) {
  return TwoLines(message, "see: " + std::string(see));
}

}  // namespace skms::provisioning
