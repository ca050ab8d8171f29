#include "engine/jobs/rate.h"

#include <gtest/gtest.h>

namespace qi {
namespace {

TEST(RateEstimate, IsRightFromTheFirstSample) {
  RateEstimate rate;
  EXPECT_EQ(rate.per_second(), 0);
  rate.add(30, 0.1);
  EXPECT_DOUBLE_EQ(rate.per_second(), 300);
  for (int i = 0; i < 100; ++i) rate.add(30, 0.1);
  EXPECT_DOUBLE_EQ(rate.per_second(), 300);
}

TEST(RateEstimate, DoesNotDependOnHowTimeIsCut) {
  RateEstimate coarse;
  coarse.add(100, 2);
  coarse.add(600, 3);
  RateEstimate fine;
  for (int i = 0; i < 20; ++i) fine.add(5, 0.1);
  for (int i = 0; i < 30; ++i) fine.add(20, 0.1);
  EXPECT_NEAR(fine.per_second(), coarse.per_second(), 1e-9);
}

TEST(RateEstimate, FollowsAChangeWithinAFewSeconds) {
  RateEstimate rate;
  for (int i = 0; i < 100; ++i) rate.add(100, 1);
  for (int i = 0; i < 15; ++i) rate.add(0, 1);
  EXPECT_LT(rate.per_second(), 6);
}

TEST(RateEstimate, WorkWithoutTimeIsNotLost) {
  RateEstimate rate;
  rate.add(50, 0);
  EXPECT_EQ(rate.per_second(), 0);
  rate.add(50, 1);
  EXPECT_DOUBLE_EQ(rate.per_second(), 100);
}

}  // namespace
}  // namespace qi
