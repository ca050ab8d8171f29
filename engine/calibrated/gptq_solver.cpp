#include "engine/calibrated/gptq_solver.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include <fmt/format.h>

#include "engine/calibrated/column_sweep.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"

namespace qi {
namespace {

void check_options(const GptqOptions& options) {
  const auto refuse = [](std::string message, const char* expected) {
    throw Error(ErrorCode::kUsage, std::move(message), expected);
  };
  if (options.bits < 1 || options.bits > 8)
    refuse(fmt::format("gptq bits {}", options.bits), "1 to 8");
  if (options.block == 0) refuse("gptq block 0", "a number of columns");
  if (!(options.percdamp >= 0)) {
    refuse(fmt::format("gptq percdamp {}", options.percdamp), "a number that is not negative");
  }
  if (options.style != RtnStyle::kMinmax && options.style != RtnStyle::kFull) {
    refuse("a style that gptq does not know", "minmax or full");
  }
  if (options.mse && options.style != RtnStyle::kMinmax) {
    refuse("gptq mse on full grids", "mse with minmax");
  }
}

/// The grids of a slab, group by group, and its columns coded on them.
class GptqCoder : public ColumnCoder {
 public:
  GptqCoder(const HessianFactor& factor, const GptqOptions& options, std::uint64_t groups,
            Slab& slab)
      : factor_(factor),
        options_(options),
        format_{options.style, options.bits, options.symmetric},
        slab_(slab),
        scales_(groups * slab.lanes),
        zeros_(groups * slab.lanes),
        low_(slab.lanes),
        high_(slab.lanes),
        no_outliers_(slab.lanes) {}

  void fit(std::uint64_t begin, std::uint64_t end) override {
    fit_group(begin / options_.group, slab_.current.data() + begin * slab_.lanes, end - begin);
  }
  /// columns: [count, lanes]
  void fit_group(std::uint64_t group, const float* columns, std::uint64_t count) {
    float* const scale = scales_.data() + group * slab_.lanes;
    float* const zero = zeros_.data() + group * slab_.lanes;
    kernels_.ranges(columns, count, slab_.lanes, low_.data(), high_.data());
    if (options_.mse) {
      kernels_.shrunk_grids(columns, count, slab_.lanes, low_.data(), high_.data(), top(),
                            options_.symmetric, scale, zero);
      return;
    }
    for (std::uint64_t r = 0; r < slab_.lanes; ++r) {
      const RtnGrid grid = rtn_grid(format_, {low_[r], high_[r]});
      scale[r] = grid.scale;
      zero[r] = static_cast<float>(grid.zero);
    }
  }
  std::uint64_t group_of(std::uint64_t k) const {
    if (options_.group == 0) return 0;
    return (options_.static_groups ? factor_.order[k] : k) / options_.group;
  }
  void code(std::uint64_t k, float* error) override {
    const std::uint64_t at = k * slab_.lanes, grids = group_of(k) * slab_.lanes;
    const bool full = options_.style == RtnStyle::kFull;
    const ColumnGrid grid{scales_.data() + grids, zeros_.data() + grids, top(), !full,
                          full ? (top() + 1) / 2 : 0};
    const ColumnResult result{slab_.codes.data() + at, slab_.change.data() + at, error,
                              slab_.loss.data()};
    kernels_.code(grid, slab_.current.data() + at, slab_.lanes, factor_.diagonal[k],
                  std::numeric_limits<float>::infinity(), result, no_outliers_.data());
  }
  const std::vector<float>& scales() const { return scales_; }  // [groups, lanes]
  const std::vector<float>& zeros() const { return zeros_; }

 private:
  float top() const { return static_cast<float>((1 << options_.bits) - 1); }

  const HessianFactor& factor_;
  const GptqOptions& options_;
  RtnFormat format_;
  Slab& slab_;
  std::vector<float> scales_, zeros_, low_, high_;
  std::vector<std::uint8_t> no_outliers_;
  const ColumnKernels& kernels_ = column_kernels();
};

/// Grids that are there before the first column is coded: of whole rows, dead columns included, or
/// of groups in the natural order, those being zeros.
void fit_at_first(const float* weight, std::uint64_t first_row, const HessianFactor& factor,
                  const GptqOptions& options, const Slab& slab, GptqCoder& coder) {
  const std::uint64_t n = factor.cols;
  const std::uint64_t width = options.group == 0 ? n : std::min(options.group, n);
  std::vector<float> columns(width * slab.lanes);
  for (std::uint64_t begin = 0; begin < n; begin += width) {
    std::vector<std::uint32_t> natural(std::min(width, n - begin));
    for (std::uint64_t c = 0; c < natural.size(); ++c) {
      natural[c] = static_cast<std::uint32_t>(begin + c);
    }
    transpose_columns(weight + first_row * n, slab.rows, n, natural, columns.data(), slab.lanes);
    for (std::uint64_t c = 0; options.group != 0 && c < natural.size(); ++c) {
      if (factor.dead[natural[c]] == 0) continue;
      std::fill_n(columns.begin() + static_cast<std::ptrdiff_t>(c * slab.lanes), slab.lanes, 0.0f);
    }
    coder.fit_group(begin / width, columns.data(), natural.size());
  }
}

}  // namespace

FactorOptions gptq_factor_options(const GptqOptions& options, std::uint64_t cols) {
  const std::uint64_t fitted = options.static_groups ? 0 : options.group;
  return {options.act_order ? ColumnOrder::kActivity : ColumnOrder::kNatural, DeadColumns::kFirst,
          options.percdamp, sweep_panel(cols, options.block, fitted)};
}

HessianFactor factor_gptq(const Hessian& hessian, const GptqOptions& options,
                          const Workers& workers) {
  check_options(options);
  return factor_hessian(hessian, gptq_factor_options(options, hessian.cols()), workers);
}

CodedMatrix gptq(const float* weight, std::uint64_t rows, const HessianFactor& factor,
                 const GptqOptions& options, const Workers& workers, SolverReport& report) {
  check_options(options);
  const std::uint64_t n = factor.cols;
  assert(factor.options == gptq_factor_options(options, n));
  const bool on_the_way = options.group != 0 && !options.static_groups;
  CodedMatrix coded = empty_codes(rows, n, options.bits, options.group);
  coded.symmetric = options.symmetric;
  if (options.act_order) coded.order = factor.order;
  for (std::uint64_t k = 0; k < n && on_the_way; ++k) {
    coded.group_of[factor.order[k]] = static_cast<std::uint32_t>(k / options.group);
  }

  const std::uint64_t height = slab_rows(rows, 1);
  std::vector<double> losses(ceil_div(rows, height));
  workers.each(losses.size(), rows * n * n, [&](WorkBuffers& buffers, std::uint64_t piece) {
    const std::uint64_t first = piece * height;
    Slab slab(buffers);
    slab.fill(weight, first, std::min(height, rows - first), factor);
    GptqCoder coder(factor, options, coded.groups, slab);
    if (!on_the_way) fit_at_first(weight, first, factor, options, slab, coder);
    sweep_columns(slab, factor,
                  {on_the_way ? options.group : 0, options.block, options.fresh_grids}, coder);
    losses[piece] = slab.total_loss() / 2;
    slab.give(first, factor, coder.scales(), coder.zeros(), coded);
  });
  report = report_of(factor, losses);
  return coded;
}

CodedMatrix gptq(const float* weight, std::uint64_t rows, std::uint64_t cols,
                 const Hessian& hessian, const GptqOptions& options, const Workers& workers,
                 SolverReport& report) {
  check_columns(hessian, cols);
  return gptq(weight, rows, factor_gptq(hessian, options, workers), options, workers, report);
}

}  // namespace qi
