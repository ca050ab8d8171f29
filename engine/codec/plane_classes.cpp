#include "engine/codec/plane_classes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/codec/little_endian.h"
#include "engine/io/error.h"

namespace qi {
namespace {

constexpr std::size_t kSums = 16;
// A quarter of so many numbers tells their scale well enough.
constexpr std::size_t kLongRow = 4096;
constexpr std::size_t kLongStep = 4 * kSums;
constexpr unsigned kIntegersFlag = 64;

[[noreturn]] void bad_classes(const char* what) {
  throw Error(ErrorCode::kCorrupt, std::string("classes of rows: ") + what,
              "classes of this version");
}

// Sums that do not depend on how wide a machine's vectors are; of long rows a quarter.
template <typename Magnitude>
float mean_of(std::size_t count, const float* factors, Magnitude&& magnitude) {
  const std::size_t step = count < kLongRow ? kSums : kLongStep;
  std::array<float, kSums> sums{};
  std::size_t measured = 0;
  std::size_t i = 0;
  for (; i + kSums <= count; i += step, measured += kSums) {
    if (factors == nullptr) {
      for (std::size_t k = 0; k < kSums; ++k) sums[k] += magnitude(i + k);
    } else {
      for (std::size_t k = 0; k < kSums; ++k) sums[k] += magnitude(i + k) * factors[i + k];
    }
  }
  for (std::size_t k = 0; count < kLongRow && i < count; ++i, ++k, ++measured) {
    sums[k] += factors == nullptr ? magnitude(i) : magnitude(i) * factors[i];
  }
  float sum = 0;
  for (const float s : sums) sum += s;
  return sum / static_cast<float>(std::max<std::size_t>(1, measured));
}

}  // namespace

void PlaneClasses::serialise(std::vector<std::byte>& out) const {
  std::array<std::byte, kClassHeadBytes> head;
  head[0] = static_cast<std::byte>(table_bits | octave_bits << 2 | down << 4 |
                                   (integers ? kIntegersFlag : 0u));
  store_u16(head.data() + 1, static_cast<std::uint16_t>(level));
  store_u32(head.data() + 3, cols);
  out.insert(out.end(), head.begin(), head.end());
  for (const std::int8_t c : columns) out.push_back(static_cast<std::byte>(c));
}

PlaneClasses PlaneClasses::parse(std::span<const std::byte> head,
                                 std::span<const std::byte> columns) {
  PlaneClasses classes;
  const unsigned flags = load_u8(head.data());
  if (flags > 127) bad_classes("unknown flags");
  classes.integers = (flags & kIntegersFlag) != 0;
  classes.table_bits = flags & 3u;
  classes.octave_bits = flags >> 2 & 3u;
  classes.down = flags >> 4 & 3u;
  const bool whole = classes.integers ? classes.octave_bits == 0
                                      : classes.down + classes.table_bits == kQuarterBits;
  if (!whole) bad_classes("no whole octaves");
  classes.level = static_cast<std::int16_t>(load_u16(head.data() + 1));
  classes.cols = load_u32(head.data() + 3);
  if (classes.cols == 0) bad_classes("rows without numbers");
  for (const std::byte b : columns) {
    const auto c = static_cast<std::int8_t>(b);
    if (std::abs(int{c}) > kMaxPlaneClass) bad_classes("class of a column");
    classes.columns.push_back(c);
  }
  return classes;
}

std::int8_t PlaneClasses::settle(int sum) const {
  if (!integers) return static_cast<std::int8_t>(sum >> down);
  return static_cast<std::int8_t>(std::clamp(sum >> down, 0, static_cast<int>(tables()) - 1));
}

void PlaneClasses::fill(const std::int8_t* rows, std::size_t count, std::int8_t* out) const {
  for (std::size_t i = 0; i < count; i += cols, ++rows) {
    const std::size_t n = std::min<std::size_t>(cols, count - i);
    if (columns.empty()) {
      std::memset(out + i, settle(*rows), n);
    } else if (integers) {
      for (std::size_t k = 0; k < n; ++k) out[i + k] = settle(*rows + columns[k]);
    } else {
      for (std::size_t k = 0; k < n; ++k) {
        out[i + k] = static_cast<std::int8_t>((*rows + columns[k]) >> down);
      }
    }
  }
}

std::vector<float> PlaneClasses::column_factors() const {
  std::vector<float> factors;
  for (const std::int8_t c : columns) factors.push_back(std::exp2(-0.25f * static_cast<float>(c)));
  return factors;
}

float mean_magnitude(const std::byte* heads, std::size_t count, unsigned mantissa_bits,
                     const float* factors) {
  if (mantissa_bits == 0) {
    return mean_of(count, factors, [heads](std::size_t i) {
      return std::abs(static_cast<float>(static_cast<std::int8_t>(heads[i])));
    });
  }
  // A narrower exponent has a smaller bias: as the bits of a float it says a power of two less,
  // the same for all numbers, and would be subnormal.
  const unsigned up = 23 - mantissa_bits;
  const std::uint32_t bias = mantissa_bits == 7 ? 0 : 112u << 23;
  return mean_of(count, factors, [heads, up, bias](std::size_t i) {
    const std::uint32_t magnitude = load_u16(heads + 2 * i) & 0x7FFFu;
    return std::bit_cast<float>((magnitude << up) + bias);
  });
}

int quarter_octaves(float scale) {
  if (!(scale > 0)) return 0;
  return static_cast<int>(std::lrint(std::clamp(4 * std::log2(scale), -1000.0f, 1000.0f)));
}

std::int8_t row_class(const std::byte* heads, std::size_t count, unsigned mantissa_bits, int level,
                      const float* factors) {
  const float mean = mean_magnitude(heads, count, mantissa_bits, factors);
  if (!(mean > 0)) return 0;
  const int at = quarter_octaves(mean) - level;
  return static_cast<std::int8_t>(std::clamp(at, -kMaxPlaneClass, kMaxPlaneClass));
}

std::size_t packed_rows_bound(std::size_t rows) {
  return 2 + rows;
}

namespace {

constexpr unsigned kRice = 16;
constexpr unsigned kMaxRice = 3;

class BitWriter {
 public:
  explicit BitWriter(std::byte* out) : out_(out) {}
  void put(unsigned value, unsigned bits) {
    held_ |= std::uint64_t{value} << count_;
    count_ += bits;
    for (; count_ >= 8; count_ -= 8, held_ >>= 8) *out_++ = static_cast<std::byte>(held_ & 255);
  }
  std::byte* finish() {
    if (count_ != 0) *out_++ = static_cast<std::byte>(held_);
    return out_;
  }

 private:
  std::byte* out_;
  std::uint64_t held_ = 0;
  unsigned count_ = 0;
};

class BitReader {
 public:
  explicit BitReader(std::span<const std::byte> in) : in_(in) {}
  unsigned take(unsigned bits) {
    for (; count_ < bits; count_ += 8) {
      if (at_ == in_.size()) bad_classes("end early");
      held_ |= std::uint64_t{load_u8(in_.data() + at_++)} << count_;
    }
    const auto value = static_cast<unsigned>(held_) & ((1u << bits) - 1);
    held_ >>= bits;
    count_ -= bits;
    return value;
  }
  std::size_t bytes() const { return at_; }

 private:
  std::span<const std::byte> in_;
  std::size_t at_ = 0;
  std::uint64_t held_ = 0;
  unsigned count_ = 0;
};

unsigned folded(int difference) {
  return difference >= 0 ? 2u * static_cast<unsigned>(difference)
                         : 2u * static_cast<unsigned>(-difference) - 1;
}

}  // namespace

std::size_t pack_rows(std::span<const std::int8_t> rows, std::byte* out) {
  const auto [least, most] = std::minmax_element(rows.begin(), rows.end());
  const auto bits = static_cast<unsigned>(std::bit_width(static_cast<unsigned>(*most - *least)));
  std::vector<std::int8_t> sorted(rows.begin(), rows.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const int median = *middle;
  unsigned best = kMaxRice + 1;
  std::size_t fewest = rows.size() * bits;
  for (unsigned k = 0; k <= kMaxRice; ++k) {
    std::size_t sum = 0;
    for (const std::int8_t row : rows) sum += (folded(row - median) >> k) + 1 + k;
    if (sum >= fewest) continue;
    fewest = sum;
    best = k;
  }
  const bool rice = best <= kMaxRice;
  out[0] = static_cast<std::byte>(rice ? median : *least);
  out[1] = static_cast<std::byte>(rice ? kRice + best : bits);
  BitWriter writer(out + 2);
  for (const std::int8_t row : rows) {
    if (!rice) {
      writer.put(static_cast<unsigned>(row - *least), bits);
      continue;
    }
    const unsigned z = folded(row - median);
    for (unsigned i = 0; i < z >> best; ++i) writer.put(1, 1);
    writer.put(0, 1);
    writer.put(z & ((1u << best) - 1), best);
  }
  return static_cast<std::size_t>(writer.finish() - out);
}

std::size_t unpack_rows(std::span<const std::byte> in, std::span<std::int8_t> rows) {
  if (in.size() < 2) bad_classes("end early");
  const int first = static_cast<std::int8_t>(in[0]);
  const unsigned form = load_u8(in.data() + 1);
  const bool rice = form >= kRice;
  const unsigned bits = rice ? form - kRice : form;
  if (bits > (rice ? kMaxRice : 8u)) bad_classes("bits of a row");
  BitReader reader(in.subspan(2));
  for (std::int8_t& row : rows) {
    unsigned value = 0;
    if (rice) {
      while (value <= 4 * kMaxPlaneClass && reader.take(1) != 0) ++value;
    }
    value = value << (rice ? bits : 0) | reader.take(bits);
    const int half = static_cast<int>(value / 2);
    const int moved = !rice ? static_cast<int>(value) : value % 2 == 0 ? half : -half - 1;
    const int found = first + moved;
    if (std::abs(found) > kMaxPlaneClass) bad_classes("class of a row");
    row = static_cast<std::int8_t>(found);
  }
  return 2 + reader.bytes();
}

}  // namespace qi
