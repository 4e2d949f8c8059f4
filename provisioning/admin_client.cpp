#include "provisioning/admin_client.h"

#include <httplib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/encoding.h"

namespace skms::provisioning {
namespace {

using nlohmann::json;

constexpr int kConnectSeconds = 5;
constexpr int kAnswerSeconds = 60;
constexpr int kPatientSeconds = 86400;  // a daemon that ends closes the connection

/// The daemon names its ErrorCode as the problem's cause.
std::optional<ErrorCode> CodeNamed(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    if (Name(code) == name) return code;
  }
  return std::nullopt;
}

/// For answers that the router gives before the admin API is asked.
ErrorCode CodeFor(int status) {
  switch (status) {
    case 400:
    case 414:
    case 431:
      return ErrorCode::kInvalidArgument;
    case 404:
      return ErrorCode::kNotFound;
    case 413:
      return ErrorCode::kTooLarge;
    case 503:
      return ErrorCode::kResourceExhausted;
    default:
      return ErrorCode::kInternal;
  }
}

constexpr int kAccepted = 202;

/// The daemon did nothing but write down what was asked for.
Error ApprovalNeeded(const json& answer) {
  const json approval = answer.is_object() ? answer.value("approval", json::object()) : json::object();
  const auto text = [&](const char* member) {
    return approval.contains(member) && approval[member].is_string() ? approval[member].get<std::string>()
                                                                     : "?";
  };
  const std::size_t given = approval.contains("approvedBy") ? approval["approvedBy"].size() : 0;
  const std::string needed = approval.contains("approvalsNeeded") ? approval["approvalsNeeded"].dump() : "?";
  return {ErrorCode::kApprovalNeeded,
          "nothing was done yet: request " + text("id") + " has " + std::to_string(given) + " of " + needed +
              " approvals of others, and expires " + text("expires") + " (" + text("summary") + ")"};
}

/// Why a socket cannot be used at all, told before the connection is tried.
Status CheckSocket(const std::string& socket) {
  if (::access(socket.c_str(), R_OK | W_OK) == 0) return Ok();
  if (errno == EACCES) {
    return Error{ErrorCode::kUnauthenticated, "this user may not use the admin socket " + socket};
  }
  return Error{ErrorCode::kResourceExhausted,
               "there is no admin socket " + socket + ": no daemon is running"};
}

struct RawAnswer {
  int status = 0;
  std::string body;
};

Error Explain(httplib::Error failure, const RemoteServer& server) {
  switch (failure) {
    case httplib::Error::Connection:
      return {ErrorCode::kResourceExhausted, "nobody answers on " + server.url};
    case httplib::Error::SSLServerVerification:
      return {ErrorCode::kUnauthenticated,
              server.url + " shows a certificate for another name, or one that " +
                  (server.ca.empty() ? std::string("this host's certificate authorities do")
                                     : server.ca + " does") +
                  " not vouch for; nothing was sent to it. Give its authority's certificate: --ca FILE"};
    case httplib::Error::SSLConnection:
    case httplib::Error::SSLLoadingCerts:
      return {ErrorCode::kUnauthenticated,
              "no TLS connection to " + server.url + ": " + server.key + " is the key of " +
                  server.certificate +
                  "? Is it issued by an authority of listen_admin.client_ca, and not ended or revoked?"};
    default:
      return {ErrorCode::kIo,
              server.url +
                  ": the answer broke off; look whether it did what was asked. If it does so each time, "
                  "the server does not take this certificate"};
  }
}

Result<RawAnswer> AskRemote(const RemoteServer& server, const std::string& method, const std::string& path,
                            const std::string& body, int answer_seconds) {
  // One for all requests of a command: a passphrase is asked for once.
  static std::unique_ptr<httplib::SSLClient> kept;
  if (!kept) {
    SKMS_TRY(const HostAndPort where, CheckRemote(server));
    auto made = std::make_unique<httplib::SSLClient>(where.host, where.port, server.certificate, server.key);
    if (!made->is_valid()) return Explain(httplib::Error::SSLLoadingCerts, server);
    SSL_CTX_set_min_proto_version(made->ssl_context(), TLS1_2_VERSION);
    made->enable_server_certificate_verification(true);
    if (!server.ca.empty()) made->set_ca_cert_path(server.ca);
    made->set_connection_timeout(kConnectSeconds);
    kept = std::move(made);
  }
  httplib::SSLClient& client = *kept;
  client.set_read_timeout(answer_seconds);
  httplib::Request request;
  request.method = method;
  request.path = path;
  if (!body.empty()) {
    request.set_header("Content-Type", "application/json");
    request.body = body;
  }
  const httplib::Result result = client.send(request);
  if (!result) return Explain(result.error(), server);
  return RawAnswer{result->status, result->body};
}

Result<RawAnswer> Ask(const Session& session, const std::string& method, const std::string& path,
                      const std::string& body, int answer_seconds = kAnswerSeconds) {
  if (session.remote) return AskRemote(*session.remote, method, path, body, answer_seconds);
  SKMS_TRY(const std::string socket, session.SocketPath());
  SKMS_TRYV(CheckSocket(socket));
  httplib::Client client(socket);
  client.set_address_family(AF_UNIX);
  client.set_connection_timeout(kConnectSeconds);
  client.set_read_timeout(answer_seconds);
  httplib::Request request;
  request.method = method;
  request.path = path;
  request.set_header("Host", "localhost");
  if (!body.empty()) {
    request.set_header("Content-Type", "application/json");
    request.body = body;
  }
  const httplib::Result result = client.send(request);
  if (result) return RawAnswer{result->status, result->body};
  if (result.error() == httplib::Error::Connection)
    return Error{ErrorCode::kResourceExhausted, "nobody answers on " + socket};
  return Error{ErrorCode::kIo,
               socket + ": the daemon's answer broke off; look whether it did what was asked"};
}

Result<json> Send(const Session& session, const std::string& method, const std::string& path,
                  const std::string& body, int answer_seconds = kAnswerSeconds) {
  SKMS_TRY(const RawAnswer answer, Ask(session, method, path, body, answer_seconds));
  return DecodeAnswer(answer.status, answer.body);
}

}  // namespace

Result<json> DecodeAnswer(int status, const std::string& body) {
  json answer = body.empty() ? json::object() : json::parse(body, nullptr, false);
  if (status == kAccepted) return ApprovalNeeded(answer);
  if (status >= 200 && status < 300) {
    if (answer.is_object()) return answer;
    return InternalError("the daemon's answer is not JSON");
  }
  Error error{CodeFor(status), "the daemon answered " + std::to_string(status)};
  if (!answer.is_object()) return error;
  const auto text = [&](const char* member) {
    return answer.contains(member) && answer[member].is_string() ? answer[member].get<std::string>() : "";
  };
  if (!text("detail").empty()) error.detail = text("detail");
  if (text("cause") == "not-an-administrator") error.code = ErrorCode::kUnauthenticated;
  if (const auto code = CodeNamed(text("cause"))) error.code = *code;
  return error;
}

Result<json> AdminGet(const Session& session, const std::string& path) {
  return Send(session, "GET", path, "");
}

Result<std::string> AdminGetText(const Session& session, const std::string& path) {
  SKMS_TRY(RawAnswer answer, Ask(session, "GET", path, ""));
  if (answer.status >= 200 && answer.status < 300) return std::move(answer.body);
  SKMS_TRYV(DecodeAnswer(answer.status, answer.body));
  return InternalError("the daemon's answer is none");
}

Result<json> AdminSend(const Session& session, const std::string& method, const std::string& path,
                       const json& body) {
  return Send(session, method, path, body.dump(-1, ' ', false, json::error_handler_t::replace));
}

Result<json> AdminSendPatiently(const Session& session, const std::string& method, const std::string& path,
                                const json& body) {
  return Send(session, method, path, body.dump(-1, ' ', false, json::error_handler_t::replace),
              kPatientSeconds);
}

Result<bool> IsDaemonThere(const Session& session) {
  SKMS_TRY(const std::string path, session.SocketPath());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return IoError(path, ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return IoError(path, errno);
  const int connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int failed = connected == 0 ? 0 : errno;
  ::close(fd);
  if (failed == ENOENT || failed == ECONNREFUSED) return false;
  if (failed == EACCES)
    return Error{ErrorCode::kUnauthenticated, "this user may not use the admin socket " + path};
  if (failed == 0 || failed == EAGAIN) return true;  // EAGAIN: its queue is full
  return IoError(path, failed);
}

Status AdminDelete(const Session& session, const std::string& path) {
  SKMS_TRYV(Send(session, "DELETE", path, ""));
  return Ok();
}

}  // namespace skms::provisioning
