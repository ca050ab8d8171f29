#include "engine/codec/methods.h"

#include <cstring>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "engine/codec/baselines.h"
#include "engine/tensor/numbers.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

std::vector<std::byte> bf16_rows(std::size_t rows, std::size_t cols) {
  const std::vector<float> drawn = testing_support::trained_like(3, rows, cols);
  std::vector<std::byte> words(2 * drawn.size());
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const std::uint16_t word = float_to_bf16(drawn[i]);
    std::memcpy(words.data() + 2 * i, &word, 2);
  }
  return words;
}

TEST(MethodsTest, NamesAreDistinctAndFound) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < codec_methods().size(); ++i) {
    const MethodInfo& info = codec_methods()[i];
    EXPECT_EQ(static_cast<std::size_t>(info.method), i);
    EXPECT_TRUE(names.insert(info.name).second);
    EXPECT_FALSE(info.description.empty());
    EXPECT_EQ(method_named(info.name), info.method);
  }
  EXPECT_EQ(method_named("gzip"), std::nullopt);
}

TEST(MethodsTest, EachMethodCostsWhatItsKindCosts) {
  const std::vector<std::byte> words = bf16_rows(128, 4096);
  const MethodInput input{words, DType::kBF16, 4096};
  const auto bits = [&](CodecMethod method, bool ratio = false) {
    return 16.0 * static_cast<double>(*method_bytes(method, input, ratio)) /
           static_cast<double>(words.size());
  };
  EXPECT_EQ(bits(CodecMethod::kStore), 16);
  EXPECT_GT(bits(CodecMethod::kLz4), 15.9);
  EXPECT_LT(bits(CodecMethod::kZstd), 13);
  EXPECT_NEAR(bits(CodecMethod::kHuffman), 10.71, 0.03);
  EXPECT_LT(bits(CodecMethod::kPlanes), 10.71);
  EXPECT_LT(bits(CodecMethod::kPlanes, true), 10.62);
  EXPECT_LT(bits(CodecMethod::kPair), 10.67);
}

TEST(MethodsTest, AnyNumbersHaveASize) {
  const std::vector<std::byte> bytes = bf16_rows(3, 101);
  for (const DType type : {DType::kBF16, DType::kF16, DType::kF32, DType::kF64, DType::kI8,
                           DType::kU8, DType::kF8E4M3, DType::kI64}) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{8}, bytes.size() / 8 * 8}) {
      for (const MethodInfo& info : codec_methods()) {
        const MethodInput input{std::span(bytes).first(size), type, 1};
        const auto found = method_bytes(info.method, input);
        EXPECT_EQ(found.has_value(),
                  info.method != CodecMethod::kPair ||
                      (size != 0 && (type == DType::kBF16 || type == DType::kF16)));
        if (found && info.method != CodecMethod::kPair) {
          EXPECT_LE(*found, size + 320);  // a table, a frame
        }
      }
    }
  }
}

TEST(MethodsTest, HuffmanFramesComeBack) {
  testing_support::Random random(4);
  HuffmanCoder coder;
  for (const std::size_t size : {0, 1, 100, 131072, 131073, 400000}) {
    std::vector<std::byte> bytes(size);
    for (auto& b : bytes) b = static_cast<std::byte>(__builtin_ctzll(random.next() | 1u << 20));
    const auto frame = coder.encode(bytes);
    std::vector<std::byte> out(size);
    EXPECT_TRUE(coder.decode(frame, out));
    EXPECT_EQ(out, bytes);
    if (size > 1000) {
      EXPECT_LT(frame.size(), size / 3);
    }
  }
}

}  // namespace
}  // namespace qi
