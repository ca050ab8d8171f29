#include "app/progress.h"

#include <gtest/gtest.h>

namespace qi {
namespace {

TEST(ProgressLine, SaysHowFarHowFastHowLong) {
  const ProgressState state{410, 1000, 118, 291, 1.9e9, 41};
  EXPECT_EQ(progress_line("stats", state, 0, false, true),
            "stats 118/291  41%  1.90 GB/s  ETA 0:41");
  EXPECT_EQ(progress_line("stats", state, 10, true, true),
            "stats 118/291  41%  ####......  1.90 GB/s  ETA 0:41");
  EXPECT_EQ(progress_line("stats", state, 5, false, true),
            "stats 118/291  41%  ▓▓░░░  1.90 GB/s  ETA 0:41");
}

TEST(ProgressLine, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(progress_line("diff", {0, 0, 0, 0, 0, {}}, 0, true, false), "diff  100%");
  EXPECT_EQ(progress_line("diff", {1, 4, 0, 0, 2e6, {}}, 0, true, false), "diff  25%  2.00 M/s");
}

}  // namespace
}  // namespace qi
