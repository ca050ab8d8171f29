#include "app/result_plot.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace qi {
namespace {

/// A whole configuration of that many bits a weight.
ResultRow plotted(const std::string& family, double bits, double snr_db) {
  ResultRow row;
  row.tensor = "*";
  row.config.family = family;
  row.weights = 1000;
  row.bytes_out = static_cast<std::uint64_t>(bits * 125);
  row.snr_db = snr_db;
  row.mse = 1e-6;
  return row;
}

TEST(ResultPlot, PerplexityWhereTwoHaveOneElseSnr) {
  std::vector<ResultRow> rows = {plotted("zfp", 4, 20), plotted("zfp", 8, 30),
                                 plotted("rtn", 8, 25)};
  rows[0].perplexity = 41;
  const std::string snr = result_plot(rows, 80, true);
  EXPECT_NE(snr.find("SNR"), std::string::npos);
  EXPECT_NE(snr.find("●"), std::string::npos);  // the front
  EXPECT_NE(snr.find("△▲ rtn"), std::string::npos);
  rows[2].perplexity = 40;
  const std::string evaluated = result_plot(rows, 80, true);
  EXPECT_NE(evaluated.find("perplexity"), std::string::npos);
  EXPECT_EQ(std::count(evaluated.begin(), evaluated.end(), '\n'), 27);
}

TEST(ResultPlot, PlainSignsAndNothingToDraw) {
  const std::vector<ResultRow> rows = {plotted("gptq", 4, 20), plotted("no\nsuch", 8, 30)};
  const std::string plain = result_plot(rows, 60, false);
  EXPECT_TRUE(std::all_of(plain.begin(), plain.end(), [](char c) { return c > 0; }));
  EXPECT_NE(plain.find("gG gptq"), std::string::npos);
  EXPECT_EQ(std::count(plain.begin(), plain.end(), '\n'), 27);
  EXPECT_EQ(std::count_if(plain.begin(), plain.end(), [](char c) { return c == 'G'; }), 2);
  EXPECT_FALSE(result_plot({}, 60, true).empty());
}

}  // namespace
}  // namespace qi
