// SHA-256 of octets that come piece by piece, as of a file too large to hold.
//
// One thread.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/digest.h"

namespace skms {

class RunningSha256 {
 public:
  RunningSha256();
  RunningSha256(const RunningSha256&) = delete;
  RunningSha256& operator=(const RunningSha256&) = delete;
  ~RunningSha256();

  void Add(ByteView bytes);
  /// Of all that was added. Once.
  Sha256Digest Finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace skms
