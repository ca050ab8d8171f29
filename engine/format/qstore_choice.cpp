#include "engine/format/qstore_choice.h"

#include <algorithm>
#include <cstring>

namespace qi {
namespace {

// A stream of at most so many bytes is its own sample; of longer ones so many runs.
constexpr std::uint64_t kWholeSample = std::uint64_t{512} << 10;
constexpr std::uint64_t kRuns = 256;
constexpr std::uint64_t kRunBytes = 4096;
// Classes of rows are chosen from whole rows, so many bytes of them.
constexpr std::uint64_t kRowSample = std::uint64_t{4} << 20;
constexpr std::uint64_t kFewestRows = 16;
// zstd decodes several times slower than planes: it has to be worth that.
constexpr double kZstdHandicap = 1.03;
constexpr std::size_t kShortLook = std::size_t{32} << 10;
constexpr double kHopeless = 1.1;
// Sizes of fields: what an index entry and a block's head take for one.
constexpr double kFieldBytes = 6;
// An index is compressed, and so are the tables in it.
constexpr double kTableSqueezed = 0.8;
constexpr double kWithoutBase = 0.98;
constexpr std::uint32_t kCandidate = UINT32_MAX;  // the number under which candidates are coded
constexpr std::size_t kNarrowPiece = std::size_t{1} << 18;
// What an index entry of a table or of a method costs apart from it.
constexpr double kEntryBytes = 2;

bool all_narrow(QstoreView view, const ByteSource& source) {
  Buffer scratch;
  Buffer narrow(kNarrowPiece / 2);
  for (std::uint64_t at = 0; at < source.size(); at += kNarrowPiece) {
    const auto length =
        static_cast<std::size_t>(std::min<std::uint64_t>(kNarrowPiece, source.size() - at));
    if (!narrow_floats(view, source.bytes(at, length, scratch), narrow.data())) return false;
  }
  return true;
}

}  // namespace

StreamChooser::Sample StreamChooser::sample_of(const PlannedStream& planned,
                                               std::uint64_t record) const {
  const ByteSource& source = *planned.source;
  Sample sample;
  sample.of = source.size();
  Buffer scratch;
  if (source.size() <= kWholeSample) {
    const auto bytes = source.bytes(0, static_cast<std::size_t>(source.size()), scratch);
    sample.bytes.assign(bytes.begin(), bytes.end());
  } else {
    const std::uint64_t records = source.size() / record;
    const std::uint64_t run = std::max<std::uint64_t>(1, kRunBytes / record);
    for (std::uint64_t i = 0; i < kRuns; ++i) {
      const std::uint64_t first = (records - run) / (kRuns - 1) * i;
      const auto bytes =
          source.bytes(first * record, static_cast<std::size_t>(run * record), scratch);
      sample.bytes.insert(sample.bytes.end(), bytes.begin(), bytes.end());
    }
  }
  source.check();
  return sample;
}

QstoreView StreamChooser::view_of(const PlannedStream& planned, const Sample& sample) const {
  if (planned.dtype != DType::kF32 || planned.big_endian) return QstoreView::kAsStored;
  Buffer narrow(sample.bytes.size() / 2);
  for (const QstoreView view : {QstoreView::kF32AsBF16, QstoreView::kF32AsF16}) {
    if (narrow_floats(view, sample.bytes, narrow.data()) && all_narrow(view, *planned.source)) {
      return view;
    }
  }
  return QstoreView::kAsStored;
}

void StreamChooser::consider(QstoreStream candidate, double bytes) {
  if (bytes >= best_bytes_) return;
  best_bytes_ = bytes;
  best_ = std::move(candidate);
}

// A short look at the sample's beginning tells whether a longer one is worth its time.
void StreamChooser::try_zstd(QstoreStream candidate, const Sample& sample, double handicap) {
  candidate.method = QstoreMethod::kZstd;
  const double scale = handicap * static_cast<double>(sample.of);
  for (const std::size_t bytes : {kShortLook, sample.bytes.size()}) {
    const auto part = std::span<const std::byte>(sample.bytes)
                          .first(std::min<std::size_t>(bytes, sample.bytes.size()));
    if (part.empty()) return;
    const auto coded = static_cast<double>(encoder_.encode(candidate, kCandidate, part).size());
    const double total = coded * scale / static_cast<double>(part.size());
    if (part.size() == sample.bytes.size()) return consider(std::move(candidate), total);
    if (total > kHopeless * best_bytes_) return;
  }
}

void StreamChooser::try_layout(const FieldLayout& layout, const QstoreStream& base,
                               const Sample& sample) {
  QstoreStream candidate = base;
  candidate.method = QstoreMethod::kPlanes;
  std::span<const std::byte> records = sample.bytes;
  Buffer narrow;
  if (base.view != QstoreView::kAsStored) {
    narrow.resize(sample.bytes.size() / 2);
    narrow_floats(base.view, sample.bytes, narrow.data());
    records = narrow;
  }
  const auto record = static_cast<std::size_t>(record_bytes(layout));
  const std::size_t count = records.size() / record;
  const double scale = static_cast<double>(sample.of) / static_cast<double>(sample.bytes.size());
  double total = 0;
  std::size_t offset = 0;
  for (const LayoutField& field : layout) {
    std::span<const std::byte> bytes = records;
    if (layout.size() > 1) {
      field_.resize(count * field.width);
      gather_field(records, record, offset, field.width, field_.data());
      bytes = field_;
    }
    offset += field.width;
    PlaneHistogram histogram(field.kind);
    const std::size_t elements = bytes.size() / field.kind.element_bytes;
    histogram.add(bytes.data(), elements);
    const PlaneTable table = PlaneTable::choose(histogram, effort_);
    QstoreField& chosen = candidate.fields.emplace_back();
    chosen.width = field.width;
    std::vector<std::byte> packed = table.serialise();
    const auto coded = static_cast<double>(planes_.encode(table, bytes.data(), elements).size());
    const double with_table = coded * scale + kTableSqueezed * static_cast<double>(packed.size());
    const double raw = static_cast<double>(bytes.size()) * scale;
    // A field whose table does not pay for itself is stored as it is.
    if (with_table < raw) chosen.table = std::move(packed);
    total += std::min(with_table, raw) + kFieldBytes;
  }
  consider(std::move(candidate), total);
}

StreamChooser::Sample StreamChooser::rows_of(const PlannedStream& planned) const {
  const ByteSource& source = *planned.source;
  Sample sample;
  sample.of = source.size();
  const std::uint64_t row_bytes = source.size() / planned.class_rows();
  const std::uint64_t rows =
      std::min(planned.class_rows(), std::max(kFewestRows, kRowSample / row_bytes));
  sample.bytes.reserve(static_cast<std::size_t>(rows * row_bytes));
  Buffer scratch;
  for (std::uint64_t i = 0; i < rows; ++i) {
    const std::uint64_t row = rows < 2 ? 0 : (planned.class_rows() - 1) * i / (rows - 1);
    const auto bytes = source.bytes(row * row_bytes, static_cast<std::size_t>(row_bytes), scratch);
    sample.bytes.insert(sample.bytes.end(), bytes.begin(), bytes.end());
  }
  source.check();
  return sample;
}

// Plain numbers whose blocks begin with rows: what rows and columns differ in may be told apart.
void StreamChooser::try_rows(const QstoreStream& base, const PlannedStream& planned,
                             const Sample& sample) {
  const bool narrowed = base.view != QstoreView::kAsStored;
  DType type = planned.dtype;
  if (narrowed) type = base.view == QstoreView::kF32AsF16 ? DType::kF16 : DType::kBF16;
  const PlaneKind kind = plane_kind(type);
  std::span<const std::byte> bytes = sample.bytes;
  Buffer narrow;
  if (narrowed) {
    narrow.resize(bytes.size() / 2);
    narrow_floats(base.view, bytes, narrow.data());
    bytes = narrow;
  }
  const auto cols = static_cast<std::size_t>(planned.class_cols);
  const PlaneRows rows{bytes.data(), bytes.size() / (cols * kind.element_bytes), cols,
                       planned.class_rows()};
  QstoreStream candidate = base;
  candidate.method = QstoreMethod::kPlanes;
  double total = 0;
  const PlaneTable table = PlaneTable::choose_for_rows(kind, rows, total);
  candidate.fields.push_back({kind.element_bytes, table.serialise()});
  if (candidate.size_bytes <= kWholeSample) {
    // Small: what states and heads of blocks take counts, too.
    total = static_cast<double>(planes_.encode(table, bytes.data(), rows.rows * cols).size()) +
            kTableSqueezed * static_cast<double>(candidate.fields.front().table.size());
  }
  consider(std::move(candidate), total + kFieldBytes);
}

bool StreamChooser::has_rows(const PlannedStream& planned, const QstoreStream& wish) const {
  if (effort_ != PlaneEffort::kRatio || planned.big_endian || planned.class_cols == 0) return false;
  const std::uint64_t row_bytes = wish.size_bytes / planned.class_rows();
  return plane_kind(planned.dtype).can_have_classes() && planned.class_cols <= UINT32_MAX &&
         row_bytes <= kQstoreMaxBlock && planned.class_rows() > 1 &&
         (wish.unit_bytes % row_bytes == 0 || wish.unit_bytes >= wish.size_bytes);
}

// The residual's cost is known only by coding it: one block in the middle stands for all.
void StreamChooser::try_pair(const QstoreStream& wish, std::uint32_t number) {
  const std::uint64_t block = block_count(wish.size_bytes, wish.unit_bytes) / 2;
  const std::uint64_t first = block * wish.unit_bytes;
  const auto bytes = static_cast<std::size_t>(wish.block_bytes(block));
  const std::uint64_t row = first / (2 * wish.pairing.cols);
  const std::uint64_t rows = bytes / (2 * wish.pairing.cols);
  Buffer high;
  Buffer codes;
  Buffer scales;
  const auto& streams = plan_.streams;
  const BlockGiven given{streams[wish.pairing.codes].source->bytes(first / 2, bytes / 2, codes),
                         streams[wish.pairing.scales].source->bytes(
                             4 * row, static_cast<std::size_t>(4 * rows), scales),
                         {}};
  const auto coded =
      encoder_.encode(wish, kCandidate, streams[number].source->bytes(first, bytes, high), given);
  const double total = static_cast<double>(coded.size()) * static_cast<double>(wish.size_bytes) /
                       static_cast<double>(bytes);
  consider(wish, total);
}

void StreamChooser::try_chain(const QstoreStream& wish, std::uint32_t number) {
  const std::uint64_t block = block_count(wish.size_bytes, wish.unit_bytes) / 2;
  const std::uint64_t first = block * wish.unit_bytes;
  const auto bytes = static_cast<std::size_t>(wish.block_bytes(block));
  Buffer numbers;
  const BlockGiven given{{}, {}, chain_bytes(wish.chain, first, whole_)};
  const auto coded = encoder_.encode(
      wish, kCandidate, plan_.streams[number].source->bytes(first, bytes, numbers), given);
  consider(wish, static_cast<double>(coded.size()) * static_cast<double>(wish.size_bytes) /
                     static_cast<double>(bytes));
}

void StreamChooser::try_difference(std::uint32_t number) {
  const PlannedStream& planned = plan_.streams[number];
  QstoreStream base = plan_.index.streams[number];
  base.base = base_[number].number;
  base.method = QstoreMethod::kRaw;
  PlannedStream difference = planned;
  difference.source = base_[number].difference;
  std::vector<FieldLayout> layouts = layouts_of(planned.dtype, planned.big_endian);
  const std::uint64_t record = record_bytes(layouts.front());
  if (base.size_bytes % record != 0 || base.unit_bytes % record != 0) return;
  // Numbers that differ in their last bits are best looked at byte by byte.
  const FieldLayout bytes = layouts_of(planned.dtype, true).front();
  if (record_bytes(bytes) == record) layouts.push_back(bytes);
  const Sample sample = sample_of(difference, record);
  for (const FieldLayout& layout : layouts) try_layout(layout, base, sample);
  try_zstd(base, sample, kZstdHandicap);
}

QstoreStream StreamChooser::choose(std::uint32_t number, std::uint64_t& estimate) {
  const PlannedStream& planned = plan_.streams[number];
  const QstoreStream& wish = plan_.index.streams[number];
  best_ = wish;
  best_.method = QstoreMethod::kRaw;
  best_bytes_ = static_cast<double>(wish.size_bytes);
  const std::vector<FieldLayout> layouts = layouts_of(planned.dtype, planned.big_endian);
  const std::uint64_t record = record_bytes(layouts.front());
  QstoreStream base = best_;
  if (wish.size_bytes != 0 && !planned.literal && wish.size_bytes % record == 0) {
    const Sample sample = sample_of(planned, record);
    base.view = view_of(planned, sample);
    if (base.view != QstoreView::kAsStored) {
      const DType narrow = base.view == QstoreView::kF32AsF16 ? DType::kF16 : DType::kBF16;
      try_layout(layouts_of(narrow, false).front(), base, sample);
    } else {
      for (const FieldLayout& layout : layouts) {
        if (wish.size_bytes % record_bytes(layout) == 0 &&
            wish.unit_bytes % record_bytes(layout) == 0) {
          try_layout(layout, base, sample);
        }
      }
    }
    if (has_rows(planned, wish)) try_rows(base, planned, rows_of(planned));
    base.view = QstoreView::kAsStored;
    try_zstd(base, sample, kZstdHandicap);
  } else if (planned.literal || planned.dtype == DType::kUnknown) {
    try_zstd(base, sample_of(planned, 1), 1.0);
  }
  if (wish.method == QstoreMethod::kPair) try_pair(wish, number);
  if (wish.method == QstoreMethod::kChain) try_chain(wish, number);
  if (base_[number].number) {
    // What needs another file has to be worth it.
    best_bytes_ *= kWithoutBase;
    try_difference(number);
  }
  estimate = static_cast<std::uint64_t>(best_bytes_);
  return std::move(best_);
}

}  // namespace qi
