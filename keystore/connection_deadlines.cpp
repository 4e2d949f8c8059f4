#include "keystore/connection_deadlines.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

namespace skms::keystore {
namespace {

constexpr std::chrono::milliseconds kPause{250};

}  // namespace

ConnectionDeadlines::~ConnectionDeadlines() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

ConnectionDeadlines::Watch::Watch(ConnectionDeadlines& deadlines, int socket, std::chrono::seconds limit)
    : deadlines_(deadlines), socket_(socket < 0 ? -1 : ::fcntl(socket, F_DUPFD_CLOEXEC, 0)) {
  if (socket_ < 0) return;
  const std::lock_guard lock(deadlines_.mutex_);
  entry_ = deadlines_.entries_.insert(deadlines_.entries_.end(),
                                      {socket_, std::chrono::steady_clock::now() + limit});
  if (!deadlines_.thread_.joinable())
    deadlines_.thread_ = std::thread([this_ = &deadlines_] { this_->Run(); });
}

ConnectionDeadlines::Watch::~Watch() {
  if (socket_ < 0) return;
  {
    const std::lock_guard lock(deadlines_.mutex_);
    deadlines_.entries_.erase(entry_);
  }
  ::close(socket_);
}

void ConnectionDeadlines::Run() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kPause, [this] { return stopping_; })) {
    const auto now = std::chrono::steady_clock::now();
    for (Entry& entry : entries_) {
      if (entry.cut || now < entry.until) continue;
      entry.cut = true;
      LogError("database: the server has not answered in time; the connection is cut");
      ::shutdown(entry.socket, SHUT_RDWR);
    }
  }
}

}  // namespace skms::keystore
