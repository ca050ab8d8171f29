#include "engine/codec/zfp_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "engine/codec/little_endian.h"
#include "engine/codec/zfp_transform.h"
#include "engine/io/checked.h"
#include "engine/io/error.h"

namespace qi {
namespace {

/// Bytes behind a block that a decoder may load, though it uses none of them.
constexpr std::uint64_t kZfpSlack = 17;
constexpr std::uint64_t kMostBlockBytes = 32 * 256 / 8;

/// At least 57 bits from bit `at` on, the first one lowest.
inline std::uint64_t peek_57(const std::byte* stream, std::uint64_t at) {
  return load_number<std::uint64_t>(stream + at / 8) >> (at % 8);
}
inline std::uint64_t peek_64(const std::byte* stream, std::uint64_t at) {
  const std::uint64_t low = peek_57(stream, at);
  return low | load_number<std::uint64_t>(stream + at / 8 + 8) << 1 << (63 - at % 8);
}
inline std::uint64_t low_bits(std::uint64_t count) {
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

/// 2^(e - 30) for the biased exponent e + 127 that a block begins with, as float rounds it.
inline float block_scale(std::uint32_t biased) {
  if (biased > 30) return std::bit_cast<float>((biased - 30) << 23);
  return std::bit_cast<float>(biased >= 8 ? std::uint32_t{1} << (biased - 8) : 0);
}

/// The rest of a bit plane, behind the coefficients [0, known) that were not zero so far: a bit
/// tells whether there are ones among the others; if so zeros up to the first of them, which then
/// is known, and so on. `at` ends behind it or at `end`, where bits run out. Sets ones in `plane`.
/// `window`: the next `have` bits, where they are at hand.
template <unsigned kSize>
inline void scan_plane(const std::byte* stream, std::uint64_t& at, std::uint64_t end,
                       unsigned& known, std::uint64_t* plane, std::uint64_t window = 0,
                       unsigned have = 0) {
  const auto refill = [&] {
    window = peek_57(stream, at);
    have = 57;
  };
  while (at < end && known < kSize) {
    if (have < 2) refill();
    const bool has_ones = (window & 1) != 0;
    window >>= 1;
    --have;
    ++at;
    if (!has_ones) return;
    // The last coefficient needs no bit of its own: it must be the one.
    std::uint64_t most = std::min<std::uint64_t>(end - at, kSize - 1 - known);
    unsigned zeros = static_cast<unsigned>(std::countr_zero(window));
    while (zeros >= have && most > have) {
      at += have;
      known += have;
      most -= have;
      refill();
      zeros = static_cast<unsigned>(std::countr_zero(window));
    }
    if (zeros < most) {
      window >>= zeros;
      window >>= 1;
      have -= zeros + 1;
      at += zeros + 1;
      known += zeros;
    } else {
      have = 0;
      at += most;
      known += static_cast<unsigned>(most);
    }
    plane[known / 64] |= std::uint64_t{1} << (known % 64);
    ++known;
  }
}

/// What the next bits of a plane of 4 coefficients say, for each number of known ones: the longest
/// plane has 7 bits.
struct ShortPlane {
  std::uint8_t ones, bits, known;
};
constexpr auto kShortPlanes = [] {
  std::array<std::array<ShortPlane, 128>, 5> table{};
  for (unsigned before = 0; before <= 4; ++before) {
    for (unsigned code = 0; code < 128; ++code) {
      unsigned ones = code & ((1u << before) - 1), at = before, known = before;
      while (known < 4 && (code >> at++ & 1u) != 0) {
        while (known < 3 && (code >> at++ & 1u) == 0) ++known;
        ones |= 1u << known++;
      }
      table[before][code] = {static_cast<std::uint8_t>(ones), static_cast<std::uint8_t>(at),
                             static_cast<std::uint8_t>(known)};
    }
  }
  return table;
}();

/// The planes of one block, as many as its bits [at, end) hold; returns how many. `planes` steps by
/// kStep bytes; bits of a plane below a byte are `shift`ed into it.
template <unsigned kSize>
unsigned read_planes(const std::byte* stream, std::uint64_t at, std::uint64_t end,
                     std::uint8_t* planes, unsigned shift) {
  constexpr std::size_t kStep = sizeof(ZfpPlanes::planes[0]);
  unsigned known = 0, used = 0;
  if constexpr (kSize == 4) {
    // A window holds seven planes at least; bits never run out within one of these.
    for (bool more = true; more && known < 4;) {
      std::uint64_t window = peek_57(stream, at);
      for (int i = 0; i < 7; ++i, ++used, planes += kStep) {
        const ShortPlane& next = kShortPlanes[known][window & 127];
        more = at + next.bits <= end && used < 32;
        if (!more) break;
        *planes = static_cast<std::uint8_t>(*planes | next.ones << shift);
        window >>= next.bits;
        at += next.bits;
        known = next.known;
      }
    }
  }
  for (; at < end && used < 32; ++used, planes += kStep) {
    std::uint64_t plane[(kSize + 63) / 64] = {};
    const auto verbatim = static_cast<unsigned>(std::min<std::uint64_t>(known, end - at));
    if constexpr (kSize < 64) {
      const std::uint64_t window = peek_57(stream, at);  // holds any plane
      plane[0] = window & low_bits(verbatim);
      at += verbatim;
      scan_plane<kSize>(stream, at, end, known, plane, window >> verbatim, 57 - verbatim);
    } else {
      for (unsigned bit = 0; bit < verbatim; bit += 64) {
        plane[bit / 64] = peek_64(stream, at + bit) & low_bits(verbatim - bit);
      }
      at += verbatim;
      scan_plane<kSize>(stream, at, end, known, plane);
    }
    if constexpr (kSize >= 8) {
      std::memcpy(planes, plane, kSize / 8);
    } else {
      *planes = static_cast<std::uint8_t>(*planes | plane[0] << shift);
    }
  }
  return used;
}

}  // namespace

struct ZfpBlocks::Batch {
  ZfpPlanes planes{};
  unsigned used = 0;  // planes that are not all zeros
  alignas(64) std::array<float, kZfpBatchNumbers> numbers;
};

ZfpBlocks::ZfpBlocks(int dims, std::uint64_t block_bits, std::uint64_t cols)
    : dims_(dims),
      block_bits_(block_bits),
      cols_(cols),
      row_blocks_(ceil_div(cols, std::uint64_t{1} << (2 * dims))),
      batch_(std::make_unique<Batch>()) {
  assert(dims >= 1 && dims <= 4 && block_bits >= 9 && block_bits <= 8 * kMostBlockBytes);
}
ZfpBlocks::~ZfpBlocks() = default;

void ZfpBlocks::decode_batch(std::span<const std::byte> coded, std::uint64_t block,
                             std::uint64_t blocks, float* out) {
  Batch& batch = *batch_;
  std::memset(batch.planes.planes, 0, batch.used * sizeof(batch.planes.planes[0]));
  batch.used = 0;
  const std::size_t size = std::size_t{1} << (2 * dims_);
  const unsigned lane_shift = 8 - 2 * static_cast<unsigned>(dims_);  // blocks of a lane, log2
  std::array<std::byte, kMostBlockBytes + 1 + kZfpSlack> last;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    std::uint64_t at = (block + i) * block_bits_;
    const std::byte* stream = coded.data();
    if ((at + block_bits_) / 8 + kZfpSlack > coded.size()) {
      const std::uint64_t first = at / 8;
      last.fill(std::byte{0});
      std::copy(coded.begin() + static_cast<std::ptrdiff_t>(first),
                coded.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(
                                    coded.size(), first + kMostBlockBytes + 1)),
                last.begin());
      stream = last.data();
      at %= 8;
    }
    const std::size_t lane = i >> lane_shift, place = i - (lane << lane_shift);
    float& scale = batch.planes.scales[place][lane];
    const std::uint64_t head = peek_57(stream, at);
    if ((head & 1) == 0) {
      scale = 0;
      continue;
    }
    scale = block_scale(head >> 1 & 0xFF);
    std::uint8_t* const planes = &batch.planes.planes[0][lane][place * size / 8];
    const std::uint64_t begin = at + 9, end = at + block_bits_;
    unsigned used = 0;
    if (dims_ == 1) used = read_planes<4>(stream, begin, end, planes, place % 2 * 4);
    if (dims_ == 2) used = read_planes<16>(stream, begin, end, planes, 0);
    if (dims_ == 3) used = read_planes<64>(stream, begin, end, planes, 0);
    if (dims_ == 4) used = read_planes<256>(stream, begin, end, planes, 0);
    batch.used = std::max(batch.used, used);
  }
  zfp_floats(dims_, batch.planes, batch.used, out);
}

void ZfpBlocks::decode(std::span<const std::byte> coded, std::uint64_t first, std::uint64_t count,
                       float* out) {
  const std::uint64_t rows = coded.size() * 8 / row_bits();
  if (first > rows || count > rows - first) {
    throw Error(ErrorCode::kCorrupt, fmt::format("a zfp stream of {} bytes", coded.size()),
                fmt::format("{} bits for each of {} rows", row_bits(), first + count));
  }
  const std::uint64_t size = std::uint64_t{1} << (2 * dims_);
  const bool whole = cols_ % size == 0;  // then the blocks of all rows are one after the other
  const std::uint64_t step = kZfpBatchNumbers / size;
  const std::uint64_t end = (first + count) * row_blocks_;
  for (std::uint64_t block = first * row_blocks_; block < end; block += step) {
    const std::uint64_t blocks = std::min(step, end - block);
    if (whole && blocks == step) {
      decode_batch(coded, block, blocks, out);
      out += kZfpBatchNumbers;
      continue;
    }
    const float* numbers = batch_->numbers.data();
    decode_batch(coded, block, blocks, batch_->numbers.data());
    for (std::uint64_t i = 0; i < blocks; ++i, numbers += size) {
      const std::uint64_t begun = (block + i) % row_blocks_ * size;
      const std::uint64_t used = std::min(size, cols_ - begun);
      out = std::copy_n(numbers, used, out);
    }
  }
}

}  // namespace qi
