// The plain loops of the residual layer: the definition of the format.
#include "engine/codec/little_endian.h"
#include "engine/codec/pair_kernels.h"

namespace qi {

void fill_pair_entries(const PairFormat& format, const PairRow& row, PairEntries& entries) {
  (void)format;
  entries[0] = {0, 1, 1.0f};
  entries[128] = {0x8000, 1, 1.0f};
  for (std::uint32_t magnitude = 1; magnitude < 128; ++magnitude) {
    const auto first = static_cast<std::uint16_t>(row.lowest(magnitude));
    const auto radix = static_cast<std::uint16_t>(row.radix(magnitude));
    const float reciprocal = reciprocal_above(radix);
    entries[magnitude] = {first, radix, reciprocal};
    entries[256 - magnitude] = {static_cast<std::uint16_t>(first | 0x8000), radix, reciprocal};
  }
}

namespace portable {
namespace {

constexpr std::size_t kUnit = 16;

std::uint32_t divide(std::uint32_t value, float reciprocal) {
  return static_cast<std::uint32_t>(static_cast<float>(value) * reciprocal);
}

const PairEntry& entry_of(const PairEntries& entries, std::int8_t q) {
  return entries[static_cast<std::uint8_t>(q)];
}

std::size_t decode(PairDecodeCursor& cursor, const PairEntries& entries, int refills,
                   const std::int8_t* q, std::size_t groups, std::byte* out, std::uint64_t* zeros) {
  std::size_t group = 0;
  for (; group < groups && cursor.bytes <= cursor.limit; ++group) {
    std::uint64_t zero = 0;
    for (std::size_t unit = 0; unit < kPairLanes; unit += kUnit) {
      for (std::size_t lane = unit; lane < unit + kUnit; ++lane) {
        const PairEntry& e = entry_of(entries, q[lane]);
        std::uint32_t& v = cursor.value[lane];
        std::uint32_t& m = cursor.bound[lane];
        const std::uint32_t quotient = divide(v, e.reciprocal);
        store_u16(out + 2 * lane, static_cast<std::uint16_t>(e.first + (v - quotient * e.radix)));
        v = quotient;
        m = divide(m, e.reciprocal);
        zero |= std::uint64_t{q[lane] == 0} << lane;
      }
      for (int t = 0; t < refills; ++t) {
        for (std::size_t lane = unit; lane < unit + kUnit; ++lane) {
          const std::uint32_t takes = cursor.bound[lane] < kRefillBelow ? 1 : 0;
          const std::uint32_t byte = load_u8(cursor.bytes) & (0u - takes);
          cursor.value[lane] = cursor.value[lane] << (8 * takes) | byte;
          cursor.bound[lane] <<= 8 * takes;
          cursor.bytes += takes;
        }
      }
    }
    zeros[group] = zero;
    q += kPairLanes;
    out += 2 * kPairLanes;
  }
  return group;
}

void plan(std::array<std::uint32_t, kPairLanes>& bound, const PairEntries& entries, int refills,
          const std::byte* high, const std::int8_t* q, std::size_t groups, const PairSteps& steps,
          std::uint64_t* zeros, std::uint64_t* missed) {
  std::uint8_t* masks = steps.refills;
  for (std::size_t group = 0; group < groups; ++group) {
    std::uint64_t zero = 0;
    std::uint64_t miss = 0;
    for (std::size_t unit = 0; unit < kPairLanes; unit += kUnit) {
      for (std::size_t lane = unit; lane < unit + kUnit; ++lane) {
        const std::size_t i = group * kPairLanes + lane;
        const PairEntry& e = entry_of(entries, q[i]);
        // Of the wrong sign, or below the interval, wraps to a large digit.
        const auto place = static_cast<std::uint16_t>(load_u16(high + 2 * i) - e.first);
        const bool is_zero = q[i] == 0;
        const bool fits = place < e.radix || is_zero;
        zero |= std::uint64_t{is_zero} << lane;
        miss |= std::uint64_t{!fits} << lane;
        const std::uint32_t digit = fits && !is_zero ? place : 0;
        steps.radix_digit[i] = static_cast<std::uint32_t>(e.radix) << 16 | digit;
        bound[lane] = divide(bound[lane], e.reciprocal);
      }
      for (int t = 0; t < refills; ++t) {
        for (std::size_t lane = unit; lane < unit + kUnit; ++lane) {
          const std::uint32_t takes = bound[lane] < kRefillBelow ? 1 : 0;
          bound[lane] <<= 8 * takes;
          const auto bit = static_cast<std::uint8_t>(takes << lane % 8);
          masks[lane / 8 % 2] =
              static_cast<std::uint8_t>(lane % 8 == 0 ? bit : masks[lane / 8 % 2] | bit);
        }
        masks += 2;
      }
    }
    zeros[group] = zero;
    missed[group] = miss;
  }
}

std::byte* encode(std::array<std::uint32_t, kPairLanes>& value, const PairSteps& steps, int refills,
                  std::size_t groups, std::byte* end) {
  const std::uint8_t* masks =
      steps.refills + groups * (kPairLanes / 8) * static_cast<std::size_t>(refills);
  for (std::size_t group = groups; group-- > 0;) {
    const std::uint32_t* radix_digit = steps.radix_digit + group * kPairLanes;
    for (std::size_t unit = kPairLanes; unit > 0; unit -= kUnit) {
      for (int t = 0; t < refills; ++t) {
        masks -= 2;
        for (std::size_t lane = unit; lane-- > unit - kUnit;) {
          const std::uint32_t gives = masks[lane / 8 % 2] >> lane % 8 & 1;
          end[-1] = static_cast<std::byte>(value[lane]);
          end -= gives;
          value[lane] >>= 8 * gives;
        }
      }
      for (std::size_t lane = unit - kUnit; lane < unit; ++lane) {
        value[lane] = value[lane] * (radix_digit[lane] >> 16) + (radix_digit[lane] & 0xffff);
      }
    }
  }
  return end;
}

}  // namespace

const PairKernels kPairKernels = {&fill_pair_entries, &decode, &plan, &encode};

}  // namespace portable
}  // namespace qi
