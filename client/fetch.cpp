#include "client/fetch.h"

#include <curl/curl.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"

namespace skms::client {
namespace {

constexpr std::size_t kMaxAnswerBytes = 1U << 20U;

struct FreeCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::size_t Collect(char* data, std::size_t size, std::size_t count, void* user) {
  auto* body = static_cast<std::string*>(user);
  if (body->size() + size * count > kMaxAnswerBytes) return 0;
  body->append(data, size * count);
  return size * count;
}

}  // namespace

std::string KeyRecordsUrl(const std::string& url, const KeyQuery& query) {
  std::string out = url + "/ss-kir/v1/key-records?val-service-id=" + PercentEncode(query.service);
  nlohmann::json target;
  if (!query.user.empty()) target["valUserId"] = query.user;
  if (!query.ue.empty()) target["valUeId"] = query.ue;
  if (!target.is_null()) {
    out +=
        "&val-tgt-ue=" + PercentEncode(target.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return out;
}

Result<HttpAnswer> FetchKeyRecords(const Endpoint& endpoint, const SecretBytes& access_token,
                                   const KeyQuery& query) {
  if (endpoint.url.rfind("https://", 0) != 0) return InvalidArgument("the URL must begin with https://");
  const std::unique_ptr<CURL, FreeCurl> curl(curl_easy_init());
  if (!curl) return InternalError("libcurl cannot start");
  std::string authorization = "Authorization: Bearer " + AsText(access_token.ExposeSecret());
  const std::unique_ptr<curl_slist, FreeCurl> headers(
      curl_slist_append(curl_slist_append(nullptr, "Accept: application/json"), authorization.c_str()));
  Wipe(authorization);
  const std::string url = KeyRecordsUrl(endpoint.url, query);
  HttpAnswer answer;
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(curl.get(), CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  // Debian's libcurl would trust the host's CAs beside the one that was named.
  curl_easy_setopt(curl.get(), CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(curl.get(), CURLOPT_CAINFO, endpoint.ca_path.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_SSLCERT, endpoint.certificate_path.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_SSLKEY, endpoint.private_key_path.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &Collect);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 30L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    return Error{ErrorCode::kIo, endpoint.url + ": " + (*reason != '\0' ? reason : curl_easy_strerror(code))};
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

}  // namespace skms::client
