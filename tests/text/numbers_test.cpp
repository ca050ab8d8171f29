#include "engine/text/numbers.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace qi {
namespace {

TEST(HumanBytes, UsesBinaryUnits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.00 KiB");
  EXPECT_EQ(human_bytes(33554432), "32.0 MiB");
  EXPECT_EQ(human_bytes(16060556376), "14.96 GiB");
  EXPECT_EQ(human_bytes(1048575), "1.00 MiB");
  EXPECT_EQ(human_bytes(std::numeric_limits<std::uint64_t>::max()), "16.0 EiB");
}

TEST(HumanCount, UsesPowersOfThousand) {
  EXPECT_EQ(human_count(291), "291");
  EXPECT_EQ(human_count(8030261248), "8.03 B");
  EXPECT_EQ(human_count(999999), "1.00 M");
  EXPECT_EQ(human_count(65536), "65.5 K");
  EXPECT_EQ(human_count(999), "999");
}

TEST(HumanRate, IsDecimal) {
  EXPECT_EQ(human_rate(1.9e9), "1.90 GB/s");
  EXPECT_EQ(human_rate(std::nan("")), "-");
}

TEST(HumanDuration, CountsHoursOnlyWhenThereAreSome) {
  EXPECT_EQ(human_duration(41.2), "0:41");
  EXPECT_EQ(human_duration(370), "6:10");
  EXPECT_EQ(human_duration(3753), "1:02:33");
  EXPECT_EQ(human_duration(-1), "-");
  EXPECT_EQ(human_duration(INFINITY), "-");
}

TEST(Numbers, GroupAndShorten) {
  EXPECT_EQ(grouped(1050673152), "1 050 673 152");
  EXPECT_EQ(grouped(12), "12");
  EXPECT_EQ(grouped(123456), "123 456");
  EXPECT_EQ(human_number(-0.91796875), "-0.918");
  EXPECT_EQ(human_number(1.2e-6), "1.2e-06");
  EXPECT_EQ(human_number(-0.0), "0");
  EXPECT_EQ(human_number(std::nan("")), "nan");
  EXPECT_EQ(exact_number(0.1), "0.1");
  EXPECT_EQ(exact_number(1e300), "1e+300");
}

// The short way for whole numbers against the one that fits all.
TEST(Numbers, WholeNumbersAreWrittenAsAllOthersAre) {
  const auto same = [](double value) {
    EXPECT_EQ(exact_number(value), fmt::format("{}", value));
    EXPECT_EQ(exact_number(-value), fmt::format("{}", -value));
    EXPECT_EQ(exact_number(-value), fmt::format("-{}", exact_number(value)));
  };
  for (const double value : {0.0, 1.0, 16.0, 4.5, 65536.0, 999999999999999.0, 1e15, 1e15 + 1, 1e16,
                             9007199254740993.0, 1e17, 1e22, 1.8e19, 0.5, 1e-7}) {
    same(value);
  }
  std::mt19937_64 random(3);
  for (int i = 0; i < 20000; ++i) {
    const double value = std::abs(std::bit_cast<double>(random()));
    if (std::isfinite(value)) same(value);
    same(std::trunc(std::ldexp(static_cast<double>(random()), -static_cast<int>(random() % 64))));
  }
}

TEST(Numbers, IntegersAreAppended) {
  std::string text = "n=";
  append_integer(text, std::numeric_limits<std::uint64_t>::max());
  append_integer(text, std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(text, "n=18446744073709551615-9223372036854775808");
}

}  // namespace
}  // namespace qi
