#include "api/http/edge_fields.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

namespace skms::http {
namespace {

struct Taken {
  std::optional<ProblemDetails> problem;
  Request request;
  RequestContext context;
};

Taken Take(const std::vector<std::pair<std::string, std::string>>& fields) {
  Taken taken;
  for (const auto& [name, value] : fields) taken.request.headers.Add(name, value);
  taken.problem = TakeEdgeFields(taken.request, taken.context);
  return taken;
}

TEST_CASE("what the edge says goes into the context and out of the request") {
  const Taken taken = Take({{"Host", "h"},
                            {"client-cert", ":MIIB:"},
                            {"Client-Cert-Chain", ":AAAA:, :BBBB:"},
                            {"x-request-id", "0123456789abcdef"}});
  CHECK_FALSE(taken.problem);
  REQUIRE(taken.context.certificate);
  CHECK(taken.context.certificate->der == Bytes{0x30, 0x82, 0x01});
  CHECK(taken.context.request_id == "0123456789abcdef");
  REQUIRE(taken.request.headers.fields().size() == 1);
  CHECK(taken.request.headers.Find("Host") != nullptr);
}

TEST_CASE("a client without a certificate has none") {
  const Taken taken = Take({{"Host", "h"}});
  CHECK_FALSE(taken.problem);
  CHECK_FALSE(taken.context.certificate);
  CHECK(taken.context.request_id.empty());
}

TEST_CASE("the certificate of the request before on the connection is not this one's") {
  Request request;
  RequestContext context;
  context.certificate = PeerCertificate{{1, 2, 3}};
  CHECK_FALSE(TakeEdgeFields(request, context));
  CHECK_FALSE(context.certificate);
}

TEST_CASE("what is no byte sequence, or stands twice, is refused and leaves no certificate") {
  for (const char* value :
       {"MIIB", ":MIIB", "MIIB:", "::", ":", "", ":MII:", ":MI IB:", ":MIIB:;a=1", ":MI\"B:", ":MI-_:"}) {
    CAPTURE(value);
    const Taken taken = Take({{"Client-Cert", value}});
    REQUIRE(taken.problem);
    CHECK(taken.problem->status == 400);
    CHECK_FALSE(taken.context.certificate);
    CHECK(taken.request.headers.fields().empty());
  }
  const Taken twice = Take({{"Client-Cert", ":MIIB:"}, {"CLIENT-CERT", ":MIIB:"}});
  CHECK(twice.problem);
  CHECK_FALSE(twice.context.certificate);
}

TEST_CASE("a request id of another form, or two, is as none") {
  for (const char* value :
       {"0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0", "0123456789abcde\n", ""}) {
    CAPTURE(value);
    CHECK(Take({{"X-Request-Id", value}}).context.request_id.empty());
  }
  CHECK(Take({{"X-Request-Id", "0123456789abcdef"}, {"X-Request-Id", "0123456789abcdef"}})
            .context.request_id.empty());
}

}  // namespace
}  // namespace skms::http
