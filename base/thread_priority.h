// How long a thread stands back for the others of this process, by nice(2): who asks whether the server lives
// gets an answer however many requests are at work, and what nobody waits for runs in what is left.
//
// Beside other processes each of these has less of the machine too, which on a host of its own is the edge's.
#pragma once

namespace skms {

enum class ThreadPriority : int {
  kRequests = 5,     ///< a third of the weight of the threads for administrators and of the database's writer
  kBackground = 10,  ///< work that nobody waits for
};

/// Lowers the calling thread to `priority`, which needs no right; for good. A thread that is nicer already
/// stays as it is, and so does one whose filter of system calls refuses it: nothing fails for that.
void LowerPriority(ThreadPriority priority);

}  // namespace skms
