#include "api/auth/certificate.h"

#include "tests/unit/api/auth/auth_fixture.h"

namespace skms::auth {
namespace {

using auth_fixture::CertificateFor;
using auth_fixture::Ec;

TEST_CASE("a certificate that was read before reads the same, and another one reads as itself") {
  CertificateReader reader;
  const Bytes first = CertificateFor(Ec().get());
  const Bytes second = CertificateFor(Ec().get());
  const auto read = reader.Read(first);
  REQUIRE(read != nullptr);
  CHECK(read->spki == ReadCertificate(first)->spki);
  CHECK(read->not_before == auth_fixture::kCertificateBegins);
  CHECK(read->not_after == auth_fixture::kCertificateEnds);
  REQUIRE(reader.Read(second) != nullptr);
  CHECK(reader.Read(second)->spki == ReadCertificate(second)->spki);
  CHECK(reader.Read(second)->spki != read->spki);
  CHECK(reader.Read(first) == read);
}

TEST_CASE("what is no certificate is none the second time either") {
  CertificateReader reader;
  const Bytes none(300, 0x30);
  CHECK(reader.Read(none) == nullptr);
  CHECK(reader.Read(none) == nullptr);
  CHECK(reader.Read({}) == nullptr);
}

TEST_CASE("the oldest certificate is forgotten when there are too many, and reads again") {
  constexpr std::size_t kMost = 20;
  CertificateReader reader(kMost * BoundedCache<int>::kEntryBytes);
  const auto key = Ec();
  const Bytes oldest = CertificateFor(key.get());
  const auto read = reader.Read(oldest);
  // ECDSA signatures differ, so that each is another certificate.
  for (std::size_t i = 0; i < kMost; ++i) REQUIRE(reader.Read(CertificateFor(key.get())) != nullptr);
  const auto again = reader.Read(oldest);
  REQUIRE(again != nullptr);
  CHECK(again != read);
  CHECK(again->spki == read->spki);
}

}  // namespace
}  // namespace skms::auth
