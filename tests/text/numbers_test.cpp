#include "engine/text/numbers.h"

#include <cmath>
#include <limits>

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

}  // namespace
}  // namespace qi
