// Small tensors of a model that share tables: which streams may, what tables they share, and which
// of them are smaller that way. Internal to the container's writer. add() from one thread in the
// order of streams; count() and share() from any, with a coder of the thread's own.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "engine/codec/plane_pool.h"
#include "engine/format/qstore_blocks.h"
#include "engine/format/qstore_plan.h"

namespace qi {

class StreamPools {
 public:
  explicit StreamPools(const QstorePlan& plan);

  /// Counts of a stream that was chosen to take `bytes`; nothing if it can share no table.
  std::optional<PlanePool::Counted> count(std::uint32_t number, const QstoreStream& chosen,
                                          double bytes) const;
  void add(std::uint32_t number, const QstoreStream& chosen, PlanePool::Counted counted);
  void settle();
  /// Gives the stream shared tables if it is smaller with them; `bytes` becomes what it takes.
  void share(std::uint32_t number, QstoreStream& chosen, std::uint64_t& bytes,
             PlaneEncoder& encoder) const;

 private:
  struct Numbers;
  std::optional<std::size_t> pool_of(std::uint32_t number, const QstoreStream& chosen) const;
  Numbers numbers_of(std::uint32_t number, const QstoreStream& chosen, std::size_t pool) const;

  const QstorePlan& plan_;
  std::array<PlanePool, 3> pools_;  // of BF16, F16 and F32 numbers
};

}  // namespace qi
