#include "engine/format/safetensors.h"

#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::class_of;
using test::error_of;
using testing::HasSubstr;

using test::kData;

std::string file_bytes(std::string_view json, std::size_t data_bytes) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
  bytes += json;
  bytes.append(data_bytes, '\1');
  return bytes;
}

std::string braces(std::string_view inside) {
  return fmt::format("{{{}}}", inside);
}

/// Parses as if the text stood in a file with `data_bytes` of data.
SafetensorsHeader parse(std::string_view json, std::uint64_t data_bytes = 0) {
  return parse_safetensors(json, 8 + json.size() + data_bytes, "m.safetensors", 3);
}

std::string entry(std::string_view name, std::string_view dtype, std::string_view shape,
                  std::string_view offsets) {
  return fmt::format("\"{}\":{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":{}}}", name, dtype,
                     shape, offsets);
}

TEST(SafetensorsTest, ReadsTensorsInTheirOrder) {
  const std::string json = std::string("{") + entry("b", "F32", "[2,1]", "[4,12]") + "," +
                           entry("a\\u00e9", "BF16", "[1,2]", "[0,4]") +
                           ",\"__metadata__\":{\"format\":\"pt\",\"x\":\"\"}}  ";
  const SafetensorsHeader header = parse(json, 12);
  ASSERT_EQ(header.tensors.size(), 2u);
  EXPECT_EQ(header.data_begin, 8 + json.size());
  const Tensor& b = header.tensors[0];
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.dtype, DType::kF32);
  EXPECT_EQ(b.shape, (Shape{2, 1}));
  EXPECT_EQ(b.offset, header.data_begin + 4);
  EXPECT_EQ(b.size_bytes, 8u);
  EXPECT_EQ(b.file, 3u);
  EXPECT_EQ(header.tensors[1].name, "aé");
  EXPECT_EQ(header.metadata.text("format"), "pt");
  EXPECT_EQ(header.metadata.text("x"), "");
  EXPECT_TRUE(header.warnings.empty());
}

TEST(SafetensorsTest, OddButAcceptedInputWarns) {
  const auto warning = [](std::string_view json, std::uint64_t data) {
    const SafetensorsHeader header = parse(json, data);
    return header.warnings.empty() ? std::string() : header.warnings.front().message;
  };
  EXPECT_THAT(warning(" {}", 0), HasSubstr("whitespace"));
  EXPECT_THAT(warning(braces(entry("a", "F128", "[3]", "[0,5]")), 5), HasSubstr("F128"));
  EXPECT_THAT(
      warning("{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"q\":[{}]}}", 1),
      HasSubstr("\"q\""));
  EXPECT_THAT(warning("{\"__metadata__\":null}", 0), HasSubstr("null"));
  EXPECT_EQ(warning("{}\n\t ", 0), "");
  EXPECT_EQ(warning("{\"__metadata__\":{}}", 0), "");
  EXPECT_EQ(warning(braces(entry("", "U8", "[]", "[0,1]")), 1), "");
}

TEST(SafetensorsTest, UnknownTypesAreListedAsTheyStand) {
  const auto header = parse(braces(entry("a", "F128", "[3]", "[0,5]")), 5);
  EXPECT_EQ(header.tensors[0].dtype, DType::kUnknown);
  EXPECT_EQ(dtype_name(header.tensors[0]), "F128");
  EXPECT_EQ(header.tensors[0].size_bytes, 5u);
  // Words are case-sensitive.
  EXPECT_EQ(parse(braces(entry("a", "bf16", "[1]", "[0,2]")), 2).tensors[0].dtype, DType::kUnknown);
}

TEST(SafetensorsTest, RefusesWithTheRightClassAndPlace) {
  struct Case {
    std::string_view want;
    std::string json;
    std::uint64_t data;
  };
  std::string nested;
  for (int i = 0; i < 60'000; ++i) nested += "{\"a\":";
  std::string shape = "[";
  for (int i = 0; i < 65; ++i) shape += i == 0 ? "1" : ",1";
  shape += "]";
  const std::vector<Case> cases = {
      {"bad_schema", "[]", 0},
      {"bad_schema", "\"x\"", 0},
      {"bad_json", "", 0},
      {"bad_json", "{", 0},
      {"bad_json", "{}x", 0},
      {"bad_json", "{},", 0},
      {"bad_json", "\xef\xbb\xbf{}", 0},
      {"bad_schema", "{\"a\":null}", 0},
      {"bad_schema", "{\"a\":{\"shape\":[],\"data_offsets\":[0,1]}}", 1},
      {"bad_schema", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1},
      {"bad_schema", "{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", 1},
      {"bad_schema", "{\"a\":{\"dtype\":7,\"shape\":[],\"data_offsets\":[0,1]}}", 1},
      {"bad_schema", braces(entry("a", "U8", "{}", "[0,1]")), 1},
      {"bad_schema", braces(entry("a", "U8", "[1.0]", "[0,1]")), 1},
      {"bad_schema", braces(entry("a", "U8", "[-1]", "[0,1]")), 1},
      {"bad_schema", braces(entry("a", "U8", "[-0]", "[0,0]")), 0},
      {"bad_schema", braces(entry("a", "U8", "[\"1\"]", "[0,1]")), 1},
      {"bad_schema", braces(entry("a", "U8", "[true]", "[0,1]")), 1},
      {"bad_schema", "{\"__metadata__\":{\"a\":1}}", 0},
      {"bad_schema", "{\"__metadata__\":[]}", 0},
      {"bad_offset", braces(entry("a", "U8", "[1]", "[0]")), 1},
      {"bad_offset", braces(entry("a", "U8", "[1]", "[0,1,1]")), 1},
      {"bad_offset", braces(entry("a", "U8", "[1]", "[1,0]")), 1},
      {"bad_offset", braces(entry("a", "U8", "[1]", "[-1,0]")), 1},
      {"bad_schema", braces(entry("a", "U8", "[1]", "{}")), 1},
      {"overflow", braces(entry("a", "U8", "[18446744073709551616]", "[0,1]")), 1},
      {"overflow", braces(entry("a", "U8", "[4294967296,4294967296]", "[0,0]")), 0},
      {"overflow", braces(entry("a", "U8", "[4294967296,4294967296,0]", "[0,0]")), 0},
      {"overflow", braces(entry("a", "F64", "[4611686018427387904]", "[0,0]")), 0},
      {"limit", braces(entry("a", "U8", shape, "[0,1]")), 1},
      {"bad_shape", braces(entry("a", "F4", "[3]", "[0,2]")), 2},
      {"bad_shape", braces(entry("a", "F6_E2M3", "[2]", "[0,2]")), 2},
      {"size_mismatch", braces(entry("a", "U8", "[2]", "[0,1]")), 1},
      {"truncated", braces(entry("a", "U8", "[2]", "[0,2]")), 1},
      {"hole", braces(entry("a", "U8", "[1]", "[1,2]")), 2},
      {"hole", braces(entry("a", "U8", "[1]", "[0,1]") + "," + entry("b", "U8", "[1]", "[2,3]")),
       3},
      {"overlap", braces(entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[1,3]")),
       3},
      {"trailing", braces(entry("a", "U8", "[1]", "[0,1]")), 2},
      {"trailing", "{}", 1},
      {"duplicate",
       braces(entry("a", "U8", "[0]", "[0,0]") + "," + entry("\\u0061", "U8", "[0]", "[0,0]")), 0},
      {"duplicate", "{\"__metadata__\":{},\"__metadata__\":{}}", 0},
      {"duplicate", "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", 0},
      {"duplicate",
       "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0},
      {"duplicate",
       "{\"a\":{\"z\":1,\"z\":1,\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0},
      {"bad_encoding", "{\"\xff\":{}}", 0},
      {"limit", nested, 0},
  };
  for (const Case& c : cases) {
    const auto error = error_of([&] { parse(c.json, c.data); });
    ASSERT_TRUE(error) << c.json.substr(0, 200);
    EXPECT_EQ(class_word(error->code), c.want) << c.json.substr(0, 200);
    EXPECT_EQ(error->file, "m.safetensors");
    ASSERT_TRUE(error->offset);
    EXPECT_LE(*error->offset, 8 + c.json.size() + c.data);
  }
}

TEST(SafetensorsTest, ErrorsPointAtTheField) {
  const std::string json = braces(entry("a", "U8", "[2]", "[0,1]"));
  const auto error = error_of([&] { parse(json, 1); });
  EXPECT_EQ(*error->offset, 8 + json.find("\"data_offsets\""));
  const std::string shape = braces(entry("a", "U8", "[1.5]", "[0,1]"));
  EXPECT_EQ(*error_of([&] { parse(shape, 1); })->offset, 8 + shape.find("1.5"));
}

TEST(SafetensorsTest, EmptyTensorsMayShareAnOffset) {
  const auto header =
      parse(std::string("{") + entry("c", "F32", "[0,7]", "[4,4]") + "," +
                entry("a", "F32", "[0]", "[0,0]") + "," + entry("b", "F32", "[]", "[0,4]") + "," +
                entry("d", "F32", "[3,0]", "[4,4]") + "}",
            4);
  EXPECT_EQ(header.tensors.size(), 4u);
}

TEST(SafetensorsTest, LengthIsCheckedBeforeAnythingIsAllocated) {
  test::TempDir dir;
  const auto read = [&](std::string_view bytes) {
    const std::string path = dir.write("m.safetensors", bytes);
    return class_of([&] { read_safetensors(*File::open(path)); });
  };
  EXPECT_EQ(read(""), "truncated");
  EXPECT_EQ(read("1234567"), "truncated");
  EXPECT_EQ(read(std::string(8, '\0')), "bad_magic");  // zeros: a torn download
  EXPECT_EQ(read(std::string(8, '\0') + "{}"), "bad_json");
  EXPECT_EQ(read("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "limit");
  EXPECT_EQ(read(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)), "limit");
  EXPECT_EQ(read(std::string("\x03\0\0\0\0\0\0\0{}", 10)), "truncated");
  EXPECT_EQ(read("version https://git-lfs.github.com/spec/v1\n"), "bad_magic");
  EXPECT_EQ(read(std::string("PK\x03\x04\0\0\0\0\0\0", 10)), "bad_magic");
  EXPECT_EQ(read(file_bytes("{}", 0)), "none");
}

TEST(SafetensorsTest, CasesOfTheSpecification) {
  std::ifstream list(kData + "/safetensors-cases/cases.json");
  for (const auto& c : nlohmann::json::parse(list)) {
    const auto name = c["file"].get<std::string>();
    const auto verdict = c["verdict"].get<std::string>();
    const std::string path = kData + "/safetensors-cases/" + name;
    std::size_t count = 0;
    const auto error =
        error_of([&] { count = read_safetensors(*File::open(path)).tensors.size(); });
    if (verdict == "ok") {
      EXPECT_FALSE(error) << name;
      EXPECT_EQ(count, c["tensors"].get<std::size_t>()) << name;
    } else {
      EXPECT_TRUE(error) << name;  // "either" is ours to decide: a duplicate is refused
    }
  }
}

std::string sample_file() {
  return file_bytes(std::string("{") + entry("w.a", "BF16", "[2,3]", "[0,12]") + "," +
                        entry("w.b", "F4", "[4]", "[12,14]") + ",\"__metadata__\":{\"k\":\"v\"}} ",
                    14);
}

TEST(SafetensorsTest, EveryTruncationIsRefused) {
  test::TempDir dir;
  const std::string bytes = sample_file();
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const std::string path = dir.write("m.safetensors", bytes.substr(0, cut));
    const auto error = error_of([&] { read_safetensors(*File::open(path)); });
    ASSERT_TRUE(error) << cut;
    EXPECT_EQ(exit_status(error->code), 2) << cut;
    EXPECT_LE(*error->offset, cut);
  }
}

TEST(SafetensorsTest, EveryChangedByteIsAcceptedOrRefusedCleanly) {
  test::TempDir dir;
  const std::string bytes = sample_file();
  const std::size_t header = bytes.size() - 14;
  for (std::size_t at = 0; at < header; ++at) {
    for (const int value :
         {0, 1, 0x20, 0x22, 0x2c, 0x2d, 0x30, 0x39, 0x5c, 0x7b, 0x7d, 0x7f, 0xff}) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(value);
      std::uint64_t sum = 0;
      const auto error = error_of([&] {
        if (at < 8) {
          read_safetensors(*File::open(dir.write("m.safetensors", damaged)));
          return;
        }
        const std::string_view json = std::string_view(damaged).substr(8, header - 8);
        const auto parsed = parse_safetensors(json, damaged.size(), "m.safetensors");
        for (const Tensor& tensor : parsed.tensors) sum += tensor.size_bytes;
      });
      if (error) {
        EXPECT_EQ(exit_status(error->code), 2);
        EXPECT_LE(*error->offset, bytes.size());
      } else if (at >= 8) {
        EXPECT_EQ(sum, 14u) << at << " " << value;
      }
    }
  }
}

TEST(SafetensorsTest, WritesWhatItReads) {
  std::vector<Tensor> tensors;
  std::uint64_t offset = 0;
  const auto add = [&](std::string name, DType type, Shape shape) {
    Tensor tensor;
    tensor.name = std::move(name);
    tensor.dtype = type;
    tensor.shape = std::move(shape);
    tensor.offset = offset;
    tensor.size_bytes = *stored_bytes(type, *element_count(tensor.shape));
    offset += tensor.size_bytes;
    tensors.push_back(tensor);
  };
  add("plain", DType::kF32, {3, 5});
  add("quote\" back\\ \n\x01 é", DType::kBF16, {});
  add("empty", DType::kF8E8M0, {0, 4});
  add("nibbles", DType::kF4, {2, 2});
  const std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"},
                                                                     {"a\tb", "c\"d"}};
  const std::string written = safetensors_header(tensors, metadata);
  EXPECT_EQ(written.size() % 8, 0u);
  EXPECT_TRUE(nlohmann::json::accept(written.substr(8)));
  const auto back = parse_safetensors(std::string_view(written).substr(8), written.size() + offset,
                                      "out.safetensors");
  ASSERT_EQ(back.tensors.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(back.tensors[i].name, tensors[i].name);
    EXPECT_EQ(back.tensors[i].shape, tensors[i].shape);
    EXPECT_EQ(back.tensors[i].dtype, tensors[i].dtype);
    EXPECT_EQ(back.tensors[i].offset, written.size() + tensors[i].offset);
  }
  EXPECT_EQ(back.metadata.text("a\tb"), "c\"d");
  EXPECT_TRUE(back.warnings.empty());

  const std::string none = safetensors_header({});
  EXPECT_EQ(none.size() % 8, 0u);
  EXPECT_TRUE(
      parse_safetensors(std::string_view(none).substr(8), none.size(), "x").tensors.empty());
}

TEST(SafetensorsTest, RefusesToWriteWhatNobodyCouldRead) {
  Tensor tensor;
  tensor.dtype = DType::kQ4_0;
  EXPECT_EQ(class_of([&] { safetensors_header({&tensor, 1}); }), "bad_dtype");
  tensor.dtype = DType::kU8;
  tensor.name = "\xff";
  EXPECT_EQ(class_of([&] { safetensors_header({&tensor, 1}); }), "bad_encoding");
}

TEST(SafetensorsTest, MetadataWithoutEndIsCut) {
  std::string json = "{\"__metadata__\":{";
  for (std::size_t i = 0; i < kMaxSafetensorsMetadata + 5; ++i) {
    json += fmt::format("{}\"{}\":\"\"", i == 0 ? "" : ",", i);
  }
  const auto header = parse(json + "}}");
  EXPECT_EQ(header.metadata.entries().size(), kMaxSafetensorsMetadata);
  ASSERT_EQ(header.warnings.size(), 1u);
  EXPECT_THAT(header.warnings[0].message, HasSubstr("5 more"));
}

}  // namespace
}  // namespace qi
