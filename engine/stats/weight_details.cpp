#include "engine/stats/weight_details.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "engine/codec/models.h"
#include "engine/stats/counting.h"
#include "engine/stats/int8_row.h"
#include "engine/stats/moments.h"
#include "engine/stats/parallel.h"
#include "engine/stats/tile_worker.h"

namespace qi {
namespace {

constexpr std::uint64_t kTile = std::uint64_t{1} << 18;

enum class Reference : std::uint8_t { kNone, kInt8, kStoredInt8, kOther };

// The largest values first; a total order, so that any number of workers picks the same ones.
bool comes_before(const Outlier& a, const Outlier& b) {
  const float x = std::abs(a.value);
  const float y = std::abs(b.value);
  if (x != y) return x > y;
  return a.row != b.row ? a.row < b.row : a.col < b.col;
}

bool by_place(const Outlier& a, const Outlier& b) {
  return a.row != b.row ? a.row < b.row : a.col < b.col;
}

// One bin of rows, made by one worker from top to bottom.
struct Band {
  RowBin bin;
  std::vector<TileMoments> moments;
  double squares = 0;        // Σx²
  std::uint64_t finite = 0;  // terms of it
  double error_squares = 0;  // Σe²
  std::uint64_t pairs = 0;   // terms of it
  std::uint64_t worst_row = 0;
  double worst_rms = -1;
  double worst_relative = 0;
  std::uint64_t left_out = 0;
};

// Sums of one row.
struct RowSums {
  double squares = 0;
  double error_squares = 0;
  std::uint64_t finite = 0;
  std::uint64_t pairs = 0;
  float absmax = 0;
  bool has_special = false;
};

struct Plan {
  const Weight& weight;
  Reference reference = Reference::kNone;
};

class Worker {
 public:
  Worker(const Plan& plan, std::unique_ptr<WeightReader> reader,
         std::unique_ptr<WeightReader> reference)
      : plan_(plan), reader_(std::move(reader)), reference_(std::move(reference)) {}

  void run(Band& band, const std::atomic<bool>* cancel) {
    const std::uint64_t cols = plan_.weight.cols();
    const std::uint64_t end = band.bin.first + band.bin.count;
    const std::uint64_t step = std::max<std::uint64_t>(1, kTile / std::max<std::uint64_t>(1, cols));
    for (std::uint64_t row = band.bin.first; row < end && cols > 0; row += step) {
      if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return;
      if (cols > kTile) {
        run_long_row(band, row);
        continue;
      }
      const Tile tile{row, std::min(step, end - row), 0, cols};
      read(tile);
      look(band, tile);
      read_reference(tile);
      for (std::uint64_t r = 0; r < tile.rows; ++r) {
        RowSums sums;
        add_row(std::span(values_).subspan(r * cols, cols), sums);
        const float scale = sums.has_special ? NAN : sums.absmax;
        add_errors(scale, r * cols, cols, sums);
        finish_row(band, row + r, sums);
      }
    }
    if (band.finite > 0) {
      band.bin.rms = std::sqrt(band.squares / static_cast<double>(band.finite));
    }
  }

  SymbolCounter tops{kValueTopBits};
  std::vector<Outlier> largest;     // a heap, the one to go first at its front
  std::vector<Outlier> not_finite;  // in row order; of this worker's bands
  std::uint64_t not_finite_count = 0;

 private:
  void read(const Tile& tile) {
    values_.resize(tile.rows * tile.cols);
    reader_->values(tile, values_.data());
  }

  void read_reference(const Tile& tile) {
    const std::size_t count = tile.rows * tile.cols;
    if (plan_.reference == Reference::kOther) {
      others_.resize(count);
      reference_->values(tile, others_.data());
    } else if (plan_.reference == Reference::kStoredInt8) {
      codes_.resize(count);
      reader_->codes(tile, codes_.data());
    } else if (plan_.reference == Reference::kInt8) {
      q_.resize(count);
    }
  }

  // A row in pieces: its scale is known after the first pass alone.
  void run_long_row(Band& band, std::uint64_t row) {
    const std::uint64_t cols = plan_.weight.cols();
    RowSums sums;
    for (std::uint64_t col = 0; col < cols; col += kTile) {
      const Tile tile{row, 1, col, std::min(kTile, cols - col)};
      read(tile);
      look(band, tile);
      add_row(values_, sums);
    }
    const float scale = sums.has_special ? NAN : sums.absmax;
    for (std::uint64_t col = 0; col < cols && plan_.reference != Reference::kNone; col += kTile) {
      const Tile tile{row, 1, col, std::min(kTile, cols - col)};
      read(tile);
      read_reference(tile);
      add_errors(scale, 0, tile.cols, sums);
    }
    finish_row(band, row, sums);
  }

  // Counts, moments and outliers of a tile in values_.
  void look(Band& band, const Tile& tile) {
    patterns_.resize(values_.size());
    std::memcpy(patterns_.data(), values_.data(), values_.size() * sizeof(float));
    tops.add_tops(patterns_.data(), patterns_.size());
    band.moments.push_back(tile_moments(std::span<const float>(values_)));
    const TileMoments& moments = band.moments.back();
    const bool specials = moments.nan + moments.inf > 0;
    const double most = std::max(-moments.min, moments.max);
    const bool candidates =
        moments.finite > 0 && (largest.size() < kMostOutliers ||
                               most >= std::abs(static_cast<double>(largest.front().value)));
    if (!specials && !candidates) return;
    for (std::uint64_t i = 0; i < values_.size(); ++i) {
      const float x = values_[i];
      if (!std::isfinite(x)) {
        ++not_finite_count;
        if (not_finite.size() < kMostOutliers) not_finite.push_back(place(tile, i));
      } else if (candidates && (largest.size() < kMostOutliers ||
                                std::abs(x) >= std::abs(largest.front().value))) {
        keep(place(tile, i));
      }
    }
  }

  Outlier place(const Tile& tile, std::uint64_t i) const {
    return {tile.row + i / tile.cols, tile.col + i % tile.cols, values_[i], 0};
  }

  void keep(const Outlier& one) {
    if (largest.size() == kMostOutliers) {
      if (!comes_before(one, largest.front())) return;
      std::pop_heap(largest.begin(), largest.end(), comes_before);
      largest.pop_back();
    }
    largest.push_back(one);
    std::push_heap(largest.begin(), largest.end(), comes_before);
  }

  static void add_row(std::span<const float> row, RowSums& sums) {
    for (const float x : row) {
      if (!std::isfinite(x)) {
        sums.has_special = true;
        continue;
      }
      sums.squares += static_cast<double>(x) * static_cast<double>(x);
      sums.absmax = std::max(sums.absmax, std::abs(x));
      ++sums.finite;
    }
  }

  // Errors of values_[at, at + count), a row or a piece of one whose largest |value| is `scale`.
  void add_errors(float scale, std::uint64_t at, std::uint64_t count, RowSums& sums) {
    const float* x = values_.data() + at;
    const auto add = [&](float reference, float value) {
      const double e = static_cast<double>(reference) - static_cast<double>(value);
      if (!std::isfinite(e)) return;
      sums.error_squares += e * e;
      ++sums.pairs;
    };
    if (plan_.reference == Reference::kOther) {
      for (std::uint64_t i = 0; i < count; ++i) add(others_[at + i], x[i]);
      return;
    }
    if (plan_.reference == Reference::kNone) return;
    if (scale == 0.0f) {
      sums.pairs += count;
      return;
    }
    // The bounds of the pair model: 127 / s and s / 127 are normal numbers.
    if (!(scale >= 0x1p-100f && scale <= 0x1p100f)) return;
    const float step = scale * (1.0f / 127.0f);
    if (plan_.reference == Reference::kStoredInt8) {
      for (std::uint64_t i = 0; i < count; ++i) {
        add(x[i], step * static_cast<float>(static_cast<std::int8_t>(codes_[at + i])));
      }
      return;
    }
    quantize_f32(127.0f / scale, x, count, q_.data() + at);
    for (std::uint64_t i = 0; i < count; ++i) add(x[i], step * static_cast<float>(q_[at + i]));
  }

  void finish_row(Band& band, std::uint64_t row, const RowSums& sums) {
    band.squares += sums.squares;
    band.finite += sums.finite;
    band.bin.absmax = std::max(band.bin.absmax, static_cast<double>(sums.absmax));
    if (plan_.reference == Reference::kNone) return;
    if (sums.pairs == 0) {
      ++band.left_out;
      return;
    }
    band.error_squares += sums.error_squares;
    band.pairs += sums.pairs;
    const double rms = std::sqrt(sums.error_squares / static_cast<double>(sums.pairs));
    band.bin.error = std::max(band.bin.error, rms);
    if (!(rms > band.worst_rms)) return;
    band.worst_rms = rms;
    band.worst_row = row;
    const double size = std::sqrt(sums.squares / static_cast<double>(sums.finite));
    band.worst_relative = size > 0 ? rms / size : 0;
  }

  const Plan& plan_;
  std::unique_ptr<WeightReader> reader_;
  std::unique_ptr<WeightReader> reference_;
  std::vector<float> values_;
  std::vector<float> others_;
  std::vector<std::uint16_t> codes_;
  std::vector<std::int8_t> q_;
  std::vector<std::uint32_t> patterns_;
};

Reference reference_of(const Model& model, const Weight& weight, const DetailsOptions& options,
                       const WeightReader& reader) {
  if (weight.shape.size() < 2 || weight.params == 0) return Reference::kNone;
  if (options.reference) return Reference::kOther;
  const DType type = weight.parts.empty() ? DType::kUnknown : model.tensor(weight.parts[0]).dtype;
  if (weight.scheme == Scheme::kQstore) {
    return pair_format(type) != nullptr && reader.code_bits() == 8 ? Reference::kStoredInt8
                                                                   : Reference::kNone;
  }
  const bool plain = weight.scheme == Scheme::kNone;
  return plain && (type == DType::kF32 || pair_format(type) != nullptr) ? Reference::kInt8
                                                                        : Reference::kNone;
}

std::vector<Band> bands_of(const Weight& weight) {
  const std::uint64_t rows = weight.cols() == 0 ? 0 : weight.rows();
  std::vector<Band> bands(std::min(rows, kMostRowBins));
  for (std::uint64_t i = 0; i < bands.size(); ++i) {
    RowBin& bin = bands[i].bin;
    bin.first = slice_begin(rows, bands.size(), i);
    bin.count = slice_begin(rows, bands.size(), i + 1) - bin.first;
  }
  return bands;
}

void add_up(const Weight& weight, const std::vector<Band>& bands, WeightDetails& out) {
  std::vector<TileMoments> tiles;
  for (const Band& band : bands) {
    tiles.insert(tiles.end(), band.moments.begin(), band.moments.end());
    if (weight.rows() > 1) out.rows.push_back(band.bin);
  }
  const Moments moments = merge(tiles);
  if (moments.finite > 0 && std::isfinite(moments.std)) out.std = moments.std;
  for (Outlier& one : out.outliers) {
    if (out.std > 0) one.sigmas = std::abs(static_cast<double>(one.value)) / out.std;
  }
}

RowErrors errors_of(const std::vector<Band>& bands) {
  RowErrors out;
  double squares = 0;
  double worst = -1;
  std::uint64_t pairs = 0;
  for (const Band& band : bands) {
    squares += band.error_squares;
    pairs += band.pairs;
    out.left_out += band.left_out;
    if (!(band.worst_rms > worst)) continue;
    worst = band.worst_rms;
    out.worst_rms = band.worst_rms;
    out.worst_row = band.worst_row;
    out.worst_relative = band.worst_relative;
  }
  if (pairs > 0) out.rms = std::sqrt(squares / static_cast<double>(pairs));
  return out;
}

void check_shape(const Weight& weight, const Weight& other) {
  if (other.rows() == weight.rows() && other.cols() == weight.cols()) return;
  throw Error(ErrorCode::kBadShape,
              fmt::format("reference {} has shape {}", other.name, shape_text(other.shape)),
              shape_text(weight.shape));
}

}  // namespace

WeightDetails weight_details(const Model& model, const Weight& weight,
                             const ReaderFactory& open_reader, const DetailsOptions& options) {
  WeightDetails out;
  std::unique_ptr<WeightReader> first = open_reader();
  Plan plan{weight, reference_of(model, weight, options, *first)};
  std::vector<Band> bands = bands_of(weight);
  std::mutex mutex;
  std::vector<std::unique_ptr<Worker>> workers;
  const auto new_worker = [&] {
    std::unique_ptr<WeightReader> other;
    if (plan.reference == Reference::kOther) {
      other = options.reference();
      check_shape(weight, other->weight());
    }
    auto worker = std::make_unique<Worker>(plan, open_reader(), std::move(other));
    const std::lock_guard lock(mutex);
    workers.push_back(std::move(worker));
    return workers.back().get();
  };
  // The scales go first, by themselves: they are few, and what follows gives the progress.
  out.scales = count_scales(*first, options.cancel);
  first.reset();
  for_each_index(options.threads, options.cancel, bands.size(), new_worker,
                 [&](Worker* worker, std::uint64_t i) {
                   worker->run(bands[i], options.cancel);
                   if (!options.progress) return;
                   options.progress(slice_begin(weight.size_bytes, bands.size(), i + 1) -
                                    slice_begin(weight.size_bytes, bands.size(), i));
                 });
  if (options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed)) {
    WeightDetails cancelled;
    cancelled.cancelled = true;
    return cancelled;
  }
  std::vector<std::uint64_t> tops(std::size_t{1} << kValueTopBits);
  for (const auto& worker : workers) {
    worker->tops.add_to(tops);
    out.outliers.insert(out.outliers.end(), worker->largest.begin(), worker->largest.end());
    out.not_finite.insert(out.not_finite.end(), worker->not_finite.begin(),
                          worker->not_finite.end());
    out.not_finite_count += worker->not_finite_count;
  }
  out.values = value_counts(tops);
  std::sort(out.outliers.begin(), out.outliers.end(), comes_before);
  out.outliers.resize(std::min(out.outliers.size(), kMostOutliers));
  std::sort(out.not_finite.begin(), out.not_finite.end(), by_place);
  out.not_finite.resize(std::min(out.not_finite.size(), kMostOutliers));
  add_up(weight, bands, out);
  if (plan.reference != Reference::kNone) {
    out.errors = errors_of(bands);
    out.errors->reference = plan.reference == Reference::kOther        ? options.reference_name
                            : plan.reference == Reference::kStoredInt8 ? "the stored int8"
                                                                       : "its int8";
  }
  return out;
}

}  // namespace qi
