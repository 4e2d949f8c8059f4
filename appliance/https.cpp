#include "appliance/https.h"

#include <curl/curl.h>

namespace skms::appliance {

void FreeEasy::operator()(void* easy) const { curl_easy_cleanup(easy); }

EasyPtr NewHttps(const std::string& uri, const std::string& ca, std::chrono::milliseconds time_limit) {
  EasyPtr handle(curl_easy_init());
  CURL* easy = handle.get();
  if (easy == nullptr) return handle;
  curl_easy_setopt(easy, CURLOPT_URL, uri.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!ca.empty()) {
    // Without the first two, libcurl would trust the host's authorities beside the stated one.
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
    curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
    curl_blob blob{const_cast<char*>(ca.data()), ca.size(), CURL_BLOB_COPY};
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
  }
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(time_limit.count()));
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  return handle;
}

}  // namespace skms::appliance
