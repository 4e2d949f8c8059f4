// ControlSocket: a unix stream socket that takes commands, one a line, on a thread of its own.
//
// Several clients at a time, one command at a time. The handler runs on the socket's own thread, with every
// signal blocked, and must not Start or Stop. Thread-safe.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace skms::fault {

class ControlSocket {
 public:
  using Handler = std::function<std::string(const std::string& line)>;

  ControlSocket() = default;
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;
  ~ControlSocket() { Stop(); }

  /// Makes the socket with mode 0600. A socket that nobody listens on is replaced; anything else at the path
  /// is left alone. Returns why it could not, or nothing. Does nothing when started already.
  std::string Start(const std::string& path, Handler handler);
  /// Ends the thread after the command in work, and removes the socket.
  void Stop();
  /// Where it is; empty when it is not started.
  std::string path() const;

 private:
  struct Client {
    int fd;
    std::string received;
  };
  void Serve();
  void Accept();
  /// False: the client is gone or talks nonsense.
  bool Read(Client& client) const;

  mutable std::mutex starting_;
  std::string path_;
  Handler handler_;
  int listener_ = -1;
  int wake_ = -1;
  std::vector<Client> clients_;
  std::thread thread_;
};

}  // namespace skms::fault
