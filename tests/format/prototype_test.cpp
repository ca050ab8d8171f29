#include "engine/format/prototype.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <xxhash.h>

#include "engine/tensor/numbers.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace qi {
namespace {

using test::thrown_by;

using test::read_file;
using test::TempDir;

using test::kData;
const std::string kBf16Dir = kData + "/prototype-dirs/wap2-mixedprec-bf16-int8";
const std::string kFp16Dir = kData + "/prototype-dirs/wap2-mixedprec-fp16-int8";
const std::string kKProj = "model.layers.0.self_attn.k_proj";
const std::string kVProj = "model.layers.1.self_attn.v_proj";

/// The stored bytes of one tensor of a safetensors file that is known to be sound.
std::string stored_bytes_of(const std::string& path, const std::string& name) {
  const std::string file = read_file(path);
  std::uint64_t header = 0;
  std::memcpy(&header, file.data(), 8);
  const auto json = nlohmann::json::parse(file.substr(8, header));
  const std::uint64_t begin = json.at(name).at("data_offsets")[0];
  const std::uint64_t end = json.at(name).at("data_offsets")[1];
  return file.substr(8 + header + begin, end - begin);
}

Tile whole(const Weight& weight) {
  return {0, weight.rows(), 0, weight.cols()};
}

std::vector<std::uint16_t> codes_of(const Model& model, const Weight& weight) {
  std::vector<std::uint16_t> codes(weight.params);
  open_prototype_reader(model, weight)->codes(whole(weight), codes.data());
  return codes;
}

std::vector<float> weight_values(const Model& model, const Weight& weight) {
  std::vector<float> values(weight.params);
  open_prototype_reader(model, weight)->values(whole(weight), values.data());
  return values;
}

std::vector<PrototypeFault> faults_of(const Model& model) {
  std::vector<PrototypeFault> faults;
  for (const Weight& weight : model.weights) {
    verify_prototype(model, weight, [&](const PrototypeFault& fault) { faults.push_back(fault); });
  }
  return faults;
}

TEST(PrototypeTest, ListsItsWeights) {
  const Model model = open_prototype(kBf16Dir, {});
  EXPECT_EQ(model.container, Container::kPrototype);
  EXPECT_EQ(model.name, "wap2-mixedprec-bf16-int8");
  EXPECT_TRUE(model.warnings.empty());
  EXPECT_NE(model.config, nullptr);
  ASSERT_EQ(model.weights.size(), 2u);
  const Weight& weight = model.weights[0];
  EXPECT_EQ(weight.name, kKProj + ".weight");
  EXPECT_EQ(weight.shape, (Shape{128, 256}));
  EXPECT_EQ(weight.scheme, Scheme::kQstore);
  EXPECT_EQ(weight.role, Role::kK);
  EXPECT_EQ(weight.layer, 0);
  ASSERT_EQ(weight.parts.size(), 2u);
  EXPECT_EQ(model.tensor(weight.parts[0]).dtype, DType::kBF16);
  EXPECT_EQ(weight.parts[0].role, PartRole::kCodes);
  EXPECT_EQ(model.tensor(weight.parts[0]).size_bytes, 379035u);
  EXPECT_EQ(model.tensor(weight.parts[1]).dtype, DType::kI8);
  EXPECT_EQ(weight.parts[1].role, PartRole::kLowLevel);
  EXPECT_EQ(model.tensor(weight.parts[1]).size_bytes, 30711u);
  EXPECT_EQ(weight.size_bytes, 379035u + 30711u);
  EXPECT_EQ(model.weights[1].name, kVProj + ".weight");
  EXPECT_EQ(model.weights[1].layer, 1);
}

TEST(PrototypeTest, BothLevelsOfBf16ComeBackExactly) {
  const Model model = open_prototype(kBf16Dir, {});
  for (const Weight& weight : model.weights) {
    const std::string low =
        stored_bytes_of(kData + "/models/wap/wap-int8/model.safetensors", weight.name);
    const std::vector<std::uint16_t> codes = codes_of(model, weight);
    ASSERT_EQ(low.size(), codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i) {
      ASSERT_EQ(codes[i], static_cast<std::uint8_t>(low[i])) << weight.name << " " << i;
    }
    const std::string high =
        stored_bytes_of(kData + "/models/wap/model-00001-of-00002.safetensors", weight.name);
    const std::vector<float> values = weight_values(model, weight);
    ASSERT_EQ(high.size(), 2 * values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, high.data() + 2 * i, 2);
      ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::uint32_t{bits} << 16) << i;
    }
  }
}

/// XXH3-64 of the F16 bytes of the model that the encoder was given (it is not bundled).
TEST(PrototypeTest, BothLevelsOfFp16ComeBackExactly) {
  const std::map<std::string, std::uint64_t> digests = {{kKProj + ".weight", 0x53c8a7cfa20f117eu},
                                                        {kVProj + ".weight", 0x86db2f433ee9cc26u}};
  const Model model = open_prototype(kFp16Dir, {});
  ASSERT_EQ(model.weights.size(), 2u);
  for (const Weight& weight : model.weights) {
    EXPECT_EQ(model.tensor(weight.parts[0]).dtype, DType::kF16);
    const std::string low =
        stored_bytes_of(kData + "/models/wap/wap-fp16-int8/model.safetensors", weight.name);
    const std::vector<std::uint16_t> codes = codes_of(model, weight);
    for (std::size_t i = 0; i < codes.size(); ++i) {
      ASSERT_EQ(codes[i], static_cast<std::uint8_t>(low[i]));
    }
    const std::vector<float> values = weight_values(model, weight);
    std::vector<std::uint16_t> halves;
    for (const float value : values) halves.push_back(float_to_f16(value));
    EXPECT_EQ(XXH3_64bits(halves.data(), 2 * halves.size()), digests.at(weight.name));
    // And the two levels belong together: q = rint(w · 127 / absmax of the row).
    for (std::uint64_t row = 0; row < weight.rows(); ++row) {
      const float* w = values.data() + row * weight.cols();
      float absmax = 0;
      for (std::uint64_t c = 0; c < weight.cols(); ++c) absmax = std::max(absmax, std::abs(w[c]));
      for (std::uint64_t c = 0; c < weight.cols(); ++c) {
        const auto q = static_cast<std::int8_t>(codes[row * weight.cols() + c]);
        ASSERT_NEAR(static_cast<double>(w[c]) * 127.0 / static_cast<double>(absmax), q, 0.51);
      }
    }
  }
}

TEST(PrototypeTest, TilesAgreeWithTheWhole) {
  const Model model = open_prototype(kFp16Dir, {});
  const Weight& weight = model.weights[1];
  const std::vector<float> values = weight_values(model, weight);
  const std::vector<std::uint16_t> codes = codes_of(model, weight);
  const auto reader = open_prototype_reader(model, weight);
  EXPECT_EQ(reader->code_bits(), 8);
  for (const Tile& tile : {Tile{127, 1, 255, 1}, Tile{3, 5, 7, 100}, Tile{0, 1, 0, 256}}) {
    std::vector<float> some(tile.rows * tile.cols);
    std::vector<std::uint16_t> some_codes(some.size());
    reader->values(tile, some.data());
    reader->codes(tile, some_codes.data());
    for (std::uint64_t i = 0; i < some.size(); ++i) {
      const std::uint64_t at =
          (tile.row + i / tile.cols) * weight.cols() + tile.col + i % tile.cols;
      EXPECT_EQ(some[i], values[at]);
      EXPECT_EQ(some_codes[i], codes[at]);
    }
  }
}

TEST(PrototypeTest, ReadersInManyThreadsAgree) {
  const Model model = open_prototype(kBf16Dir, {});
  const std::vector<float> expected = weight_values(model, model.weights[0]);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] { EXPECT_EQ(weight_values(model, model.weights[0]), expected); });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(PrototypeTest, SoundDirectoriesHaveNoFaults) {
  EXPECT_TRUE(faults_of(open_prototype(kBf16Dir, {})).empty());
  EXPECT_TRUE(faults_of(open_prototype(kFp16Dir, {})).empty());
}

TEST(PrototypeTest, WorksWithoutMappings) {
  set_mapping_disabled_for_testing(true);
  const Model unmapped = open_prototype(kBf16Dir, {});
  const std::vector<float> values = weight_values(unmapped, unmapped.weights[0]);
  EXPECT_TRUE(faults_of(unmapped).empty());
  set_mapping_disabled_for_testing(false);
  const Model mapped = open_prototype(kBf16Dir, {});
  EXPECT_EQ(values, weight_values(mapped, mapped.weights[0]));
}

class PrototypeCopy : public testing::Test {
 protected:
  PrototypeCopy() : path_(dir_ / "model") { std::filesystem::copy(kBf16Dir, path_); }
  void change(const std::string& name, const std::function<void(std::string&)>& edit) {
    std::string bytes = read_file(path_ + "/" + name);
    edit(bytes);
    dir_.write("model/" + name, bytes);
  }
  TempDir dir_;
  std::string path_;
};

TEST_F(PrototypeCopy, TheDtypeComesFromTheNameOrTheOption) {
  const Model told = open_prototype(path_, DType::kBF16);
  EXPECT_TRUE(told.warnings.empty());
  EXPECT_EQ(weight_values(told, told.weights[0]),
            weight_values(open_prototype(kBf16Dir, {}), open_prototype(kBf16Dir, {}).weights[0]));

  const Model untold = open_prototype(path_, {});
  EXPECT_EQ(untold.warnings.size(), 1u);
  EXPECT_EQ(dtype_name(untold.tensors[0]), "BF16|F16");
  EXPECT_EQ(codes_of(untold, untold.weights[0]), codes_of(told, told.weights[0]));
  EXPECT_TRUE(faults_of(untold).empty());
  const Error error = thrown_by([&] { weight_values(untold, untold.weights[0]); });
  EXPECT_EQ(error.code, ErrorCode::kUsage);
  EXPECT_THAT(error.expected, testing::HasSubstr("--dtype"));

  const Model against = open_prototype(kBf16Dir, DType::kF16);
  EXPECT_EQ(against.warnings.size(), 1u);
  EXPECT_EQ(against.tensors[0].dtype, DType::kF16);

  std::filesystem::create_directory_symlink(kBf16Dir, dir_ / "link");
  EXPECT_EQ(open_prototype(dir_ / "link", {}).tensors[0].dtype, DType::kBF16);
  EXPECT_EQ(open_prototype(kBf16Dir + "/", {}).tensors[0].dtype, DType::kBF16);
  EXPECT_EQ(open_prototype(kBf16Dir + "/.", {}).name, "wap2-mixedprec-bf16-int8");
}

TEST_F(PrototypeCopy, Int8AloneListsAndVerifies) {
  change("tensor_index.tsv", [](std::string& text) {
    text.resize(text.find("\torig"));
    text.resize(text.rfind('\n') + 1);
  });
  std::filesystem::remove(path_ + "/all_original.bin");
  const Model model = open_prototype(path_, DType::kBF16);
  ASSERT_EQ(model.weights.size(), 2u);
  EXPECT_EQ(model.warnings.size(), 2u);
  EXPECT_FALSE(model.weights[0].undecodable.empty());
  EXPECT_EQ(model.tensor(model.weights[0].parts[0]).dtype, DType::kI8);
  EXPECT_EQ(codes_of(model, model.weights[0]),
            codes_of(open_prototype(kBf16Dir, {}), open_prototype(kBf16Dir, {}).weights[0]));
  EXPECT_TRUE(faults_of(model).empty());
  EXPECT_EQ(thrown_by([&] { weight_values(model, model.weights[0]); }).code, ErrorCode::kBadDtype);
}

TEST_F(PrototypeCopy, OrigAloneIsRefused) {
  change("tensor_index.tsv", [](std::string& text) {
    const std::size_t first = text.find('\n') + 1;
    text.erase(first, text.find('\n', first) + 1 - first);
  });
  EXPECT_EQ(thrown_by([&] { open_prototype(path_, {}); }).code, ErrorCode::kMissing);
}

TEST_F(PrototypeCopy, ASwappedChunkIsAFault) {
  // The same int8 matrix with two values exchanged no longer fits the streams.
  const Model before = open_prototype(path_, {});
  const std::uint64_t size = before.tensors[1].size_bytes;
  change("all_quantized.bin", [&](std::string& bytes) {
    for (std::uint64_t i = size / 2; i < size / 2 + 40; ++i)
      bytes[i] = static_cast<char>(~bytes[i]);
  });
  const Model model = open_prototype(path_, DType::kBF16);
  const std::vector<PrototypeFault> faults = faults_of(model);
  ASSERT_FALSE(faults.empty());
  EXPECT_EQ(faults[0].tensor, kKProj + ".weight");
  EXPECT_EQ(exit_status(faults[0].code), 2);
  const Error error = thrown_by([&] { weight_values(model, model.weights[0]); });
  EXPECT_EQ(exit_status(error.code), 2);
  EXPECT_FALSE(weight_values(model, model.weights[1]).empty()) << "the other weight is sound";
}

/// Truncated at every offset of its heads and at many others: an error, never anything else.
TEST_F(PrototypeCopy, TruncatedAnywhere) {
  for (const char* name : {"tensor_index.tsv", "all_quantized.bin", "all_original.bin"}) {
    const std::string bytes = read_file(kBf16Dir + "/" + name);
    for (std::size_t size = 0; size < bytes.size(); size += size < 300 ? 3 : bytes.size() / 17) {
      change(name, [&](std::string& text) { text = bytes.substr(0, size); });
      try {
        const Model model = open_prototype(path_, DType::kBF16);
        EXPECT_STREQ(name, "tensor_index.tsv") << size;  // a whole row or its end may be missing
      } catch (const Error& error) {
        EXPECT_EQ(exit_status(error.code), 2) << name << " " << size;
      }
    }
    change(name, [&](std::string& text) { text = bytes; });
  }
}

TEST_F(PrototypeCopy, CorruptAnywhere) {
  for (const char* name : {"tensor_index.tsv", "all_quantized.bin", "all_original.bin"}) {
    const std::string bytes = read_file(kBf16Dir + "/" + name);
    for (std::size_t at = 0; at < bytes.size(); at += at < 256 ? 7 : bytes.size() / 11) {
      for (const int flip : {0x01, 0x80, 0xFF}) {
        change(name, [&](std::string& text) {
          text = bytes;
          text[at] = static_cast<char>(text[at] ^ flip);
        });
        try {
          const Model model = open_prototype(path_, DType::kBF16);
          faults_of(model);
          for (const Weight& weight : model.weights) weight_values(model, weight);
        } catch (const Error& error) {
          // A flipped bit of a name may take the row orig from its row quant: still class 2.
          EXPECT_THAT(exit_status(error.code), testing::AnyOf(2, 1)) << name << " " << at;
        }
      }
    }
    change(name, [&](std::string& text) { text = bytes; });
  }
}

struct Case {
  std::string id;
  nlohmann::json facts;
};

std::vector<Case> corpus() {
  std::vector<Case> cases;
  const auto manifest = nlohmann::json::parse(read_file(kData + "/malformed/manifest.json"));
  for (const auto& entry : manifest.at("cases")) {
    if (entry.at("format") == "qstore_dir") cases.push_back({entry.at("id"), entry});
  }
  return cases;
}

class PrototypeCorpus : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Manifest, PrototypeCorpus, testing::ValuesIn(corpus()),
                         [](const auto& way) { return way.param.id; });

TEST_P(PrototypeCorpus, HasTheOutcomePromised) {
  const nlohmann::json& facts = GetParam().facts;
  const std::string dir = kData + "/malformed/" + facts.at("path").get<std::string>();
  std::optional<ErrorCode> code;
  try {
    const Model model = open_prototype(dir, {});
    const std::vector<PrototypeFault> faults = faults_of(model);
    if (!faults.empty()) {
      EXPECT_EQ(facts.value("stage", ""), "load");
      code = faults[0].code;
      // Reading the values must fail as well (or the codes, where there are no values).
      const Model typed = open_prototype(dir, DType::kBF16);
      EXPECT_EQ(exit_status(thrown_by([&] {
                              codes_of(typed, typed.weights[0]);
                              weight_values(typed, typed.weights[0]);
                            }).code),
                2);
    } else if (facts.at("expected") == "accept") {
      EXPECT_EQ(model.weights.size(), facts.at("facts").at("tensors").get<std::size_t>());
      if (facts.at("facts").contains("quant_hex")) {
        std::string hex;
        for (const std::uint16_t q : codes_of(model, model.weights[0]))
          hex += fmt::format("{:02x}", q);
        EXPECT_EQ(hex, facts.at("facts").at("quant_hex"));
      }
      if (facts.at("facts").contains("orig_u16")) {
        const Model typed = open_prototype(dir, DType::kBF16);
        std::vector<std::uint16_t> bits;
        for (const float value : weight_values(typed, typed.weights[0])) {
          bits.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
        }
        EXPECT_EQ(bits, facts.at("facts").at("orig_u16").get<std::vector<std::uint16_t>>());
      }
      if (facts.value("warn", false)) {
        EXPECT_GT(model.warnings.size(), 1u) << "one is the dtype's";
      }
    }
  } catch (const Error& error) {
    code = error.code;
    EXPECT_FALSE(error.file.empty());
  }
  if (facts.at("expected") == "accept") {
    EXPECT_FALSE(code.has_value()) << class_word(*code);
    return;
  }
  ASSERT_TRUE(code.has_value()) << "accepted: " << facts.at("wrong");
  std::vector<std::string> classes = {facts.at("class")};
  for (const auto& also : facts.value("also", nlohmann::json::array())) classes.push_back(also);
  EXPECT_THAT(classes, testing::Contains(std::string(class_word(*code))));
  EXPECT_EQ(class_word(*code), facts.at("class").get<std::string>()) << "the class of choice";
}

/// 2^18 chunks of one byte that stand for 131,072 zeros each: 32 GiB.
TEST(PrototypeTest, ABombListsAtOnceAndIsRefusedInTime) {
  TempDir dir;
  const std::uint32_t rows = 1 << 17;
  const std::uint32_t columns = 1 << 18;
  const std::uint32_t chunks = 1 << 18;
  std::string quant;
  const auto put = [](std::string& out, std::uint32_t value) {
    for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  };
  put(quant, chunks);
  quant.push_back(2);
  put(quant, rows);
  put(quant, columns);
  for (std::uint32_t i = 0; i < chunks; ++i) {
    quant.push_back(1);
    put(quant, 131072);
    put(quant, 1);
  }
  quant.append(chunks, '\0');
  dir.write("model/all_quantized.bin", quant);
  dir.write("model/tensor_index.tsv",
            fmt::format("tensor_name\tfile_type\toffset\tsize\nw\tquant\t0\t{}\n", quant.size()));
  const Model model = open_prototype(dir / "model", DType::kBF16);
  EXPECT_EQ(model.weights[0].params, std::uint64_t{rows} * columns);
  const auto reader = open_prototype_reader(model, model.weights[0]);
  std::vector<std::uint16_t> codes(5, 1);
  reader->codes({rows - 1, 1, columns - 5, 5}, codes.data());
  EXPECT_EQ(codes, std::vector<std::uint16_t>(5, 0));
}

TEST(PrototypeIndexTest, SaysWhatIsWrongWhere) {
  const std::string head = "tensor_name\tfile_type\toffset\tsize\n";
  EXPECT_EQ(parse_prototype_index(head, "i").size(), 0u);
  const auto rows = parse_prototype_index(head + "a\tquant\t0\t18446744073709551615", "i");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].segment_bytes, UINT64_MAX);
  EXPECT_EQ(rows[0].row_offset, head.size());
  const std::vector<std::pair<std::string, ErrorCode>> bad = {
      {"", ErrorCode::kTruncated},
      {"tensor_name\tfile_type\toffset\n", ErrorCode::kBadHeader},
      {"tensor_name\tfile_type\toffset\tsize\r\n", ErrorCode::kBadHeader},
      {head + "\n", ErrorCode::kBadSchema},
      {head + "a\tquant\t0\t1\t\n", ErrorCode::kBadSchema},
      {head + "a\tQUANT\t0\t1\n", ErrorCode::kBadSchema},
      {head + "a\tquant\t0\t1\r\n", ErrorCode::kBadSchema},
      {head + "a\tquant\t+0\t1\n", ErrorCode::kBadSchema},
      {head + "a\tquant\t 0\t1\n", ErrorCode::kBadSchema},
      {head + "a\tquant\t\t1\n", ErrorCode::kBadSchema},
      {head + "a\tquant\t0\t18446744073709551616\n", ErrorCode::kOverflow},
      {head + "\xff\tquant\t0\t1\n", ErrorCode::kBadEncoding},
      {head + "a\tquant\t0\t1\na\tquant\t1\t1\n", ErrorCode::kDuplicate},
  };
  for (const auto& [text, code] : bad) {
    const Error error = thrown_by([&] { parse_prototype_index(text, "i"); });
    EXPECT_EQ(error.code, code) << text;
    EXPECT_EQ(error.file, "i");
    EXPECT_TRUE(error.offset.has_value());
  }
}

}  // namespace
}  // namespace qi
