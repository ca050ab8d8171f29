#include "engine/codec/huff0.h"

#include <cstdint>
#include <random>

#include <gtest/gtest.h>

namespace qi {
namespace {

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(Huff0Test, OneByteIsARun) {
  Huff0Decoder decoder;
  std::vector<std::byte> out(100);
  ASSERT_TRUE(decoder.decode(bytes_of({7}), out));
  EXPECT_EQ(out, std::vector<std::byte>(100, std::byte{7}));
}

TEST(Huff0Test, AsManyBytesAreRaw) {
  Huff0Decoder decoder;
  std::vector<std::byte> out(3);
  ASSERT_TRUE(decoder.decode(bytes_of({1, 2, 3}), out));
  EXPECT_EQ(out, bytes_of({1, 2, 3}));
}

TEST(Huff0Test, RefusesNothingAndTooMuch) {
  Huff0Decoder decoder;
  std::vector<std::byte> out(3);
  EXPECT_FALSE(decoder.decode({}, out));
  EXPECT_FALSE(decoder.decode(bytes_of({1, 2, 3, 4}), out));
  EXPECT_FALSE(decoder.decode({}, {}));
}

/// Two symbols of one bit each, written by hand after RFC 8878, 4.2: direct weights {1} for symbol
/// 0 and the implied weight of symbol 1, then four streams of `out_size` / 4 bits and an end mark.
TEST(Huff0Test, DecodesFourStreams) {
  // Header byte 128: one weight, in four bits. Each stream: 8 symbols as bits, last symbol in the
  // lowest bit, the end mark above them.
  const auto payload = bytes_of({128, 0x10, 2, 0, 2, 0, 2, 0,  //
                                 0x55, 1, 0xFF, 1, 0x00, 1, 0x0F, 1});
  const auto expected = bytes_of({0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1});
  Huff0Decoder decoder;
  std::vector<std::byte> out(32);
  ASSERT_TRUE(decoder.decode(payload, out));
  EXPECT_EQ(out, expected);
  // Cut anywhere, or with another size declared, it is not that any more.
  for (std::size_t size = 2; size < payload.size(); ++size) {
    EXPECT_FALSE(decoder.decode(std::span(payload).first(size), out)) << size;
  }
  for (const std::size_t last : {9u, 11u, 13u, 15u}) {
    auto unmarked = payload;
    unmarked[last] = std::byte{0};
    EXPECT_FALSE(decoder.decode(unmarked, out)) << last;
  }
  std::vector<std::byte> longer(36);
  EXPECT_FALSE(decoder.decode(payload, longer));
  ASSERT_TRUE(decoder.decode(payload, out)) << "a failure leaves the decoder usable";
  EXPECT_EQ(out, expected);
}

TEST(Huff0Test, SurvivesRandomBytes) {
  std::mt19937 random(1);
  Huff0Decoder decoder;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> payload(2 + random() % 200);
    for (std::byte& byte : payload) byte = static_cast<std::byte>(random());
    std::vector<std::byte> out(payload.size() + 1 + random() % 400);
    static_cast<void>(decoder.decode(payload, out));
  }
}

TEST(Huff0Test, FullBlocks) {
  std::vector<std::byte> out(kHuff0BlockBytes);
  Huff0Decoder decoder;
  EXPECT_TRUE(decoder.decode(bytes_of({9}), out));
  EXPECT_FALSE(decoder.decode(std::vector<std::byte>(kHuff0BlockBytes - 1, std::byte{0x77}), out));
}

}  // namespace
}  // namespace qi
