#include "eval/results/row_sums.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "eval/results/results.h"

namespace qi {
namespace {

void expect_same(const std::optional<double>& a, const std::optional<double>& b) {
  ASSERT_EQ(a.has_value(), b.has_value());
  if (a) {
    EXPECT_DOUBLE_EQ(*a, *b);
  }
}

TEST(RowSums, AsTheTotalOfAll) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<ResultRow> rows(random() % 9);
    RowSums sums;
    for (ResultRow& row : rows) {
      const auto maybe = [&]() -> std::optional<double> {
        if (random() % 4 == 0) return std::nullopt;
        return static_cast<double>(random() % 1000) / 7;
      };
      row.tensor = "w";
      row.ok = random() % 5 != 0;
      row.weights = random() % 100;
      row.bytes_in = random() % 1000;
      row.bytes_out = random() % 1000;
      for (auto* value : {&row.mse, &row.relative_error, &row.snr_db, &row.psnr_db, &row.cosine,
                          &row.output_error, &row.max_abs_error, &row.encode_s, &row.decode_s}) {
        *value = maybe();
      }
      sums.add(row);
    }
    const ResultRow whole = total_of(rows, {}, 0), summed = sums.total();
    EXPECT_EQ(sums.rows(), rows.size());
    EXPECT_EQ(whole.weights, summed.weights);
    EXPECT_EQ(whole.bytes_in, summed.bytes_in);
    EXPECT_EQ(whole.bytes_out, summed.bytes_out);
    EXPECT_EQ(whole.ok, summed.ok);
    for (auto measure :
         {&ResultRow::mse, &ResultRow::rmse, &ResultRow::relative_error, &ResultRow::snr_db,
          &ResultRow::psnr_db, &ResultRow::cosine, &ResultRow::output_error,
          &ResultRow::max_abs_error, &ResultRow::encode_s, &ResultRow::decode_s}) {
      expect_same(whole.*measure, summed.*measure);
    }
  }
}

TEST(RowSums, KeepsWhatAllShare) {
  ResultRow row;
  row.tensor = "w";
  row.run = 4;
  row.config.family = "zfp";
  row.layer = 3;
  RowSums sums;
  sums.add(row);
  row.layer = 4;
  sums.add(row);
  row.tensor = "*";
  sums.add(row);
  EXPECT_EQ(sums.rows(), 2u);
  EXPECT_EQ(sums.total().run, 4);
  EXPECT_EQ(sums.total().config.family, "zfp");
  EXPECT_EQ(sums.total().layer, -1);
}

}  // namespace
}  // namespace qi
