// Lossless codecs on every type of number and on rows longer than a block.
#include <cstring>

#include <gtest/gtest.h>

#include "engine/methods/method.h"
#include "engine/tensor/numbers.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

std::vector<std::byte> numbers_of(DType type, std::uint64_t count) {
  const auto drawn = testing_support::trained_like(count, 1, count);
  std::vector<std::byte> out(*stored_bytes(type, count));
  if (type == DType::kF16) {
    floats_to_f16(drawn.data(), count, out.data());
  } else if (type == DType::kBF16) {
    floats_to_bf16(drawn.data(), count, out.data());
  } else {
    for (std::uint64_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<std::byte>(static_cast<int>(drawn[i % count] * 1000));
    }
  }
  return out;
}

TEST(Lossless, EveryTypeComesBackFromEveryCodec) {
  const MethodFamily& family = *find_family("lossless");
  for (const DType type : {DType::kBF16, DType::kF16, DType::kF32, DType::kF64, DType::kI8,
                           DType::kU8, DType::kI64, DType::kF8E4M3, DType::kF4, DType::kF6E2M3}) {
    for (const auto& [rows, cols] :
         {std::pair<std::uint64_t, std::uint64_t>{3, 300000}, {2000, 400}, {1, 8}, {7, 12}}) {
      const MatrixInfo matrix{rows, cols, rows, type, {}};
      const auto stored = numbers_of(type, rows * cols);
      std::vector<float> values(rows * cols);
      to_floats(type, stored.data(), values.size(), false, values.data());
      const std::uint64_t row_bytes = stored.size() / rows;
      for (const Params& params : family.expand({})) {
        SCOPED_TRACE(params.text() + " " + std::string(info(type).name));
        if (params.get("codec") == "pair" && type != DType::kBF16 && type != DType::kF16) {
          EXPECT_NE(family.unfit(params, matrix), "");
          continue;
        }
        ASSERT_EQ(family.unfit(params, matrix), "");
        const auto coder = family.make(params, matrix);
        const auto rows_at = [&](std::uint64_t first, std::uint64_t count) {
          return MatrixRows{first, count, std::span(values).subspan(first * cols, count * cols),
                            std::span(stored).subspan(first * row_bytes, count * row_bytes)};
        };
        coder->survey(rows_at(0, rows));
        coder->finish_survey();
        std::vector<std::byte> coded, back(stored.size());
        const std::uint64_t step = coder->strip_rows();
        for (std::uint64_t at = 0; at < rows; at += step) {
          const std::uint64_t count = std::min(step, rows - at);
          coder->encode(rows_at(at, count), coded);
          coder->decode(
              coded, {at, count, {}, std::span(back).subspan(at * row_bytes, count * row_bytes)});
        }
        EXPECT_TRUE(back == stored);
      }
    }
  }
}

TEST(Lossless, WhatCannotBeIsSaid) {
  const MethodFamily& family = *find_family("lossless");
  const Params store = Params::parse("codec=store");
  EXPECT_EQ(family.unfit(store, {4, 3, 4, DType::kF4, {}}), "a row of 3 F4 does not end at a byte");
  EXPECT_EQ(family.unfit(store, {4, 256, 4, DType::kQ4K, {}}),
            "Q4_K is not stored as plain numbers");
}

}  // namespace
}  // namespace qi
