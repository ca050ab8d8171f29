#include "app/writer.h"

#include <array>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/text/utf8.h"
#include "engine/text/width.h"

namespace qi {
namespace {

class StringOutput : public Output {
 public:
  std::string text;

 protected:
  void put(std::string_view part) override { text += part; }
};

constexpr Column kColumns[] = {
    {"model", "model", ColumnKind::kText, 30, true}, {"tensor", "weight", ColumnKind::kText, 100},
    {"shape", "shape", ColumnKind::kRight, 90},      {"bytes", "size", ColumnKind::kBytes, 80},
    {"mean", "mean", ColumnKind::kReal, 10},         {"offset", "offset", ColumnKind::kGrouped, 0},
};

std::string written(const WriterStyle& style, const std::vector<Row>& rows) {
  StringOutput output;
  const auto writer = make_writer(style, kColumns, output);
  writer->title("a title");
  for (const Row& row : rows) writer->row(row);
  writer->finish();
  return output.text;
}

Row row_of(std::string name, double mean = 0.5) {
  return {Field(std::string("m")),
          Field(std::move(name)),
          Field(std::string("4x8")),
          Field(std::uint64_t{1048576}),
          Field(mean),
          Field(std::uint64_t{1050673152})};
}

std::string csv_field(const std::string& text, bool terminal = false) {
  std::string out;
  append_csv_field(out, Field(text), terminal);
  return out;
}

TEST(Csv, QuotesAsRfc4180) {
  EXPECT_EQ(csv_field("plain"), "plain");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(csv_field("a\r\nb"), "\"a\r\nb\"");
  EXPECT_EQ(csv_field("a\tb"), "\"a\tb\"");
  EXPECT_EQ(csv_field("back\\slash"), "back\\slash");
  EXPECT_EQ(csv_field(" lead"), "\" lead\"");
}

TEST(Csv, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(csv_field("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(csv_field("a\nb", true), "a\\nb");
  EXPECT_EQ(csv_field("\xFF"), "\\xff");
}

TEST(Csv, GuardsFormulas) {
  EXPECT_EQ(csv_field("=1+1"), "'=1+1");
  EXPECT_EQ(csv_field("+1"), "'+1");
  EXPECT_EQ(csv_field("-1"), "'-1");
  EXPECT_EQ(csv_field("@SUM(1)"), "'@SUM(1)");
  EXPECT_EQ(csv_field("\t=1"), "\"'\t=1\"");
  EXPECT_EQ(csv_field("\rx"), "\"'\rx\"");
  std::string number;
  append_csv_field(number, Field(-1.5), false);
  EXPECT_EQ(number, "-1.5");
}

TEST(Csv, HasAHeaderAndRawNumbers) {
  EXPECT_EQ(written({Format::kCsv}, {row_of("w", -0.25)}),
            "model,tensor,shape,bytes,mean,offset\r\nm,w,4x8,1048576,-0.25,1050673152\r\n");
  EXPECT_EQ(written({Format::kCsv}, {}), "model,tensor,shape,bytes,mean,offset\r\n");
  Row empty(6);
  EXPECT_EQ(written({Format::kCsv}, {empty}), "model,tensor,shape,bytes,mean,offset\r\n,,,,,\r\n");
}

TEST(Json, IsOneDocumentWithTheColumnsNames) {
  const auto document = nlohmann::json::parse(written({Format::kJson}, {row_of("w"), row_of("x")}));
  EXPECT_EQ(document["schema"], 1);
  ASSERT_EQ(document["rows"].size(), 2u);
  EXPECT_EQ(document["rows"][1]["tensor"], "x");
  EXPECT_EQ(document["rows"][0]["offset"], 1050673152);
  EXPECT_EQ(nlohmann::json::parse(written({Format::kJson}, {}))["rows"].size(), 0u);
}

TEST(Json, HasNoNanAndNoBrokenText) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::string text =
      written({Format::kJson}, {row_of("a\xFF\x1b\n", std::nan("")), row_of("x", -inf)});
  ASSERT_TRUE(is_utf8(text));
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  const auto rows = nlohmann::json::parse(text)["rows"];
  EXPECT_TRUE(rows[0]["mean"].is_null());
  EXPECT_TRUE(rows[1]["mean"].is_null());
  EXPECT_EQ(rows[0]["tensor"], "a\uFFFD\x1b\n");
  EXPECT_EQ(rows[0]["name_hex"], "61ff1b0a");
  EXPECT_FALSE(rows[1].contains("name_hex"));
}

TEST(Json, DoublesReadBackExactly) {
  for (const double value : {0.1, 1e300, -2.5e-310, 12345678.9}) {
    const auto rows = nlohmann::json::parse(written({Format::kJson}, {row_of("w", value)}))["rows"];
    EXPECT_EQ(rows[0]["mean"].get<double>(), value);
  }
}

// Texts that the row owns and texts that something else does.
TEST(Writers, PrintBorrowedTextLikeTheirOwn) {
  for (const std::string name : {"w", "", "a,b", "=1", "a\xFF\x1b\n", "\\", "größe"}) {
    Row borrowed = row_of(name);
    borrowed[0] = std::string_view("m");
    borrowed[1] = std::string_view(name);
    borrowed[2] = std::string_view("4x8");
    for (const Format format : {Format::kTable, Format::kCsv, Format::kJson}) {
      EXPECT_EQ(written({format}, {borrowed, row_of("x"), borrowed, borrowed}),
                written({format}, {row_of(name), row_of("x"), row_of(name), row_of(name)}));
    }
  }
}

TEST(Table, AlignsByCellsAndPutsUnitsIntoTheHeader) {
  EXPECT_EQ(written({Format::kTable}, {row_of("重み"), row_of("weight.x", -1)}),
            "a title\n"
            "weight    shape  size MiB  mean\n"
            "重み        4x8      1.00   0.5\n"
            "weight.x    4x8      1.00    -1\n");
}

TEST(Table, PrintsNothingButTitlesWithoutRows) {
  EXPECT_EQ(written({Format::kTable}, {}), "a title\n");
}

TEST(Table, ShowsAColumnThatVariesOnlyThen) {
  Row other = row_of("w");
  other[0] = std::string("other");
  const std::string text = written({Format::kTable}, {row_of("w"), other});
  EXPECT_NE(text.find("model"), std::string::npos);
}

TEST(Table, FitsAnyTerminal) {
  std::vector<Row> rows;
  for (int i = 0; i < 5; ++i) {
    rows.push_back(row_of("model.layers.17.self_attn.q_proj.重み\u0301.weight", 1e-9 * i));
  }
  for (int width = 1; width < 130; ++width) {
    for (const bool ascii : {false, true}) {
      WriterStyle style{Format::kTable, true, width, false, ascii};
      std::string text = written(style, rows);
      text.erase(0, text.find('\n') + 1);  // the title is its owner's
      std::size_t begin = 0;
      while (begin < text.size()) {
        const std::size_t end = text.find('\n', begin);
        ASSERT_LE(display_width(text.substr(begin, end - begin)), std::max(width, 6)) << width;
        begin = end + 1;
      }
    }
  }
}

TEST(Table, MinorColumnsLeaveBeforeANameIsShortened) {
  constexpr std::array kWide = {
      Column{"file", "file", ColumnKind::kText, 20},
      Column{"tensor", "weight", ColumnKind::kText, 100},
      Column{"role", "role", ColumnKind::kLabel, 25},
      Column{"scheme", "scheme", ColumnKind::kLabel, 72},
      Column{"shape", "shape", ColumnKind::kRight, 90},
  };
  const std::string name = "model.layers.17.self_attn.q_proj.weight";
  const Row row = {std::string("model-00001-of-00002.safetensors"), name, std::string("q"),
                   std::string("compressed-tensors"), std::string("4096x4096")};
  const auto at = [&](int width) {
    StringOutput output;
    const auto writer = make_writer({Format::kTable, true, width}, kWide, output);
    writer->row(row);
    writer->finish();
    return output.text;
  };
  EXPECT_NE(at(140).find("model-00001-of-00002.safetensors"), std::string::npos);
  for (int width = 40; width < 140; ++width) {
    const std::string text = at(width);
    const bool whole = text.find(name) != std::string::npos;
    EXPECT_TRUE(whole || text.find("file") == std::string::npos) << text;
  }
  // Others leave once a name has half the line.
  EXPECT_NE(at(64).find("compressed-tensors"), std::string::npos) << at(64);
  EXPECT_NE(at(64).find("model.layers.17.…"), std::string::npos) << at(64);
  EXPECT_NE(at(50).find(name), std::string::npos) << at(50);
  EXPECT_EQ(at(50).find("compressed"), std::string::npos);
}

// Cells that repeat are kept once: whatever repeats where, the table is that of rows padded by
// hand.
TEST(Table, RowsThatRepeatAreAllThere) {
  constexpr std::array kThree = {
      Column{"a", "a", ColumnKind::kLabel, 50},
      Column{"b", "b", ColumnKind::kInteger, 50},
      Column{"c", "c", ColumnKind::kLabel, 50},
  };
  std::mt19937 random(4);
  for (int round = 0; round < 50; ++round) {
    std::vector<Row> rows;
    // A word in the first row, so that no column is left out and all widths are known.
    rows.push_back({std::string("left"), std::uint64_t{1234}, std::string("last")});
    for (unsigned n = random() % 40; n > 0; --n) {
      const auto pick = [&] { return random() % 3; };
      rows.push_back({pick() == 0 ? Field() : Field(std::string(pick() == 0 ? "x" : "yy")),
                      pick() == 0 ? Field() : Field(std::uint64_t{pick() == 0 ? 7u : 70u}),
                      pick() == 0 ? Field() : Field(std::string(pick() == 0 ? "z" : "zz"))});
    }
    std::string plain = "a        b  c\n";
    for (const Row& row : rows) {
      plain += pad_right(human_cell(row[0], ColumnKind::kLabel), 4) + "  " +
               pad_left(human_cell(row[1], ColumnKind::kInteger), 4) + "  " +
               human_cell(row[2], ColumnKind::kLabel) + "\n";
    }
    StringOutput output;
    const auto writer = make_writer({Format::kTable}, kThree, output);
    for (const Row& row : rows) writer->row(row);
    writer->finish();
    EXPECT_EQ(output.text, plain);
  }
}

TEST(Table, OneEndlessNameDoesNotWidenEveryLine) {
  const std::string text =
      written({Format::kTable}, {row_of(std::string(60'000, 'x')), row_of("w")});
  EXPECT_LT(text.size(), 1000u);
}

TEST(Table, EscapesNames) {
  const std::string text = written({Format::kTable}, {row_of("\x1b[2J\nx")});
  EXPECT_NE(text.find("\\x1b[2J\\nx"), std::string::npos);
}

TEST(Writers, StreamAHundredThousandRows) {
  for (const Format format : {Format::kCsv, Format::kJson, Format::kTable}) {
    StringOutput output;
    const auto writer = make_writer({format}, kColumns, output);
    for (int i = 0; i < 100'000; ++i) writer->row(row_of("model.layers.1.weight"));
    writer->finish();
    EXPECT_GT(output.text.size(), 1'000'000u);
  }
}

TEST(HexBytes, WritesEveryByte) {
  EXPECT_EQ(hex_bytes(std::string_view("\x00\xff\x10", 3)), "00ff10");
}

}  // namespace
}  // namespace qi
