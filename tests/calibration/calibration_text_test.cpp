#include "eval/calibration/calibration_text.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "eval/tokenizer/tokenizer.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/open_path.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

Ids counting(std::int32_t count) {
  Ids ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

TEST(CalibrationText, SequencesAreSpreadOverTheText) {
  const CalibrationText text = cut_calibration(counting(20), {3, 4}, 100, 0);
  EXPECT_EQ(text.samples, 3u);
  EXPECT_THAT(text.tokens, ElementsAre(0, 1, 2, 3, 6, 7, 8, 9, 13, 14, 15, 16));
  EXPECT_EQ(text.sample(1)[0], 6);
  EXPECT_EQ(text.warning, "");
  EXPECT_EQ(text.digest.size(), 16u);
}

TEST(CalibrationText, SaysWhatThereIsWhenItIsShort) {
  const CalibrationText text = cut_calibration(counting(20), {8, 6}, 100, 0);
  EXPECT_EQ(text.samples, 3u);
  EXPECT_EQ(text.warning, "it gives 3 sequences of 6 tokens, 8 were asked for");
  // What is not said: the model's limit, or all of the text.
  EXPECT_EQ(cut_calibration(counting(20), {1, 0}, 100, 7).length, 7u);
  EXPECT_EQ(cut_calibration(counting(20), {1, 0}, 100, 0).length, 20u);
  EXPECT_EQ(cut_calibration(counting(5000), {1, 0}, 0, 0).length, 2048u);
}

TEST(CalibrationText, DigestIsOfWhatIsUsed) {
  const auto digest = [](std::int32_t count, std::uint64_t samples, std::uint64_t length) {
    return cut_calibration(counting(count), {samples, length}, 0, 0).digest;
  };
  EXPECT_EQ(digest(20, 1, 4), digest(21, 1, 4));
  EXPECT_NE(digest(20, 2, 4), digest(20, 1, 8));
  EXPECT_NE(digest(20, 1, 4), digest(20, 2, 4));
}

TEST(CalibrationText, RefusesWhatCannotBe) {
  const Error bad_id = test::thrown_by([] { cut_calibration({1, 9, 2}, {}, 9, 0); });
  EXPECT_EQ(bad_id.code, ErrorCode::kBadValue);
  EXPECT_EQ(bad_id.message, "token id 9");
  EXPECT_EQ(test::thrown_by([] { cut_calibration({1, -1}, {}, 0, 0); }).message, "token id -1");
  const Error none = test::thrown_by([] { cut_calibration(counting(5), {1, 6}, 0, 0); });
  EXPECT_EQ(none.code, ErrorCode::kBadValue);
  EXPECT_THAT(none.expected, HasSubstr("at least 6"));
  EXPECT_EQ(test::thrown_by([] { cut_calibration({}, {}, 0, 0); }).code, ErrorCode::kBadValue);
  EXPECT_EQ(test::thrown_by([] {
              cut_calibration(counting(50), {1, 20}, 0, 16);
            }).code,
            ErrorCode::kUsage);
}

TEST(CalibrationText, FilesOfTextAndOfIds) {
  const std::string folder = test::kData + "/models/stories260K";
  const Model model = test::open_path(folder);
  const test::TempDir files;
  const auto read = [&](const std::string& name, const std::string& bytes) {
    files.write(name, bytes);
    return read_calibration(files / name, {2, 3}, model);
  };
  EXPECT_THAT(read("ids.json", "[5, 6, 7, 8, 9, 10]").tokens, ElementsAre(5, 6, 7, 8, 9, 10));
  EXPECT_THAT(read("rows.json", "[[5, 6], [7, 8, 9, 10]]").tokens, ElementsAre(5, 6, 7, 8, 9, 10));
  for (const char* bad : {"[1, 2.5]", "{}", "[1, ", "[[1], 2]", "[\"a\"]", "[99999999999]"}) {
    const Error error = test::thrown_by([&] { read("bad.json", bad); });
    EXPECT_EQ(error.code, ErrorCode::kBadSchema) << bad;
    EXPECT_EQ(error.file, files / "bad.json") << bad;
  }
  EXPECT_EQ(test::thrown_by([&] { read("far.json", "[1, 2, 512, 3]"); }).expected,
            "less than 512, the size of the vocabulary");
  EXPECT_EQ(test::thrown_by([&] { read("empty.txt", ""); }).code, ErrorCode::kBadValue);

  const std::string story = "Once upon a time there was a girl";
  const auto tokenizer = load_tokenizer(model);
  Ids expected = tokenizer->encode(story);
  if (tokenizer->add_bos()) expected.insert(expected.begin(), *tokenizer->bos());
  const CalibrationText text = read("story.txt", story);
  EXPECT_TRUE(std::equal(text.sample(0).begin(), text.sample(0).end(), expected.begin()));
}

}  // namespace
}  // namespace qi
