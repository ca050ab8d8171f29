// Finding the point of a codebook that is nearest to a few numbers, for many scales at once: with
// A = Σ w·x·g and B = Σ w·g² of each point g, its error at scale s is s²·B − 2·s·A and what all
// share. Internal to the ggml quantizers. Constant data and pure functions, any thread; the same
// results on every machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace qi::ggml {

/// Points of `dim` levels each, kept level by level: levels[j · points + k].
struct Codebook {
  std::size_t dim = 0;
  std::size_t points = 0;  // a multiple of 16
  std::vector<float> levels;
  std::vector<float> squares;  // of the levels
  float largest = 0;           // level
};

/// a2[k] = 2·Σ xw[j]·levels[j][k], b[k] = Σ w[j]·squares[j][k]. Arrays of book.points.
void grid_products(const Codebook& book, const float* xw, const float* w, float* a2, float* b);

/// Scales that are tried in one pass over the points.
inline constexpr std::size_t kScales = 4;
using Scales = std::array<float, kScales>;
using Places = std::array<std::uint16_t, kScales>;

/// For each scale the k of [0, points) with the least scale·b[k] − a2[k], the lowest of equal ones.
/// `points` is a multiple of 16, at most 65536.
Places grid_nearest(const float* a2, const float* b, std::size_t points, const Scales& scales);

/// The same by plain loops.
void grid_products_plain(const Codebook& book, const float* xw, const float* w, float* a2,
                         float* b);
Places grid_nearest_plain(const float* a2, const float* b, std::size_t points,
                          const Scales& scales);

}  // namespace qi::ggml
