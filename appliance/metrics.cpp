#include "appliance/metrics.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <system_error>

#include "base/file.h"
#include "base/log.h"
#include "base/x509_file.h"

namespace skms::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds kExpiriesAreGood{60};

double Seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }
template <class Number>
double Real(Number number) {
  return static_cast<double>(number);
}
double Flag(bool on) { return on ? 1 : 0; }

/// "Name:  value kB" of /proc/self/status; nullopt: it is not there.
std::optional<double> ProcessStatus(const std::string& text, std::string_view name) {
  const std::size_t at = text.find("\n" + std::string(name) + ":");
  if (at == std::string::npos) return std::nullopt;
  const std::size_t digits = text.find_first_of("0123456789", at);
  if (digits == std::string::npos) return std::nullopt;
  std::uint64_t value = 0;
  std::from_chars(text.data() + digits, text.data() + text.size(), value);
  return Real(value);
}

double CpuSeconds() {
  rusage used{};
  if (::getrusage(RUSAGE_SELF, &used) != 0) return 0;
  const auto real = [](const timeval& time) { return Real(time.tv_sec) + Real(time.tv_usec) / 1e6; };
  return real(used.ru_utime) + real(used.ru_stime);
}

// Names of node_exporter's own process would be taken where its textfile collector reads this.
void AddProcess(MetricText& out) {
  out.Counter("skms_process_cpu_seconds_total", "Processor time that skmsd has used.", {}, CpuSeconds());
  const auto status = ReadFile("/proc/self/status");
  if (status.has_value()) {
    if (const auto rss = ProcessStatus(status.value(), "VmRSS"))
      out.Gauge("skms_process_resident_memory_bytes", "Resident memory of skmsd.", {}, *rss * 1024);
    if (const auto threads = ProcessStatus(status.value(), "Threads"))
      out.Gauge("skms_process_threads", "Threads of skmsd.", {}, *threads);
  }
  std::error_code failed;
  const auto open = std::distance(fs::directory_iterator("/proc/self/fd", failed), fs::directory_iterator());
  if (!failed) out.Gauge("skms_process_open_fds", "Open file descriptors of skmsd.", {}, Real(open));
}

void AddRoute(MetricText& out, const std::string& listener, const http::RouteFigures& route) {
  const bool known = !route.pattern.empty();
  const Labels labels{{"listener", listener},
                      {"method", known ? route.method : "none"},
                      {"route", known ? route.pattern : "none"}};
  for (std::size_t i = 0; i < route.outcomes.size(); ++i) {
    Labels with_outcome = labels;
    with_outcome.emplace_back("outcome", http::kOutcomeNames[i]);
    out.Counter("skms_http_requests_total",
                "Requests answered, by listener, documented route (none: of no route) and outcome.",
                with_outcome, Real(route.outcomes[i]));
  }
  if (route.duration.count() > 0)
    out.Histogram("skms_http_request_duration_seconds", "From when a request was read to its answer.", labels,
                  route.duration);
}

void AddQueues(MetricText& out, const std::string& listener, const http::ApiFigures& figures) {
  constexpr const char* kName = "skms_http_queue_duration_seconds";
  constexpr const char* kHelp =
      "Waiting: of a connection for a thread (connection), of a request for a place among those that run "
      "(admission).";
  out.Histogram(kName, kHelp, {{"listener", listener}, {"queue", "connection"}}, figures.connections);
  out.Histogram(kName, kHelp, {{"listener", listener}, {"queue", "admission"}}, figures.admission);
  const Labels labels{{"listener", listener}};
  out.Gauge("skms_http_requests_running", "Requests that are being handled.", labels, Real(figures.running));
  out.Gauge("skms_http_requests_waiting", "Requests that wait for a place.", labels, Real(figures.waiting));
  out.Gauge("skms_http_requests_limit", "How many requests may be handled at once.", labels,
            Real(figures.limit));
  out.Gauge("skms_http_oldest_request_seconds",
            "How long the oldest request has been handled; 0: there is none.", labels,
            Seconds(figures.oldest));
}

void AddToken(MetricText& out, const hsm::TokenStatus& token) {
  const Labels labels{{"token", token.info.label}};
  out.Gauge("skms_token_up", "Whether the token is open and works.", labels, Flag(token.health.available));
  out.Gauge("skms_token_holds_keys", "Whether the token holds all token keys that are in use.", labels,
            Flag(token.holds_all));
  out.Counter("skms_token_recoveries_total", "Losses that the token came back from.", labels,
              Real(token.health.recoveries));
  out.Gauge("skms_token_sessions_leased", "Sessions in use.", labels, Real(token.leased));
  out.Gauge("skms_token_sessions_limit", "Sessions of the pool; 0 while the token is lost.", labels,
            Real(token.sessions));
  out.Histogram("skms_token_session_wait_duration_seconds",
                "Waiting for a session, also where there was no need to.", labels, token.times.waited);
  out.Histogram("skms_token_session_hold_duration_seconds", "From a session's lease to its return.", labels,
                token.times.held);
  out.Histogram("skms_token_call_duration_seconds", "Calls into the PKCS#11 module.", labels,
                token.times.inside);
}

void AddRotation(MetricText& out, const admin::RotationReport& report) {
  out.Gauge("skms_rotation_held", "Whether rotation is held since the clock leapt.", {}, Flag(report.held));
  out.Gauge("skms_rotation_last_run_time_seconds", "When rotation ran last, since 1970; 0: not yet.", {},
            Real(report.last_run));
  constexpr const char* kName = "skms_rotation_versions_total";
  constexpr const char* kHelp = "Key versions that rotation by time has made, activated, ended and wiped.";
  out.Counter(kName, kHelp, {{"action", "make"}}, Real(report.made));
  out.Counter(kName, kHelp, {{"action", "activate"}}, Real(report.activated));
  out.Counter(kName, kHelp, {{"action", "end"}}, Real(report.ended));
  out.Counter(kName, kHelp, {{"action", "wipe"}}, Real(report.wiped));
}

}  // namespace

std::string Metrics::Text() {
  MetricText out;
  AddServer(out);
  AddRequests(out);
  if (from_.module != nullptr) AddTokens(out);
  bool incomplete = false;
  if (from_.store != nullptr) {
    AddStore(out);
    AddRotation(out, from_.rotation());
    for (const Status& added : {AddKeys(out), AddAudit(out)}) {
      if (!added.has_error()) continue;
      incomplete = true;
      if (tells_.Now()) LogError("metrics: " + added.error().Describe());
    }
  }
  AddExpiries(out);
  AddProcess(out);
  out.Gauge("skms_metrics_incomplete",
            "Whether the database kept something from being told here; the log says what.", {},
            Flag(incomplete));
  return out.Render();
}

void Metrics::AddServer(MetricText& out) const {
  out.Gauge("skms_up", "1: skmsd answers. skmsctl metrics writes 0 where it does not.", {}, 1);
  out.Gauge("skms_build_info", "The version that runs, as a label; 1.", {{"version", SKMS_VERSION}}, 1);
  out.Gauge("skms_start_time_seconds", "When skmsd started, since 1970.", {}, Real(from_.started));
  out.Gauge("skms_scrape_time_seconds", "When this was told, since 1970.", {},
            Real(from_.clock.NowSeconds()));
  std::string state = "locked";
  std::size_t reasons = 1;
  if (from_.state) {
    const admin::ApplianceState judged = from_.state();
    state = admin::Text(judged.name);
    reasons = judged.reasons.size();
  }
  for (const char* one : {"operational", "degraded", "locked"})
    out.Gauge("skms_state", "1 for the state that the server is in.", {{"state", one}}, Flag(state == one));
  out.Gauge("skms_state_reasons", "How many reasons skmsctl status gives for the state.", {}, Real(reasons));
}

void Metrics::AddRequests(MetricText& out) const {
  for (const auto& [listener, api] : from_.apis) {
    if (api == nullptr) continue;
    const http::ApiFigures figures = api->figures();
    for (const http::RouteFigures& route : figures.routes) AddRoute(out, listener, route);
    AddQueues(out, listener, figures);
  }
}

void Metrics::AddTokens(MetricText& out) const {
  for (const hsm::TokenStatus& token : from_.module->tokens()) AddToken(out, token);
  const hsm::TokenKeyGenerations use = from_.module->generations();
  constexpr const char* kName = "skms_token_key_generation";
  constexpr const char* kHelp = "Generation in use of each token key.";
  out.Gauge(kName, kHelp, {{"key", "kek"}}, use.kek);
  out.Gauge(kName, kHelp, {{"key", "mac"}}, use.mac);
  out.Gauge(kName, kHelp, {{"key", "sign"}}, use.sign);
  out.Gauge(kName, kHelp, {{"key", "transfer"}}, use.transfer);
  const admin::RewrapReport rewrap = from_.rewrap();
  out.Gauge("skms_rewrap_pending_rows", "Rows that are still to be brought under the token keys in use.", {},
            Real(std::max<std::int64_t>(0, rewrap.total - rewrap.done)));
  out.Gauge("skms_rewrap_damaged_rows", "Rows that cannot be brought under the token keys in use.", {},
            Real(rewrap.damaged));
}

/// Of a server's database its size alone: the disk is not of this host.
void Metrics::AddDisk(MetricText& out) const {
  constexpr const char* kSize = "Of the database and of its write-ahead log.";
  const StoreSection& store = from_.configuration.store;
  if (!store.url.empty()) {
    const auto size = from_.store->StoredBytes();
    if (size.has_value())
      out.Gauge("skms_store_file_size_bytes", kSize, {{"file", "database"}}, Real(size.value()));
    return;
  }
  const std::pair<const char*, std::string> files[] = {{"database", store.path},
                                                       {"log", store.path + "-wal"}};
  for (const auto& [file, name] : files) {
    std::error_code failed;
    const auto size = fs::file_size(name, failed);
    if (!failed) out.Gauge("skms_store_file_size_bytes", kSize, {{"file", file}}, Real(size));
  }
  struct statvfs disk {};
  if (::statvfs(store.path.c_str(), &disk) == 0)
    out.Gauge("skms_store_free_bytes", "Free on the database's disk, for skmsd.", {},
              Real(disk.f_bavail) * Real(disk.f_frsize));
}

void Metrics::AddStore(MetricText& out) const {
  const keystore::StoreFigures figures = from_.store->figures();
  out.Histogram("skms_store_reader_wait_duration_seconds",
                "Waiting for a connection to read the database on.", {}, figures.reader_wait);
  out.Histogram("skms_store_read_duration_seconds", "Reading the database.", {}, figures.reads);
  out.Histogram("skms_store_write_duration_seconds", "From a change's order to the commit that carries it.",
                {}, figures.writes);
  out.Histogram("skms_store_commit_duration_seconds", "Transactions, of one change or many.", {},
                figures.commits);
  out.Counter("skms_store_failed_commits_total", "Transactions that the database refused.", {},
              Real(figures.failed_commits));
  out.Gauge("skms_store_readers_busy", "Connections that are being read on.", {}, Real(figures.readers_busy));
  out.Gauge("skms_store_readers_limit", "Connections to read on.", {}, Real(figures.readers));
  out.Gauge("skms_store_writes_queued", "Changes that wait for a transaction.", {},
            Real(figures.writes_queued));
  out.Gauge("skms_store_leads",
            "Whether this server leads those that share the database; 1 where it has it alone.", {},
            Flag(from_.store->leads()));
  AddDisk(out);
  out.Gauge("skms_services", "VAL services.", {}, Real(from_.store->Services().size()));
  out.Gauge("skms_principals", "Principals.", {}, Real(from_.store->Principals().size()));
  out.Gauge("skms_recipients", "Recipients.", {}, Real(from_.store->Recipients().size()));
  out.Gauge("skms_issuers", "Issuers of access tokens.", {}, Real(from_.store->Issuers().size()));
}

Status Metrics::AddKeys(MetricText& out) const {
  SKMS_TRY(const keystore::StateCounts counts, from_.store->CountKeyStates());
  for (const auto& [state, count] : counts)
    out.Gauge("skms_key_versions", "Key versions in each state of their life.", {{"state", state}},
              Real(count));
  SKMS_TRY(const keystore::RotationBacklog backlog, from_.store->ReadRotationBacklog());
  out.Gauge("skms_rotation_due_versions",
            "Key versions that are to be made, activated or ended by now; counted to 10000.", {},
            Real(backlog.due));
  out.Gauge("skms_rotation_late_seconds", "How long the first of them has been due; 0: none is.", {},
            Real(backlog.late));
  return Ok();
}

Status Metrics::AddAudit(MetricText& out) const {
  SKMS_TRY(const keystore::AuditSummary chain, from_.store->Audit());
  const admin::AuditReport report = from_.audit();
  out.Counter("skms_audit_entries_total", "Number of the last entry of the audit chain.", {},
              Real(chain.entries));
  out.Gauge("skms_audit_unsigned_entries", "Entries that no checkpoint covers yet.", {},
            Real(std::max<std::int64_t>(0, chain.entries - report.signed_up_to)));
  out.Gauge("skms_audit_checkpoint_time_seconds",
            "When the token signed the chain last, since 1970; 0: never.", {},
            Real(report.signed_at_ms) / 1000);
  out.Gauge("skms_audit_late",
            "Whether entries wait for their checkpoint far too long, or the chain was changed.", {},
            Flag(report.late));
  out.Gauge("skms_audit_disk_low", "Whether the database's disk has less free than audit.warn_free_mib.", {},
            Flag(report.disk_low));
  out.Gauge("skms_audit_export_waiting_entries",
            "Entries that audit.export has not sent yet; 0 also where it is off.", {},
            Real(report.exported.behind));
  out.Gauge(
      "skms_audit_export_late",
      "Whether the export of the audit chain does not get through, or is far behind; 0 also where it is off.",
      {}, Flag(report.exported.late || report.exported.shut));
  return Ok();
}

std::vector<Metrics::Expiry> Metrics::ReadExpiries() const {
  const Configuration& configuration = from_.configuration;
  const std::pair<std::string, const ListenSection*> sections[] = {
      {"listen", &configuration.listen},
      {"listen_ue", configuration.listen_ue.present ? &configuration.listen_ue.listen : nullptr},
      {"listen_admin", configuration.listen_admin.present ? &configuration.listen_admin.listen : nullptr}};
  std::vector<Expiry> expiries;
  const auto add_certificates = [&](const std::string& setting, const std::string& path) {
    if (path.empty()) return;
    Expiry& expiry = expiries.emplace_back(Expiry{setting, Expiry::Kind::kCertificate, 0});
    const auto dates = ReadCertificateDates(path);
    if (dates.has_error()) return;
    expiry.until =
        std::min_element(dates.value().begin(), dates.value().end(), [](const auto& a, const auto& b) {
          return a.not_after < b.not_after;
        })->not_after;
  };
  const auto add_crls = [&](const std::string& setting, const std::string& path) {
    const auto crls = ReadCrlDates(path);
    if (crls.has_error()) {
      expiries.push_back({setting, Expiry::Kind::kCrl, 0});
      return;
    }
    std::optional<std::int64_t> until;
    for (const CrlDates& crl : crls.value()) {
      if (crl.next_update > 0) until = std::min(until.value_or(crl.next_update), crl.next_update);
    }
    // One that does not say is good for ever.
    if (until) expiries.push_back({setting, Expiry::Kind::kCrl, *until});
  };
  for (const auto& [name, section] : sections) {
    if (section == nullptr) continue;
    add_certificates(name + ".certificate", section->certificate);
    add_certificates(name + ".client_ca", section->client_ca);
    if (!section->crl.empty()) add_crls(name + ".crl", section->crl);
    if (section->ocsp_response.empty()) continue;
    const auto until = ReadOcspNextUpdate(section->ocsp_response);
    // One that does not say is good for ever.
    if (until.has_error() || until.value() > 0)
      expiries.push_back(
          {name + ".ocsp_response", Expiry::Kind::kOcsp, until.has_error() ? 0 : until.value()});
  }
  return expiries;
}

std::vector<Metrics::Expiry> Metrics::Expiries() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (expiries_read_ == std::chrono::steady_clock::time_point{} || now - expiries_read_ > kExpiriesAreGood) {
    expiries_ = ReadExpiries();
    expiries_read_ = now;
  }
  return expiries_;
}

void Metrics::AddExpiries(MetricText& out) {
  constexpr std::pair<const char*, const char*> kNames[] = {
      {"skms_certificate_expiry_time_seconds",
       "Until when the certificates of a file are good, since 1970; 0: it cannot be read."},
      {"skms_crl_next_update_time_seconds",
       "Until when the CRLs of a file are good, since 1970; 0: it cannot be read."},
      {"skms_ocsp_next_update_time_seconds",
       "Until when the OCSP response of a file is good, since 1970; 0: it cannot be read."}};
  for (const Expiry& one : Expiries()) {
    const auto& [name, help] = kNames[static_cast<std::size_t>(one.kind)];
    out.Gauge(name, help, {{"setting", one.setting}}, Real(one.until));
  }
}

}  // namespace skms::appliance
