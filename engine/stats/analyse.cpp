#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/codec/models.h"
#include "engine/stats/parallel.h"
#include "engine/stats/statistics.h"
#include "engine/stats/tile_worker.h"

namespace qi {
namespace {

bool is_cancelled(const AnalyseOptions& options) {
  return options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed);
}

// One analysis from start to end.
class Analysis {
 public:
  Analysis(const Model& model, const Weight& weight, const ReaderFactory& open_reader,
           const AnalyseOptions& options)
      : model_(model),
        weight_(weight),
        open_reader_(open_reader),
        options_(options),
        probe_(open_reader()),
        plan_(model, weight, *probe_),
        tiles_(plan_.walk.size()) {}

  Statistics run();

 private:
  TileWorker* new_worker();
  void find_row_maxima();
  void run_tiles();
  void run_baselines();
  void add_up();
  void fill_symbol_columns();
  void fill_value_columns();
  void fill_code_columns();
  void fill_histograms(const CountedValues& counted, const Moments& moments);
  void fill_moments(const Moments& moments, bool has_specials);
  void fill_bytes();
  void fill_pair();
  double residual_bits() const;
  double per_weight(double bits) const { return bits / static_cast<double>(weight_.params); }

  const Model& model_;
  const Weight& weight_;
  const ReaderFactory& open_reader_;
  const AnalyseOptions& options_;
  std::unique_ptr<WeightReader> probe_;
  TilePlan plan_;
  std::vector<TileResult> tiles_;
  std::mutex mutex_;  // guards workers_ and probe_
  std::vector<std::unique_ptr<TileWorker>> workers_;

  std::vector<std::uint64_t> symbols_;
  std::vector<std::uint64_t> codes_;
  std::array<std::uint64_t, 256> bytes_{};
  std::array<std::uint64_t, 256> int8_{};
  Statistics out_;
};

Statistics Analysis::run() {
  if (plan_.int8_rows && plan_.rows_are_split()) find_row_maxima();
  run_tiles();
  if (options_.baselines && !is_cancelled(options_)) run_baselines();
  if (is_cancelled(options_)) {
    Statistics cancelled;
    cancelled.cancelled = true;
    return cancelled;
  }
  StoredBytes(model_, weight_).check_unchanged();
  add_up();
  if (plan_.source == TileSource::kSymbols) {
    fill_symbol_columns();
  } else {
    fill_value_columns();
  }
  if (weight_.params > 0) {
    fill_bytes();
    fill_pair();
  }
  return std::move(out_);
}

// A worker for one more thread; the first one takes the reader that was opened for the plan.
TileWorker* Analysis::new_worker() {
  std::unique_ptr<WeightReader> reader;
  {
    const std::lock_guard lock(mutex_);
    reader = std::move(probe_);
  }
  if (reader == nullptr) reader = open_reader_();
  auto worker = std::make_unique<TileWorker>(plan_, std::move(reader));
  const std::lock_guard lock(mutex_);
  workers_.push_back(std::move(worker));
  return workers_.back().get();
}

void Analysis::find_row_maxima() {
  std::vector<std::uint32_t> of_tiles(plan_.walk.size());
  for_each_index(
      options_.threads, options_.cancel, of_tiles.size(), [this] { return new_worker(); },
      [&](TileWorker* worker, std::uint64_t i) { of_tiles[i] = worker->absmax(i); });
  plan_.row_absmax.resize(weight_.rows());
  for (std::uint64_t i = 0; i < of_tiles.size(); ++i) {
    std::uint32_t& largest = plan_.row_absmax[plan_.walk[i].row];
    largest = std::max(largest, of_tiles[i]);
  }
}

void Analysis::run_tiles() {
  const std::uint64_t count = tiles_.size();
  for_each_index(
      options_.threads, options_.cancel, count, [this] { return new_worker(); },
      [&](TileWorker* worker, std::uint64_t i) {
        tiles_[i] = worker->run(i);
        if (!options_.progress) return;
        options_.progress(slice_begin(weight_.size_bytes, count, i + 1) -
                          slice_begin(weight_.size_bytes, count, i));
      });
  if (count == 0 && weight_.size_bytes > 0 && options_.progress) {
    options_.progress(weight_.size_bytes);
  }
}

void Analysis::run_baselines() {
  const std::uint64_t size = weight_.size_bytes;
  const std::uint64_t count = baseline_block_count(size, options_.exact);
  if (count == 0) return;
  std::vector<BaselineSizes> sizes(count);
  for_each_index(
      options_.threads, options_.cancel, count,
      [this] { return std::make_shared<StoredBytes>(model_, weight_); },
      [&](const std::shared_ptr<StoredBytes>& stored, std::uint64_t i) {
        const ByteRange range = baseline_block(size, options_.exact, i);
        sizes[i] = try_baselines(stored->read(range.offset, range.length));
      });
  BaselineSizes total;
  for (const BaselineSizes& block : sizes) {
    total.bytes += block.bytes;
    total.zstd += block.zstd;
    total.lz4 += block.lz4;
  }
  if (total.zstd == 0 || total.lz4 == 0) return;  // cancelled before the first block
  out_.ratio_zstd = static_cast<double>(total.bytes) / static_cast<double>(total.zstd);
  out_.ratio_lz4 = static_cast<double>(total.bytes) / static_cast<double>(total.lz4);
}

void Analysis::add_up() {
  symbols_.resize(std::size_t{1} << plan_.symbol_bits);
  if (plan_.source == TileSource::kValues && plan_.code_bits > 0) {
    codes_.resize(std::size_t{1} << plan_.code_bits);
  }
  for (const auto& worker : workers_) {
    worker->symbols.add_to(symbols_);
    if (!codes_.empty()) worker->codes.add_to(codes_);
    for (std::size_t b = 0; b < 256; ++b) {
      bytes_[b] += worker->bytes[b];
      int8_[b] += worker->int8[b];
    }
  }
}

// One histogram of whole numbers tells everything about them.
void Analysis::fill_symbol_columns() {
  const bool counted_as_bytes = plan_.direct && plan_.code_bits == 8;
  if (counted_as_bytes) {
    std::copy(bytes_.begin(), bytes_.end(), symbols_.begin());
  } else if (!plan_.slices) {
    add_symbol_bytes(plan_.code_bits, symbols_, bytes_);
  }
  const CountedValues counted = symbol_values(plan_.dtype, plan_.code_bits, symbols_);
  Moments moments = histogram_moments(counted.values, counted.counts);
  const auto layout = SymbolLayout::of(plan_.dtype);
  if (layout) moments.subnormal = subnormals(*layout, symbols_);
  fill_moments(moments, layout.has_value());
  fill_histograms(counted, moments);
  if (weight_.params == 0) return;
  out_.h_symbol = per_weight(order0_bits(symbols_));
  fill_code_columns();
}

void Analysis::fill_value_columns() {
  std::vector<TileMoments> parts;
  parts.reserve(tiles_.size());
  for (const TileResult& tile : tiles_) parts.push_back(tile.moments);
  const Moments moments = merge(parts);
  const bool quantized = weight_.scheme != Scheme::kNone && weight_.scheme != Scheme::kQstore;
  fill_moments(moments, is_float(plan_.dtype) || quantized);
  const auto layout = plan_.source == TileSource::kDoubles ? SymbolLayout::top_of_f64()
                                                           : SymbolLayout::top_of_f32();
  fill_histograms(top_values(layout, symbols_), moments);
  if (plan_.source == TileSource::kFloat32 && !plan_.slices) {
    // The low two bytes are counted already; the top ones come from the 17-bit symbols.
    for (std::size_t s = 0; s < symbols_.size(); ++s) {
      if (symbols_[s] == 0) continue;
      bytes_[s >> 9] += symbols_[s];
      bytes_[(s >> 1) & 0xFF] += symbols_[s];
    }
  }
  if (weight_.params == 0) return;
  if (plan_.source != TileSource::kValues && is_float(plan_.dtype)) {
    const PlaneBits planes = plane_bits(layout, symbols_, coded_mantissa_bits(plan_.dtype));
    out_.h_sign = per_weight(planes.sign);
    out_.h_exponent = per_weight(planes.exponent);
    out_.h_mantissa = per_weight(planes.mantissa);
    const int width = element_bits(plan_.dtype);
    const int raw_bits = width - layout.exponent_bits - planes.coded_mantissa;
    out_.ratio_planes = width / (per_weight(planes.coded) + raw_bits);
  } else if (!codes_.empty()) {
    out_.h_symbol = per_weight(order0_bits(codes_));
    fill_code_columns();
  }
}

// Columns of stored codes: fields of those that are floats, and the plane model.
void Analysis::fill_code_columns() {
  const auto& counts = codes_.empty() ? symbols_ : codes_;
  const auto layout = SymbolLayout::of(plan_.dtype);
  const bool fields = layout && layout->bits == plan_.code_bits;
  PlaneBits planes;
  if (fields) {
    planes = plane_bits(*layout, counts, coded_mantissa_bits(plan_.dtype));
    if (layout->sign) out_.h_sign = per_weight(planes.sign);
    out_.h_exponent = per_weight(planes.exponent);
    if (layout->mantissa_bits > 0) out_.h_mantissa = per_weight(planes.mantissa);
  }
  const double code_bits = plan_.code_bits;
  const double stored_bits = 8 * per_weight(static_cast<double>(weight_.size_bytes));
  double after = *out_.h_symbol + std::max(0.0, stored_bits - code_bits);
  if (fields && plan_.source == TileSource::kSymbols) {
    // A container that stores its 16-bit numbers compressed is measured as if they were plain.
    const double raw_bits = code_bits - layout->exponent_bits - planes.coded_mantissa;
    after = per_weight(planes.coded) + raw_bits;
    if (after > 0) out_.ratio_planes = code_bits / after;
    return;
  }
  if (after > 0) out_.ratio_planes = stored_bits / after;
}

void Analysis::fill_moments(const Moments& moments, bool has_specials) {
  out_.zeros = static_cast<double>(moments.zeros);
  if (has_specials) {
    out_.nan = static_cast<double>(moments.nan);
    out_.inf = static_cast<double>(moments.inf);
    out_.subnormal = static_cast<double>(moments.subnormal);
  }
  if (moments.finite == 0) return;
  out_.min = moments.min;
  out_.max = moments.max;
  // Sums of numbers near the largest double can pass it: rather no mean than a wrong one.
  if (std::isfinite(moments.mean)) out_.mean = moments.mean;
  if (std::isfinite(moments.std)) out_.std = moments.std;
  out_.absmax = std::max(std::abs(moments.min), std::abs(moments.max));
}

void Analysis::fill_histograms(const CountedValues& counted, const Moments& moments) {
  if (moments.finite == 0) return;
  out_.values = value_histogram(counted, moments.min, moments.max);
  out_.exponents = exponent_histogram(counted);
}

void Analysis::fill_bytes() {
  if (weight_.size_bytes > 0) out_.h_bytes = per_weight(order0_bits(bytes_));
}

void Analysis::fill_pair() {
  const bool int8_weight = weight_.scheme == Scheme::kLlmInt8 && plan_.code_bits == 8;
  if (int8_weight) out_.h_int8 = out_.h_symbol;
  if (!plan_.int8_rows) return;
  out_.h_int8 = per_weight(order0_bits(int8_));
  if (plan_.pair == nullptr) return;
  out_.h_residual = per_weight(residual_bits());
  const auto n = static_cast<double>(weight_.params);
  const double scale_bytes = 4 * static_cast<double>(weight_.rows());
  const double before = 3 * n + scale_bytes;
  const double after = n * (*out_.h_int8 + *out_.h_residual) / 8 + scale_bytes;
  out_.ratio_pair = before / after;
}

double Analysis::residual_bits() const {
  double total = 0;
  if (plan_.row_absmax.empty()) {
    for (const TileResult& tile : tiles_) total += tile.residual_bits;
    return total;
  }
  // Rows in pieces: a row's side limit looks at the whole row.
  double digit_bits = 0;
  std::uint64_t side_bits = 0;
  for (std::uint64_t i = 0; i < tiles_.size(); ++i) {
    const Tile tile = plan_.walk[i];
    digit_bits += tiles_[i].digit_bits;
    side_bits += tiles_[i].side_bits;
    if (tile.col + tile.cols < weight_.cols()) continue;
    total += plan_.row(plan_.row_absmax[tile.row]).row_bits(digit_bits, side_bits, weight_.cols());
    digit_bits = 0;
    side_bits = 0;
  }
  return total;
}

}  // namespace

Statistics analyse(const Model& model, const Weight& weight, const ReaderFactory& open_reader,
                   const AnalyseOptions& options) {
  return Analysis(model, weight, open_reader, options).run();
}

}  // namespace qi
