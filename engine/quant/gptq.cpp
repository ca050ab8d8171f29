#include "engine/quant/gptq.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/quant/part_bytes.h"
#include "engine/quant/scale_parts.h"

namespace qi {
namespace {

constexpr std::uint64_t kRun = 32;  // values: always `bits` whole words

/// What only payload tells when no config does: from the first weight that is asked.
struct Guess {
  bool version_2 = false;
  std::optional<bool> symmetric;
};

/// Constant zero points 2^(bits−1) − 1 mean version 1, 2^(bits−1) version 2, both symmetric.
Guess guess_zeros(const Buffer& zeros, unsigned bits) {
  Guess guess;
  if (zeros.size() < 4 || bits == 3) return guess;
  std::uint32_t word = 0;
  std::memcpy(&word, zeros.data(), 4);
  for (std::size_t i = 0; i + 4 <= zeros.size(); i += 4) {
    if (std::memcmp(zeros.data(), zeros.data() + i, 4) != 0) {
      guess.symmetric = false;
      return guess;
    }
  }
  std::uint32_t middle = 0;
  for (unsigned shift = 0; shift < 32; shift += bits) middle |= 1u << (shift + bits - 1);
  guess.version_2 = word == middle;
  // Every field one less: no field borrows, for each is at least 1.
  std::uint32_t ones = 0;
  for (unsigned shift = 0; shift < 32; shift += bits) ones |= 1u << shift;
  guess.symmetric = word == middle || word == middle - ones;
  return guess;
}

bool is_act_order(const Buffer& index) {
  std::int32_t last = 0;
  for (std::size_t i = 0; i + 4 <= index.size(); i += 4) {
    std::int32_t group = 0;
    std::memcpy(&group, index.data() + i, 4);
    if (group < last) return true;
    last = group;
  }
  return false;
}

/// The scheme whose layout another checkpoint_format names; kGptq for the two we read.
Scheme layout_scheme(const std::string& checkpoint_format) {
  if (checkpoint_format == "marlin") return Scheme::kMarlin;
  if (checkpoint_format == "bitblas") return Scheme::kBitblas;
  if (checkpoint_format == "qqq") return Scheme::kQqq;
  return Scheme::kGptq;
}

class GptqReader : public WeightReader {
 public:
  GptqReader(const Model& opened, const Weight& gptq)
      : WeightReader(opened, gptq),
        words_(opened, opened.tensor(gptq.parts.front())),
        scales_(opened, opened.tensor(*find_part(gptq, PartRole::kScales))),
        zeros_(opened, opened.tensor(*find_part(gptq, PartRole::kZeros))),
        out_(gptq.shape[0]),
        in_(gptq.shape[1]),
        groups_(scales_.tensor().shape[0]),
        bits_(gptq.bits),
        plus_one_(gptq.format != "v2") {
    if (const Part* part = find_part(gptq, PartRole::kGroupIndex)) {
      read_groups(PartBytes(opened, opened.tensor(*part)));
    }
  }

  int code_bits() const override { return static_cast<int>(bits_); }

 protected:
  void read_values(const Tile& tile, float* out) override {
    load_band(tile.row, tile.rows);
    switch (bits_) {
      case 2:
        return values_of<2>(tile, out);
      case 3:
        return values_of<3>(tile, out);
      case 4:
        return values_of<4>(tile, out);
      default:
        return values_of<8>(tile, out);
    }
  }

  void read_codes(const Tile& tile, std::uint16_t* out) override {
    switch (bits_) {
      case 2:
        return codes_of<2>(tile, out);
      case 3:
        return codes_of<3>(tile, out);
      case 4:
        return codes_of<4>(tile, out);
      default:
        return codes_of<8>(tile, out);
    }
  }

  void read_scales(const ScaleSink& sink) override {
    std::vector<float> zeros;
    for (std::uint64_t row = 0; row < out_; row += kRun) {
      load_band(row, std::min(kRun, out_ - row));
      zeros.assign(band_zeros_.begin(), band_zeros_.end());
      if (!sink({band_scales_, zeros, false})) return;
    }
  }

 private:
  std::uint64_t group_of(std::uint64_t col) const {
    return weight_.group_size == 0 ? 0 : col / weight_.group_size;
  }

  void read_groups(PartBytes part) {
    const auto raw = part.bytes(0, 4 * in_);
    std::vector<std::uint32_t> index(in_);
    std::memcpy(index.data(), raw.data(), raw.size());
    bool natural = true;
    for (std::uint64_t i = 0; i < in_; ++i) {
      if (index[i] >= groups_) {
        part.fail(ErrorCode::kBadValue, 4 * i,
                  fmt::format("group {} of column {}", static_cast<std::int32_t>(index[i]), i),
                  fmt::format("0 … {}", groups_ - 1));
      }
      natural = natural && index[i] == group_of(i);
    }
    if (!natural) index_ = std::move(index);
  }

  /// Value `i` of a little-endian bit stream of words given by word(k).
  template <typename Word>
  std::uint32_t field(std::uint64_t i, const Word& word) const {
    const std::uint64_t bit = i * bits_;
    const auto shift = static_cast<unsigned>(bit % 32);
    std::uint64_t two = word(bit / 32);
    if (shift + bits_ > 32) two |= static_cast<std::uint64_t>(word(bit / 32 + 1)) << 32;
    return static_cast<std::uint32_t>(two >> shift) & ((1u << bits_) - 1);
  }

  /// Scales and zero points of outputs [row, row + rows), all groups: [rows][groups].
  void load_band(std::uint64_t row, std::uint64_t rows) {
    if (row == band_row_ && rows * groups_ == band_scales_.size()) return;
    band_row_ = ~std::uint64_t{0};
    band_scales_.resize(rows * groups_);
    band_zeros_.resize(rows * groups_);
    std::vector<float> line(rows);
    const std::uint64_t zero_words = zeros_.tensor().shape[1];
    const std::uint32_t mask = (1u << bits_) - 1;
    const std::uint64_t first_word = row * bits_ / 32;
    const std::uint64_t end_word = ceil_div<std::uint64_t>((row + rows) * bits_, 32);
    for (std::uint64_t g = 0; g < groups_; ++g) {
      scales_.floats(g * out_ + row, rows, line.data());
      const auto raw = zeros_.bytes(4 * (g * zero_words + first_word), 4 * (end_word - first_word));
      const auto word = [&](std::uint64_t k) {
        std::uint32_t value;
        std::memcpy(&value, raw.data() + 4 * (k - first_word), 4);
        return value;
      };
      for (std::uint64_t r = 0; r < rows; ++r) {
        band_scales_[r * groups_ + g] = line[r];
        // Version 1 stores the zero point minus one; all ones wrap to 0.
        const std::uint32_t stored = field(row + r, word);
        band_zeros_[r * groups_ + g] =
            static_cast<std::int32_t>(plus_one_ ? (stored + 1) & mask : stored);
      }
    }
    band_row_ = row;
  }

  template <unsigned kBits>
  using Words = std::array<std::uint32_t, kBits>;  // 32 values of one output

  template <unsigned kBits>
  static std::uint32_t value_at(const Words<kBits>& words, unsigned i) {
    const unsigned bit = i * kBits;
    std::uint32_t value = words[bit / 32] >> (bit % 32);
    if (bit % 32 + kBits > 32) value |= words[bit / 32 + 1] << (32 - bit % 32);
    return value & ((1u << kBits) - 1);
  }

  /// Walks the tile in runs of 32 inputs of one output, so that whole cache lines of the result are
  /// written at a time: use(row in tile, first col of the run, begin, end, words), with
  /// begin … end inside the tile.
  template <unsigned kBits, typename Use>
  void each_run(const Tile& tile, const Use& use) {
    Words<kBits> words;
    const std::uint64_t last = tile.col + tile.cols;
    std::vector<std::uint32_t> lines(kBits * tile.rows);
    for (std::uint64_t col = tile.col / kRun * kRun; col < last; col += kRun) {
      // in is a multiple of 32, so the run's `bits` rows of words are all there.
      for (std::uint64_t k = 0; k < kBits; ++k) {
        const std::uint64_t at = (col / kRun * kBits + k) * out_ + tile.row;
        const auto raw = words_.bytes(4 * at, 4 * tile.rows);
        std::memcpy(lines.data() + k * tile.rows, raw.data(), raw.size());
      }
      const std::uint64_t begin = col < tile.col ? tile.col - col : 0;
      const std::uint64_t end = std::min(kRun, last - col);
      for (std::uint64_t r = 0; r < tile.rows; ++r) {
        for (std::uint64_t k = 0; k < kBits; ++k) words[k] = lines[k * tile.rows + r];
        use(r, col, begin, end, words);
      }
    }
  }

  template <unsigned kBits>
  void values_of(const Tile& tile, float* out) {
    constexpr unsigned kCodes = 1u << kBits;
    // With whole runs in a group, a group of an output has 2^bits values: made once, then looked
    // up.
    const bool whole_runs = index_.empty() && weight_.group_size % kRun == 0 && kBits <= 4;
    std::vector<float> tables(whole_runs ? tile.rows * kCodes : 0);
    std::uint64_t tabled = ~std::uint64_t{0};
    std::array<float, kRun> run;
    each_run<kBits>(tile, [&](std::uint64_t row, std::uint64_t col, std::uint64_t begin,
                              std::uint64_t end, const Words<kBits>& words) {
      const float* scale = band_scales_.data() + row * groups_;
      const std::int32_t* zero = band_zeros_.data() + row * groups_;
      if (whole_runs) {
        const std::uint64_t g = group_of(col);
        if (g != tabled) make_tables(g, tile.rows, kCodes, tables.data());
        tabled = g;
        const float* table = tables.data() + row * kCodes;
#pragma GCC unroll 32  // then every shift is a constant
        for (unsigned i = 0; i < kRun; ++i) run[i] = table[value_at<kBits>(words, i)];
      } else {
        for (unsigned i = 0; i < kRun; ++i) {
          const std::uint64_t g = index_.empty() ? group_of(col + i) : index_[col + i];
          const auto q = static_cast<std::int32_t>(value_at<kBits>(words, i));
          run[i] = static_cast<float>(q - zero[g]) * scale[g];
        }
      }
      std::memcpy(out + row * tile.cols + (col + begin - tile.col), run.data() + begin,
                  (end - begin) * sizeof(float));
    });
  }

  /// tables[row][code] = (code − zero) · scale for one group of the band.
  void make_tables(std::uint64_t g, std::uint64_t rows, unsigned codes, float* tables) const {
    for (std::uint64_t r = 0; r < rows; ++r) {
      const float scale = band_scales_[r * groups_ + g];
      const std::int32_t zero = band_zeros_[r * groups_ + g];
      for (unsigned q = 0; q < codes; ++q) {
        *tables++ = static_cast<float>(static_cast<std::int32_t>(q) - zero) * scale;
      }
    }
  }

  template <unsigned kBits>
  void codes_of(const Tile& tile, std::uint16_t* out) {
    each_run<kBits>(tile, [&](std::uint64_t row, std::uint64_t col, std::uint64_t begin,
                              std::uint64_t end, const Words<kBits>& words) {
      std::uint16_t* to = out + row * tile.cols + (col + begin - tile.col);
      for (std::uint64_t i = begin; i < end; ++i) {
        *to++ = static_cast<std::uint16_t>(value_at<kBits>(words, static_cast<unsigned>(i)));
      }
    });
  }

  PartBytes words_;
  PartBytes scales_;
  PartBytes zeros_;
  std::uint64_t out_;
  std::uint64_t in_;
  std::uint64_t groups_;
  unsigned bits_;
  bool plus_one_;
  std::vector<std::uint32_t> index_;  // group of each column; empty: consecutive
  std::uint64_t band_row_ = ~std::uint64_t{0};
  std::vector<float> band_scales_;
  std::vector<std::int32_t> band_zeros_;
};

}  // namespace

bool build_gptq(Grouping& grouping, std::uint32_t codes, std::string_view module) {
  const Tensor& words = grouping.tensor(codes);
  const auto scales_index = grouping.find(module, ".scales");
  const auto zeros_index = grouping.find(module, ".qzeros");
  if (words.dtype != DType::kI32 || words.shape.size() != 2 || !scales_index || !zeros_index) {
    return false;
  }
  const Tensor& scales = grouping.tensor(*scales_index);
  const Tensor& zeros = grouping.tensor(*zeros_index);
  if (scales.shape.size() != 2 || scales.shape[1] != words.shape[1] || !matrices(scales.shape)) {
    return false;
  }
  const QuantConfig& config = grouping.config();
  const std::uint64_t out = scales.shape[1];
  const std::uint64_t groups = scales.shape[0];
  // The width follows from the zero points: out fields of `bits` make qzeros.cols words.
  const bool zero_rows = zeros.dtype == DType::kI32 && zeros.shape.size() == 2 &&
                         zeros.shape[0] == groups && zeros.shape[1] != 0;
  std::uint64_t bits = 0;
  for (const std::uint64_t width : {2, 3, 4, 8}) {
    if (zero_rows && out % 32 == 0 && zeros.shape[1] == out / 32 * width) bits = width;
  }
  const auto scaled = checked_mul<std::uint64_t>(words.shape[0], 32);
  if (bits == 0 || words.shape[0] % bits != 0 || !scaled || !is_scale(scales)) {
    return false;
  }
  const std::uint64_t in = words.shape[0] / bits * 32;
  Weight weight =
      start_weight(Scheme::kGptq, std::string(module) + ".weight", Shape{out, in}, codes);
  if (in == 0 || !element_count(weight.shape)) return false;
  weight.bits = static_cast<std::uint8_t>(bits);
  if (config.method == "gptq" && config.bits != 0 && config.bits != bits && !config.per_module) {
    grouping.warn(fmt::format("{} bits by its shapes, {} by {}", bits, config.bits, config.source),
                  codes);
  }
  const std::uint64_t named = config.method == "gptq" ? config.group_size : 0;
  if (named != 0 && ceil_div(in, named) == groups) {
    weight.group_size = named;
  } else if (groups > 1) {
    const auto size = block_size(in, groups, 0);
    if (!size) return false;
    weight.group_size = *size;
    if (named != 0 && !config.per_module) {
      grouping.warn(
          fmt::format("groups of {} by its shapes, {} by {}", *size, named, config.source), codes);
    }
  }
  weight.parts.push_back({*zeros_index, PartRole::kZeros});
  weight.parts.push_back({*scales_index, PartRole::kScales});
  weight.scale_dtype = scales.dtype;
  weight.zero_point = ZeroPoint::kInt;
  const auto index = grouping.find(module, ".g_idx");
  if (index) {
    const Tensor& groups_of = grouping.tensor(*index);
    if (groups_of.dtype == DType::kI32 && groups_of.shape == Shape{in}) {
      weight.parts.push_back({*index, PartRole::kGroupIndex});
    } else {
      grouping.warn("g_idx does not fit the columns: listed as stored", codes);
    }
  }
  if (config.method == "gptq") {
    weight.format = config.checkpoint_format == "gptq_v2" ? "v2" : "v1";
    weight.symmetric = config.symmetric;
    weight.act_order = config.act_order.value_or(false);
    const bool known = config.checkpoint_format.empty() || config.checkpoint_format == "gptq" ||
                       config.checkpoint_format == "gptq_v2";
    if (!known) {
      weight.scheme = layout_scheme(config.checkpoint_format);
      weight.format = config.checkpoint_format;
      weight.undecodable = config.checkpoint_format + " layout is not decoded";
    }
  } else {
    // No config speaks of GPTQ: a few zero points and the group index of this weight do.
    const Guess guess = guess_zeros(grouping.read(*zeros_index, false), weight.bits);
    weight.format = guess.version_2 ? "v2" : "v1";
    weight.symmetric = guess.symmetric;
    if (index && groups > 1) weight.act_order = is_act_order(grouping.read(*index, false));
  }
  grouping.add(std::move(weight));
  return true;
}

std::unique_ptr<WeightReader> open_gptq_reader(const Model& model, const Weight& weight) {
  return std::make_unique<GptqReader>(model, weight);
}

}  // namespace qi
