// Acceptor: takes connections off a listening socket, on a thread of its own, until it is told to stop.
//
// What goes wrong with one connection, or for want of descriptors or memory, ends nothing. Never shuts the
// socket itself down: it may be the service manager's, and the next process's. Start, Join and the destructor
// are for one owner thread.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "base/result.h"
#include "base/seldom.h"

namespace skms::http {

class Acceptor {
 public:
  /// Owns `listener`. `stop_fd` becomes readable when it is to end. `take` gets each connection's descriptor
  /// and owns it; it must not throw, and is called from one thread.
  Acceptor(int listener, int stop_fd, std::function<void(int)> take);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

  /// Errors: kIo.
  Status Start();
  /// Waits for the end that `stop_fd` asks for, then closes the listener. Idempotent.
  void Join();
  /// It has ended, asked or not.
  bool ended() const { return ended_; }

 private:
  void Run();
  /// False: the socket is none any more.
  bool TakeAll();

  int listener_;
  const int stop_fd_;
  const std::function<void(int)> take_;
  Seldom tells_;
  std::thread thread_;
  std::atomic<bool> ended_{false};
};

}  // namespace skms::http
