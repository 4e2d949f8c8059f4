#include "provisioning/edge_config.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <tuple>

#include "base/api_root.h"
#include "base/document_sizes.h"
#include "provisioning/edge_answers.h"

namespace skms::provisioning {
namespace {

using appliance::Configuration;
using appliance::ListenSection;

// What the edge adds to a request's head: Client-Cert above all.
constexpr std::size_t kAddedBytes = 12288;
constexpr std::size_t kPage = 16384;
// Larger bodies go on to the daemon as they come, and wait in its threads.
constexpr std::size_t kLargestBuffer = std::size_t{1} << 20;

/// `text` with each "{name}" replaced. A value is never read for names itself: it is the administrator's.
std::string Fill(std::string_view text, const std::vector<std::pair<std::string_view, std::string>>& values) {
  std::string filled;
  while (!text.empty()) {
    const std::size_t place = std::min(text.find('{'), text.size());
    filled += text.substr(0, place);
    text.remove_prefix(place);
    const std::string_view name = text.substr(std::min<std::size_t>(1, text.size()), text.find('}') - 1);
    const auto value =
        std::find_if(values.begin(), values.end(), [&name](const auto& each) { return each.first == name; });
    const bool named = !text.empty() && value != values.end();
    if (named) {
      filled += value->second;
    } else {
      filled += text.substr(0, 1);
    }
    text.remove_prefix(std::min(named ? name.size() + 2 : 1, text.size()));
  }
  return filled;
}

/// One word of HAProxy's configuration. Nothing can be escaped between its strong quotes.
Result<std::string> Word(const std::string& key, const std::string& text) {
  const bool holds = std::none_of(text.begin(), text.end(),
                                  [](unsigned char c) { return c < 0x20 || c == '\'' || c == 0x7F; });
  if (!holds)
    return ConfigurationError(
        "'" + key +
        "' has a quote or a control character, which HAProxy cannot read; name the file otherwise");
  return "'" + text + "'";
}

/// A listener of the configuration, and what stands behind it.
struct Listener {
  const char* section;
  const char* file;  ///< name of the certificate in our directory
  const char* backend;
  const ListenSection& listen;
  const std::string& socket;
};

/// A refusal that HAProxy has no error page for.
std::string ReturnLine(int status, const char* title, const char* detail, const std::string& condition,
                       const char* more_fields = "", const char* cause = "") {
  return "    http-request return status " + std::to_string(status) +
         " content-type application/problem+json string '" + EdgeProblem(status, title, detail, cause) +
         "' hdr Cache-Control no-store " + more_fields + "hdr X-Request-Id '%[unique-id]' if " + condition +
         "\n";
}

constexpr const char* kHead =
    R"(# Made by skmsctl edge config from {source}: change that file and run it again.
global
    default-path config
    log stdout len 65535 format raw local0
    maxconn {max_connections}
    hard-stop-after {hard_stop_s}s
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    ssl-default-bind-ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305
    ssl-default-bind-ciphersuites TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256
    # A whole request must fit, so that one that comes slowly waits here and not in a thread of the daemon.
    tune.bufsize {buffer}
    tune.maxrewrite {added}
    tune.http.maxhdr {most_fields}
    # Each may have a request waiting in a buffer.
    tune.h2.max-concurrent-streams 20
    lua-load answer_after_body.lua

defaults
    mode http
    log global
    option http-buffer-request
    option dontlognull
    option disable-h2-upgrade
    # A client that is about to ask again when the edge is reloaded gets its answer first.
    option idle-close-on-response
    # No regular expression here: their compiler needs memory that is written and run, which the unit forbids.
    unique-id-format %[uuid(),bytes(0,8)]%[uuid(),bytes(24,8)]
    timeout client {request_ms}ms
    timeout http-request {request_ms}ms
    timeout http-keep-alive {idle_ms}ms
    timeout client-fin 2s
    timeout connect 1s
    timeout queue {queue_ms}ms
    timeout server {server_ms}ms
    retries 3
{errors}
# One IPv4 address or IPv6 /64, over both listeners.
backend addresses
    stick-table type ipv6 size 100k expire 1m store conn_cur,conn_rate(1s),http_req_rate(1s)

# One client certificate, by its digest; or an address as above without one. What is counted are requests at work.
backend clients
    stick-table type string len 64 size 100k expire 1m store conn_cur
)";

constexpr const char* kFrontend =
    R"(
frontend {name}
    bind {bind} ssl crt {file} alpn h2,http/1.1 curves X25519:P-256:P-384{verify}
    # Without the query, which names users; UEs' addresses without their end.
    log-format '{"time":"%[date,utime(%Y-%m-%dT%H:%M:%SZ)]","edge":"%f","id":"%ID","client":"%[{client}]","method":"%HM","path":"%[var(txn.path),bytes(0,512),json(utf8s)]","http":"%[var(txn.http)]","tls":"%sslv","status":%ST,"bytes":%B,"ms":%Ta,"queueMs":%Tw,"serverMs":%Tr,"end":"%ts"}'
{log_normal}    tcp-request connection track-sc0 src,ipmask(32,64) table addresses
    tcp-request connection reject if { sc0_conn_cur gt {connections} } || { sc0_conn_rate gt {new_connections} }
    http-request set-var(txn.id) unique-id
    http-request set-var(txn.path) path
    http-request set-var(txn.http) req.ver
    http-request deny deny_status 429 if { sc0_http_req_rate gt {requests} }
    http-request deny deny_status 400 if !{ req.fhdr_cnt(host) eq 1 }
    http-request track-sc1 ssl_c_der,sha2(256),hex table clients if { ssl_c_used }
    http-request track-sc1 src,ipmask(32,64) table clients
{returns}    # Whoever sends these himself must not be believed.
    http-request del-header Client-Cert
    http-request del-header Client-Cert-Chain
    http-request set-header X-Request-Id %[unique-id]
{client_cert}{bodies}    # The last one counts: without a length, what has come so far is taken for it.
    http-request set-var(txn.refused) int(411) if { req.hdr(transfer-encoding) -m found }
    http-request set-var(txn.refused) int(411) if { method POST PUT PATCH } !{ req.hdr(content-length) -m found }
    http-request use-service lua.answer_after_body if { var(txn.refused) -m found }
{routes}    default_backend {backend}
)";

constexpr const char* kBackend =
    R"(
backend {name}
    # A kept connection would hold a thread of the daemon, and break under a request when it restarts.
    option http-server-close
    http-reuse never
{busy}    server skmsd unix@{socket} maxconn {max}
)";

std::string Milliseconds(std::uint32_t value) { return std::to_string(value); }

std::string BindAddress(const ListenSection& listen) {
  const bool v6 = listen.address.find(':') != std::string::npos;
  return (v6 ? "ipv6@[" + listen.address + "]" : "ipv4@" + listen.address) + ":" +
         std::to_string(listen.port);
}

Result<std::string> Verify(const Listener& listener) {
  if (listener.listen.client_ca.empty()) return std::string();
  const std::string section = listener.section;
  SKMS_TRY(const std::string ca, Word(section + ".client_ca", listener.listen.client_ca));
  std::string text = " verify optional ca-file " + ca;
  if (listener.listen.crl.empty()) return text;
  SKMS_TRY(const std::string crl, Word(section + ".crl", listener.listen.crl));
  return text + " crl-file " + crl;
}

std::size_t LargestBody(const Configuration& configuration) {
  return std::max<std::size_t>(configuration.limits.body_bytes,
                               ProvisioningDocumentBytes(configuration.limits.payload_bytes));
}

std::size_t BufferBytes(const Configuration& configuration) {
  const std::size_t whole = LargestBody(configuration) + configuration.limits.header_bytes +
                            configuration.limits.target_bytes + kAddedBytes;
  return std::min(kLargestBuffer, (whole + kPage - 1) / kPage * kPage);
}

/// What surely fits into the buffer with its head, and so waits there until it is whole.
std::size_t LargestBuffered(const Configuration& configuration) {
  return BufferBytes(configuration) - configuration.limits.header_bytes - configuration.limits.target_bytes -
         kAddedBytes;
}

std::string TooLargeLine(std::size_t most, const std::string& but) {
  return "    http-request set-var(txn.refused) int(413) if { req.body_size gt " + std::to_string(most) +
         " }" + but + "\n";
}

/// KM-S. What is larger than the buffer goes to the daemon as it comes: from clients with a certificate
/// alone.
Result<std::string> BodyLines(const Configuration& configuration) {
  const std::size_t largest = LargestBody(configuration);
  SKMS_TRY(const std::string groups,
           Word("skms.uri", SplitApiRoot(configuration.skms.uri).prefix + "/seal-x1/v1/groups/"));
  return TooLargeLine(std::min(largest, LargestBuffered(configuration)), " !{ ssl_c_used }") +
         TooLargeLine(largest, " !{ path_beg " + groups + " }") +
         TooLargeLine(std::max(kMaxGroupDocumentBytes, largest), "");
}

Result<std::string> UeBodyLines(const Configuration& configuration) {
  const std::size_t most = configuration.limits.body_bytes;
  if (most > LargestBuffered(configuration)) {
    return ConfigurationError(
        "'limits.body_bytes' is more than the edge can hold for clients without a certificate; "
        "at most " +
        std::to_string(LargestBuffered(configuration)) + " with 'listen_ue'");
  }
  return TooLargeLine(most, "");
}

Result<std::string> Frontend(const Configuration& configuration, const Listener& listener,
                             const std::string& routes) {
  SKMS_TRY(const std::string verify, Verify(listener));
  const bool km_s = std::string_view(listener.backend) == "km_s";
  std::string returns =
      ReturnLine(414, "URI Too Long", "the path and query are longer than accepted",
                 "{ pathq,length gt " + std::to_string(configuration.limits.target_bytes) + " }");
  returns += ReturnLine(431, "Request Header Fields Too Large", "more header fields than accepted",
                        "{ req.fhdr_cnt gt " + std::to_string(configuration.limits.header_fields) +
                            " } || { req.hdrs,length gt " +
                            std::to_string(configuration.limits.header_bytes) + " }");
  // Before the daemon's queue, so that one client that floods leaves places in it to the others.
  returns += ReturnLine(
      429, "Too Many Requests", "this client has as many requests at work as one client may have",
      "{ sc1_conn_cur gt " + std::to_string(configuration.edge.concurrent_requests_per_client) + " }",
      "hdr Retry-After 1 ", "NF_CONGESTION_RISK");
  SKMS_TRY(const std::string bodies, km_s ? BodyLines(configuration) : UeBodyLines(configuration));
  const appliance::EdgeSection& edge = configuration.edge;
  return Fill(
      kFrontend,
      {{"name", listener.backend},
       {"bind", BindAddress(listener.listen)},
       {"file", listener.file},
       {"verify", verify},
       {"connections", std::to_string(edge.connections_per_address)},
       {"new_connections", std::to_string(edge.new_connections_per_address)},
       {"requests", std::to_string(edge.requests_per_address)},
       {"client", km_s && routes.empty() ? "src" : "src,ipmask(24,48)"},
       {"client_cert",
        verify.empty() ? ""
                       : "    http-request set-header Client-Cert :%[ssl_c_der,base64]: if { ssl_c_used }\n"},
       {"returns", returns},
       {"log_normal",
        edge.log == "all" ? "" : "    http-response set-log-level silent if { status lt 400 }\n"},
       {"bodies", bodies},
       {"routes", routes},
       {"backend", listener.backend}});
}

Result<std::string> Backend(const Configuration& configuration, const Listener& listener) {
  SKMS_TRY(const std::string socket, Word("edge.socket", listener.socket));
  // Told at once and on a connection that stays: who is turned away by an error page makes the next
  // handshake, and those would take what is left of the machine.
  const std::uint32_t most = std::max<std::uint32_t>(1, configuration.limits.waiting_requests);
  const std::string busy =
      ReturnLine(503, "Service Unavailable", "too many requests are waiting",
                 std::string("{ queue(") + listener.backend + ") ge " + std::to_string(most) + " }",
                 "hdr Retry-After 1 ", "NF_CONGESTION");
  return Fill(kBackend, {{"name", listener.backend},
                         {"socket", socket},
                         {"busy", busy},
                         {"max", std::to_string(listener.listen.max_connections)}});
}

std::string Head(const Configuration& configuration) {
  const appliance::EdgeSection& edge = configuration.edge;
  const ListenSection& listen = configuration.listen;
  const ListenSection& ue = configuration.listen_ue.present ? configuration.listen_ue.listen : listen;
  const std::uint32_t request_ms = std::max(listen.request_time_ms, ue.request_time_ms);
  const std::uint32_t answer_ms = std::max(listen.answer_time_ms, ue.answer_time_ms);
  return Fill(kHead, {{"source", configuration.path},
                      {"max_connections", std::to_string(edge.max_connections)},
                      {"hard_stop_s", std::to_string(edge.hard_stop_s)},
                      {"buffer", std::to_string(BufferBytes(configuration))},
                      {"added", std::to_string(kAddedBytes)},
                      {"most_fields", std::to_string(configuration.limits.header_fields * 2)},
                      {"request_ms", Milliseconds(request_ms)},
                      {"idle_ms", Milliseconds(edge.idle_ms)},
                      {"queue_ms", Milliseconds(configuration.limits.max_wait_ms + 1000)},
                      // The daemon answers a request that hangs by then; this is for a daemon that hangs.
                      {"server_ms", Milliseconds(request_ms + answer_ms + 2000)},
                      {"errors", EdgeErrorLines()}});
}

bool SharePort(const Configuration& configuration) {
  const ListenSection& ue = configuration.listen_ue.listen;
  return configuration.listen_ue.present && ue.address == configuration.listen.address &&
         ue.port == configuration.listen.port;
}

/// One port has one certificate, and asks for client certificates or does not.
Status CheckShared(const Configuration& configuration) {
  const ListenSection& listen = configuration.listen;
  const ListenSection& ue = configuration.listen_ue.listen;
  const auto differs = [](const std::string& a, const std::string& b) { return !b.empty() && a != b; };
  for (const auto& [key, a, b] :
       {std::tuple("certificate", &listen.certificate, &ue.certificate),
        std::tuple("private_key", &listen.private_key, &ue.private_key),
        std::tuple("client_ca", &listen.client_ca, &ue.client_ca), std::tuple("crl", &listen.crl, &ue.crl)}) {
    if (differs(*a, *b)) {
      return ConfigurationError(std::string("'listen.") + key + "' and 'listen_ue." + key +
                                "' differ, but both listen on one port, which has one; give listen_ue a port "
                                "of its own, or the same file");
    }
  }
  return Ok();
}

/// What goes to KM-UU where both are on one port: its own host where it has one, else its own path.
Result<std::string> UeRoutes(const Configuration& configuration) {
  const ApiRootParts ue = SplitApiRoot(configuration.listen_ue.uri);
  const ApiRootParts km_s = SplitApiRoot(configuration.skms.uri);
  SKMS_TRY(const std::string host, Word("listen_ue.uri", ue.authority));
  SKMS_TRY(const std::string path, Word("listen_ue.uri", ue.prefix + "/skm/v1/"));
  if (ue.authority != km_s.authority) return "    use_backend km_uu if { req.hdr(host) -i " + host + " }\n";
  return "    use_backend km_uu if { path_beg " + path + " }\n";
}

}  // namespace

Result<EdgeFiles> MakeEdgeFiles(const Configuration& configuration) {
  if (!appliance::BehindEdge(configuration))
    return ConfigurationError(configuration.path +
                              ": 'listen.mode' is direct: there is no edge; set it to edge");
  const Listener km_s{"listen", "km_s.pem", "km_s", configuration.listen, configuration.edge.socket};
  const Listener km_uu{"listen_ue", "km_uu.pem", "km_uu", configuration.listen_ue.listen,
                       configuration.edge.ue_socket};
  const bool shared = SharePort(configuration);
  EdgeFiles files;
  std::string text = Head(configuration);
  std::string routes;
  if (shared) {
    SKMS_TRYV(CheckShared(configuration));
    SKMS_TRY(routes, UeRoutes(configuration));
  }
  SKMS_TRY(const std::string frontend, Frontend(configuration, km_s, routes));
  SKMS_TRY(const std::string backend, Backend(configuration, km_s));
  text += frontend + backend;
  const auto link = [&files](const Listener& listener) {
    files.links.emplace_back(listener.file, listener.listen.certificate);
    files.links.emplace_back(std::string(listener.file) + ".key", listener.listen.private_key);
    if (!listener.listen.ocsp_response.empty())
      files.links.emplace_back(std::string(listener.file) + ".ocsp", listener.listen.ocsp_response);
  };
  link(km_s);
  if (configuration.listen_ue.present) {
    if (!shared) {
      SKMS_TRY(const std::string ue_frontend, Frontend(configuration, km_uu, ""));
      text += ue_frontend;
      link(km_uu);
    }
    SKMS_TRY(const std::string ue_backend, Backend(configuration, km_uu));
    text += ue_backend;
  }
  files.texts = EdgeAnswerFiles();
  files.texts.emplace_back(kHaproxyFile, text);
  return files;
}

}  // namespace skms::provisioning
