#include "engine/stats/tile_worker.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/stats/int8_row.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

static_assert(std::endian::native == std::endian::little, "symbols are read as they are stored");

// Tiles stay in the second-level cache; those that a scheme decodes are larger, because packed
// layouts keep many rows in one word.
constexpr std::uint64_t kPlainTile = std::uint64_t{1} << 16;
constexpr std::uint64_t kDecodedTile = std::uint64_t{1} << 20;

// Plain numbers: what is stored is what is meant.
bool is_unquantized(const Weight& weight) {
  return weight.scheme == Scheme::kNone || weight.scheme == Scheme::kQstore;
}

bool is_wide_number(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kI64 || dtype == DType::kU64 ||
         dtype == DType::kI32 || dtype == DType::kU32;
}

template <typename T>
void widen_as(std::span<const std::byte> in, std::span<double> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T number;
    std::memcpy(&number, in.data() + i * sizeof(T), sizeof(T));
    out[i] = static_cast<double>(number);
  }
}

void widen(DType dtype, std::span<const std::byte> in, std::span<double> out) {
  switch (dtype) {
    case DType::kI64:
      return widen_as<std::int64_t>(in, out);
    case DType::kU64:
      return widen_as<std::uint64_t>(in, out);
    case DType::kI32:
      return widen_as<std::int32_t>(in, out);
    case DType::kU32:
      return widen_as<std::uint32_t>(in, out);
    default:
      return widen_as<double>(in, out);
  }
}

float magnitude_to_float(DType dtype, std::uint32_t symbol) {
  if (dtype == DType::kF32) return std::bit_cast<float>(symbol);
  const auto word = static_cast<std::uint16_t>(symbol);
  return dtype == DType::kBF16 ? bf16_to_float(word) : f16_to_float(word);
}

// A scale that LLM.int8() can divide by; the same bounds as the pair model's.
bool usable_scale(float s) {
  return s >= 0x1p-100f && s <= 0x1p100f;
}

}  // namespace

std::uint64_t slice_begin(std::uint64_t size, std::uint64_t count, std::uint64_t i) {
  // floor(size · i / count) without 128 bits: i < count, and the remainders multiply below 2^64
  // because a weight has fewer than 2^32 tiles.
  return size / count * i + size % count * i / count;
}

TilePlan::TilePlan(const Model& model_in, const Weight& weight_in, WeightReader& probe)
    : model(model_in), weight(weight_in), walk(0, 0, 1) {
  if (!weight.parts.empty()) dtype = model.tensor(weight.parts[0]).dtype;
  direct = weight.params > 0 && !probe.stored(0, 1).empty();
  stored_int8 =
      weight.scheme == Scheme::kQstore && pair_format(dtype) != nullptr && probe.code_bits() == 8;
  source = choose_source(probe);
  code_bits = source == TileSource::kSymbols  ? element_bits(dtype)
              : source == TileSource::kValues ? probe.code_bits()
                                              : 0;
  switch (source) {
    case TileSource::kSymbols:
      symbol_bits = code_bits;
      break;
    case TileSource::kDoubles:
      symbol_bits = SymbolLayout::top_of_f64().bits;
      break;
    default:
      symbol_bits = SymbolLayout::top_of_f32().bits;
  }
  tile_elements = direct && source != TileSource::kValues ? kPlainTile : kDecodedTile;
  walk = TileWalk(weight.rows(), weight.cols(), tile_elements);
  // LLM.int8() scales rows of matrices: it has nothing to say about vectors.
  const bool int8_type = dtype == DType::kF32
                             ? source == TileSource::kFloat32
                             : source == TileSource::kSymbols && pair_format(dtype) != nullptr;
  int8_rows = int8_type && weight.shape.size() >= 2;
  if (int8_rows) pair = pair_format(dtype);
  const bool whole_bytes = source == TileSource::kSymbols && code_bits % 8 == 0;
  const bool same_bytes = weight.parts.size() == 1 && is_plain(dtype) &&
                          weight.size_bytes == stored_bytes(dtype, weight.params);
  slices = !(same_bytes && (whole_bytes || source == TileSource::kFloat32));
}

PairRow TilePlan::row(std::uint32_t absmax) const {
  return PairRow(*pair, magnitude_to_float(dtype, absmax));
}

TileSource TilePlan::choose_source(const WeightReader& probe) {
  if (stored_int8) return TileSource::kSymbols;
  if (!is_unquantized(weight) || !is_plain(dtype)) return TileSource::kValues;
  const int bits = element_bits(dtype);
  const bool has_symbols = bits <= 16 && (probe.code_bits() == bits || (direct && bits % 8 == 0));
  if (has_symbols) return TileSource::kSymbols;
  // A reader gives float32 exactly, from any byte order.
  if (dtype == DType::kF32) return TileSource::kFloat32;
  if (is_wide_number(dtype) && direct) return TileSource::kDoubles;
  return TileSource::kValues;
}

TileWorker::TileWorker(const TilePlan& plan, std::unique_ptr<WeightReader> reader)
    : symbols(plan.symbol_bits),
      codes(std::max(1, plan.code_bits)),
      plan_(plan),
      reader_(std::move(reader)),
      stored_(plan.model, plan.weight) {}

const std::byte* TileWorker::words(const Tile& tile) {
  const std::uint64_t count = tile.rows * tile.cols;
  if (plan_.direct) {
    return reader_->stored(tile.row * plan_.weight.cols() + tile.col, count).data();
  }
  if (plan_.stored_int8) {
    const auto values = floats(tile);
    word_buffer_.resize(2 * count);
    if (plan_.dtype == DType::kBF16) {
      floats_to_bf16(values.data(), count, word_buffer_.data());
    } else {
      floats_to_f16(values.data(), count, word_buffer_.data());
    }
    return word_buffer_.data();
  }
  code_buffer_.resize(count);
  reader_->codes(tile, code_buffer_.data());
  return reinterpret_cast<const std::byte*>(code_buffer_.data());
}

std::span<const float> TileWorker::floats(const Tile& tile) {
  const std::uint64_t count = tile.rows * tile.cols;
  float_buffer_.resize(count);
  if (plan_.direct && plan_.source == TileSource::kFloat32) {
    const auto in = reader_->stored(tile.row * plan_.weight.cols() + tile.col, count);
    std::memcpy(float_buffer_.data(), in.data(), in.size());
  } else {
    reader_->values(tile, float_buffer_.data());
  }
  return float_buffer_;
}

TileResult TileWorker::run(std::uint64_t index) {
  const Tile tile = plan_.walk[index];
  TileResult result;
  switch (plan_.source) {
    case TileSource::kSymbols:
      run_symbols(tile, result);
      break;
    case TileSource::kFloat32:
    case TileSource::kValues:
      run_floats(tile, result);
      break;
    case TileSource::kDoubles:
      run_doubles(tile, result);
      break;
  }
  if (plan_.slices) run_slices(index);
  reader_->check();
  return result;
}

std::uint32_t TileWorker::absmax(std::uint64_t index) {
  const Tile tile = plan_.walk[index];
  std::uint32_t largest = 0;
  if (plan_.source == TileSource::kFloat32) {
    const auto in = floats(tile);
    largest = absmax_32(in.data(), in.size());
  } else {
    largest = absmax_16(words(tile), tile.rows * tile.cols);
  }
  reader_->check();
  return largest;
}

void TileWorker::run_symbols(const Tile& tile, TileResult& result) {
  const std::uint64_t count = tile.rows * tile.cols;
  const std::byte* in = words(tile);
  if (plan_.direct && plan_.code_bits == 8) {
    count_bytes(in, count, bytes);
    return;
  }
  if (!plan_.direct) {
    if (plan_.code_bits == 16) {
      symbols.add_words(in, count);
    } else {
      symbols.add_codes(code_buffer_.data(), count);
    }
    if (plan_.stored_int8) {
      code_buffer_.resize(count);
      reader_->codes(tile, code_buffer_.data());
    }
    if (plan_.int8_rows) int8_words(tile, in, result);
    return;
  }
  if (!plan_.int8_rows) {
    symbols.add_words(in, count);
    return;
  }
  // Row by row, so that the second and third look at a row find it in the first-level cache.
  for (std::uint64_t r = 0; r < tile.rows; ++r) {
    const std::byte* row = in + 2 * r * tile.cols;
    symbols.add_words(row, tile.cols);
    int8_words({tile.row + r, 1, tile.col, tile.cols}, row, result);
  }
}

void TileWorker::run_floats(const Tile& tile, TileResult& result) {
  const auto in = floats(tile);
  result.moments = tile_moments(in);
  patterns_.resize(in.size());
  std::memcpy(patterns_.data(), in.data(), in.size_bytes());
  symbols.add_tops(patterns_.data(), patterns_.size());
  if (plan_.source == TileSource::kFloat32) {
    if (!plan_.slices) count_low_bytes(patterns_.data(), patterns_.size(), bytes);
    if (plan_.int8_rows) int8_floats(tile, in);
  } else if (plan_.code_bits > 0) {
    code_buffer_.resize(in.size());
    reader_->codes(tile, code_buffer_.data());
    codes.add_codes(code_buffer_.data(), in.size());
  }
}

void TileWorker::run_doubles(const Tile& tile, TileResult& result) {
  const std::uint64_t count = tile.rows * tile.cols;
  const auto in = reader_->stored(tile.row * plan_.weight.cols() + tile.col, count);
  double_buffer_.resize(count);
  widen(plan_.dtype, in, double_buffer_);
  result.moments = tile_moments(double_buffer_);
  double_bits_.resize(count);
  std::memcpy(double_bits_.data(), double_buffer_.data(), count * sizeof(double));
  symbols.add_tops(double_bits_.data(), count);
}

void TileWorker::run_slices(std::uint64_t index) {
  const std::uint64_t begin = slice_begin(stored_.size(), plan_.walk.size(), index);
  const std::uint64_t end = slice_begin(stored_.size(), plan_.walk.size(), index + 1);
  stored_.visit(begin, end - begin, [this](std::span<const std::byte> piece) {
    count_bytes(piece.data(), piece.size(), bytes);
  });
}

void TileWorker::add_row_counts(std::span<const std::uint32_t, 256> counts) {
  for (std::size_t b = 0; b < 256; ++b) int8[b] += counts[b];
}

// `in` holds the tile's words, and code_buffer_ its stored codes where there are any.
void TileWorker::int8_words(const Tile& tile, const std::byte* in, TileResult& result) {
  q_.resize(tile.cols);
  const bool whole_rows = plan_.row_absmax.empty();
  for (std::uint64_t r = 0; r < tile.rows; ++r, in += 2 * tile.cols) {
    const PairRow row =
        plan_.row(whole_rows ? absmax_16(in, tile.cols) : plan_.row_absmax[tile.row + r]);
    std::uint64_t side_bits = 0;
    double digit_bits = 0;
    if (plan_.stored_int8) {
      const std::uint16_t* codes_of_row = code_buffer_.data() + r * tile.cols;
      for (std::uint64_t c = 0; c < tile.cols; ++c) {
        q_[c] = static_cast<std::int8_t>(codes_of_row[c]);
      }
      digit_bits = stored_int8_row(row, in, side_bits);
    } else if (row.usable()) {
      digit_bits = computed_int8_row(row, in, side_bits);
    } else {
      int8[0] += tile.cols;
    }
    if (whole_rows) {
      result.residual_bits += row.row_bits(digit_bits, side_bits, tile.cols);
    } else {
      result.digit_bits = digit_bits;
      result.side_bits = side_bits;
    }
  }
}

double TileWorker::computed_int8_row(const PairRow& row, const std::byte* in,
                                     std::uint64_t& side_bits) {
  side_bits = plan_.dtype == DType::kBF16 ? quantize_bf16(row, in, q_.size(), q_.data())
                                          : quantize_f16(row, in, q_.size(), q_.data());
  return digits_of_row(row);
}

// Codes that somebody else made may miss the weight's interval: each such weight is escaped.
double TileWorker::stored_int8_row(const PairRow& row, const std::byte* in,
                                   std::uint64_t& side_bits) {
  if (row.usable()) {
    std::array<std::uint32_t, 128> lowest{};
    std::array<std::uint32_t, 128> radix{};
    for (std::uint32_t a = 1; a < 128; ++a) {
      lowest[a] = row.lowest(a);
      radix[a] = row.radix(a);
    }
    for (std::size_t c = 0; c < q_.size(); ++c) {
      std::uint16_t word;
      std::memcpy(&word, in + 2 * c, sizeof(word));
      const int q = q_[c];
      if (q == 0) {
        side_bits += row.zero_bits(word);
        continue;
      }
      const auto a = static_cast<std::uint32_t>(std::min(std::abs(q), 127));
      const bool inside =
          q != -128 && (q < 0) == (word >> 15 != 0) && (word & 0x7FFFu) - lowest[a] < radix[a];
      if (!inside) side_bits += kEscapeBits;
    }
  }
  return digits_of_row(row);
}

// Adds the codes of q_ to the int8 histogram; returns the bits of the digits they leave open.
double TileWorker::digits_of_row(const PairRow& row) {
  std::array<std::uint32_t, 256> counts;
  std::array<std::uint32_t, 128> magnitudes;
  count_row(q_.data(), q_.size(), counts);
  add_row_counts(counts);
  magnitudes[0] = counts[0];
  for (std::size_t a = 1; a < 128; ++a) magnitudes[a] = counts[a] + counts[256 - a];
  return row.usable() ? row.digit_bits(magnitudes) : 0;
}

void TileWorker::int8_floats(const Tile& tile, std::span<const float> in) {
  q_.resize(tile.cols);
  std::array<std::uint32_t, 256> counts;
  for (std::uint64_t r = 0; r < tile.rows; ++r) {
    const float* row = in.data() + r * tile.cols;
    const std::uint32_t largest =
        plan_.row_absmax.empty() ? absmax_32(row, tile.cols) : plan_.row_absmax[tile.row + r];
    const float scale = magnitude_to_float(DType::kF32, largest);
    if (!usable_scale(scale)) {
      int8[0] += tile.cols;
      continue;
    }
    quantize_f32(127.0f / scale, row, tile.cols, q_.data());
    count_row(q_.data(), tile.cols, counts);
    add_row_counts(counts);
  }
}

}  // namespace qi
