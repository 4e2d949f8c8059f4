#include "provisioning/admin_client.h"

#include <httplib.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"

namespace skms::provisioning {
namespace {

using nlohmann::json;

constexpr int kTimeoutSeconds = 60;

ErrorCode CodeFor(int status) {
  switch (status) {
    case 400:
    case 413:
    case 414:
      return ErrorCode::kInvalidArgument;
    case 401:
    case 403:
      return ErrorCode::kUnauthenticated;
    case 404:
      return ErrorCode::kNotFound;
    case 409:
      return ErrorCode::kConflict;
    case 503:
      return ErrorCode::kTokenUnavailable;
    default:
      return ErrorCode::kInternal;
  }
}

Error Unreachable(const std::string& socket) {
  return {ErrorCode::kResourceExhausted,
          "nobody answers on " + socket +
              "\n  what to do: start the daemon (systemctl start skmsd), run as root or "
              "as its user, or name its configuration with --config"};
}

Result<json> Decode(const httplib::Result& result, const std::string& socket) {
  if (!result) return Unreachable(socket);
  json body = json::parse(result->body, nullptr, false);
  if (result->status < 300) return body.is_discarded() ? json::object() : body;
  std::string detail = "the daemon answered " + std::to_string(result->status);
  if (body.is_object() && body.contains("detail") && body["detail"].is_string())
    detail = body["detail"].get<std::string>();
  return Error{CodeFor(result->status), detail};
}

Result<json> Send(const Session& session, const std::string& method, const std::string& path,
                  const std::string& body) {
  SKMS_TRY(const std::string socket, session.SocketPath());
  httplib::Client client(socket);
  client.set_address_family(AF_UNIX);
  client.set_connection_timeout(5);
  client.set_read_timeout(kTimeoutSeconds);
  client.set_default_headers({{"Host", "localhost"}});
  if (method == "GET") return Decode(client.Get(path), socket);
  if (method == "DELETE") return Decode(client.Delete(path), socket);
  if (method == "PUT") return Decode(client.Put(path, body, "application/json"), socket);
  return Decode(client.Post(path, body, "application/json"), socket);
}

}  // namespace

std::string EncodeSegment(const std::string& text) {
  constexpr std::string_view kUnreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string out;
  for (const char c : text) {
    if (kUnreserved.find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto octet = static_cast<std::uint8_t>(c);
      out += '%' + ToHex(ByteView(&octet, 1));
    }
  }
  return out;
}

Result<json> AdminGet(const Session& session, const std::string& path) {
  return Send(session, "GET", path, "");
}

Result<json> AdminSend(const Session& session, const std::string& method, const std::string& path,
                       const json& body) {
  return Send(session, method, path, body.dump(-1, ' ', false, json::error_handler_t::replace));
}

Status AdminDelete(const Session& session, const std::string& path) {
  SKMS_TRYV(Send(session, "DELETE", path, ""));
  return Ok();
}

}  // namespace skms::provisioning
