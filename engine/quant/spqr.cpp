#include "engine/quant/spqr.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/io/checked.h"
#include "engine/quant/part_bytes.h"
#include "engine/quant/scale_grid.h"
#include "engine/tensor/numbers.h"
#include "engine/tensor/roles.h"

namespace qi {
namespace {

constexpr std::uint64_t kTile = 16;

/// Second-level statistics of a 16×16 tile: byte t of the 64-bit value lies in bits 54–61 of the
/// words of rows 2t and 2t + 1.
struct TileStatistics {
  float scale_of_scale, scale_of_zero, zero_of_scale, zero_of_zero;
};

TileStatistics statistics_of(const std::array<std::uint64_t, kTile>& words) {
  std::uint64_t v = 0;
  for (unsigned t = 0; t < 8; ++t) v |= ((words[2 * t] >> 54) & 0xFF) << (8 * t);
  const auto half = [v](unsigned k) {
    return f16_to_float(static_cast<std::uint16_t>(v >> (16 * k)));
  };
  return {half(0), half(1), half(2), half(3)};
}

class SpqrReader : public WeightReader {
 public:
  SpqrReader(const Model& opened, const Weight& spqr)
      : WeightReader(opened, spqr),
        words_(opened, opened.tensor(spqr.parts.front())),
        offsets_(opened, opened.tensor(*find_part(spqr, PartRole::kRowOffsets))),
        outliers_(opened, opened.tensor(*find_part(spqr, PartRole::kOutliers))),
        rows_(spqr.shape[0]),
        cols_(spqr.shape[1]),
        column_tiles_(ceil_div(cols_, kTile)),
        by_tile_(spqr.format == "ptcsr") {
    if (const Part* part = find_part(spqr, PartRole::kPermutation)) {
      read_permutation(PartBytes(opened, opened.tensor(*part)));
    }
  }

  int code_bits() const override { return 3; }

 protected:
  void read_values(const Tile& tile, float* out) override {
    each_word(tile, [&](std::uint64_t row, std::uint64_t column_tile, std::uint64_t word,
                        const TileStatistics& stats) {
      const auto [scale, zero] = scale_and_zero(word, stats);
      const float s = scale;
      const float z = zero;
      each_code(tile, column_tile, word, [&](std::uint64_t col, unsigned q) {
        out[(row - tile.row) * tile.cols + col] = s * (static_cast<float>(q) - z);
      });
    });
    add_outliers(tile, out);
  }

  void read_codes(const Tile& tile, std::uint16_t* out) override {
    each_word(tile, [&](std::uint64_t row, std::uint64_t column_tile, std::uint64_t word,
                        const TileStatistics&) {
      each_code(tile, column_tile, word, [&](std::uint64_t col, unsigned q) {
        out[(row - tile.row) * tile.cols + col] = static_cast<std::uint16_t>(q);
      });
    });
  }

  void read_scales(const ScaleSink& sink) override {
    std::vector<float> scales(column_tiles_);
    std::vector<float> zeros(column_tiles_);
    for (std::uint64_t row = 0; row < rows_; ++row) {
      each_word({row, 1, 0, cols_}, [&](std::uint64_t, std::uint64_t column_tile,
                                        std::uint64_t word, const TileStatistics& stats) {
        std::tie(scales[column_tile], zeros[column_tile]) = scale_and_zero(word, stats);
      });
      if (!sink({scales, zeros, false})) return;
    }
  }

 private:
  static std::pair<float, float> scale_and_zero(std::uint64_t word, const TileStatistics& stats) {
    const auto sq = static_cast<float>(word & 7);
    const auto zq = static_cast<float>((word >> 3) & 7);
    return {stats.scale_of_scale * (sq - stats.zero_of_scale),
            stats.scale_of_zero * (zq - stats.zero_of_zero)};
  }

  /// in_perm I32 [in/2], two u16 a word: column c as stored is logical column perm[c].
  void read_permutation(PartBytes part) {
    if (part.tensor().size_bytes == 0) return;
    const auto raw = part.bytes(0, 2 * cols_);
    permutation_.resize(cols_);
    std::memcpy(permutation_.data(), raw.data(), raw.size());
    std::vector<bool> seen(cols_);
    for (std::uint64_t c = 0; c < cols_; ++c) {
      if (permutation_[c] >= cols_ || seen[permutation_[c]]) {
        part.fail(ErrorCode::kBadValue, 2 * c, fmt::format("in_perm: column {}", permutation_[c]),
                  fmt::format("each of 0 … {} once", cols_ - 1));
      }
      seen[permutation_[c]] = true;
    }
  }

  std::uint64_t logical(std::uint64_t col) const {
    return permutation_.empty() ? col : permutation_[col];
  }

  /// use(row, column tile, its 64-bit word, the tile's statistics) for every word of the tile's
  /// rows.
  template <typename Use>
  void each_word(const Tile& tile, const Use& use) {
    std::array<std::uint64_t, kTile> words;
    for (std::uint64_t ti = tile.row / kTile; ti * kTile < tile.row + tile.rows; ++ti) {
      const std::uint64_t begin = std::max(tile.row, ti * kTile);
      const std::uint64_t end = std::min(tile.row + tile.rows, (ti + 1) * kTile);
      for (std::uint64_t tj = 0; tj < column_tiles_; ++tj) {
        const auto raw = words_.bytes((ti * column_tiles_ + tj) * sizeof(words), sizeof(words));
        std::memcpy(words.data(), raw.data(), sizeof(words));
        const TileStatistics stats = statistics_of(words);
        for (std::uint64_t row = begin; row < end; ++row) {
          use(row, tj, words[row - ti * kTile], stats);
        }
      }
    }
  }

  /// use(column inside the tile, code) for the codes of one word that fall into it.
  template <typename Use>
  void each_code(const Tile& tile, std::uint64_t column_tile, std::uint64_t word, const Use& use) {
    const std::uint64_t first = column_tile * kTile;
    for (std::uint64_t l = 0; l < kTile && first + l < cols_; ++l) {
      const std::uint64_t col = logical(first + l);
      if (col < tile.col || col - tile.col >= tile.cols) continue;
      use(col - tile.col, static_cast<unsigned>((word >> (6 + 3 * l)) & 7));
    }
  }

  /// CSR: a range a row. PTCSR: a range for 16 rows, entry j in row j mod 16, padding entries 0.
  void add_outliers(const Tile& tile, float* out) {
    const std::uint64_t unit = by_tile_ ? kTile : 1;
    const std::uint64_t first = tile.row / unit;
    const std::uint64_t ranges = ceil_div(tile.row + tile.rows, unit) - first;
    std::vector<std::int32_t> bounds(ranges + 1);
    const auto raw = offsets_.bytes(4 * first, 4 * (ranges + 1));
    std::memcpy(bounds.data(), raw.data(), raw.size());
    const std::uint64_t count = outliers_.tensor().size_bytes / 4;
    for (std::uint64_t b = 0; b < ranges; ++b) {
      if (bounds[b] < 0 || bounds[b + 1] < bounds[b] ||
          static_cast<std::uint64_t>(bounds[b + 1]) > count) {
        offsets_.fail(ErrorCode::kCorrupt, 4 * (first + b),
                      fmt::format("row_offsets {} then {}", bounds[b], bounds[b + 1]),
                      fmt::format("rising, at most {}", count));
      }
      const auto begin = static_cast<std::uint64_t>(bounds[b]);
      const auto end = static_cast<std::uint64_t>(bounds[b + 1]);
      if (begin == end) continue;
      const auto entries = outliers_.bytes(4 * begin, 4 * (end - begin));
      for (std::uint64_t j = 0; j < end - begin; ++j) {
        std::uint32_t entry;
        std::memcpy(&entry, entries.data() + 4 * j, 4);
        const std::uint64_t row = (first + b) * unit + (by_tile_ ? j % kTile : 0);
        add_outlier(tile, row, begin + j, entry, out);
      }
    }
  }

  void add_outlier(const Tile& tile, std::uint64_t row, std::uint64_t index, std::uint32_t entry,
                   float* out) const {
    const std::uint64_t stored = entry & 0xFFFF;
    if (stored >= cols_) {
      outliers_.fail(ErrorCode::kBadValue, 4 * index, fmt::format("outlier in column {}", stored),
                     fmt::format("0 … {}", cols_ - 1));
    }
    const std::uint64_t col = logical(stored);
    if (row < tile.row || row - tile.row >= tile.rows) return;
    if (col < tile.col || col - tile.col >= tile.cols) return;
    out[(row - tile.row) * tile.cols + (col - tile.col)] +=
        f16_to_float(static_cast<std::uint16_t>(entry >> 16));
  }

  PartBytes words_;
  PartBytes offsets_;
  PartBytes outliers_;
  std::uint64_t rows_;
  std::uint64_t cols_;
  std::uint64_t column_tiles_;
  bool by_tile_;
  std::vector<std::uint16_t> permutation_;  // empty: as stored
};

/// The model's own word on the inputs of a weight without a permutation; 0 when it has none.
std::uint64_t columns_from_config(const Model& model, const std::string& name) {
  const auto size = [&](const char* key) -> std::uint64_t {
    const auto it = model.config->find(key);
    const bool good = it != model.config->end() && it->is_number_unsigned() &&
                      it->get<std::uint64_t>() <= (std::uint64_t{1} << 16);
    return good ? it->get<std::uint64_t>() : 0;
  };
  const Role role = name_facts(name).role;
  if (role == Role::kDown) return size("intermediate_size");
  if (role == Role::kO && size("head_dim") != 0) {
    return size("head_dim") * size("num_attention_heads");
  }
  return size("hidden_size");
}

}  // namespace

bool build_spqr(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& words = grouping.tensor(codes);
  const auto offsets = grouping.find(module, ".row_offsets");
  const auto values = grouping.find(module, ".col_vals");
  const auto permutation = grouping.find(module, ".in_perm");
  if (words.dtype != DType::kI64 || !offsets || !values ||
      grouping.tensor(*offsets).dtype != DType::kI32 ||
      grouping.tensor(*values).dtype != DType::kI32) {
    grouping.warn("dense_weights without row_offsets and col_vals: listed as stored", codes);
    return false;
  }
  const std::string name = std::string(module) + ".weight";
  std::uint64_t cols = 0;
  if (permutation && grouping.tensor(*permutation).dtype == DType::kI32) {
    cols = grouping.tensor(*permutation).size_bytes / 2;
  }
  if (cols == 0) cols = columns_from_config(grouping.model(), name);
  const std::uint64_t count = words.size_bytes / 8;
  const std::uint64_t column_tiles = ceil_div(cols, kTile);
  const std::uint64_t padded = column_tiles == 0 ? 0 : count / column_tiles;
  const std::uint64_t ranges = grouping.tensor(*offsets).size_bytes / 4;
  const bool by_tile = ranges == padded / kTile + 1;
  const std::uint64_t rows = by_tile ? padded : ranges - std::min<std::uint64_t>(ranges, 1);
  if (cols == 0 || cols > 65536 || padded == 0 || padded % kTile != 0 ||
      count != column_tiles * padded || rows == 0 || ceil_div(rows, kTile) * kTile != padded) {
    grouping.warn("dense_weights and row_offsets give no shape: listed as stored", codes);
    return false;
  }
  Weight weight = start_weight(Scheme::kSpqr, name, {rows, cols}, codes);
  weight.parts.push_back({*offsets, PartRole::kRowOffsets});
  weight.parts.push_back({*values, PartRole::kOutliers});
  if (permutation && grouping.tensor(*permutation).dtype == DType::kI32) {
    weight.parts.push_back({*permutation, PartRole::kPermutation});
  }
  weight.format = by_tile ? "ptcsr" : "csr";
  weight.bits = 3;
  weight.group_size = kTile;
  weight.scale_dtype = DType::kF16;
  weight.symmetric = false;
  weight.zero_point = ZeroPoint::kFloat;
  grouping.add(std::move(weight));
  return true;
}

std::unique_ptr<WeightReader> open_spqr_reader(const Model& model, const Weight& weight) {
  return std::make_unique<SpqrReader>(model, weight);
}

}  // namespace qi
