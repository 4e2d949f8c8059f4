// Configuration: /etc/skms/skms.yaml as one immutable value.
//
// Every key is known by name: an unknown key, a wrong type or a value out of range is refused with file, line
// and column. Relative paths are taken from the file's own directory. Holds no secret: the PIN is a file's
// path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret_bytes.h"

namespace skms::appliance {

inline constexpr std::size_t kMaxAlsoKnownAs = 16;

struct SkmsSection {
  std::string id = "skms-1";  ///< skmsId in answers
  std::string uri =
      "https://localhost:8443";  ///< apiRoot: "https://host[:port][/prefix]", the target URI of requests
  /// Other apiRoots that `skmsUri` of a request may name: those of servers that send their clients here
  /// (TS 33.434 5.3.2 (iii)). KM-UU takes them too, as it takes `uri`. At most kMaxAlsoKnownAs.
  std::vector<std::string> also_known_as;
};

struct TokenSection {
  std::string module = "/usr/lib/softhsm/libsofthsm2.so";  ///< path of the PKCS#11 module
  std::string init_args;  ///< parameter string for the module's C_Initialize; NSS softoken needs one
  std::string label = "skms";
  std::string serial;              ///< optional
  std::string pin_file;            ///< empty: $CREDENTIALS_DIRECTORY/skms-pin (systemd credential)
  bool attended = false;           ///< the PIN is in no file: an administrator types it (skmsctl unlock)
  std::uint32_t max_sessions = 8;  ///< 1 to 1024
  std::uint32_t session_wait_ms = 2000;  ///< how long a request waits for a session before 503
  std::string profile = "standard";      ///< lab, standard or strict: do not start on a token below it
  bool refuse_sha1_oaep = false;         ///< true: do not start on a token that has no OAEP with SHA-256
  std::uint32_t weight = 1;  ///< of several tokens: 0 to 100, beside the others'; 0: when no other is well
};

inline constexpr std::size_t kMaxTokens = 16;

struct StoreSection {
  std::string path = "/var/lib/skms/skms.db";
  std::string url;      ///< of PostgreSQL; empty: SQLite, at `path`
  bool shared = false;  ///< by several servers at once; with `url` alone
  std::string server;   ///< this one's name among them; empty: the host's
  std::uint32_t answer_cache_bytes = 0;
};

struct ListenSection {
  std::string mode = "direct";  ///< "direct": TLS by this process; "edge": by HAProxy, see EdgeSection
  std::string address = "127.0.0.1";
  std::uint32_t port = 8443;
  std::string certificate;    ///< PEM, leaf first
  std::string private_key;    ///< PEM, not readable by others
  std::string client_ca;      ///< PEM bundle that client certificates are verified against
  std::string crl;            ///< PEM bundle, a CRL of each CA in `client_ca`; empty: none is looked at
  std::string ocsp_response;  ///< DER file that the edge staples; empty: none
  std::uint32_t max_connections = 64;
  std::uint32_t keep_alive_ms = 2000;
  std::uint32_t request_time_ms = 10000;
  std::uint32_t answer_time_ms = 10000;
};

/// KM-UU: UEs' key management clients, by TLS without a client certificate. Opened where the section stands
/// in the file.
struct ListenUeSection {
  bool present = false;
  std::string uri;                         ///< apiRoot of KM-UU, as UEs reach it
  std::vector<std::string> also_known_as;  ///< as in SkmsSection; for KM-UU alone
  ListenSection
      listen;  ///< port 8444 unless given; `client_ca` is optional: for tokens bound to certificates
  /// Unix socket on which the reverse proxy of this host may assert who a UE's user is (TS 24.547 A.2.3);
  /// empty: none.
  std::string trusted_socket;
  std::string trusted_user;  ///< whose processes alone may connect to it; given with it, and only then
};

/// Where HAProxy stands before this process: what `skmsctl edge config` makes HAProxy's configuration of,
/// beside the sections `listen` and `listen_ue`, and the sockets between the two.
struct EdgeSection {
  std::string user = "skms-edge";  ///< HAProxy's; no other user's processes may connect to the sockets
  std::string socket = "/run/skms/edge.sock";
  std::string ue_socket = "/run/skms/edge-ue.sock";
  std::uint32_t max_connections = 20000;            ///< of clients, idle ones too
  std::uint32_t idle_ms = 60000;                    ///< of a kept connection, before it is closed
  std::uint32_t connections_per_address = 2000;     ///< of one IPv4 address or IPv6 /64
  std::uint32_t new_connections_per_address = 500;  ///< a second
  std::uint32_t requests_per_address = 2000;        ///< a second; 429 past it
  /// Of a client certificate, or of an address without one; 429 past it.
  std::uint32_t concurrent_requests_per_client = 32;
  std::string log = "errors";      ///< "errors" or "all" requests
  std::uint32_t hard_stop_s = 30;  ///< after a reload, how long old connections may stay
};

struct LimitsSection {
  std::uint32_t target_bytes = 8000;  ///< path and query, at most 8000
  std::uint32_t header_fields = 100;
  std::uint32_t header_bytes = 16384;
  std::uint32_t body_bytes = 65536;
  std::uint32_t concurrent_requests = 32;
  std::uint32_t waiting_requests = 64;
  std::uint32_t max_wait_ms = 150;
  double requests_per_second = 200;  ///< per principal
  double burst = 400;
  double refused_per_second = 10;  ///< requests of UEs without a usable token, all together
  double refused_burst = 100;
  std::uint32_t payload_bytes = 65536;  ///< of a provisioned payload
};

struct AdminSection {
  std::string socket = "/run/skms/admin.sock";
  std::string group;  ///< empty: mode 0600, root and the daemon's user; else 0660 and members of this group
};

/// Administrators from other hosts: TLS with client certificates. Opened where the section stands in the
/// file.
struct ListenAdminSection {
  bool present = false;
  ListenSection listen;  ///< port 8445 and 8 connections unless given; `client_ca` is needed
  /// Each "NAME:HEX": who shows a certificate with the key of this SHA-256 (over its SubjectPublicKeyInfo) is
  /// this user of this host, and may do what that one may. At most kMaxRoleMembers.
  std::vector<std::string> persons;
};

/// Who may do what on the admin socket: each "user:NAME" or "group:NAME" of this host. Not in the file:
/// whoever may use the socket may do everything.
struct RolesSection {
  bool present = false;
  std::vector<std::string> admin;
  std::vector<std::string> operators;
  std::vector<std::string> backup;
  std::vector<std::string> auditor;
  std::vector<std::string> officer;
};

inline constexpr std::size_t kMaxRoleMembers = 64;

/// What other administrators must approve before it is done.
struct ApprovalsSection {
  /// Of destroy, restore, kek, strict-recipient, audit-key. Unless given: all where there are roles, else
  /// none.
  std::vector<std::string> required;
  std::uint32_t quorum = 2;         ///< persons: who asks, and so many less one who approve; 2 to 10
  std::uint32_t expires_s = 86400;  ///< of a request, approved or not; 60 to 2592000
};

struct AccessTokenSection {
  std::uint32_t leeway_s = 30;                    ///< 0 to 30 (TS 33.434 A.2.2.2)
  std::uint32_t time_window_s = 5;                ///< for Nb-Api-Sender-Timestamp where it is sent
  std::string scope_ss_kir = "ss-kir";            ///< scope that opens KM-S key retrieval
  std::string scope_seal_x1 = "seal-x1";          ///< scope that opens SEAL-X1
  std::string scope_skms_events = "skms-events";  ///< scope that opens subscriptions to key events
  std::string scope_ss_kpp = "ss-kpp";            ///< scope that opens key provisioning
  std::string scope_skm = "skm";                  ///< scope that opens KM-UU
  bool refuse_replays = false;          ///< KM-UU: the same token, dateTime and selector once in the window
  std::uint32_t jwks_new_key_s = 30;    ///< at most so often for a key that a token names and nobody has
  std::uint32_t jwks_refresh_s = 3600;  ///< how often issuers' URIs are read
};

struct RotationSection {
  std::uint32_t keys_in_a_run = 16;         ///< 1 to 1000; more: faster catching up, longer waits of requests
  std::uint32_t share_percent = 25;         ///< 1 to 100 of one core, while catching up
  std::uint32_t hold_clock_step_s = 86400;  ///< a leap of the clock forward by more holds rotation
};

/// Bringing rows under new token keys.
struct RewrapSection {
  std::uint32_t rows_per_second = 500;  ///< at most
  std::uint32_t share_percent = 50;     ///< 1 to 100 of one core, at most
};

struct NotifySection {
  std::uint32_t time_limit_ms = 10000;   ///< of one notification
  std::uint32_t first_retry_ms = 1000;   ///< after a failure; doubled with every further one
  std::uint32_t last_retry_ms = 300000;  ///< never longer
  std::uint32_t drop_after_s = 86400;    ///< age at which an event that nobody took is given up, and audited
};

struct AuditSection {
  std::uint32_t checkpoint_entries = 1000;  ///< the token signs the audit chain after so many entries,
  std::uint32_t checkpoint_s = 60;          ///< or after so long where there are fewer
  std::uint32_t warn_free_mib = 512;        ///< of the database's disk: below it the state is degraded
  std::string export_to = "off";            ///< off, file, syslog, journald
  std::string export_path;                  ///< file
  std::string export_address =
      "/dev/log";  ///< syslog: absolute path of a datagram socket, or tcp://host:port
  std::uint32_t export_most_behind = 1000000;  ///< entries: so many wait at most, then nothing is decided
};

struct MemorySection {
  /// Whether memory is kept out of swap space: "wanted": where the process may, with a warning where it may
  /// not; "required": or it does not start; "off".
  std::string lock = "wanted";
};

struct LogSection {
  std::string level = "info";   ///< debug, info, warn, error
  std::string format = "text";  ///< text: "time level line"; json: an object a line
};

struct Configuration {
  std::string path;  ///< the file it came from
  SkmsSection skms;
  TokenSection token;  ///< the first of `tokens`
  /// At least one, in the file's order: section `token`, or the list `tokens`. Labels are unique.
  std::vector<TokenSection> tokens;
  StoreSection store;
  ListenSection listen;
  ListenUeSection listen_ue;
  EdgeSection edge;
  LimitsSection limits;
  AdminSection admin;
  ListenAdminSection listen_admin;
  RolesSection roles;
  ApprovalsSection approvals;
  AccessTokenSection access_token;
  RotationSection rotation;
  RewrapSection rewrap;
  NotifySection notify;
  AuditSection audit;
  MemorySection memory;
  LogSection log;
};

/// HAProxy ends TLS before this process.
inline bool BehindEdge(const Configuration& configuration) { return configuration.listen.mode == "edge"; }

inline constexpr const char* kDefaultConfigurationPath = "/etc/skms/skms.yaml";

/// Errors: kIo (cannot read), kConfiguration ("skms.yaml:12:3: unknown key 'prot' in 'listen'; did you mean
/// 'port'?").
Result<Configuration> LoadConfiguration(const std::string& path);

/// The token of that label; the only one where `label` is empty. Errors: kInvalidArgument.
Result<TokenSection> FindToken(const Configuration& configuration, const std::string& label);

inline constexpr std::size_t kMaxPinBytes = 256;

/// The PIN from token.pin_file (0400 or 0600) or the systemd credential. Errors: kConfiguration, kIo; kLocked
/// for an attended token, whose PIN is in neither.
Result<SecretBytes> ReadPin(const TokenSection& token);

}  // namespace skms::appliance
