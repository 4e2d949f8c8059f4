#include "client/https.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/file.h"

namespace skms::client {
namespace {

constexpr std::size_t kMaxAnswerBytes = 4U << 20U;

struct FreeCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const {
    for (curl_slist* line = list; line != nullptr; line = line->next)
      Wipe(std::span(reinterpret_cast<std::uint8_t*>(line->data), std::string_view(line->data).size()));
    curl_slist_free_all(list);
  }
};
using Headers = std::unique_ptr<curl_slist, FreeCurl>;

void Append(Headers& headers, const std::string& line) {
  headers.reset(curl_slist_append(headers.release(), line.c_str()));
}

std::size_t CollectBody(char* data, std::size_t size, std::size_t count, void* user) {
  auto* body = static_cast<std::string*>(user);
  if (body->size() + size * count > kMaxAnswerBytes) return 0;
  body->append(data, size * count);
  return size * count;
}

std::size_t CollectHeader(char* data, std::size_t size, std::size_t count, void* user) {
  auto* headers = static_cast<std::map<std::string, std::string>*>(user);
  const std::string_view line(data, size * count);
  if (line.rfind("HTTP/", 0) == 0) headers->clear();  // what came before was an interim answer
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size * count;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::size_t first = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
  const std::size_t last = line.find_last_not_of(" \t\r\n");
  (*headers)[name] = last < first ? "" : std::string(line.substr(first, last + 1 - first));
  return size * count;
}

}  // namespace

struct HttpsClient::Handle {
  std::unique_ptr<CURL, FreeCurl> curl{curl_easy_init()};
};

HttpsClient::HttpsClient(Endpoint endpoint)
    : endpoint_(std::move(endpoint)), handle_(std::make_unique<Handle>()) {}
HttpsClient::HttpsClient(HttpsClient&&) noexcept = default;
HttpsClient& HttpsClient::operator=(HttpsClient&&) noexcept = default;
HttpsClient::~HttpsClient() = default;

Result<HttpAnswer> HttpsClient::Send(const HttpRequest& request) {
  if (endpoint_.url.rfind("https://", 0) != 0) return InvalidArgument("the URL must begin with https://");
  if (!endpoint_.private_key_path.empty()) {
    SKMS_TRYV(ReadSecretFile(endpoint_.private_key_path));  // libcurl takes one that everybody can read
  }
  CURL* curl = handle_->curl.get();
  if (curl == nullptr) return InternalError("libcurl cannot start");
  Headers headers;
  for (const std::string& line : request.headers) Append(headers, line);
  if (request.access_token != nullptr) {
    constexpr std::string_view kField = "Authorization: Bearer ";
    const ByteView token = request.access_token->ExposeSecret();
    std::string line;
    line.reserve(kField.size() + token.size());  // or growing would leave a copy behind
    line.append(kField).append(token.begin(), token.end());
    Append(headers, line);
    Wipe(line);
  }
  const std::string url = endpoint_.url + request.target;
  HttpAnswer answer;
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_reset(curl);  // connections stay
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // not whatever the environment says
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  // Debian's libcurl would trust the host's CAs beside the one that was named.
  curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(curl, CURLOPT_CAINFO, endpoint_.ca_path.c_str());
  if (!endpoint_.certificate_path.empty()) {
    curl_easy_setopt(curl, CURLOPT_SSLCERT, endpoint_.certificate_path.c_str());
    curl_easy_setopt(curl, CURLOPT_SSLKEY, endpoint_.private_key_path.c_str());
  }
  if (request.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  if (request.body) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body->data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body->size()));
    Append(headers, "Expect:");
  }
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &CollectBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &CollectHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer.headers);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, endpoint_.timeout_seconds);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
  if (code != CURLE_OK) {
    Wipe(answer.body);
    return Error{ErrorCode::kIo,
                 endpoint_.url + ": " + (*reason != '\0' ? reason : curl_easy_strerror(code))};
  }
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

}  // namespace skms::client
