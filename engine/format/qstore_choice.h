// Which method, fields and tables make a stream smallest: measured on a sample of its bytes, all of
// them where there are few. Internal to the container's writer. One thread per chooser.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/format/qstore_blocks.h"
#include "engine/format/qstore_layout.h"
#include "engine/format/qstore_plan.h"

namespace qi {

/// A stream's difference to one of the base container.
struct BaseStream {
  std::optional<std::uint32_t> number;  // there
  ByteSourcePtr difference;             // as many bytes as the stream has
};

class StreamChooser {
 public:
  /// `base`: of each stream the bytes it is XORed with and their number, if there are any.
  StreamChooser(const QstorePlan& plan, const std::vector<BaseStream>& base, PlaneEffort effort)
      : plan_(plan), base_(base), effort_(effort), whole_(plan) {}

  /// The stream with method, view and fields set; its blocks are left as they are. `estimate`
  /// becomes the bytes it will take.
  QstoreStream choose(std::uint32_t number, std::uint64_t& estimate);

 private:
  struct Sample {
    std::vector<std::byte> bytes;  // whole records
    std::uint64_t of = 0;          // the stream's bytes
  };
  Sample sample_of(const PlannedStream& planned, std::uint64_t record) const;
  Sample rows_of(const PlannedStream& planned) const;
  bool has_rows(const PlannedStream& planned, const QstoreStream& wish) const;
  void try_rows(const QstoreStream& base, const PlannedStream& planned, const Sample& sample);
  void try_layout(const FieldLayout& layout, const QstoreStream& base, const Sample& sample);
  void try_zstd(QstoreStream candidate, const Sample& sample, double handicap);
  void consider(QstoreStream candidate, double bytes);
  void try_pair(const QstoreStream& wish, std::uint32_t number);
  void try_chain(const QstoreStream& wish, std::uint32_t number);
  QstoreView view_of(const PlannedStream& planned, const Sample& sample) const;

  void try_difference(std::uint32_t number);

  const QstorePlan& plan_;
  const std::vector<BaseStream>& base_;
  PlaneEffort effort_;
  PlannedBytes whole_;
  BlockEncoder encoder_;
  PlaneEncoder planes_;
  Buffer field_;
  QstoreStream best_;
  double best_bytes_ = 0;
};

}  // namespace qi
