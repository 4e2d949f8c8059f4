// Preloaded into skmsd by the end-to-end tests (LD_PRELOAD): writes down what goes over each connection in
// clear, so that every answer is judged, whoever asked: curl, skmc, an example or a raw socket.
//
// The file named by SKMS_RECORDING gets one record per read and write: connection (8 octets), what (1: '<'
// received,
// '>' sent, 'x' ended), length (4), octets. Only the server's side: TLS through OpenSSL, and unix sockets.
#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

namespace {

class Recorder {
 public:
  static Recorder& Instance() {
    static auto* const recorder =
        new Recorder;  // never destroyed: threads may still close connections at the end
    return *recorder;
  }

  void Write(std::pair<char, std::uintptr_t> connection, char what, const void* octets, std::size_t size) {
    if (file_ < 0) return;
    std::uint64_t number = 0;
    {
      const std::scoped_lock lock(mutex_);
      const auto found = numbers_.find(connection);
      if (found == numbers_.end() && what == 'x') return;
      number = found != numbers_.end() ? found->second : (numbers_[connection] = next_++);
      if (what == 'x') numbers_.erase(found);
    }
    std::array<char, 13> head{};
    const auto length = static_cast<std::uint32_t>(size);
    std::memcpy(head.data(), &number, 8);
    head[8] = what;
    std::memcpy(head.data() + 9, &length, 4);
    const std::array<iovec, 2> parts{iovec{head.data(), head.size()}, iovec{const_cast<void*>(octets), size}};
    // A recording with a hole would pass what it did not see.
    if (::writev(file_, parts.data(), 2) != static_cast<ssize_t>(head.size() + size)) std::abort();
  }

 private:
  Recorder() {
    const char* path = std::getenv("SKMS_RECORDING");  // NOLINT(concurrency-mt-unsafe): read once
    if (path != nullptr) file_ = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (path != nullptr && file_ < 0) std::abort();
  }

  int file_ = -1;
  std::mutex mutex_;
  std::map<std::pair<char, std::uintptr_t>, std::uint64_t> numbers_;
  std::uint64_t next_ = 1;
};

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::pair<char, std::uintptr_t> Key(const SSL* ssl) { return {'s', reinterpret_cast<std::uintptr_t>(ssl)}; }
std::pair<char, std::uintptr_t> Key(int fd) { return {'u', static_cast<std::uintptr_t>(fd)}; }

bool IsServers(int fd) {
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
         ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

}  // namespace

extern "C" {

int SSL_read(SSL* ssl, void* out, int size) {
  static auto* const real = Next<decltype(SSL_read)>("SSL_read");
  const int got = real(ssl, out, size);
  if (got > 0 && SSL_is_server(ssl) == 1)
    Recorder::Instance().Write(Key(ssl), '<', out, static_cast<std::size_t>(got));
  return got;
}

int SSL_write(SSL* ssl, const void* octets, int size) {
  static auto* const real = Next<decltype(SSL_write)>("SSL_write");
  const int sent = real(ssl, octets, size);
  if (sent > 0 && SSL_is_server(ssl) == 1)
    Recorder::Instance().Write(Key(ssl), '>', octets, static_cast<std::size_t>(sent));
  return sent;
}

void SSL_free(SSL* ssl) {
  static auto* const real = Next<decltype(SSL_free)>("SSL_free");
  Recorder::Instance().Write(Key(ssl), 'x', nullptr, 0);
  real(ssl);
}

ssize_t recv(int fd, void* out, std::size_t size, int flags) {
  static auto* const real = Next<decltype(recv)>("recv");
  const ssize_t got = real(fd, out, size, flags);
  if (got > 0 && (flags & MSG_PEEK) == 0 && IsServers(fd))
    Recorder::Instance().Write(Key(fd), '<', out, static_cast<std::size_t>(got));
  return got;
}

ssize_t send(int fd, const void* octets, std::size_t size, int flags) {
  static auto* const real = Next<decltype(send)>("send");
  const ssize_t sent = real(fd, octets, size, flags);
  if (sent > 0 && IsServers(fd))
    Recorder::Instance().Write(Key(fd), '>', octets, static_cast<std::size_t>(sent));
  return sent;
}

int close(int fd) {
  static auto* const real = Next<decltype(close)>("close");
  Recorder::Instance().Write(Key(fd), 'x', nullptr, 0);
  return real(fd);
}

}  // extern "C"
