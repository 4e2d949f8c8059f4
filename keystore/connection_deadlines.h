// ConnectionDeadlines: cuts a connection whose server neither answers nor ends.
//
// A server that stops, or a commit that waits for a replica that is not there, answers nothing while its host
// still acknowledges every packet; libpq waits for ever then. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>

namespace skms::keystore {

class ConnectionDeadlines {
 public:
  ConnectionDeadlines() = default;
  ConnectionDeadlines(const ConnectionDeadlines&) = delete;
  ConnectionDeadlines& operator=(const ConnectionDeadlines&) = delete;
  ~ConnectionDeadlines();

 private:
  struct Entry {
    int socket;
    std::chrono::steady_clock::time_point until;
    bool cut = false;
  };

 public:
  /// While it lives, the connection of `socket` is looked after: what waits on it past `limit` finds it shut.
  /// The socket may be closed meanwhile. -1: there is none, and nothing is done.
  class Watch {
   public:
    Watch(ConnectionDeadlines& deadlines, int socket, std::chrono::seconds limit);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

   private:
    ConnectionDeadlines& deadlines_;
    const int socket_;  ///< another one of the same connection
    std::list<Entry>::iterator entry_;
  };

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Entry> entries_;
  bool stopping_ = false;
  std::thread thread_;  ///< from the first socket on
};

}  // namespace skms::keystore
