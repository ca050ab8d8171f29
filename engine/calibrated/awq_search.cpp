#include "engine/calibrated/awq_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "engine/calibrated/checks.h"
#include "engine/calibrated/hessian.h"
#include "engine/calibrated/smoothing.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"
#include "engine/quant/rtn.h"

namespace qi {
namespace {

constexpr std::uint64_t kAwqRows = 64;
constexpr std::uint64_t kLossRows = 256, kLossTokens = 512;

void check_awq(const AwqOptions& options) {
  const auto check = [](bool good, const char* what, auto value, const char* expected) {
    if (!good) throw Error(ErrorCode::kUsage, fmt::format("awq {} {}", what, value), expected);
  };
  check(options.bits >= 2 && options.bits <= 8, "bits", options.bits, "2 to 8");
  check(options.grid >= 1, "grid", options.grid, "at least 1");
  check(options.max_shrink > 0 && options.max_shrink <= 1, "shrink", options.max_shrink,
        "above 0, up to 1");
  check(options.sample_tokens >= 1, "tokens", options.sample_tokens, "at least 1");
}

RtnFormat awq_format(const AwqOptions& options) {
  return {RtnStyle::kAwq, options.bits, !options.zero_point};
}

std::uint64_t group_width(const AwqOptions& options, std::uint64_t cols) {
  return options.group == 0 ? cols : std::min(options.group, cols);
}

/// What numbers that share a grid become. In place is fine.
void round_group(const RtnFormat& format, const float* in, std::uint64_t count,
                 std::vector<std::uint8_t>& codes, float* out) {
  const RtnGrid grid = rtn_grid(format, rtn_range(in, count));
  codes.resize(count);
  rtn_codes(format, grid, in, count, codes.data());
  rtn_values(grid, codes.data(), count, out);
}

/// Mean over all rows of |w| by the largest of its group.
std::vector<float> mean_shares(std::span<const MatrixView> weights, std::uint64_t width) {
  constexpr float kAboveZero = 1e-6f;
  const std::uint64_t cols = weights[0].cols;
  std::vector<double> sums(cols);
  std::uint64_t rows = 0;
  for (const MatrixView& weight : weights) {
    rows += weight.rows;
    for (std::uint64_t r = 0; r < weight.rows; ++r) {
      for (std::uint64_t begin = 0; begin < cols; begin += width) {
        const std::uint64_t count = std::min(width, cols - begin);
        const float* const in = weight.data + r * cols + begin;
        const RtnRange range = rtn_range(in, count);
        const float most = std::max(std::abs(range.low), std::abs(range.high)) + kAboveZero;
        for (std::uint64_t c = 0; c < count; ++c) {
          sums[begin + c] += static_cast<double>(std::abs(in[c]) / most);
        }
      }
    }
  }
  std::vector<float> means(cols);
  for (std::uint64_t j = 0; j < cols; ++j) {
    means[j] = static_cast<float>(sums[j] / static_cast<double>(rows));
  }
  return means;
}

std::vector<float> scales_at(double ratio, std::span<const float> activity,
                             std::span<const float> shares) {
  constexpr float kLeast = 1e-4f;
  const auto power = static_cast<float>(ratio);
  std::vector<float> scales(activity.size());
  for (std::size_t j = 0; j < scales.size(); ++j) {
    float scale = std::pow(activity[j], power);
    if (!shares.empty()) scale /= std::pow(shares[j], 1 - power) + kLeast;
    scales[j] = std::max(scale, kLeast);
  }
  const auto [least, most] = std::minmax_element(scales.begin(), scales.end());
  const float middle = std::sqrt(*most * *least);
  for (float& scale : scales) {
    scale /= middle;
    if (!std::isfinite(scale)) scale = 1;
  }
  return scales;
}

/// changed = grid(weight · scale) / scale
void round_scaled(const MatrixView& weight, std::span<const float> scales, const RtnFormat& format,
                  std::uint64_t width, std::vector<float>& changed, const Workers& workers) {
  const std::uint64_t cols = weight.cols;
  changed.assign(weight.data, weight.data + weight.rows * cols);
  workers.each(ceil_div(weight.rows, kAwqRows), weight.rows * cols,
               [&](WorkBuffers&, std::uint64_t piece) {
                 const std::uint64_t first = piece * kAwqRows;
                 const std::uint64_t rows = std::min(kAwqRows, weight.rows - first);
                 std::vector<std::uint8_t> codes;
                 float* const out = changed.data() + first * cols;
                 scale_columns(out, rows, cols, scales);
                 for (std::uint64_t r = 0; r < rows; ++r) {
                   for (std::uint64_t begin = 0; begin < cols; begin += width) {
                     float* const group = out + r * cols + begin;
                     round_group(format, group, std::min(width, cols - begin), codes, group);
                   }
                 }
                 unscale_columns(out, rows, cols, scales);
               });
}

/// Σ (X (W − changed)ᵀ)² over all tokens and rows.
double squared_output(const MatrixView& weight, const std::vector<float>& changed,
                      const MatrixView& x, const Workers& workers) {
  const std::uint64_t cols = weight.cols;
  std::vector<double> sums(ceil_div<std::uint64_t>(weight.rows, kLossRows));
  workers.each(sums.size(), x.rows * weight.rows * cols,
               [&](WorkBuffers& buffers, std::uint64_t piece) {
                 const std::uint64_t first = piece * kLossRows;
                 const std::uint64_t rows = std::min(kLossRows, weight.rows - first);
                 std::vector<float>& off = buffers.first;
                 std::vector<float>& output = buffers.second;
                 off.resize(rows * cols);
                 output.resize(kLossTokens * rows);
                 for (std::uint64_t k = 0; k < off.size(); ++k) {
                   off[k] = weight.data[first * cols + k] - changed[first * cols + k];
                 }
                 for (std::uint64_t t = 0; t < x.rows; t += kLossTokens) {
                   const std::uint64_t tokens = std::min<std::uint64_t>(kLossTokens, x.rows - t);
                   multiply_transposed({x.data + t * x.stride, tokens, cols, x.stride},
                                       {off.data(), rows, cols, cols}, output.data(), rows);
                   for (std::uint64_t k = 0; k < tokens * rows; ++k) {
                     sums[piece] += static_cast<double>(output[k]) * static_cast<double>(output[k]);
                   }
                 }
               });
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

/// The clip search of some rows in one group of columns.
class ClipSearch {
 public:
  /// `inputs`: [tokens, width] of the group, or [width, width], their Gram matrix. The error of a
  /// change d is |inputs · d|² or d · inputs · d.
  ClipSearch(const AwqOptions& options, const MatrixView& inputs, bool is_gram)
      : format_(awq_format(options)),
        inputs_(inputs),
        is_gram_(is_gram),
        steps_(static_cast<std::uint64_t>(options.max_shrink * options.grid)),
        grid_(options.grid) {}

  /// in: [rows, stride], of which the group's columns begin at `in`. best: one for each row,
  /// `apart` numbers from one to the next.
  void run(const float* in, std::uint64_t rows, std::uint64_t stride, float* best,
           std::uint64_t apart) {
    const std::uint64_t width = inputs_.cols;
    changes_.resize(rows * steps_ * width);
    clips_.resize(rows * steps_);
    for (std::uint64_t r = 0; r < rows; ++r) {
      const float* const row = in + r * stride;
      const RtnRange range = rtn_range(row, width);
      const float most = std::max(std::abs(range.low), std::abs(range.high));
      best[r * apart] = most;
      for (std::uint64_t i = 0; i < steps_; ++i) {
        const auto part = static_cast<float>(1 - static_cast<double>(i) / grid_);
        const float clip = clips_[r * steps_ + i] = most * part;
        float* const change = changes_.data() + (r * steps_ + i) * width;
        for (std::uint64_t c = 0; c < width; ++c) change[c] = std::clamp(row[c], -clip, clip);
        round_group(format_, change, width, codes_, change);
        for (std::uint64_t c = 0; c < width; ++c) change[c] -= row[c];
      }
    }
    const MatrixView changes{changes_.data(), rows * steps_, width, width};
    const std::uint64_t outputs = inputs_.rows;
    products_.resize(changes.rows * outputs);
    multiply_transposed(changes, inputs_, products_.data(), outputs);
    for (std::uint64_t r = 0; r < rows; ++r) {
      double least = std::numeric_limits<double>::infinity();
      for (std::uint64_t i = 0; i < steps_; ++i) {
        const std::uint64_t k = r * steps_ + i;
        const float* const product = products_.data() + k * outputs;
        const float* const other = is_gram_ ? changes_.data() + k * width : product;
        double error = 0;
        for (std::uint64_t c = 0; c < outputs; ++c) {
          error += static_cast<double>(product[c]) * static_cast<double>(other[c]);
        }
        if (error < least) least = error, best[r * apart] = clips_[k];
      }
    }
  }

 private:
  RtnFormat format_;
  MatrixView inputs_;
  bool is_gram_;
  std::uint64_t steps_;
  int grid_;
  std::vector<float> changes_, products_, clips_;
  std::vector<std::uint8_t> codes_;
};

}  // namespace

AwqScales awq_scales(std::span<const MatrixView> weights, std::span<const float> mean_abs,
                     const AwqOptions& options, const Workers& workers, const AwqLoss& loss) {
  check_awq(options);
  check_same_input(weights, mean_abs.size());
  refuse_non_finite_columns(mean_abs, "the mean |x|");
  for (const MatrixView& weight : weights) {
    refuse_non_finite_weights(weight.data, weight.rows, weight.cols, 0);
  }
  const std::uint64_t width = group_width(options, mean_abs.size());
  std::vector<float> shares;
  if (options.duo_scaling) shares = mean_shares(weights, width);
  AwqScales best;
  best.loss = std::numeric_limits<double>::infinity();
  std::vector<std::vector<float>> changed(weights.size());
  for (int k = 0; k < options.grid && !workers.cancelled(); ++k) {
    const double ratio = static_cast<double>(k) / options.grid;
    std::vector<float> scales = scales_at(ratio, mean_abs, shares);
    for (std::size_t m = 0; m < weights.size(); ++m) {
      round_scaled(weights[m], scales, awq_format(options), width, changed[m], workers);
    }
    best.history.push_back(loss(changed));
    if (best.history.back() < best.loss) {
      best.loss = best.history.back();
      best.ratio = ratio;
      best.scales = std::move(scales);
    }
  }
  if (best.scales.empty() && !workers.cancelled()) {
    throw Error(ErrorCode::kBadValue, "no scale has an error that is a number",
                "outputs that are finite");
  }
  return best;
}

AwqLoss awq_output_loss(std::span<const MatrixView> weights, const MatrixView& x,
                        const Workers& workers) {
  check_same_input(weights, x.cols);
  const std::vector<MatrixView> matrices(weights.begin(), weights.end());
  std::shared_ptr<Hessian> gram;  // twice XᵀX: cheaper than X where that has more rows
  if (x.rows > x.cols && x.stride == x.cols) {
    gram = std::make_shared<Hessian>(x.cols);
    gram->add(x.data, x.rows, workers);
  }
  return [=](std::span<const std::vector<float>> changed) {
    double sum = 0, count = 0;
    for (std::size_t m = 0; m < matrices.size(); ++m) {
      const MatrixView& weight = matrices[m];
      sum += gram ? gram->error(weight.data, changed[m].data(), weight.rows, workers) / 2
                  : squared_output(weight, changed[m], x, workers);
      count += static_cast<double>(weight.rows) * static_cast<double>(x.rows);
    }
    return sum / count;
  };
}

std::vector<float> awq_clips(const MatrixView& weight, const MatrixView& x,
                             const AwqOptions& options, const Workers& workers) {
  check_awq(options);
  check_same_input({&weight, 1}, x.cols);
  refuse_non_finite_weights(weight.data, weight.rows, weight.cols, 0);
  const std::uint64_t cols = weight.cols, width = group_width(options, cols);
  const std::uint64_t groups = ceil_div(cols, width);
  const std::uint64_t step = std::max<std::uint64_t>(1, x.rows / options.sample_tokens);
  const MatrixView sample{x.data, ceil_div<std::uint64_t>(x.rows, step), cols, x.stride * step};
  const bool by_gram = sample.rows > width;
  std::vector<float> grams(by_gram ? groups * width * width : 0);
  const auto inputs = [&](std::uint64_t g) {
    const std::uint64_t count = std::min(width, cols - g * width);
    return MatrixView{sample.data + g * width, sample.rows, count, sample.stride};
  };
  const auto gram = [&](std::uint64_t g) { return grams.data() + g * width * width; };
  if (by_gram) {
    workers.each(groups, sample.rows * cols * width, [&](WorkBuffers&, std::uint64_t g) {
      const MatrixView part = inputs(g);
      add_transposed_product(1, part, part, 0, gram(g), part.cols);
    });
  }
  std::vector<float> clips(weight.rows * groups);
  const std::uint64_t bands = ceil_div<std::uint64_t>(weight.rows, kAwqRows);
  workers.each(groups * bands, weight.rows * cols * width, [&](WorkBuffers&, std::uint64_t piece) {
    const std::uint64_t g = piece / bands, first = piece % bands * kAwqRows;
    const MatrixView part = inputs(g);
    ClipSearch search(
        options, by_gram ? MatrixView{gram(g), part.cols, part.cols, part.cols} : part, by_gram);
    search.run(weight.data + first * cols + g * width,
               std::min<std::uint64_t>(kAwqRows, weight.rows - first), cols,
               clips.data() + first * groups + g, groups);
  });
  return clips;
}

void awq_clamp(float* weight, std::uint64_t rows, std::uint64_t cols, std::uint64_t group,
               std::span<const float> clips) {
  const std::uint64_t width = group == 0 ? cols : std::min(group, cols);
  for (std::uint64_t r = 0; r < rows; ++r) {
    for (std::uint64_t begin = 0, g = r * ceil_div(cols, width); begin < cols;
         begin += width, ++g) {
      for (std::uint64_t c = begin; c < std::min(cols, begin + width); ++c) {
        float& value = weight[r * cols + c];
        value = std::clamp(value, -clips[g], clips[g]);
      }
    }
  }
}

CodedMatrix awq_codes(const MatrixView& weight, const AwqOptions& options, const Workers& workers) {
  check_awq(options);
  check_same_input({&weight, 1}, weight.cols);
  return rtn_matrix(weight.data, weight.rows, weight.cols, awq_format(options), options.group,
                    workers);
}

}  // namespace qi
