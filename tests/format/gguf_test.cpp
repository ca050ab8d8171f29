#include "engine/format/gguf.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/gguf_builder.h"
#include "tests/support/memory_file.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::ByteWriter;
using test::GgufBuilder;
using ::testing::HasSubstr;

class GgufTest : public ::testing::Test {
 protected:
  Model open(const std::string& bytes) { return open_gguf({file_.set(bytes)}); }

  // The class of the error that opening `bytes` ends with; the error itself in error_.
  std::string rejected(const std::string& bytes) {
    try {
      open(bytes);
    } catch (const Error& error) {
      error_ = error;
      return std::string(class_word(error.code));
    }
    return "accepted";
  }

  std::string warnings(const Model& model) {
    std::string all;
    for (const Warning& warning : model.warnings) all += describe(warning) + "\n";
    return all;
  }

  test::MemoryFile file_;
  test::TempDir dir_;
  Error error_{ErrorCode::kIo, ""};
};

std::string zeros(std::size_t count) {
  return std::string(count, '\0');
}

GgufBuilder sample(std::uint32_t version = 3, bool big = false) {
  GgufBuilder file(version, big);
  file.text("general.architecture", "llama").text("general.name", "tiny");
  file.u32("llama.block_count", 1).f32("llama.rope.freq_base", 10000.0f);
  file.i32("a.signed", -5).texts("tokenizer.ggml.tokens", {"<s>", "hello", ""});
  file.tensor("token_embd.weight", {32, 3}, 0, zeros(384));
  file.tensor("blk.0.attn_q.weight", {64, 2}, 2, zeros(72));
  return file;
}

TEST_F(GgufTest, ReadsBothVersionsAndByteOrders) {
  for (std::uint32_t version : {2u, 3u}) {
    for (bool big : {false, true}) {
      SCOPED_TRACE(fmt::format("version {} big {}", version, big));
      const Model model = open(sample(version, big).build());
      EXPECT_EQ(model.container, Container::kGguf);
      EXPECT_EQ(model.kind, ModelKind::kModel);
      EXPECT_EQ(model.architecture, "llama");
      EXPECT_EQ(model.big_endian, big);
      EXPECT_EQ(warnings(model), "");
      ASSERT_NE(model.config, nullptr);
      EXPECT_TRUE(model.weights.empty());
      ASSERT_EQ(model.tensors.size(), 2u);
      EXPECT_EQ(model.tensors[0].shape, (Shape{3, 32}));
      EXPECT_EQ(model.tensors[0].dtype, DType::kF32);
      EXPECT_EQ(model.tensors[0].size_bytes, 384u);
      EXPECT_EQ(model.tensors[1].name, "blk.0.attn_q.weight");
      EXPECT_EQ(model.tensors[1].dtype, DType::kQ4_0);
      EXPECT_EQ(model.tensors[1].size_bytes, 72u);
      EXPECT_EQ(model.tensors[1].offset, model.tensors[0].offset + 384);
      EXPECT_EQ(model.tensors[0].offset % 32, 0u);
      EXPECT_EQ(model.metadata.unsigned_number("llama.block_count"), 1u);
      EXPECT_EQ(model.metadata.number("llama.rope.freq_base"), 10000.0);
      EXPECT_EQ(std::get<std::int64_t>(model.metadata.find("a.signed")->value), -5);
      const MetaEntry* tokens = model.metadata.find("tokenizer.ggml.tokens");
      ASSERT_NE(tokens, nullptr);
      EXPECT_EQ(tokens->type, "array[string]");
      EXPECT_THAT(array_elements(std::get<MetaArray>(tokens->value), 10),
                  ::testing::ElementsAre("<s>", "hello", ""));
    }
  }
}

TEST_F(GgufTest, RejectsOtherVersions) {
  for (std::uint32_t version : {0u, 1u, 4u, 0x7fffffffu}) {
    EXPECT_EQ(rejected(GgufBuilder(version).build()), "bad_version") << version;
    EXPECT_EQ(error_.offset, 4u);
    EXPECT_THAT(error_.message, HasSubstr(std::to_string(version)));
  }
  EXPECT_EQ(rejected(GgufBuilder(4, true).build()), "bad_version");
  EXPECT_EQ(error_.message, "GGUF version 4");
}

TEST_F(GgufTest, NamesTheLikelyFormat) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"},
      {"<!DOCTYPE html><html>", "web page"},
      {"\n <HTML><body>404", "web page"},
      {"PK\x03\x04 and more of it", "ZIP"},
      {"\x80\x02}q\x01 and more", "pickle"},
      {"tjgg\x03\0\0\0", "GGJT"},
      {"lmgg\0\0\0\0", "GGML"},
      {"fmgg\0\0\0\0", "GGMF"},
      {zeros(100), "zeros"},
  };
  for (const auto& [bytes, expected] : cases) {
    EXPECT_EQ(rejected(bytes), "bad_magic") << expected;
    EXPECT_EQ(error_.offset, 0u);
    EXPECT_THAT(error_.message, HasSubstr(expected));
  }
  EXPECT_EQ(rejected("GGUX0000"), "bad_magic");
  EXPECT_EQ(error_.message, "magic is 'GGUX'");
}

TEST_F(GgufTest, EveryTruncationIsRejected) {
  for (bool big : {false, true}) {
    const std::string whole = sample(3, big).no_final_padding().build();
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_EQ(rejected(whole.substr(0, size)), "truncated") << size << " of " << whole.size();
      EXPECT_LE(error_.offset.value_or(0), size);
    }
    EXPECT_EQ(rejected(whole), "accepted");
  }
}

TEST_F(GgufTest, EveryCorruptByteEndsInAModelOrAnError) {
  for (bool big : {false, true}) {
    const std::string whole = sample(3, big).build();
    for (std::size_t at = 0; at < whole.size() - 480; ++at) {
      for (unsigned char value : {0x00, 0x01, 0x7f, 0x80, 0xff, 0x20}) {
        std::string bytes = whole;
        bytes[at] = static_cast<char>(value);
        const std::string outcome = rejected(bytes);
        if (outcome != "accepted") {
          EXPECT_EQ(exit_status(error_.code), 2) << describe(error_);
          ASSERT_TRUE(error_.offset) << describe(error_);
          EXPECT_LE(*error_.offset, bytes.size()) << describe(error_);
        }
      }
    }
  }
}

TEST_F(GgufTest, CountsAreBelievedOnlyWhenTheFileCouldHoldThem) {
  EXPECT_EQ(rejected(sample().claim_tensors(UINT64_MAX).build()), "limit");
  EXPECT_EQ(error_.offset, 8u);
  EXPECT_THAT(error_.message, HasSubstr("18446744073709551615"));
  EXPECT_EQ(rejected(sample().claim_keys(std::uint64_t{1} << 60).build()), "limit");
  EXPECT_EQ(error_.offset, 16u);
  EXPECT_EQ(rejected(sample().claim_keys(1000000000).build()), "truncated");
}

TEST_F(GgufTest, ASparseFileThatClaimsABillionTensorsCostsNothing) {
  const std::string path = dir_.write("sparse.gguf", GgufBuilder().claim_tensors(1U << 30).build());
  std::filesystem::resize_file(path, std::uint64_t{1} << 36);
  try {
    open_gguf({path});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, ErrorCode::kDuplicate) << describe(error);
  }
}

TEST_F(GgufTest, KeysAndValuesAreChecked) {
  const ByteWriter le;
  EXPECT_EQ(rejected(GgufBuilder().u32("", 1).build()), "bad_schema");
  EXPECT_EQ(rejected(GgufBuilder().u32("a", 1).u32("a", 2).build()), "duplicate");
  EXPECT_EQ(error_.offset, 24u + 8 + 1 + 4 + 4);
  EXPECT_EQ(rejected(GgufBuilder().key("a", 13, zeros(8)).build()), "bad_schema");
  EXPECT_EQ(error_.offset, 24u + 9);
  EXPECT_EQ(rejected(GgufBuilder().key("a", 7, "\x02").append(zeros(9)).build()), "bad_value");
  EXPECT_EQ(error_.offset, 24u + 13);
  EXPECT_EQ(rejected(GgufBuilder().u32(std::string(65536, 'k'), 1).build()), "limit");
  EXPECT_EQ(rejected(GgufBuilder().u32(std::string(65535, 'k'), 1).build()), "accepted");
}

TEST_F(GgufTest, ArraysAreWalked) {
  const auto array = [](std::uint32_t type, std::uint64_t count, const std::string& bytes) {
    return ByteWriter().number(type).number(count).bytes(bytes).str();
  };
  EXPECT_EQ(rejected(GgufBuilder().key("a", 9, array(0, UINT64_MAX, "x")).build()), "truncated");
  EXPECT_EQ(rejected(GgufBuilder().key("a", 9, array(10, 1ULL << 61, zeros(8))).build()),
            "overflow");
  EXPECT_EQ(rejected(GgufBuilder().key("a", 9, array(13, 1, zeros(8))).build()), "bad_schema");
  EXPECT_EQ(rejected(GgufBuilder().key("a", 9, array(7, 3, std::string("\0\1\2", 3))).build()),
            "bad_value");
  EXPECT_EQ(error_.offset, 24u + 9 + 4 + 12 + 2);
  const std::string text = ByteWriter().number<std::uint64_t>(9).bytes("short").str();
  EXPECT_EQ(rejected(GgufBuilder().key("a", 9, array(8, 1, text)).build()), "truncated");
  const Model empty = open(GgufBuilder().key("a", 9, array(4, 0, "")).build());
  EXPECT_EQ(std::get<MetaArray>(empty.metadata.find("a")->value).count, 0u);
}

TEST_F(GgufTest, NestedArraysUpToFourLevels) {
  std::string value = ByteWriter().number<std::uint32_t>(0).number<std::uint64_t>(2).str() + "ab";
  for (int level = 1; level <= 6; ++level) {
    const std::string bytes = GgufBuilder().key("a", 9, value).build();
    EXPECT_EQ(rejected(bytes), level <= 4 ? "accepted" : "limit") << level;
    if (level <= 4) {
      const Model model = open(bytes);
      const auto& array = std::get<MetaArray>(model.metadata.find("a")->value);
      EXPECT_EQ(array.size_bytes, value.size() - 12);
    }
    value = ByteWriter().number<std::uint32_t>(9).number<std::uint64_t>(2).str() + value + value;
  }
}

TEST_F(GgufTest, Alignment) {
  const auto one = [](GgufBuilder file) { return file.tensor("t", {4}, 0, zeros(16)).build(); };
  EXPECT_EQ(rejected(one(GgufBuilder().u32("general.alignment", 0))), "bad_alignment");
  EXPECT_EQ(rejected(one(GgufBuilder().u32("general.alignment", 48))), "bad_alignment");
  EXPECT_EQ(error_.offset, 24u + 8 + 17 + 4);
  EXPECT_EQ(rejected(one(GgufBuilder().i32("general.alignment", 32))), "bad_schema");
  EXPECT_EQ(error_.offset, 24u + 8 + 17);
  EXPECT_EQ(rejected(one(GgufBuilder().text("general.alignment", "32"))), "bad_schema");
  const Model wide = open(one(GgufBuilder().alignment(4096)));
  EXPECT_EQ(wide.tensors[0].offset, 4096u);
  const Model narrow = open(one(GgufBuilder().alignment(1)));
  EXPECT_THAT(warnings(narrow), HasSubstr("below 8"));
  EXPECT_EQ(rejected(GgufBuilder().tensor("t", {4}, 0, zeros(16), 48).build()), "bad_alignment");
}

TEST_F(GgufTest, ShapesAndSizes) {
  const std::string data = zeros(64);
  EXPECT_EQ(rejected(GgufBuilder().tensor("t", {1, 1, 1, 1, 1}, 0, data).build()), "bad_shape");
  const std::uint64_t big = std::uint64_t{1} << 32;
  EXPECT_EQ(rejected(GgufBuilder().tensor("t", {big, big}, 0, data).build()), "overflow");
  EXPECT_EQ(rejected(GgufBuilder().tensor("t", {big, big, 0}, 0, data).build()), "overflow");
  EXPECT_EQ(rejected(GgufBuilder().tensor("t", {(1ULL << 62) + 1}, 0, data).build()), "overflow");
  EXPECT_EQ(rejected(GgufBuilder().tensor("t", {33}, 2, data).build()), "bad_shape");
  EXPECT_EQ(rejected(GgufBuilder().tensor("t", {}, 2, data).build()), "bad_shape");
  const Model scalar = open(GgufBuilder().tensor("t", {}, 0, zeros(4)).build());
  EXPECT_EQ(scalar.tensors[0].shape, Shape{});
  EXPECT_EQ(scalar.tensors[0].size_bytes, 4u);
  const Model empty =
      open(GgufBuilder().tensor("e", {0, 7}, 0, "").tensor("t", {4}, 0, zeros(16)).build());
  EXPECT_EQ(empty.tensors[0].shape, (Shape{7, 0}));
  EXPECT_EQ(empty.tensors[0].size_bytes, 0u);
  EXPECT_THAT(warnings(empty), HasSubstr("'e' is empty"));
}

TEST_F(GgufTest, PlacesAreChecked) {
  const std::string data = zeros(64);
  EXPECT_EQ(rejected(GgufBuilder().tensor("a", {4}, 0, "").tensor("a", {4}, 0, data).build()),
            "duplicate");
  EXPECT_EQ(rejected(GgufBuilder().tensor("a", {16}, 0, data, UINT64_MAX).build()), "bad_offset");
  EXPECT_EQ(rejected(GgufBuilder().tensor("a", {16}, 0, data, 1 << 30).build()), "bad_offset");
  EXPECT_EQ(
      rejected(
          GgufBuilder().tensor("a", {16}, 0, data, 0).tensor("b", {8}, 0, zeros(32), 32).build()),
      "overlap");
  EXPECT_THAT(error_.message, HasSubstr("'b'"));
  EXPECT_EQ(rejected(GgufBuilder()
                         .tensor("a", {4}, 0, zeros(16), 0)
                         .tensor("b", {4}, 0, zeros(16), 0)
                         .build()),
            "overlap");
}

TEST_F(GgufTest, OddButAcceptedLayoutsWarn) {
  const std::string one = zeros(16);
  EXPECT_THAT(warnings(open(
                  GgufBuilder().tensor("a", {4}, 0, one, 32).tensor("b", {4}, 0, one, 0).build())),
              HasSubstr("order"));
  EXPECT_THAT(warnings(open(GgufBuilder().tensor("a", {4}, 0, one, 64).build())),
              HasSubstr("64 bytes before tensor 'a'"));
  EXPECT_THAT(warnings(open(GgufBuilder().tensor("a", {4}, 0, one).append("x").build())),
              HasSubstr("1 bytes after"));
  EXPECT_THAT(warnings(open(GgufBuilder().tensor("a", {4}, 0, one).no_final_padding().build())),
              HasSubstr("padding"));
  EXPECT_THAT(warnings(open(GgufBuilder().u32("Upper Case", 1).build())), HasSubstr("snake"));
  EXPECT_THAT(warnings(open(GgufBuilder().text("a", "\xff").build())), HasSubstr("UTF-8"));
  EXPECT_THAT(warnings(open(GgufBuilder().tensor(std::string(64, 'n'), {4}, 0, one).build())),
              HasSubstr("64 bytes"));
  EXPECT_EQ(warnings(open(GgufBuilder().u32("command-r.block_count", 1).build())), "");
}

TEST_F(GgufTest, LikeWarningsAreCounted) {
  GgufBuilder file;
  for (int i = 0; i < 500; ++i) file.tensor(fmt::format("\xff{}", i), {8}, 0, zeros(32));
  const Model model = open(file.build());
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_THAT(model.warnings[0].message, HasSubstr("499 more"));
}

TEST_F(GgufTest, UnknownTypesTakeTheBytesUpToTheNextTensor) {
  const Model model = open(GgufBuilder()
                               .tensor("a", {1000}, 142, zeros(64))
                               .tensor("b", {4}, 0, zeros(16))
                               .tensor("c", {7}, 43, zeros(96))
                               .build());
  EXPECT_EQ(model.tensors[0].dtype, DType::kUnknown);
  EXPECT_EQ(dtype_name(model.tensors[0]), "type 142");
  EXPECT_EQ(model.tensors[0].size_bytes, 64u);
  EXPECT_EQ(dtype_name(model.tensors[2]), "type 43");
  EXPECT_EQ(model.tensors[2].size_bytes, 96u);
  EXPECT_THAT(warnings(model), HasSubstr("type id 142"));
}

TEST_F(GgufTest, RemovedTypesAreListed) {
  const Model model = open(GgufBuilder()
                               .tensor("a", {32}, 4, zeros(32))
                               .tensor("b", {32, 4}, 31, zeros(72))
                               .tensor("c", {32, 8}, 33, zeros(144))
                               .tensor("d", {32, 8}, 36, zeros(144))
                               .build());
  EXPECT_EQ(model.tensors[0].dtype, DType::kQ4_2);
  EXPECT_EQ(model.tensors[0].size_bytes, 32u);
  EXPECT_EQ(model.tensors[1].dtype, DType::kQ4_0_4_4);
  EXPECT_EQ(model.tensors[2].dtype, DType::kQ4_0_8_8);
  EXPECT_EQ(dtype_name(model.tensors[3]), "IQ4_NL_4_4");
  EXPECT_THAT(warnings(model), HasSubstr("removed in 2023"));
  EXPECT_THAT(warnings(model), HasSubstr("2 more like it"));
}

TEST_F(GgufTest, Id38IsTheZfpForkOnlyWithItsFileTypeAndSpans) {
  const auto file = [](std::uint32_t file_type, std::size_t bytes) {
    return GgufBuilder()
        .u32("general.file_type", file_type)
        .tensor("a", {256, 8}, 38, zeros(bytes))
        .tensor("b", {4}, 0, zeros(16))
        .build();
  };
  const Model removed = open(file(38, 256 * 8 / 32 * 18));
  EXPECT_EQ(dtype_name(removed.tensors[0]), "IQ4_NL_8_8");
  const Model fork = open(file(38, 1184));
  EXPECT_EQ(dtype_name(fork.tensors[0]), "ZFP?");
  EXPECT_EQ(fork.tensors[0].size_bytes, 1184u);
  EXPECT_THAT(warnings(fork), HasSubstr("ZFP"));
  const Model gap = open(file(2, 1184));
  EXPECT_EQ(dtype_name(gap.tensors[0]), "IQ4_NL_8_8");
  EXPECT_EQ(gap.tensors[0].size_bytes, 1152u);
}

TEST_F(GgufTest, Id42WithTheSpansOfAForkIsUnknown) {
  const auto file = [](std::size_t bytes) {
    return GgufBuilder()
        .tensor("a", {1024, 4}, 42, zeros(bytes))
        .tensor("b", {4}, 0, zeros(16))
        .build();
  };
  EXPECT_EQ(dtype_name(open(file(4096 / 64 * 18)).tensors[0]), "Q2_0");
  const Model fork = open(file(4096 / 128 * 34));
  EXPECT_EQ(dtype_name(fork.tensors[0]), "type 42");
  EXPECT_EQ(fork.tensors[0].size_bytes, 1088u);
}

class SplitGgufTest : public GgufTest {
 protected:
  GgufBuilder shard(std::uint16_t number, std::uint16_t count, std::int32_t tensors,
                    bool big = false) {
    GgufBuilder file(3, big);
    if (number == 0) file.text("general.architecture", "llama");
    file.u16("split.no", number).u16("split.count", count).i32("split.tensors.count", tensors);
    return file.tensor(fmt::format("t{}", number), {8}, 0, zeros(32));
  }
  std::string write(int number, const GgufBuilder& file) {
    return dir_.write(fmt::format("m-{:05}-of-00003.gguf", number), file.build());
  }
  std::string rejected_split(const std::vector<std::string>& paths) {
    try {
      open_gguf(paths);
    } catch (const Error& error) {
      error_ = error;
      return std::string(class_word(error.code));
    }
    return "accepted";
  }
};

TEST_F(SplitGgufTest, ShardsAreOneModel) {
  const Model model =
      open_gguf({write(1, shard(0, 3, 3)), write(2, shard(1, 3, 3)), write(3, shard(2, 3, 3))});
  EXPECT_EQ(model.name, "m");
  EXPECT_EQ(model.architecture, "llama");
  ASSERT_EQ(model.tensors.size(), 3u);
  EXPECT_EQ(model.files.size(), 3u);
  EXPECT_EQ(model.tensors[2].file, 2u);
  EXPECT_EQ(model.tensors[2].name, "t2");
  EXPECT_TRUE(model.warnings.empty());
}

TEST_F(SplitGgufTest, ContradictionsNameTheShard) {
  const std::string a = write(1, shard(0, 3, 3));
  const std::string b = write(2, shard(1, 3, 3));
  EXPECT_EQ(rejected_split({a, b}), "inconsistent");
  const std::string c = write(3, shard(2, 3, 3));
  EXPECT_EQ(rejected_split({a, c, b}), "inconsistent");
  EXPECT_EQ(error_.file, c);
  EXPECT_TRUE(error_.offset.has_value());
  EXPECT_EQ(rejected_split({write(1, shard(0, 3, 4)), b, c}), "inconsistent");
  EXPECT_EQ(rejected_split({write(1, shard(0, 3, 3)), b, write(3, shard(2, 3, 3, true))}),
            "inconsistent");
  EXPECT_EQ(rejected_split({a, b, write(3, shard(2, 3, 3).tensor("t0", {8}, 0, zeros(32)))}),
            "inconsistent");
  EXPECT_EQ(rejected_split({write(1, shard(0, 3, 4)), b,
                            write(3, shard(2, 3, 4).tensor("t0", {8}, 0, zeros(32)))}),
            "duplicate");
  EXPECT_EQ(rejected_split({a, b, dir_ / "m-00009-of-00003.gguf"}), "missing");
}

TEST_F(SplitGgufTest, OneShardAloneOpensWithAWarning) {
  const Model model = open_gguf({write(2, shard(1, 3, 3))});
  EXPECT_THAT(warnings(model), HasSubstr("one shard"));
}

TEST_F(GgufTest, KindsOfModel) {
  const Model lora = open(GgufBuilder()
                              .text("general.type", "adapter")
                              .text("general.architecture", "llama")
                              .text("general.base_model.0.name", "Llama 3")
                              .tensor("blk.0.attn_q.weight.lora_a", {64, 16}, 0, zeros(4096))
                              .build());
  EXPECT_EQ(lora.kind, ModelKind::kAdapter);
  EXPECT_EQ(lora.adapter_rank, 16u);
  EXPECT_EQ(lora.base_model, "Llama 3");
  EXPECT_EQ(open(GgufBuilder().text("general.type", "imatrix").build()).kind, ModelKind::kImatrix);
  EXPECT_EQ(open(GgufBuilder().text("general.type", "mmproj").build()).kind, ModelKind::kProjector);
  EXPECT_EQ(open(GgufBuilder().text("general.architecture", "clip").build()).kind,
            ModelKind::kProjector);
}

TEST_F(GgufTest, AHundredThousandTensorsOpen) {
  GgufBuilder file;
  for (int i = 0; i < 100000; ++i) {
    file.tensor(fmt::format("blk.{}.ffn_down_exps.{}.weight", i / 256, i % 256), {8}, 0, zeros(32));
  }
  const Model model = open(file.build());
  EXPECT_EQ(model.tensors.size(), 100000u);
  EXPECT_TRUE(model.warnings.empty());
}

TEST_F(GgufTest, MalformedCorpusGetsItsClasses) {
  const std::string root = QI_TEST_DATA "/malformed/";
  std::ifstream in(root + "manifest.json");
  const auto manifest = nlohmann::json::parse(in);
  int cases = 0;
  for (const auto& one : manifest["cases"]) {
    if (one["format"] != "gguf") continue;
    SCOPED_TRACE(one["id"].get<std::string>());
    ++cases;
    std::string outcome = "accepted";
    try {
      const Model model = open_gguf({root + one["path"].get<std::string>()});
      const auto& facts = one["facts"];
      EXPECT_EQ(model.tensors.size(), facts.value("tensors", model.tensors.size()));
      const std::size_t pairs = model.metadata.entries().size();
      EXPECT_EQ(pairs, facts.value("kv", pairs));
      EXPECT_EQ(model.big_endian, facts.value("endian", "little") == "big");
      EXPECT_EQ(one.value("warn", false), !model.warnings.empty()) << warnings(model);
    } catch (const Error& error) {
      outcome = class_word(error.code);
      EXPECT_TRUE(error.offset) << describe(error);
    }
    EXPECT_EQ(outcome, one["expected"] == "accept" ? "accepted" : one["class"]);
  }
  EXPECT_EQ(cases, 40);
}

}  // namespace
}  // namespace qi
