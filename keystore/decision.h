// Decision: what a thread decides, from the first thing that it reads in memory to its last write.
//
// Other servers may change the store (`store.shared`). What this one keeps in memory of it — the directory
// above all — may then be from before such a change; that is found out before anything is written, for a
// write reads what was changed elsewhere first. Whoever had decided by what was learnt before is refused, and
// may decide once more.
//
// Of one thread, and found by what it calls; one within another is part of it.
#pragma once

#include <cstdint>

namespace skms::keystore {

class Decision {
 public:
  /// `learnt`: Database::learnt() now.
  explicit Decision(std::uint64_t learnt);
  Decision(const Decision&) = delete;
  Decision& operator=(const Decision&) = delete;
  ~Decision();

  /// It was refused because of a change elsewhere, and nothing of it was carried out: to be made again.
  bool overtaken() const { return overtaken_ && !changed_; }
  /// Something was written, and what was changed elsewhere until then taken account of.
  bool wrote() const { return wrote_; }

  /// This thread's; nullptr: there is none.
  static Decision* Current();
  std::uint64_t learnt() const { return learnt_; }
  void BeOvertaken() { overtaken_ = true; }
  /// `changed`: more than an entry that says what was decided.
  void HaveWritten(bool changed) {
    wrote_ = true;
    changed_ = changed_ || changed;
  }

 private:
  const std::uint64_t learnt_;
  Decision* const former_;
  bool overtaken_ = false;
  bool wrote_ = false;
  bool changed_ = false;
};

}  // namespace skms::keystore
