// GPTQ and SpQR as their papers and programs put them, column by column in float64, with the whole
// inverse: what the solvers are held against where no case of the vectors reaches. Header only.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/calibrated/gptq_solver.h"
#include "engine/calibrated/real_grid.h"
#include "engine/calibrated/spqr_solver.h"
#include "tests/calibrated/solver_cases.h"

namespace qi::test {

using Matrix64 = std::vector<double>;

/// The lower L of a = L Lᵀ.
inline Matrix64 lower_factor(Matrix64 a, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = j; i < n; ++i) {
      double sum = a[i * n + j];
      for (std::size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
    }
    for (std::size_t i = 0; i < j; ++i) a[i * n + j] = 0;
  }
  return a;
}

/// The upper U of H⁻¹ = Uᵀ U, rows and columns of H in `order`, damped; dead columns as told.
inline Matrix64 inverse_factor(const SolverCase& layer, const std::vector<std::uint32_t>& order,
                               double percdamp, DeadColumns dead) {
  const std::size_t n = layer.cols;
  Matrix64 h(n * n), diagonal(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::size_t t = 0; t < layer.tokens; ++t) {
        sum += static_cast<double>(layer.x[t * n + order[i]]) * layer.x[t * n + order[j]];
      }
      h[i * n + j] = 2 * sum;
    }
    diagonal[i] = h[i * n + i];
  }
  const auto is_dead = [&](std::size_t i) { return diagonal[i] == 0; };
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (is_dead(i) && dead == DeadColumns::kFirst) h[i * n + i] = 1;
    mean += h[i * n + i] / static_cast<double>(n);
  }
  for (std::size_t i = 0; i < n; ++i) {
    h[i * n + i] += percdamp * mean;
    if (is_dead(i) && dead == DeadColumns::kLast) h[i * n + i] = 1;
  }
  // H⁻¹ column by column, by its own factor.
  const Matrix64 l = lower_factor(h, n);
  Matrix64 inverse(n * n);
  for (std::size_t c = 0; c < n; ++c) {
    Matrix64 y(n);
    for (std::size_t i = 0; i < n; ++i) {
      double sum = i == c ? 1 : 0;
      for (std::size_t k = 0; k < i; ++k) sum -= l[i * n + k] * y[k];
      y[i] = sum / l[i * n + i];
    }
    for (std::size_t i = n; i-- > 0;) {
      double sum = y[i];
      for (std::size_t k = i + 1; k < n; ++k) sum -= l[k * n + i] * inverse[k * n + c];
      inverse[i * n + c] = sum / l[i * n + i];
    }
  }
  Matrix64 upper = lower_factor(inverse, n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < i; ++j) std::swap(upper[i * n + j], upper[j * n + i]);
  }
  return upper;
}

/// Weights in coding order, dead ones zeroed. [rows, cols]
inline Matrix64 ordered_weights(const SolverCase& layer, const std::vector<std::uint32_t>& order) {
  const Hessian hessian = layer.hessian();
  const std::vector<float> diagonal = hessian.diagonal();
  Matrix64 w(layer.rows * layer.cols);
  for (std::size_t r = 0; r < layer.rows; ++r) {
    for (std::size_t k = 0; k < layer.cols; ++k) {
      const bool dead = diagonal[order[k]] == 0;
      w[r * layer.cols + k] = dead ? 0 : layer.w[r * layer.cols + order[k]];
    }
  }
  return w;
}

/// Numbers [begin, end) of a row as floats.
inline std::vector<float> part_of(const Matrix64& w, std::size_t begin, std::size_t end) {
  return {w.begin() + static_cast<std::ptrdiff_t>(begin),
          w.begin() + static_cast<std::ptrdiff_t>(end)};
}

/// e · U[k, ..] off what is left of a row: [k + 1, end) of it.
inline void take_error(Matrix64& w, const Matrix64& upper, std::size_t n, std::size_t r,
                       std::size_t k, std::size_t end, double e) {
  for (std::size_t j = k + 1; j < end; ++j) w[r * n + j] -= e * upper[k * n + j];
}

/// Values of GPTQ, [rows, cols].
inline std::vector<float> gptq_reference(const SolverCase& layer, const GptqOptions& options,
                                         const std::vector<std::uint32_t>& order) {
  const std::size_t n = layer.cols;
  const std::size_t group = options.group == 0 ? n : options.group;
  const Matrix64 upper = inverse_factor(layer, order, options.percdamp, DeadColumns::kFirst);
  const Matrix64 natural = [&] {
    std::vector<std::uint32_t> as_is(n);
    std::iota(as_is.begin(), as_is.end(), 0u);
    return ordered_weights(layer, as_is);
  }();
  Matrix64 w = ordered_weights(layer, order);
  const RtnFormat format{options.style, options.bits, options.symmetric};
  std::vector<float> values(w.size());
  for (std::size_t r = 0; r < layer.rows; ++r) {
    const auto fitted = [&](const std::vector<float>& numbers) {
      return rtn_grid(format, rtn_range(numbers.data(), numbers.size()));
    };
    std::vector<RtnGrid> at_first;  // of natural groups
    for (std::size_t begin = 0; begin < n; begin += group) {
      const std::size_t end = std::min(n, begin + group);
      at_first.push_back(options.group == 0
                             ? fitted({layer.w.begin() + static_cast<std::ptrdiff_t>(r * n),
                                       layer.w.begin() + static_cast<std::ptrdiff_t>(r * n + n)})
                             : fitted(part_of(natural, r * n + begin, r * n + end)));
    }
    RtnGrid grid;
    for (std::size_t b = 0; b < n; b += options.block) {
      const std::size_t block_end = std::min<std::size_t>(n, b + options.block);
      const Matrix64 as_began = w;
      std::vector<double> errors;
      for (std::size_t k = b; k < block_end; ++k) {
        if (options.group == 0 || options.static_groups) {
          grid = at_first[order[k] / group];
        } else if (k % group == 0) {
          const std::size_t end = std::min(n, k + group);
          grid = fitted(part_of(options.fresh_grids ? w : as_began, r * n + k, r * n + end));
        }
        const auto x = static_cast<float>(w[r * n + k]);
        std::uint8_t code = 0;
        float value = 0;
        rtn_codes(format, grid, &x, 1, &code);
        rtn_values(grid, &code, 1, &value);
        values[r * n + order[k]] = value;
        errors.push_back((w[r * n + k] - static_cast<double>(value)) / upper[k * n + k]);
        take_error(w, upper, n, r, k, block_end, errors.back());
      }
      for (std::size_t k = b; k < block_end; ++k) {
        for (std::size_t j = block_end; j < n; ++j) {
          w[r * n + j] -= errors[k - b] * upper[k * n + j];
        }
      }
    }
  }
  return values;
}

/// Values of SpQR, [rows, cols], the leave-one-out by as many fits as there are numbers.
inline std::vector<float> spqr_reference(const SolverCase& layer, const SpqrOptions& options,
                                         const std::vector<std::uint32_t>& order,
                                         std::size_t& outliers) {
  const std::size_t n = layer.cols, rows = layer.rows;
  const std::size_t group = options.group == 0 ? n : options.group;
  const Matrix64 upper = inverse_factor(layer, order, options.percdamp, DeadColumns::kLast);
  Matrix64 w = ordered_weights(layer, order);
  double threshold = 0;
  for (std::size_t k = 0; k < n; ++k) {
    double mean = 0, variance = 0;
    for (std::size_t r = 0; r < rows; ++r) mean += w[r * n + k] / static_cast<double>(rows);
    for (std::size_t r = 0; r < rows; ++r) variance += std::pow(w[r * n + k] - mean, 2);
    threshold += variance / static_cast<double>(rows - 1) / std::pow(upper[k * n + k], 2);
  }
  threshold *= options.outlier_threshold / static_cast<double>(n);
  const bool looks_out = std::isfinite(options.outlier_threshold);

  const auto fitted = [&](const std::vector<float>& numbers) {
    const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
    return real_grid(*low, *high, options.bits, options.symmetric);
  };
  const auto value_of = [&](const RealGrid& grid, double x) {
    const float code = real_code(grid, static_cast<float>(x), options.bits);
    return static_cast<double>(grid.scale * (code - grid.zero));
  };
  const auto second_level = [&](std::vector<float> numbers, int bits, bool symmetric) {
    for (std::size_t run = 0; run < rows; run += options.second_group) {
      const auto first = numbers.begin() + static_cast<std::ptrdiff_t>(run);
      const auto last = first + static_cast<std::ptrdiff_t>(options.second_group);
      const auto [low, high] = std::minmax_element(first, last);
      const RealGrid grid = real_grid(*low, *high, bits, symmetric);
      for (auto at = first; at != last; ++at) {
        *at = grid.scale * (static_cast<float>(real_code(grid, *at, bits)) - grid.zero);
      }
    }
    return numbers;
  };
  std::vector<RealGrid> grids(rows);
  std::vector<float> values(w.size());
  for (std::size_t b = 0; b < n; b += options.block) {
    const std::size_t block_end = std::min<std::size_t>(n, b + options.block);
    Matrix64 errors(rows * n);
    for (std::size_t k = b; k < block_end; ++k) {
      if (k % group == 0) {
        const std::size_t end = std::min(n, k + group);
        std::vector<float> scales(rows), zeros(rows);
        for (std::size_t r = 0; r < rows; ++r) {
          std::vector<float> x = part_of(w, r * n + k, r * n + end);
          if (looks_out && !options.simplified_outliers && x.size() > 1) {
            const auto squared = [&](const std::vector<float>& of, std::size_t without) {
              const RealGrid grid = fitted(of);
              double sum = 0;
              for (std::size_t c = 0; c < x.size(); ++c) {
                if (c == without) continue;
                const double u = upper[(k + c) * n + k + c];
                sum += std::pow((value_of(grid, x[c]) - static_cast<double>(x[c])) / u, 2);
              }
              return sum;
            };
            const double base = squared(x, x.size());
            std::vector<bool> out(x.size());
            double sum = 0, kept = 0;
            for (std::size_t c = 0; c < x.size(); ++c) {
              std::vector<float> others = x;
              others.erase(others.begin() + static_cast<std::ptrdiff_t>(c));
              out[c] = base - squared(others, c) > threshold;
              if (!out[c]) sum += static_cast<double>(x[c]), kept += 1;
            }
            for (std::size_t c = 0; c < x.size(); ++c) {
              if (out[c]) x[c] = static_cast<float>(sum / std::max(kept, 1.0));
            }
          }
          const RealGrid grid = fitted(x);
          scales[r] = grid.scale;
          zeros[r] = options.round_zero ? std::nearbyint(grid.zero) : grid.zero;
        }
        if (options.scale_bits) scales = second_level(scales, *options.scale_bits, false);
        if (options.zero_bits && (!options.round_zero || *options.zero_bits < options.bits)) {
          zeros = second_level(zeros, *options.zero_bits, options.zero_symmetric);
        }
        for (std::size_t r = 0; r < rows; ++r) grids[r] = {scales[r], zeros[r]};
      }
      for (std::size_t r = 0; r < rows; ++r) {
        double value = value_of(grids[r], w[r * n + k]);
        double e = (w[r * n + k] - value) / upper[k * n + k];
        if (looks_out && e * e > threshold) {
          ++outliers;
          value = w[r * n + k];
          e = 0;
        }
        values[r * n + order[k]] = static_cast<float>(value);
        errors[r * n + k] = e;
        take_error(w, upper, n, r, k, block_end, e);
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t k = b; k < block_end; ++k) {
        for (std::size_t j = block_end; j < n; ++j) {
          w[r * n + j] -= errors[r * n + k] * upper[k * n + j];
        }
      }
    }
  }
  return values;
}

/// Part of the numbers that are not nearly the same: other codes, or grids of other codes.
inline double far_apart(const std::vector<float>& a, const std::vector<float>& b) {
  double size = 0;
  for (const float value : b) size = std::max(size, std::abs(static_cast<double>(value)));
  std::size_t count = a.size() == b.size() ? 0 : a.size();
  for (std::size_t k = 0; k < a.size() && k < b.size(); ++k) {
    count += std::abs(static_cast<double>(a[k]) - static_cast<double>(b[k])) > 1e-4 * size ? 1 : 0;
  }
  return static_cast<double>(count) / static_cast<double>(a.size());
}

}  // namespace qi::test
