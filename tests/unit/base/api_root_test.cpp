#include "base/api_root.h"

#include <doctest/doctest.h>

#include <string>

namespace skms {

TEST_CASE("an apiRoot is https, a host, and perhaps a port and a prefix") {
  for (const char* text : {"https://kms.test", "https://kms.test:8443", "https://kms.test/a/b",
                           "https://[::1]:8443", "https://KMS.test/a%20b"}) {
    CAPTURE(text);
    CHECK(IsApiRoot(text));
  }
}

TEST_CASE("what is no apiRoot, or would mean more than one, is none") {
  for (const char* text :
       {"", "https://", "https:///x", "http://kms.test", "HTTPS://kms.test", "kms.test", "https://kms.test/",
        "https://kms.test?a", "https://kms.test#a", "https://kms test", "https://kms.test\n",
        "https://kms.test\x7f", "https://k\xC3\xA4ms.test", " https://kms.test"}) {
    CAPTURE(text);
    CHECK_FALSE(IsApiRoot(text));
  }
  CHECK_FALSE(IsApiRoot(std::string("https://kms.test\0x", 18)));
}

TEST_CASE("an apiRoot is taken apart at its first slash, whatever the case of its host") {
  CHECK(SplitApiRoot("https://Kms.Test").authority == "kms.test");
  CHECK(SplitApiRoot("https://Kms.Test").prefix.empty());
  CHECK(SplitApiRoot("https://[2001:DB8::1]:8443/A/b").authority == "[2001:db8::1]:8443");
  CHECK(SplitApiRoot("https://[2001:DB8::1]:8443/A/b").prefix == "/A/b");
}

}  // namespace skms
