#include "engine/format/qstore_pool.h"

#include <algorithm>

namespace qi {
namespace {

// Larger ones hardly notice what their table takes.
constexpr std::uint64_t kLargestShared = std::uint64_t{512} << 10;
constexpr std::array kPooled = {DType::kBF16, DType::kF16, DType::kF32};
// Bytes of an index entry that shares its table: what tells it from the others.
constexpr double kSharedText = 5;

}  // namespace

/// The numbers of a stream, and what keeps them.
struct StreamPools::Numbers {
  PlaneKind kind;
  Buffer scratch;
  Buffer narrow;
  PlaneRows rows{};
};

StreamPools::StreamPools(const QstorePlan& plan)
    : plan_(plan),
      pools_{PlanePool(plane_kind(kPooled[0])), PlanePool(plane_kind(kPooled[1])),
             PlanePool(plane_kind(kPooled[2]))} {}

std::optional<std::size_t> StreamPools::pool_of(std::uint32_t number,
                                                const QstoreStream& chosen) const {
  const PlannedStream& planned = plan_.streams[number];
  if (planned.literal || planned.big_endian || planned.class_cols == 0 || chosen.size_bytes == 0 ||
      chosen.size_bytes > kLargestShared || chosen.method == QstoreMethod::kPair ||
      chosen.method == QstoreMethod::kChain || chosen.base) {
    return std::nullopt;
  }
  const std::uint64_t row_bytes = chosen.size_bytes / planned.class_rows();
  if (chosen.unit_bytes % row_bytes != 0 && chosen.unit_bytes < chosen.size_bytes) {
    return std::nullopt;
  }
  DType type = planned.dtype;
  if (chosen.view != QstoreView::kAsStored) {
    type = chosen.view == QstoreView::kF32AsF16 ? DType::kF16 : DType::kBF16;
  }
  const auto found = std::find(kPooled.begin(), kPooled.end(), type);
  if (found == kPooled.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kPooled.begin());
}

StreamPools::Numbers StreamPools::numbers_of(std::uint32_t number, const QstoreStream& chosen,
                                             std::size_t pool) const {
  const PlannedStream& planned = plan_.streams[number];
  Numbers numbers;
  numbers.kind = plane_kind(kPooled[pool]);
  std::span<const std::byte> bytes =
      planned.source->bytes(0, static_cast<std::size_t>(planned.source->size()), numbers.scratch);
  if (chosen.view != QstoreView::kAsStored) {
    numbers.narrow.resize(bytes.size() / 2);
    narrow_floats(chosen.view, bytes, numbers.narrow.data());
    bytes = numbers.narrow;
  }
  numbers.rows = {bytes.data(), static_cast<std::size_t>(planned.class_rows()),
                  static_cast<std::size_t>(planned.class_cols), planned.class_rows()};
  return numbers;
}

std::optional<PlanePool::Counted> StreamPools::count(std::uint32_t number,
                                                     const QstoreStream& chosen,
                                                     double bytes) const {
  const auto pool = pool_of(number, chosen);
  if (!pool) return std::nullopt;
  const Numbers numbers = numbers_of(number, chosen, *pool);
  auto counted = pools_[*pool].count(numbers.rows, bytes);
  plan_.streams[number].source->check();
  return counted;
}

void StreamPools::add(std::uint32_t number, const QstoreStream& chosen,
                      PlanePool::Counted counted) {
  pools_[pool_of(number, chosen).value()].add(std::move(counted));
}

void StreamPools::settle() {
  for (PlanePool& pool : pools_) pool.settle();
}

void StreamPools::share(std::uint32_t number, QstoreStream& chosen, std::uint64_t& bytes,
                        PlaneEncoder& encoder) const {
  const auto pool = pool_of(number, chosen);
  if (!pool) return;
  const Numbers numbers = numbers_of(number, chosen, *pool);
  auto least = static_cast<double>(bytes);
  const std::size_t count = numbers.rows.rows * numbers.rows.cols;
  for (const PlaneTable& found : pools_[*pool].tables(numbers.rows)) {
    const PlaneTable table = found.classes()->cols == numbers.rows.cols
                                 ? found.with_closer_columns(numbers.kind, numbers.rows)
                                 : found;
    const double columns =
        table.classes()->columns.empty() ? 0.0 : static_cast<double>(table.classes()->cols);
    const double total =
        static_cast<double>(encoder.encode(table, numbers.rows.values, count).size()) +
        kSharedText + kColumnCost * columns;
    if (total >= least) continue;
    least = total;
    chosen.method = QstoreMethod::kPlanes;
    chosen.fields = {{numbers.kind.element_bytes, table.serialise()}};
  }
  plan_.streams[number].source->check();
  bytes = static_cast<std::uint64_t>(least);
}

}  // namespace qi
