// How long the notifier tries, by a clock that the test moves. What a target does to it is in tests/e2e.
#include "appliance/notifier.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/token/keystore/store_fixture.h"

namespace skms::appliance {
namespace {

using namespace keystore::test_fixture;  // NOLINT(google-build-using-namespace): the fixture's own words
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// An HTTPS server for 127.0.0.1 with a certificate of its own making; answers every request with 500.
class FailingTarget {
 public:
  FailingTarget()
      : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), tls_(SSL_CTX_new(TLS_server_method())) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(listener_, generic, size) == 0);
    REQUIRE(::listen(listener_, 8) == 0);
    REQUIRE(::getsockname(listener_, generic, &size) == 0);
    port_ = ntohs(address.sin_port);
    MakeCertificate();
    thread_ = std::thread([this] {
      for (int one = ::accept(listener_, nullptr, nullptr); one >= 0;
           one = ::accept(listener_, nullptr, nullptr)) {
        Answer(one);
        ::close(one);
      }
    });
  }
  FailingTarget(const FailingTarget&) = delete;
  FailingTarget& operator=(const FailingTarget&) = delete;
  ~FailingTarget() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    SSL_CTX_free(tls_);
  }
  std::string uri() const { return "https://127.0.0.1:" + std::to_string(port_) + "/events"; }
  const std::string& certificate() const { return pem_; }
  int tries() const { return tries_; }

 private:
  void MakeCertificate() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* made = X509_new();
    X509_set_version(made, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), 3600);
    X509_set_pubkey(made, key);
    X509_NAME* name = X509_get_subject_name(made);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("target"), -1,
                               -1, 0);
    X509_set_issuer_name(made, name);
    X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(made, names, -1);
    X509_EXTENSION_free(names);
    REQUIRE(X509_sign(made, key, EVP_sha256()) > 0);
    REQUIRE(SSL_CTX_use_certificate(tls_, made) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(tls_, key) == 1);
    BIO* memory = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(memory, made);
    char* text = nullptr;
    const long size = BIO_get_mem_data(memory, &text);
    pem_.assign(text, static_cast<std::size_t>(size));
    BIO_free(memory);
    X509_free(made);
    EVP_PKEY_free(key);
  }
  void Answer(int connection) {
    SSL* session = SSL_new(tls_);
    SSL_set_fd(session, connection);
    std::array<char, 65536> request{};
    if (SSL_accept(session) == 1 && SSL_read(session, request.data(), static_cast<int>(request.size())) > 0) {
      const std::string answer =
          "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      SSL_write(session, answer.data(), static_cast<int>(answer.size()));
      SSL_shutdown(session);
      ++tries_;
    }
    SSL_free(session);
  }

  int listener_;
  SSL_CTX* tls_;
  int port_ = 0;
  std::string pem_;
  std::atomic<int> tries_{0};
  std::thread thread_;
};

template <class Condition>
bool Comes(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class NotifierFixture : public StoreFixture {
 public:
  NotifierFixture() {
    Must(store->AddSubscription(admin, {keystore::SubscriptionId("one"), keystore::PrincipalId("val-1"),
                                        target.uri(), target.certificate(), clock.NowSeconds()}));
    Must(store->Rotate(admin, ForService()));
    Must(store->Rotate(admin, ForService()));
    NotifierOptions options;
    options.look_every = milliseconds(1);
    options.first_retry = options.last_retry = milliseconds(1);
    notifier = std::make_unique<Notifier>(
        *store, clock, [this] { return suspect.load(); }, options);
  }
  /// Tried again and again from now on.
  bool IsTriedOn() const {
    const int before = target.tries();
    return Comes([&] { return target.tries() > before + 3; });
  }
  long long Dropped() const {
    return Number("SELECT count(*) FROM audit WHERE action = 'notification.drop'");
  }

  FailingTarget target;
  std::atomic<bool> suspect{false};
  std::unique_ptr<Notifier> notifier;
};

}  // namespace

TEST_CASE("what is answered with 500 is tried for a day, then given up once, with an audit entry") {
  NotifierFixture f;
  Must(f.notifier->Start());
  CHECK(f.IsTriedOn());
  f.clock.Advance(hours(24));
  CHECK(f.IsTriedOn());
  CHECK(f.Dropped() == 0);
  f.clock.Advance(seconds(1));
  CHECK(Comes([&] { return f.Dropped() > 0; }));
  f.notifier->Stop();
  CHECK(f.Dropped() == 1);
  CHECK(f.Text("SELECT reason FROM audit WHERE action = 'notification.drop'").rfind("2 events for", 0) == 0);
}

TEST_CASE("a clock that is not believed lets nothing grow too old") {
  NotifierFixture f;
  f.suspect = true;
  f.clock.SetForward(hours(24 * 365));
  Must(f.notifier->Start());
  CHECK(f.IsTriedOn());
  CHECK(f.Dropped() == 0);
  f.suspect = false;
  CHECK(Comes([&] { return f.Dropped() > 0; }));
}

}  // namespace skms::appliance
