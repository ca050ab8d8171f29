#include "engine/calibrated/spqr_solver.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "engine/calibrated/column_sweep.h"
#include "engine/calibrated/real_grid.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"

namespace qi {
namespace {

constexpr float kNoOutliers = std::numeric_limits<float>::infinity();
constexpr std::uint64_t kVarianceColumns = 64;

bool two_levels(const SpqrOptions& options) {
  return options.scale_bits || options.zero_bits;
}
/// Zeros that are whole already need no second level of as many bits.
bool codes_zeros(const SpqrOptions& options) {
  return options.zero_bits && (!options.round_zero || *options.zero_bits < options.bits);
}

void check_spqr(const SpqrOptions& options, std::uint64_t rows) {
  const auto check = [](bool good, std::string_view what, auto value, const char* expected) {
    if (good) return;
    throw Error(ErrorCode::kUsage, fmt::format("spqr {} {}", what, value), expected);
  };
  const auto is_width = [](int bits) { return bits >= 1 && bits <= 8; };
  check(is_width(options.bits), "bits", options.bits, "1 to 8");
  check(is_width(options.scale_bits.value_or(8)), "scale bits", options.scale_bits.value_or(0),
        "1 to 8");
  check(is_width(options.zero_bits.value_or(8)), "zero bits", options.zero_bits.value_or(0),
        "1 to 8");
  check(options.second_group != 0, "second group", 0, "a number of rows");
  check(options.block != 0, "block", 0, "a number of columns");
  check(options.percdamp >= 0, "percdamp", options.percdamp, "a number that is not negative");
  check(options.outlier_threshold > 0, "outlier threshold", options.outlier_threshold,
        "a number above 0");
  if (two_levels(options) && rows % options.second_group != 0) {
    throw Error(ErrorCode::kBadShape,
                fmt::format("{} rows in second-level groups of {}", rows, options.second_group),
                "a multiple of it");
  }
}

/// The mean over columns of the variance over rows times R[j, j]², to which the threshold is
/// relative. Not a number for a single row.
double mean_cost(const float* weight, std::uint64_t rows, const HessianFactor& factor,
                 const Workers& workers) {
  const std::uint64_t n = factor.cols;
  std::vector<double> variances(n);
  workers.each(ceil_div(n, kVarianceColumns), rows * n, [&](WorkBuffers&, std::uint64_t piece) {
    const std::uint64_t first = piece * kVarianceColumns;
    const std::uint64_t count = std::min(kVarianceColumns, n - first);
    std::vector<double> means(count);
    for (std::uint64_t r = 0; r < rows; ++r) {
      const float* row = weight + r * n + first;
      for (std::uint64_t c = 0; c < count; ++c) means[c] += static_cast<double>(row[c]);
    }
    for (double& mean : means) mean /= static_cast<double>(rows);
    for (std::uint64_t r = 0; r < rows; ++r) {
      const float* row = weight + r * n + first;
      for (std::uint64_t c = 0; c < count; ++c) {
        const double off = static_cast<double>(row[c]) - means[c];
        variances[first + c] += off * off;
      }
    }
  });
  double sum = 0;
  for (std::uint64_t k = 0; k < n; ++k) {
    const std::uint64_t j = factor.order[k];
    const auto diagonal = static_cast<double>(factor.diagonal[k]);
    if (factor.dead[j] == 0) sum += variances[j] * diagonal * diagonal;
  }
  return sum / static_cast<double>(rows - 1) / static_cast<double>(n);
}

/// A second level in the making: numbers of a slab's groups coded in runs of rows.
struct SlabLevel {
  std::vector<std::uint8_t> codes;             // [groups, lanes]
  std::vector<float> grid_scales, grid_zeros;  // [groups, runs]

  void resize(std::uint64_t groups, std::uint64_t lanes, std::uint64_t runs) {
    codes.resize(groups * lanes);
    grid_scales.resize(groups * runs);
    grid_zeros.resize(groups * runs);
  }
};

/// The grids of a slab, its columns coded on them, and their outliers.
class SpqrCoder : public ColumnCoder {
 public:
  SpqrCoder(const HessianFactor& factor, const SpqrOptions& options, float threshold,
            std::uint64_t first_row, std::uint64_t groups, Slab& slab)
      : scales(groups * slab.lanes),
        zeros(groups * slab.lanes),
        factor_(factor),
        options_(options),
        threshold_(threshold),
        first_row_(first_row),
        group_(options.group == 0 ? factor.cols : options.group),
        runs_(slab.rows / options.second_group),
        slab_(slab),
        low_(slab.lanes),
        high_(slab.lanes),
        is_outlier_(slab.lanes) {
    if (options.scale_bits) scale_level.resize(groups, slab.lanes, runs_);
    if (codes_zeros(options)) zero_level.resize(groups, slab.lanes, runs_);
  }

  void fit(std::uint64_t begin, std::uint64_t end) override {
    const std::uint64_t lanes = slab_.lanes, count = end - begin, g = begin / group_;
    const float* columns = slab_.current.data() + begin * lanes;
    if (threshold_ == kNoOutliers || options_.simplified_outliers || count < 2) {
      kernels_.ranges(columns, count, lanes, low_.data(), high_.data());
    } else {
      kernels_.inlier_ranges(columns, count, lanes, factor_.diagonal.data() + begin, options_.bits,
                             options_.symmetric, threshold_, low_.data(), high_.data());
    }
    float* const scale = scales.data() + g * lanes;
    float* const zero = zeros.data() + g * lanes;
    for (std::uint64_t r = 0; r < lanes; ++r) {
      const RealGrid grid = real_grid(low_[r], high_[r], options_.bits, options_.symmetric);
      scale[r] = grid.scale;
      zero[r] = options_.round_zero ? std::nearbyint(grid.zero) : grid.zero;
    }
    if (options_.scale_bits) code_level(scale, *options_.scale_bits, false, g, scale_level);
    if (codes_zeros(options_)) {
      code_level(zero, *options_.zero_bits, options_.zero_symmetric, g, zero_level);
    }
  }
  void code(std::uint64_t k, float* error) override {
    const std::uint64_t lanes = slab_.lanes, at = k * lanes, grids = k / group_ * lanes;
    const ColumnGrid grid{scales.data() + grids, zeros.data() + grids, top(), false, 0,
                          kLeastDivisor};
    const float* const column = slab_.current.data() + at;
    if (!kernels_.code(
            grid, column, lanes, factor_.diagonal[k], threshold_,
            {slab_.codes.data() + at, slab_.change.data() + at, error, slab_.loss.data()},
            is_outlier_.data())) {
      return;
    }
    for (std::uint64_t r = 0; r < slab_.rows; ++r) {
      if (is_outlier_[r] == 0) continue;
      outliers.push_back({static_cast<std::uint32_t>(first_row_ + r), factor_.order[k], column[r]});
    }
  }
  std::uint64_t runs() const { return runs_; }

  std::vector<float> scales, zeros;  // [groups, lanes]
  SlabLevel scale_level, zero_level;
  std::vector<CodedMatrix::Outlier> outliers;

 private:
  float top() const { return static_cast<float>((1 << options_.bits) - 1); }

  /// numbers: [rows] of group g, replaced by what their codes stand for.
  void code_level(float* numbers, int bits, bool symmetric, std::uint64_t g, SlabLevel& level) {
    for (std::uint64_t run = 0; run < runs_; ++run) {
      float* const first = numbers + run * options_.second_group;
      const RtnRange range = rtn_range(first, options_.second_group);
      const RealGrid grid = real_grid(range.low, range.high, bits, symmetric);
      level.grid_scales[g * runs_ + run] = grid.scale;
      level.grid_zeros[g * runs_ + run] = grid.zero;
      std::uint8_t* codes = level.codes.data() + g * slab_.lanes + run * options_.second_group;
      for (std::uint64_t k = 0; k < options_.second_group; ++k) {
        codes[k] = real_code(grid, first[k], bits);
        first[k] = grid.scale * (static_cast<float>(codes[k]) - grid.zero);
      }
    }
  }

  const HessianFactor& factor_;
  const SpqrOptions& options_;
  float threshold_;
  std::uint64_t first_row_, group_, runs_;
  Slab& slab_;
  std::vector<float> low_, high_;
  std::vector<std::uint8_t> is_outlier_;
  const ColumnKernels& kernels_ = column_kernels();
};

CodedMatrix::SecondLevel empty_level(int bits, const SpqrOptions& options, const CodedMatrix& of) {
  CodedMatrix::SecondLevel level;
  level.bits = bits;
  level.run = options.second_group;
  level.codes.resize(of.rows * of.groups);
  level.grid_scales.resize(of.rows / level.run * of.groups);
  level.grid_zeros.resize(level.grid_scales.size());
  return level;
}

void take_level(const SlabLevel& from, std::uint64_t first, const Slab& slab, std::uint64_t groups,
                CodedMatrix::SecondLevel& to) {
  const std::uint64_t runs = slab.rows / to.run, first_run = first / to.run;
  for (std::uint64_t g = 0; g < groups; ++g) {
    for (std::uint64_t r = 0; r < slab.rows; ++r) {
      to.codes[(first + r) * groups + g] = from.codes[g * slab.lanes + r];
    }
    for (std::uint64_t k = 0; k < runs; ++k) {
      to.grid_scales[(first_run + k) * groups + g] = from.grid_scales[g * runs + k];
      to.grid_zeros[(first_run + k) * groups + g] = from.grid_zeros[g * runs + k];
    }
  }
}

/// Column j: the ranks of its numbers, centred and of length 1. [rows, cols]
std::vector<float> unit_ranks(const float* weight, std::uint64_t rows, std::uint64_t cols,
                              const Workers& workers) {
  std::vector<float> ranks(rows * cols);
  workers.each(cols, rows * cols * 16, [&](WorkBuffers& buffers, std::uint64_t j) {
    std::vector<float>& column = buffers.first;
    column.resize(rows);
    for (std::uint64_t r = 0; r < rows; ++r) column[r] = -weight[r * cols + j];
    const std::vector<std::uint32_t> order = descending(column);
    const double mean = static_cast<double>(rows - 1) / 2;
    const auto count = static_cast<double>(rows);
    const double length = std::sqrt(count * (count * count - 1) / 12);
    for (std::uint64_t k = 0; k < rows && rows > 1; ++k) {
      const double rank = (static_cast<double>(k) - mean) / length;
      ranks[order[k] * cols + j] = static_cast<float>(rank);
    }
  });
  return ranks;
}

}  // namespace

std::vector<std::uint32_t> spearman_order(const float* weight, std::uint64_t rows,
                                          std::uint64_t cols, const Workers& workers) {
  Hessian likeness(cols);  // twice the correlations of ranks
  likeness.add(unit_ranks(weight, rows, cols, workers).data(), rows, workers);
  const auto of = [&](std::uint64_t i, std::uint64_t j) {
    return likeness.lower()[std::max(i, j) * cols + std::min(i, j)];
  };
  std::vector<std::uint32_t> order(cols);
  std::iota(order.begin(), order.end(), 0u);
  for (std::uint64_t k = 0; k + 1 < cols; ++k) {
    std::uint64_t best = k + 1;
    for (std::uint64_t at = k + 2; at < cols; ++at) {
      if (of(order[k], order[at]) > of(order[k], order[best])) best = at;
    }
    std::swap(order[k + 1], order[best]);
  }
  return order;
}

FactorOptions spqr_factor_options(const SpqrOptions& options, std::uint64_t cols) {
  return {options.order, DeadColumns::kLast, options.percdamp,
          sweep_panel(cols, options.block, options.group)};
}

HessianFactor factor_spqr(const Hessian& hessian, const float* weight, std::uint64_t rows,
                          const SpqrOptions& options, const Workers& workers) {
  check_spqr(options, rows);
  const FactorOptions factor = spqr_factor_options(options, hessian.cols());
  if (options.order != ColumnOrder::kSpearman) return factor_hessian(hessian, factor, workers);
  return factor_hessian(hessian, factor, spearman_order(weight, rows, hessian.cols(), workers),
                        workers);
}

CodedMatrix spqr(const float* weight, std::uint64_t rows, const HessianFactor& factor,
                 const SpqrOptions& options, const Workers& workers, SolverReport& report) {
  check_spqr(options, rows);
  const std::uint64_t n = factor.cols;
  assert(factor.options == spqr_factor_options(options, n));
  CodedMatrix coded = empty_codes(rows, n, options.bits, options.group);
  coded.symmetric = options.symmetric && !codes_zeros(options);
  if (options.scale_bits) coded.scale_codes = empty_level(*options.scale_bits, options, coded);
  if (codes_zeros(options)) coded.zero_codes = empty_level(*options.zero_bits, options, coded);
  for (std::uint64_t k = 0; k < n; ++k) {
    coded.group_of[factor.order[k]] =
        static_cast<std::uint32_t>(options.group == 0 ? 0 : k / options.group);
  }
  if (options.order != ColumnOrder::kNatural) coded.order = factor.order;

  float threshold = kNoOutliers;
  if (std::isfinite(options.outlier_threshold) && rows > 1) {
    const double cost = mean_cost(weight, rows, factor, workers);
    threshold = static_cast<float>(options.outlier_threshold * cost);
  }
  const std::uint64_t height = slab_rows(rows, two_levels(options) ? options.second_group : 1);
  std::vector<double> losses(ceil_div(rows, height));
  std::vector<std::vector<CodedMatrix::Outlier>> outliers(losses.size());
  workers.each(losses.size(), rows * n * n, [&](WorkBuffers& buffers, std::uint64_t piece) {
    const std::uint64_t first = piece * height;
    Slab slab(buffers);
    slab.fill(weight, first, std::min(height, rows - first), factor);
    SpqrCoder coder(factor, options, threshold, first, coded.groups, slab);
    if (options.group == 0) coder.fit(0, n);
    sweep_columns(slab, factor, {options.group, options.block, true}, coder);
    losses[piece] = slab.total_loss() / 2;
    slab.give(first, factor, coder.scales, coder.zeros, coded);
    if (coded.scale_codes) {
      take_level(coder.scale_level, first, slab, coded.groups, *coded.scale_codes);
    }
    if (coded.zero_codes) {
      take_level(coder.zero_level, first, slab, coded.groups, *coded.zero_codes);
    }
    std::sort(coder.outliers.begin(), coder.outliers.end(), [](const auto& a, const auto& b) {
      return a.row != b.row ? a.row < b.row : a.col < b.col;
    });
    outliers[piece] = std::move(coder.outliers);
  });
  for (const auto& part : outliers) {
    coded.outliers.insert(coded.outliers.end(), part.begin(), part.end());
  }
  report = report_of(factor, losses);
  return coded;
}

CodedMatrix spqr(const float* weight, std::uint64_t rows, std::uint64_t cols,
                 const Hessian& hessian, const SpqrOptions& options, const Workers& workers,
                 SolverReport& report) {
  check_columns(hessian, cols);
  return spqr(weight, rows, factor_spqr(hessian, weight, rows, options, workers), options, workers,
              report);
}

namespace {

constexpr double kFloatBits = 16, kOutlierBits = 32, kOffsetBits = 32;

}  // namespace

double spqr_average_bits(const SpqrOptions& options, double outlier_share) {
  double bits = options.bits + kOutlierBits * outlier_share;
  if (options.group == 0) return bits;
  const auto group = static_cast<double>(options.group);
  const double scale_bits = options.scale_bits.value_or(16),
               zero_bits = options.zero_bits.value_or(16);
  const double grids = 2 * kFloatBits / (group * static_cast<double>(options.second_group));
  return bits + (options.round_zero ? (scale_bits + options.bits) / group + grids
                                    : (scale_bits + zero_bits) / group + 2 * grids);
}

SpqrBits spqr_bits(const SpqrOptions& options, const CodedMatrix& coded) {
  const auto rows = static_cast<double>(coded.rows), cols = static_cast<double>(coded.cols);
  const auto groups = static_cast<double>(coded.groups), weights = rows * cols;
  const auto outliers = static_cast<double>(coded.outliers.size());
  SpqrBits bits;
  bits.average = spqr_average_bits(options, outliers / weights);
  const auto level_bits = [&](const std::optional<CodedMatrix::SecondLevel>& level,
                              double without) {
    if (!level) return without * rows * groups;
    return level->bits * rows * groups +
           2 * kFloatBits * static_cast<double>(level->grid_scales.size());
  };
  const double plain_zero = coded.symmetric ? 0 : options.round_zero ? options.bits : kFloatBits;
  double all = options.bits * weights + level_bits(coded.scale_codes, kFloatBits) +
               level_bits(coded.zero_codes, plain_zero) + kOutlierBits * outliers;
  if (std::isfinite(options.outlier_threshold)) all += kOffsetBits * (rows + 1);
  all += (cols > 65536 ? 32 : 16) * static_cast<double>(coded.order.size());
  bits.exact = all / weights;
  return bits;
}

}  // namespace qi
