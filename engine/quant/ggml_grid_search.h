// Finding the point of a codebook that is nearest to a few numbers, for many scales at once: with
// A = Σ w·x·g and B = Σ w·g² of each point g, its error at scale s is s²·B − 2·s·A and what all
// share. Internal to the ggml quantizers. Constant data and pure functions, any thread; the same
// results on every machine.
#pragma once

#include <cstddef>
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

/// a[k] = Σ xw[j]·levels[j][k], b[k] = Σ w[j]·squares[j][k]. Arrays of book.points.
void grid_products(const Codebook& book, const float* xw, const float* w, float* a, float* b);

/// The k of [0, points) with the least scale·b[k] − 2·a[k], the lowest of equal ones. `points`
/// is a multiple of 16.
std::size_t grid_nearest(const float* a, const float* b, std::size_t points, float scale);

/// The same by plain loops.
void grid_products_plain(const Codebook& book, const float* xw, const float* w, float* a, float* b);
std::size_t grid_nearest_plain(const float* a, const float* b, std::size_t points, float scale);

}  // namespace qi::ggml
