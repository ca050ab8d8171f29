#include "engine/codec/zfp_codec.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <numeric>

#include <fmt/format.h>
#include <zfp.h>

#include "engine/codec/zfp_blocks.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"

namespace qi {
namespace {

// What streams end at: as libzfp was built, from 8 to 64.
std::uint64_t word_bits() {
  return stream_word_bits;
}

zfp_type type_of(const ZfpSetting& setting) {
  return setting.as_double ? zfp_type_double : zfp_type_float;
}

struct CloseField {
  void operator()(zfp_field* field) const { zfp_field_free(field); }
};
struct CloseBits {
  void operator()(bitstream* bits) const { stream_close(bits); }
};
using Field = std::unique_ptr<zfp_field, CloseField>;
using Bits = std::unique_ptr<bitstream, CloseBits>;

[[noreturn]] void no_memory() {
  throw Error(ErrorCode::kMemory, "no memory for zfp");
}

// zfp only reads from a field that it compresses.
Field field_of(const ZfpSetting& setting, std::uint64_t rows, std::uint64_t cols, void* numbers) {
  const zfp_type type = type_of(setting);
  zfp_field* field = nullptr;
  switch (setting.dims) {
    case 1:
      field = zfp_field_1d(numbers, type, rows * cols);
      break;
    case 2:
      field = zfp_field_2d(numbers, type, cols, rows);
      break;
    case 3:
      field = zfp_field_3d(numbers, type, cols, 4, rows / 4);
      break;
    default:
      field = zfp_field_4d(numbers, type, cols, 4, 4, rows / 16);
  }
  if (field == nullptr) no_memory();
  return Field(field);
}

// zfp has a function for each type and dimension.
#define QI_ZFP_BLOCKS(TYPE, NAME)                                                                  \
  void code_block(zfp_stream* zfp, int dims, const TYPE* in) {                                     \
    if (dims == 1) zfp_encode_block_##NAME##_1(zfp, in);                                           \
    if (dims == 2) zfp_encode_block_##NAME##_2(zfp, in);                                           \
    if (dims == 3) zfp_encode_block_##NAME##_3(zfp, in);                                           \
    if (dims == 4) zfp_encode_block_##NAME##_4(zfp, in);                                           \
  }                                                                                                \
  void code_block(zfp_stream* zfp, int dims, TYPE* out) {                                          \
    if (dims == 1) zfp_decode_block_##NAME##_1(zfp, out);                                          \
    if (dims == 2) zfp_decode_block_##NAME##_2(zfp, out);                                          \
    if (dims == 3) zfp_decode_block_##NAME##_3(zfp, out);                                          \
    if (dims == 4) zfp_decode_block_##NAME##_4(zfp, out);                                          \
  }                                                                                                \
  void code_part(zfp_stream* zfp, int dims, const std::size_t* n, const TYPE* in) {                \
    if (dims == 1) zfp_encode_partial_block_strided_##NAME##_1(zfp, in, n[0], 1);                  \
    if (dims == 2) zfp_encode_partial_block_strided_##NAME##_2(zfp, in, n[0], n[1], 1, 4);         \
    if (dims == 3) {                                                                               \
      zfp_encode_partial_block_strided_##NAME##_3(zfp, in, n[0], n[1], n[2], 1, 4, 16);            \
    }                                                                                              \
    if (dims == 4) {                                                                               \
      zfp_encode_partial_block_strided_##NAME##_4(zfp, in, n[0], n[1], n[2], n[3], 1, 4, 16, 64);  \
    }                                                                                              \
  }                                                                                                \
  void code_part(zfp_stream* zfp, int dims, const std::size_t* n, TYPE* out) {                     \
    if (dims == 1) zfp_decode_partial_block_strided_##NAME##_1(zfp, out, n[0], 1);                 \
    if (dims == 2) zfp_decode_partial_block_strided_##NAME##_2(zfp, out, n[0], n[1], 1, 4);        \
    if (dims == 3) {                                                                               \
      zfp_decode_partial_block_strided_##NAME##_3(zfp, out, n[0], n[1], n[2], 1, 4, 16);           \
    }                                                                                              \
    if (dims == 4) {                                                                               \
      zfp_decode_partial_block_strided_##NAME##_4(zfp, out, n[0], n[1], n[2], n[3], 1, 4, 16, 64); \
    }                                                                                              \
  }
QI_ZFP_BLOCKS(float, float)
QI_ZFP_BLOCKS(double, double)
#undef QI_ZFP_BLOCKS

/// Sizes of the partial block for `count` numbers, 0 < count < 4^d.
std::array<std::size_t, 4> part_sizes(std::size_t count) {
  std::array<std::size_t, 4> sizes{};
  for (std::size_t& size : sizes) {
    size = std::min<std::size_t>(4, count);
    count = ceil_div<std::size_t>(count, 4);
  }
  return sizes;
}

template <typename T>
void encode_blocks(zfp_stream* zfp, int dims, std::uint64_t rows, std::uint64_t cols, const T* in) {
  const std::uint64_t size = std::uint64_t{1} << (2 * dims);
  for (std::uint64_t r = 0; r < rows; ++r, in += cols) {
    std::uint64_t at = 0;
    for (; at + size <= cols; at += size) code_block(zfp, dims, in + at);
    if (at == cols) continue;
    std::array<T, 256> part;
    std::copy(in + at, in + cols, part.begin());
    std::fill(part.begin() + static_cast<std::ptrdiff_t>(cols - at), part.end(), in[cols - 1]);
    const T* filled = part.data();
    code_part(zfp, dims, part_sizes(cols - at).data(), filled);
  }
}

template <typename T>
void decode_blocks(zfp_stream* zfp, int dims, std::uint64_t rows, std::uint64_t cols, T* out) {
  const std::uint64_t size = std::uint64_t{1} << (2 * dims);
  for (std::uint64_t r = 0; r < rows; ++r, out += cols) {
    std::uint64_t at = 0;
    for (; at + size <= cols; at += size) code_block(zfp, dims, out + at);
    if (at == cols) continue;
    std::array<T, 256> part;
    code_part(zfp, dims, part_sizes(cols - at).data(), part.data());
    std::copy_n(part.begin(), cols - at, out + at);
  }
}

}  // namespace

ZfpRates zfp_rates(const ZfpSetting& setting) {
  // A block begins with a bit and the exponent that its numbers have in common.
  const double head = setting.as_double ? 12 : 9;
  const auto numbers = static_cast<double>(setting.block_numbers());
  return {head / numbers, setting.as_double ? 64.0 : 32.0};
}

struct ZfpCodec::Stream {
  Stream() : zfp(zfp_stream_open(nullptr)) {
    if (zfp == nullptr) no_memory();
  }
  ~Stream() { zfp_stream_close(zfp); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  zfp_stream* zfp;
};

ZfpCodec::ZfpCodec(const ZfpSetting& setting, std::uint64_t cols)
    : setting_(setting), cols_(cols), stream_(std::make_unique<Stream>()) {
  switch (setting.mode) {
    case ZfpMode::kRate:
      zfp_stream_set_rate(stream_->zfp, setting.value, type_of(setting),
                          static_cast<uint>(setting.dims), zfp_false);
      break;
    case ZfpMode::kPrecision:
      zfp_stream_set_precision(stream_->zfp, static_cast<uint>(setting.value));
      break;
    case ZfpMode::kTolerance:
      zfp_stream_set_accuracy(stream_->zfp, setting.value);
      break;
    case ZfpMode::kReversible:
      zfp_stream_set_reversible(stream_->zfp);
      break;
  }
}
ZfpCodec::~ZfpCodec() = default;

std::uint64_t ZfpCodec::filled_rows(std::uint64_t rows) const {
  const std::uint64_t step =
      setting_.by_block || setting_.dims < 3 ? 1 : std::uint64_t{1} << (2 * (setting_.dims - 2));
  return ceil_div(rows, step) * step;
}

std::uint64_t ZfpCodec::blocks(std::uint64_t rows) const {
  if (setting_.by_block) return rows * ceil_div(cols_, setting_.block_numbers());
  if (setting_.dims == 1) return ceil_div<std::uint64_t>(rows * cols_, 4);
  return ceil_div<std::uint64_t>(cols_, 4) * ceil_div(rows, setting_.block_numbers() / 4);
}

std::uint64_t ZfpCodec::strip_rows() const {
  if (setting_.mode != ZfpMode::kRate) return 0;
  std::uint64_t unit = 1;  // rows that end with a block
  if (!setting_.by_block) {
    unit =
        setting_.dims == 1 ? 4 / std::gcd(cols_, std::uint64_t{4}) : setting_.block_numbers() / 4;
  }
  // and with a word
  return unit * word_bits() / std::gcd(word_bits(), blocks(unit) * stream_->zfp->maxbits);
}

std::optional<std::uint64_t> ZfpCodec::strip_bytes(std::uint64_t rows) const {
  if (setting_.mode != ZfpMode::kRate) return std::nullopt;
  return ceil_div(blocks(rows) * stream_->zfp->maxbits, word_bits()) * (word_bits() / 8);
}

// A little more than zfp asks for a field, which a field's partial blocks make the larger one.
std::uint64_t ZfpCodec::largest_bytes(std::uint64_t rows) const {
  if (const auto bytes = strip_bytes(rows)) return *bytes;
  const std::uint64_t number_bits = setting_.as_double ? 64 : 32;
  // Behind the exponent every bit plane costs its bits and at most one test for each number.
  const std::uint64_t block = std::min<std::uint64_t>(
      ZFP_MAX_BITS, 64 + setting_.block_numbers() * (number_bits + 1) + number_bits);
  return ceil_div(blocks(rows) * block, word_bits()) * (word_bits() / 8) + 8;
}

std::byte* ZfpCodec::Words::of_size(std::uint64_t bytes) {
  if (bytes > size_bytes) {
    words = std::make_unique_for_overwrite<std::uint64_t[]>(bytes / 8 + 1);
    size_bytes = bytes;
  }
  return reinterpret_cast<std::byte*>(words.get());
}

void ZfpCodec::encode(std::uint64_t rows, const float* in, std::vector<std::byte>& out) {
  const std::uint64_t filled = filled_rows(rows);
  const void* numbers = in;
  const auto fill = [&](auto& copy) {
    using T = typename std::remove_reference_t<decltype(copy)>::value_type;
    copy.resize(filled * cols_);
    std::transform(in, in + rows * cols_, copy.begin(), [](float x) { return static_cast<T>(x); });
    for (std::uint64_t r = rows; r < filled; ++r) {
      std::copy_n(copy.begin() + static_cast<std::ptrdiff_t>((rows - 1) * cols_), cols_,
                  copy.begin() + static_cast<std::ptrdiff_t>(r * cols_));
    }
    numbers = copy.data();
  };
  if (setting_.as_double) {
    fill(doubles_);
  } else if (filled != rows) {
    fill(floats_);
  }
  const std::uint64_t largest = largest_bytes(rows);
  const bool exact = setting_.mode == ZfpMode::kRate;
  if (exact) out.resize(largest);
  std::byte* const stream = exact ? out.data() : words_.of_size(largest);
  const Bits bits(stream_open(stream, largest));
  if (bits == nullptr) no_memory();
  zfp_stream_set_bit_stream(stream_->zfp, bits.get());
  zfp_stream_rewind(stream_->zfp);
  if (!setting_.by_block) {
    const Field field = field_of(setting_, filled, cols_, const_cast<void*>(numbers));
    if (zfp_compress(stream_->zfp, field.get()) == 0) no_memory();
  } else if (setting_.as_double) {
    encode_blocks(stream_->zfp, setting_.dims, rows, cols_, static_cast<const double*>(numbers));
  } else {
    encode_blocks(stream_->zfp, setting_.dims, rows, cols_, static_cast<const float*>(numbers));
  }
  zfp_stream_flush(stream_->zfp);
  const std::size_t size = stream_size(bits.get());
  assert(exact ? size == largest : size <= largest);
  if (!exact) out.assign(stream, stream + size);
}

void ZfpCodec::decode(std::span<const std::byte> coded, std::uint64_t rows, float* out) {
  const auto refuse = [&] {
    throw Error(ErrorCode::kCorrupt, fmt::format("a zfp stream of {} bytes", coded.size()),
                "as many as its blocks take");
  };
  // zfp reads words wherever its blocks lead it: never beyond the largest size.
  const auto exact = strip_bytes(rows);
  const std::uint64_t largest = largest_bytes(rows);
  if (exact ? coded.size() != *exact : coded.size() > largest) refuse();
  if (exact && setting_.by_block && !setting_.as_double) {
    if (own_decoder_ == nullptr) {
      own_decoder_ = std::make_unique<ZfpBlocks>(setting_.dims, stream_->zfp->maxbits, cols_);
    }
    own_decoder_->decode(coded, 0, rows, out);
    return;
  }
  const std::byte* bytes = coded.data();
  const bool aligned = reinterpret_cast<std::uintptr_t>(bytes) % (word_bits() / 8) == 0;
  if (!exact || !aligned) {
    bytes = words_.of_size(largest);
    std::copy(coded.begin(), coded.end(), words_.of_size(largest));
  }
  const std::uint64_t filled = filled_rows(rows);
  void* numbers = out;
  if (setting_.as_double) {
    doubles_.resize(filled * cols_);
    numbers = doubles_.data();
  } else if (filled != rows) {
    floats_.resize(filled * cols_);
    numbers = floats_.data();
  }
  const Bits bits(stream_open(const_cast<std::byte*>(bytes), largest));
  if (bits == nullptr) no_memory();
  zfp_stream_set_bit_stream(stream_->zfp, bits.get());
  zfp_stream_rewind(stream_->zfp);
  if (!setting_.by_block) {
    const Field field = field_of(setting_, filled, cols_, numbers);
    if (zfp_decompress(stream_->zfp, field.get()) == 0) refuse();
  } else if (setting_.as_double) {
    decode_blocks(stream_->zfp, setting_.dims, rows, cols_, doubles_.data());
  } else {
    decode_blocks(stream_->zfp, setting_.dims, rows, cols_, static_cast<float*>(numbers));
  }
  zfp_stream_align(stream_->zfp);
  if (!exact && stream_rtell(bits.get()) / 8 != coded.size()) refuse();
  if (setting_.as_double) {
    std::transform(doubles_.begin(), doubles_.begin() + static_cast<std::ptrdiff_t>(rows * cols_),
                   out, [](double x) { return static_cast<float>(x); });
  } else if (filled != rows) {
    std::copy_n(floats_.begin(), rows * cols_, out);
  }
}

}  // namespace qi
