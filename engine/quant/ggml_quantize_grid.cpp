// The codebook types. Numbers of a group share a scale, d · (f0 + f1 · u) with a few bits of u;
// eight (or four) of them share an index into a codebook. Signs come first (where only an even
// number of minus signs can be stored, the number that costs least has the wrong one); then, per
// group, the scale whose nearest points leave the least weighted squared error; then d, u and
// points in turn.
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "engine/quant/ggml_grid_search.h"
#include "engine/quant/ggml_quantizers.h"
#include "engine/quant/iq_tables.h"

namespace qi::ggml {
namespace {

constexpr std::size_t kBlock = 256;

enum class Signs : std::uint8_t { kFree, kEven, kInPoints };

struct Layout {
  const Codebook* book;
  Signs signs;
  std::size_t group;  // numbers that share a scale
  float f0, f1;
  int top;  // of u
  /// The points are this many alternatives of equal size, one for a whole group (IQ1_S: the shift).
  std::size_t alternatives = 1;

  std::size_t dim() const { return book->dim; }
  std::size_t chunks() const { return kBlock / book->dim; }
  std::size_t groups() const { return kBlock / group; }
  std::size_t group_chunks() const { return group / book->dim; }
  float factor(int u) const { return f0 + f1 * static_cast<float>(u); }
};

struct Choice {
  float d = 0;
  std::array<int, 16> u{};                // per group
  std::array<std::uint16_t, 64> point{};  // per chunk
  std::array<std::uint8_t, 32> signs{};   // per 8 numbers, bit set: minus
};

template <std::size_t kCount, typename Word>
Codebook magnitudes(const std::array<Word, kCount>& grid) {
  Codebook book;
  book.dim = sizeof(Word);
  book.points = kCount;
  for (std::size_t j = 0; j < book.dim; ++j) {
    for (const Word word : grid) {
      book.levels.push_back(static_cast<float>((word >> (8 * j)) & 0xFF));
    }
  }
  for (const float level : book.levels) {
    book.squares.push_back(level * level);
    book.largest = std::max(book.largest, level);
  }
  return book;
}

// All points shifted up by an eighth, then all shifted down.
Codebook ternary() {
  Codebook book;
  book.dim = 8;
  book.points = 2 * kIq1sGrid.size();
  for (std::size_t j = 0; j < book.dim; ++j) {
    for (const float shift : {0.125f, -0.125f}) {
      for (const std::uint64_t word : kIq1sGrid) {
        const auto level = static_cast<std::int8_t>((word >> (8 * j)) & 0xFF);
        book.levels.push_back(static_cast<float>(level) + shift);
      }
    }
  }
  for (const float level : book.levels) book.squares.push_back(level * level);
  book.largest = 1.125f;
  return book;
}

class Search {
 public:
  Search(const Layout& layout, const float* x, const float* w) : layout_(layout), w_(w) {
    const std::size_t size = layout.chunks() * layout.book->points;
    if (a2_.size() < size) {
      a2_.resize(size);
      b_.resize(size);
    }
    take_signs(x);
    std::array<float, 8> xw;
    for (std::size_t c = 0; c < layout.chunks(); ++c) {
      for (std::size_t j = 0; j < layout.dim(); ++j) {
        const std::size_t i = c * layout.dim() + j;
        xw[j] = w[i] * x_[i];
      }
      const std::size_t at = c * layout.book->points;
      grid_products(*layout.book, xw.data(), w + c * layout.dim(), a2_.data() + at, b_.data() + at);
    }
  }

  Choice run() {
    std::array<float, 16> scales{};
    float most = 0;
    for (std::size_t g = 0; g < layout_.groups(); ++g) {
      scales[g] = best_scale(g);
      most = std::max(most, scales[g]);
    }
    Choice& best = choice_;
    best.d = stored(most / layout_.factor(layout_.top));
    for (std::size_t g = 0; g < layout_.groups(); ++g) best.u[g] = units(scales[g], best.d);
    double error = choose(best);
    for (int again = 0; again < 2; ++again) {
      Choice next = best;
      next.d = stored(refit(best));
      if (next.d == best.d) break;
      for (std::size_t g = 0; g < layout_.groups(); ++g) {
        next.u[g] = units(best.d * layout_.factor(best.u[g]), next.d);
      }
      const double lower = choose(next);
      if (!(lower < error)) break;
      error = lower;
      best = next;
    }
    return best;
  }

 private:
  // For each of some scales, the nearest points of one group.
  struct Nearest {
    std::array<float, kScales> a2{}, b{};
    std::array<std::array<std::uint16_t, 8>, kScales> points;

    /// What the error falls by at the best scale for those points; that scale.
    float gain(std::size_t s) const { return a2[s] > 0 && b[s] > 0 ? a2[s] * a2[s] / b[s] : 0; }
    float scale(std::size_t s) const { return 0.5f * a2[s] / b[s]; }
  };

  static float stored(float d) {
    std::byte two[2];
    return put_scale(two, d);
  }

  void take_signs(const float* x) {
    if (layout_.signs == Signs::kInPoints) {
      std::copy_n(x, kBlock, x_.begin());
      return;
    }
    for (std::size_t e = 0; e < kBlock / 8; ++e) {
      std::uint32_t signs = 0;
      std::size_t cheapest = 8 * e;
      float least = std::numeric_limits<float>::infinity();
      for (std::size_t i = 8 * e; i < 8 * e + 8; ++i) {
        x_[i] = std::abs(x[i]);
        if (x[i] < 0) signs |= 1u << (i % 8);
        const float cost = w_[i] * x[i] * x[i];
        if (cost < least) {
          least = cost;
          cheapest = i;
        }
      }
      if (layout_.signs == Signs::kEven && std::popcount(signs) % 2 != 0) {
        signs ^= 1u << (cheapest % 8);
        x_[cheapest] = -x_[cheapest];
      }
      choice_.signs[e] = static_cast<std::uint8_t>(signs);
    }
  }

  void find_nearest(std::size_t g, std::size_t alternative, const Scales& scales, Nearest& found) {
    const std::size_t many = layout_.book->points / layout_.alternatives;
    found.a2 = found.b = {};
    for (std::size_t i = 0; i < layout_.group_chunks(); ++i) {
      const std::size_t at =
          (g * layout_.group_chunks() + i) * layout_.book->points + alternative * many;
      const Places places = grid_nearest(a2_.data() + at, b_.data() + at, many, scales);
      for (std::size_t s = 0; s < kScales; ++s) {
        found.a2[s] += a2_[at + places[s]];
        found.b[s] += b_[at + places[s]];
        found.points[s][i] = static_cast<std::uint16_t>(alternative * many + places[s]);
      }
    }
  }

  float best_scale(std::size_t g) {
    float largest = 0;
    for (std::size_t i = g * layout_.group; i < (g + 1) * layout_.group; ++i) {
      largest = std::max(largest, std::abs(x_[i]));
    }
    if (!(largest > 0)) return 0;
    const float outermost = largest / layout_.book->largest;
    float best = 0, best_gain = 0;
    Nearest found;
    for (std::size_t alternative = 0; alternative < layout_.alternatives; ++alternative) {
      float scale = outermost, gain = 0;
      const auto consider = [&](const Scales& scales) {
        find_nearest(g, alternative, scales, found);
        for (std::size_t s = 0; s < kScales; ++s) {
          if (!(found.gain(s) > gain)) continue;
          gain = found.gain(s);
          scale = found.scale(s);
        }
      };
      consider({outermost * 0.45f, outermost * 0.6f, outermost * 0.75f, outermost * 0.9f});
      consider({scale * 0.92f, scale, scale * 1.08f, outermost * 1.05f});
      if (gain > best_gain) {
        best_gain = gain;
        best = scale;
      }
    }
    return std::isfinite(best) ? best : 0;
  }

  int units(float scale, float d) const {
    if (!(d > 0)) return 0;
    const float u = (scale / d - layout_.f0) / layout_.f1;
    return std::isfinite(u) ? nearest_in(u, 0, layout_.top) : 0;
  }

  /// The best u near those there are, with their points. Returns the error less what all share.
  double choose(Choice& choice) {
    double total = 0;
    Nearest found;
    for (std::size_t g = 0; g < layout_.groups(); ++g) {
      const int middle = choice.u[g];
      const std::array<int, kScales> tried = {middle, std::max(middle - 1, 0),
                                              std::min(middle + 1, layout_.top), middle};
      Scales scales;
      for (std::size_t s = 0; s < kScales; ++s) scales[s] = choice.d * layout_.factor(tried[s]);
      double best = std::numeric_limits<double>::infinity();
      for (std::size_t alternative = 0; alternative < layout_.alternatives; ++alternative) {
        find_nearest(g, alternative, scales, found);
        for (std::size_t s = 0; s < kScales; ++s) {
          const double error =
              static_cast<double>(scales[s]) * (scales[s] * found.b[s] - found.a2[s]);
          if (!(error < best)) continue;
          best = error;
          choice.u[g] = tried[s];
          std::copy_n(
              found.points[s].begin(), layout_.group_chunks(),
              choice.point.begin() + static_cast<std::ptrdiff_t>(g * layout_.group_chunks()));
        }
      }
      total += best;
    }
    return total;
  }

  /// The d with the least error for the u and points there are.
  float refit(const Choice& choice) const {
    double fa = 0, ffb = 0;
    for (std::size_t c = 0; c < layout_.chunks(); ++c) {
      const double f = layout_.factor(choice.u[c / layout_.group_chunks()]);
      const std::size_t at = c * layout_.book->points + choice.point[c];
      fa += f * 0.5 * a2_[at];
      ffb += f * f * b_[at];
    }
    return ffb > 0 && fa > 0 ? static_cast<float>(fa / ffb) : 0.0f;
  }

  const Layout& layout_;
  const float* w_;
  Choice choice_;
  std::array<float, kBlock> x_;
  static thread_local std::vector<float> a2_, b_;  // [chunks][points]
};

thread_local std::vector<float> Search::a2_, Search::b_;

std::uint32_t u32_of(int value) {
  return static_cast<std::uint32_t>(value);
}

}  // namespace

void make_iq2_xxs(const float* x, const float* w, std::byte* out) {  // f16 d; u16 qs[32]
  static const Codebook kBook = magnitudes(kIq2xxsGrid);
  static const Layout kLayout{&kBook, Signs::kEven, 32, 0.125f, 0.25f, 15};
  const Choice choice = Search(kLayout, x, w).run();
  put_scale(out, choice.d);
  for (std::size_t g = 0; g < 8; ++g) {
    std::uint32_t signs = u32_of(choice.u[g]) << 28;
    for (std::size_t k = 0; k < 4; ++k) {
      put_u8(out + 2 + 8 * g + k, choice.point[4 * g + k]);
      signs |= (choice.signs[4 * g + k] & 127u) << (7 * k);
    }
    put_u32(out + 6 + 8 * g, signs);
  }
}

void make_iq2_xs(const float* x, const float* w, std::byte* out) {  // d; u16 qs[32]; u8 sc[8]
  static const Codebook kBook = magnitudes(kIq2xsGrid);
  static const Layout kLayout{&kBook, Signs::kEven, 16, 0.125f, 0.25f, 15};
  const Choice choice = Search(kLayout, x, w).run();
  put_scale(out, choice.d);
  for (std::size_t c = 0; c < 32; ++c) {
    put_u16(out + 2 + 2 * c, choice.point[c] | (choice.signs[c] & 127u) << 9);
  }
  for (std::size_t g = 0; g < 8; ++g) {
    put_u8(out + 66 + g, u32_of(choice.u[2 * g]) | u32_of(choice.u[2 * g + 1]) << 4);
  }
}

void make_iq2_s(const float* x, const float* w,
                std::byte* out) {  // d; qs[32], signs[32], qh[8], sc[8]
  static const Codebook kBook = magnitudes(kIq2sGrid);
  static const Layout kLayout{&kBook, Signs::kFree, 16, 0.125f, 0.25f, 15};
  const Choice choice = Search(kLayout, x, w).run();
  put_scale(out, choice.d);
  std::memset(out + 66, 0, 8);
  for (std::size_t c = 0; c < 32; ++c) {
    put_u8(out + 2 + c, choice.point[c] & 0xFFu);
    put_u8(out + 34 + c, choice.signs[c]);
    out[66 + c / 4] |= static_cast<std::byte>((choice.point[c] >> 8) << (2 * (c % 4)));
  }
  for (std::size_t g = 0; g < 8; ++g) {
    put_u8(out + 74 + g, u32_of(choice.u[2 * g]) | u32_of(choice.u[2 * g + 1]) << 4);
  }
}

void make_iq3_xxs(const float* x, const float* w, std::byte* out) {  // f16 d; u8 qs[96]
  static const Codebook kBook = magnitudes(kIq3xxsGrid);
  static const Layout kLayout{&kBook, Signs::kEven, 32, 0.25f, 0.5f, 15};
  const Choice choice = Search(kLayout, x, w).run();
  put_scale(out, choice.d);
  for (std::size_t c = 0; c < 64; ++c) put_u8(out + 2 + c, choice.point[c]);
  for (std::size_t g = 0; g < 8; ++g) {
    std::uint32_t signs = u32_of(choice.u[g]) << 28;
    for (std::size_t k = 0; k < 4; ++k) signs |= (choice.signs[4 * g + k] & 127u) << (7 * k);
    put_u32(out + 66 + 4 * g, signs);
  }
}

void make_iq3_s(const float* x, const float* w,
                std::byte* out) {  // d; qs[64], qh[8], signs[32], sc[4]
  static const Codebook kBook = magnitudes(kIq3sGrid);
  static const Layout kLayout{&kBook, Signs::kFree, 32, 1.0f, 2.0f, 15};
  const Choice choice = Search(kLayout, x, w).run();
  put_scale(out, choice.d);
  std::memset(out + 66, 0, 8);
  for (std::size_t c = 0; c < 64; ++c) {
    put_u8(out + 2 + c, choice.point[c] & 0xFFu);
    out[66 + c / 8] |= static_cast<std::byte>((choice.point[c] >> 8) << (c % 8));
  }
  for (std::size_t e = 0; e < 32; ++e) put_u8(out + 74 + e, choice.signs[e]);
  for (std::size_t g = 0; g < 4; ++g) {
    put_u8(out + 106 + g, u32_of(choice.u[2 * g]) | u32_of(choice.u[2 * g + 1]) << 4);
  }
}

void make_iq1_s(const float* x, const float* w, std::byte* out) {  // f16 d; u8 qs[32]; u16 qh[8]
  static const Codebook kBook = ternary();
  static const Layout kLayout{&kBook, Signs::kInPoints, 32, 1.0f, 2.0f, 7, 2};
  const Choice choice = Search(kLayout, x, w).run();
  put_scale(out, choice.d);
  for (std::size_t g = 0; g < 8; ++g) {
    std::uint32_t high = u32_of(choice.u[g]) << 12;
    for (std::size_t k = 0; k < 4; ++k) {
      const std::uint32_t point = choice.point[4 * g + k];
      put_u8(out + 2 + 4 * g + k, point & 0xFF);
      high |= (point >> 8 & 7) << (3 * k) | (point >> 11) << 15;
    }
    put_u16(out + 34 + 2 * g, high);
  }
}

void make_iq1_m(const float* x, const float* w, std::byte* out) {  // u8 qs[32], qh[16]; u16 sc[4]
  static const Codebook kBook = ternary();
  static const Layout kLayout{&kBook, Signs::kInPoints, 16, 1.0f, 2.0f, 7};
  const Choice choice = Search(kLayout, x, w).run();
  std::memset(out + 32, 0, 16);
  for (std::size_t c = 0; c < 32; ++c) {
    const std::uint32_t point = choice.point[c];
    put_u8(out + c, point & 0xFF);
    out[32 + c / 2] |= static_cast<std::byte>(point >> 8 << (4 * (c % 2)));
  }
  std::byte d[2];
  put_scale(d, choice.d);
  const std::uint32_t half =
      std::to_integer<std::uint32_t>(d[0]) | std::to_integer<std::uint32_t>(d[1]) << 8;
  for (std::size_t word = 0; word < 4; ++word) {
    std::uint32_t value = (half >> (4 * word) & 15) << 12;
    for (std::size_t i = 0; i < 4; ++i) value |= u32_of(choice.u[4 * word + i]) << (3 * i);
    put_u16(out + 48 + 2 * word, value);
  }
}

}  // namespace qi::ggml
