// Arrays that stay in the file: read from any place, a page at a time.
#include "engine/tensor/metadata.h"

#include <cstring>
#include <limits>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::ByteWriter;
using testing::ElementsAre;

constexpr std::uint64_t kAll = std::numeric_limits<std::uint64_t>::max();

// `bytes` between two others, so that a wrong offset shows.
MetaArray array_of(const test::TempDir& folder, std::uint32_t type, std::uint64_t count,
                   const std::string& bytes, bool big_endian = false) {
  MetaArray array;
  array.element_type = type;
  array.count = count;
  array.file =
      File::open(folder.write(fmt::format("array{}-{}", type, count), "before" + bytes + "after"));
  array.offset = 6;
  array.size_bytes = bytes.size();
  array.big_endian = big_endian;
  return array;
}

std::string numbers(int count, bool big_endian = false) {
  ByteWriter out(big_endian);
  for (int i = 0; i < count; ++i) out.number<std::uint32_t>(static_cast<std::uint32_t>(i));
  return out.str();
}

std::string texts(int count) {
  ByteWriter out;
  for (int i = 0; i < count; ++i) out.text(fmt::format("t{}", std::string(i % 7U, 'x')));
  return out.str();
}

TEST(MetaArray, PagesOfAnySizeGiveWhatOneReadGives) {
  const test::TempDir folder;
  for (const bool text : {false, true}) {
    const MetaArray array =
        text ? array_of(folder, 8, 250, texts(250)) : array_of(folder, 4, 250, numbers(250));
    const std::vector<std::string> whole = array_elements(array, 1000);
    ASSERT_EQ(whole.size(), 250U);
    for (const std::uint64_t page : {1U, 7U, 100U, 249U, 250U, 300U}) {
      ArrayPlace place;
      std::vector<std::string> joined;
      while (place.index < array.count) {
        const std::vector<std::string> some = array_elements(array, place, page, kAll);
        ASSERT_FALSE(some.empty());
        ASSERT_LE(some.size(), page);
        joined.insert(joined.end(), some.begin(), some.end());
      }
      EXPECT_EQ(joined, whole);
      EXPECT_EQ(place.offset_bytes, array.size_bytes);
      EXPECT_TRUE(array_elements(array, place, page, kAll).empty());
    }
  }
}

TEST(MetaArray, SkippingComesToTheSamePlaceAsReading) {
  const test::TempDir folder;
  for (const MetaArray& array :
       {array_of(folder, 8, 60, texts(60)), array_of(folder, 4, 60, numbers(60))}) {
    for (const std::uint64_t count : {0U, 1U, 33U, 60U}) {
      ArrayPlace read, skipped;
      array_elements(array, read, count, kAll);
      skip_elements(array, skipped, count);
      EXPECT_EQ(skipped.index, read.index);
      EXPECT_EQ(skipped.offset_bytes, read.offset_bytes);
    }
    ArrayPlace place;
    skip_elements(array, place, 1000);
    EXPECT_EQ(place.index, 60U);
  }
}

TEST(MetaArray, OtherByteOrderAndCutTexts) {
  const test::TempDir folder;
  const MetaArray big = array_of(folder, 4, 3, numbers(3, true), true);
  EXPECT_THAT(array_elements(big, 9), ElementsAre("0", "1", "2"));
  const MetaArray text = array_of(folder, 8, 2, ByteWriter().text("abcdef").text("gh").str());
  ArrayPlace place;
  EXPECT_THAT(array_elements(text, place, 2, 3), ElementsAre("abc", "gh"));
}

TEST(MetaArray, ArraysInsideShowTheirLengthAndTheirFirstElements) {
  const test::TempDir folder;
  ByteWriter out;
  out.number<std::uint32_t>(4).number<std::uint64_t>(2).bytes(numbers(2));
  out.number<std::uint32_t>(8).number<std::uint64_t>(10);
  for (int i = 0; i < 10; ++i) out.text(std::to_string(i));
  out.number<std::uint32_t>(9).number<std::uint64_t>(1);
  out.number<std::uint32_t>(0).number<std::uint64_t>(1).number<std::uint8_t>(7);
  const MetaArray array = array_of(folder, 9, 3, out.str());
  EXPECT_THAT(array_elements(array, 9),
              ElementsAre("[2] 0, 1", "[10] 0, 1, 2, 3, 4, 5, 6, 7, …", "[1] [1] 7"));
  ArrayPlace place;
  skip_elements(array, place, 3);
  EXPECT_EQ(place.offset_bytes, array.size_bytes);
}

TEST(MetaArray, AnArrayThatEndsEarlyIsAnErrorAndNotMore) {
  const test::TempDir folder;
  EXPECT_EQ(test::class_of([&] { array_elements(array_of(folder, 4, 5, numbers(3)), 5); }),
            "truncated");
  const std::string lie = ByteWriter().number<std::uint64_t>(kAll).str();
  EXPECT_EQ(test::class_of([&] { array_elements(array_of(folder, 8, 1, lie), 1); }), "truncated");
  ByteWriter inner;
  inner.number<std::uint32_t>(10).number<std::uint64_t>(kAll / 4);
  EXPECT_EQ(test::class_of([&] {
              ArrayPlace place;
              skip_elements(array_of(folder, 9, 1, inner.str()), place, 1);
            }),
            "truncated");
}

}  // namespace
}  // namespace qi
