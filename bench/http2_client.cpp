#include "bench/http2_client.h"

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace skms::bench {
namespace {

nghttp2_nv Field(std::string_view name, std::string_view value) {
  // nghttp2 takes octets that it will not write to.
  const auto octets = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return {octets(name), octets(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

class Http2Client::State {
 public:
  State(SSL* ssl, std::string host, const std::string& token)
      : ssl_(ssl), host_(std::move(host)), authorization_("Bearer " + token) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_length,
           const std::uint8_t* value, std::size_t, std::uint8_t, void* self) {
          const std::string_view given(reinterpret_cast<const char*>(name), name_length);
          if (given == ":status")
            static_cast<State*>(self)->status_ =
                static_cast<int>(std::strtol(reinterpret_cast<const char*>(value), nullptr, 10));
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t, std::uint32_t error, void* self) {
          auto* const state = static_cast<State*>(self);
          state->closed_ = true;
          if (error != NGHTTP2_NO_ERROR) state->status_ = 0;
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { nghttp2_session_del(session_); }

  int Get(const std::string& target) {
    const std::array fields{
        Field(":method", "GET"), Field(":scheme", "https"),           Field(":authority", host_),
        Field(":path", target),  Field("accept", "application/json"), Field("authorization", authorization_)};
    status_ = 0;
    closed_ = false;
    if (nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), nullptr, nullptr) < 0)
      return 0;
    while (!closed_) {
      if (!Send() || !Receive()) return 0;
    }
    return Send() ? status_ : 0;
  }

 private:
  bool Send() {
    const std::uint8_t* octets = nullptr;
    for (;;) {
      const ssize_t length = nghttp2_session_mem_send(session_, &octets);
      if (length <= 0) return length == 0;
      if (SSL_write(ssl_, octets, static_cast<int>(length)) <= 0) return false;
    }
  }

  bool Receive() {
    std::array<std::uint8_t, 16384> octets{};
    const int length = SSL_read(ssl_, octets.data(), octets.size());
    return length > 0 &&
           nghttp2_session_mem_recv(session_, octets.data(), static_cast<std::size_t>(length)) >= 0;
  }

  SSL* const ssl_;
  const std::string host_;
  const std::string authorization_;
  nghttp2_session* session_ = nullptr;
  int status_ = 0;
  bool closed_ = false;
};

Http2Client::Http2Client(SSL* ssl, std::string host, const std::string& token)
    : state_(std::make_unique<State>(ssl, std::move(host), token)) {}
Http2Client::~Http2Client() = default;
int Http2Client::Get(const std::string& target) { return state_->Get(target); }

}  // namespace skms::bench
