#include "base/encoding.h"

#include <doctest/doctest.h>

#include "base/digest.h"

namespace skms {
namespace {

TEST_CASE("base64url follows RFC 4648 without padding, both ways") {
  const std::pair<const char*, const char*> vectors[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    CHECK(ToBase64Url(AsBytes(plain)) == encoded);
    REQUIRE(FromBase64Url(encoded).has_value());
    CHECK(AsText(*FromBase64Url(encoded)) == plain);
  }
  CHECK(ToBase64Url(Bytes{0xFB, 0xFF}) == "-_8");
  Bytes all(256);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint8_t>(i);
  CHECK(*FromBase64Url(ToBase64Url(all)) == all);
  CHECK(*FromHex(ToHex(all)) == all);
}

TEST_CASE("base64url refuses padding, foreign characters, impossible lengths and stray bits") {
  for (const char* text : {"Zg==", "Zg=", "Z", "Zm9vY", "Zm+v", "Zm/v", "Zm v", "Zm9v\n", "Zh", "Zm9"}) {
    CAPTURE(text);
    CHECK_FALSE(FromBase64Url(text).has_value());
  }
}

TEST_CASE("hex is lower case out, either case in, and whole octets only") {
  CHECK(ToHex(Bytes{0x00, 0xAB, 0xFF}) == "00abff");
  CHECK(*FromHex("00ABff") == Bytes{0x00, 0xAB, 0xFF});
  for (const char* text : {"0", "0g", "0x", " 0"}) CHECK_FALSE(FromHex(text).has_value());
}

TEST_CASE("percent-encoding keeps only unreserved characters bare") {
  CHECK(PercentEncode("uav.c2-1_~") == "uav.c2-1_~");
  CHECK(PercentEncode("a/b?c d%") == "a%2Fb%3Fc%20d%25");
  CHECK(PercentEncode("\xC3\xBC") == "%C3%BC");
}

TEST_CASE("UTF-8 is well-formed or not") {
  for (const char* text : {"", "plain", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x94\x91", "\xF4\x8F\xBF\xBF"}) {
    CHECK(IsValidUtf8(text));
  }
  for (const char* text :
       {"\x80", "\xC3", "\xC0\xAF", "\xC1\xBF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xFF", "a\xE2\x82"}) {
    CHECK_FALSE(IsValidUtf8(text));
  }
}

TEST_CASE("digests are those of the standards") {
  CHECK(ToHex(Sha256(AsBytes("abc"))) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  // RFC 4231 test case 2.
  CHECK(ToHex(HmacSha256(AsBytes("Jefe"), AsBytes("what do ya want for nothing?"))) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST_CASE("lists of fields never run into each other") {
  const auto encode = [](std::initializer_list<std::string_view> fields) {
    Bytes out;
    for (const std::string_view field : fields) AppendField(out, field);
    return out;
  };
  CHECK(encode({"ab", "c"}) != encode({"a", "bc"}));
  CHECK(encode({"a", ""}) != encode({"", "a"}));
  CHECK(encode({"a"}) != encode({"a", ""}));
  Bytes number;
  AppendField(number, std::int64_t{1});
  CHECK(ToHex(number) == "00000000000000080000000000000001");
}

}  // namespace
}  // namespace skms
