#include "engine/io/reader.h"

#include <gtest/gtest.h>

#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::thrown_by;

class ReaderTest : public testing::Test {
 protected:
  std::shared_ptr<const File> make(std::string_view bytes) {
    return File::open(dir_.write("file", bytes));
  }
  static std::string text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  test::TempDir dir_;
};

TEST_F(ReaderTest, NumbersInBothByteOrders) {
  const auto file =
      make(std::string_view("\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x80\x3f\xfe", 13));
  Reader little(file);
  EXPECT_EQ(little.number<std::uint64_t>("n"), 0x0807060504030201u);
  EXPECT_EQ(little.number<float>("f"), 1.0f);
  EXPECT_EQ(little.number<std::int8_t>("i"), -2);
  EXPECT_EQ(little.remaining(), 0u);
  Reader big(file);
  big.set_big_endian(true);
  EXPECT_EQ(big.number<std::uint16_t>("n"), 0x0102u);
  EXPECT_EQ(big.number<std::uint32_t>("n"), 0x03040506u);
  EXPECT_EQ(big.position(), 6u);
}

TEST_F(ReaderTest, ReadsAcrossItsWindows) {
  std::string content(3'000'000, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 31 >> 3);
  const auto file = make(content);
  Reader reader(file);
  std::size_t at = 0;
  for (std::size_t step = 1; at + step <= content.size(); step = step * 5 / 3 + 1) {
    EXPECT_EQ(text(reader.take(step, "bytes")), content.substr(at, step));
    at += step;
    if (at + 17 > content.size()) break;
    reader.skip(17, "gap");
    at += 17;
    EXPECT_EQ(reader.position(), at);
  }
}

TEST_F(ReaderTest, NeverPassesTheEnd) {
  const auto file = make("0123456789");
  Reader reader(file, 4);
  EXPECT_EQ(text(reader.take(4, "bytes")), "4567");
  const Error error = thrown_by([&] { reader.take(3, "the tail"); });
  EXPECT_EQ(error.code, ErrorCode::kTruncated);
  EXPECT_EQ(error.offset, 8u);
  EXPECT_EQ(error.message, "file ends inside the tail");
  EXPECT_EQ(error.file, file->path());
  EXPECT_EQ(reader.position(), 8u) << "a failed take moves nothing";
  EXPECT_EQ(thrown_by([&] { reader.skip(UINT64_MAX, "gap"); }).code, ErrorCode::kTruncated);
  EXPECT_EQ(thrown_by([&] { reader.take(SIZE_MAX, "bytes"); }).code, ErrorCode::kTruncated);
  EXPECT_EQ(text(reader.take(2, "bytes")), "89");
  EXPECT_EQ(reader.take(0, "nothing").size(), 0u);
}

TEST_F(ReaderTest, KeepsToItsRange) {
  const auto file = make("0123456789");
  Reader reader(file, 2, 5);
  EXPECT_EQ(reader.remaining(), 3u);
  EXPECT_EQ(thrown_by([&] { reader.take(4, "bytes"); }).code, ErrorCode::kTruncated);
  EXPECT_EQ(text(reader.take(3, "bytes")), "234");
}

TEST_F(ReaderTest, RangesOutsideTheFileAreEmpty) {
  const auto file = make("0123456789");
  for (Reader reader : {Reader(file, 11), Reader(file, UINT64_MAX), Reader(file, 7, 3)}) {
    EXPECT_EQ(reader.remaining(), 0u);
    EXPECT_EQ(thrown_by([&] { reader.skip(1, "gap"); }).code, ErrorCode::kTruncated);
  }
  Reader reader(file, 8, 100);
  EXPECT_EQ(reader.remaining(), 2u);
  EXPECT_EQ(text(reader.take(2, "bytes")), "89");
}

}  // namespace
}  // namespace qi
