
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/convert.h"
#include "engine/format/qstore_facts.h"
#include "engine/tensor/numbers.h"
#include "tests/format/qstore_fixture.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/open_path.h"

namespace qi {
namespace {

namespace fs = std::filesystem;
using test::class_of;
using test::contents;
using test::decode;
using test::encode;
using test::open_container;
using test::read_file;
using test::safetensors_bytes;
using test::TempDir;

using test::kData;
using test::open_path;

class QstoreTest : public testing::Test {
 protected:
  // Encodes `source` and expects its files back.
  void round_trip(const std::string& source, const EncodeOptions& options = {}) {
    SCOPED_TRACE(source);
    const EncodeResult result = encode(out_, {source}, options);
    EXPECT_EQ(result.container_bytes, fs::file_size(out_));
    EXPECT_LE(result.container_bytes, result.source_bytes + result.source_bytes / 1000 + 4096);
    EXPECT_THAT(test::faults_of(*open_container(out_)), testing::IsEmpty());
    const std::string back = dir_ / "back";
    fs::remove_all(back);
    decode(out_, "high", back);
    if (fs::is_directory(source)) {
      EXPECT_EQ(contents(back), contents(source));
    } else {
      EXPECT_EQ(read_file(back + "/" + fs::path(source).filename().string()), read_file(source));
      EXPECT_EQ(contents(back).size(), 1U);
    }
  }

  std::string write_model(const std::vector<test::StoredTensor>& tensors) {
    return dir_.write("model.safetensors", safetensors_bytes(tensors));
  }

  TempDir dir_;
  const std::string out_ = dir_ / "out.qstore";
};

TEST_F(QstoreTest, GivesEveryCheckpointBackByteForByte) {
  for (const auto& entry : fs::directory_iterator(kData + "/checkpoints")) {
    if (entry.is_directory()) round_trip(entry.path().string());
  }
}

TEST_F(QstoreTest, GivesGgufFilesAndFoldersOfManyFilesBack) {
  round_trip(kData + "/models/stories260K");
  round_trip(kData + "/models/stories260K/stories260K-F16.gguf");
  for (const auto& entry : fs::directory_iterator(kData + "/models/stories260K/quantized")) {
    if (entry.path().extension() == ".gguf") round_trip(entry.path().string());
  }
  round_trip(kData + "/models/wap");
}

TEST_F(QstoreTest, GivesOddButSoundFilesBack) {
  for (const char* folder : {"safetensors", "gguf"}) {
    for (const auto& entry : fs::directory_iterator(kData + "/malformed/files/" + folder)) {
      if (entry.path().filename().string().find("_ok_") != std::string::npos) {
        round_trip(entry.path().string());
      }
    }
  }
}

TEST_F(QstoreTest, GivesTheSameFileWhateverTheThreads) {
  EncodeOptions options;
  options.threads = 1;
  encode(out_, {kData + "/models/wap", kData + "/models/wap/wap-int8"}, options);
  const std::string one = read_file(out_);
  options.threads = 5;
  encode(out_, {kData + "/models/wap", kData + "/models/wap/wap-int8"}, options);
  EXPECT_EQ(one, read_file(out_));
}

TEST_F(QstoreTest, HoldsTwoPrecisionsInLittleMoreThanOne) {
  encode(out_, {kData + "/models/wap"});
  const std::uint64_t alone = fs::file_size(out_);
  const EncodeResult result = encode(out_, {kData + "/models/wap", kData + "/models/wap/wap-int8"});
  EXPECT_THAT(result.levels, testing::ElementsAre("wap", "wap-int8"));
  EXPECT_LT(result.container_bytes, alone + alone / 100);
  decode(out_, "all", dir_ / "all");
  EXPECT_EQ(contents(dir_ / "all/wap"), contents(kData + "/models/wap"));
  EXPECT_EQ(contents(dir_ / "all/wap-int8"), contents(kData + "/models/wap/wap-int8"));
  decode(out_, "low", dir_ / "low");
  EXPECT_EQ(contents(dir_ / "low"), contents(kData + "/models/wap/wap-int8"));
}

TEST_F(QstoreTest, HoldsF16WithItsInt8Version) {
  const std::string low = kData + "/models/wap/wap-fp16-int8";
  ConvertOptions convert;
  convert.type = DType::kF16;
  fs::create_directory(dir_ / "high");
  convert_model(open_path(kData + "/models/wap"), dir_ / "high/model.safetensors", convert);
  EncodeOptions options;
  options.block_weights = 4096;  // many blocks a matrix
  encode(out_, {dir_ / "high", low}, options);
  const auto container = open_container(out_);
  std::size_t pairs = 0;
  for (const QstoreStream& stream : container->index().streams) {
    if (stream.method != QstoreMethod::kPair) continue;
    EXPECT_TRUE(stream.pairing.is_f16);
    EXPECT_GT(stream.blocks.size(), 1U);
    ++pairs;
  }
  EXPECT_EQ(pairs, 28U);
  decode(out_, "all", dir_ / "all");
  EXPECT_EQ(contents(dir_ / "all/high"), contents(dir_ / "high"));
  EXPECT_EQ(contents(dir_ / "all/wap-fp16-int8"), contents(low));
}

TEST_F(QstoreTest, ComputesAnInt8LevelThatIsACheckpoint) {
  encode(out_, {kData + "/models/wap", "int8"});
  const auto container = open_container(out_);
  EXPECT_TRUE(container->index().levels[1].computed);
  decode(out_, "int8", dir_ / "int8");
  const Model computed = open_path(dir_ / "int8");
  const Model stored = open_path(kData + "/models/wap/wap-int8");
  ASSERT_EQ(computed.weights.size(), stored.weights.size());
  std::uint64_t off = 0;
  for (const Weight& weight : stored.weights) {
    const Weight* other = computed.find_weight(weight.name);
    ASSERT_NE(other, nullptr) << weight.name;
    EXPECT_EQ(other->scheme, weight.scheme) << weight.name;
    if (weight.scheme != Scheme::kLlmInt8) continue;
    std::vector<std::uint16_t> a(weight.params);
    std::vector<std::uint16_t> b(weight.params);
    const Tile all{0, weight.rows(), 0, weight.cols()};
    open_reader(stored, weight)->codes(all, a.data());
    open_reader(computed, *other)->codes(all, b.data());
    for (std::size_t i = 0; i < a.size(); ++i) off += a[i] != b[i] ? 1 : 0;
  }
  EXPECT_LT(off, 200U);  // those that a cast to F16 rounds to the other side
}

TEST_F(QstoreTest, EncodesPrototypeDirectoriesAnew) {
  for (const char* name : {"wap2-mixedprec-bf16-int8", "wap2-mixedprec-fp16-int8"}) {
    SCOPED_TRACE(name);
    const std::string source = kData + "/prototype-dirs/" + name;
    const EncodeResult result = encode(out_, {source});
    EXPECT_THAT(result.levels, testing::ElementsAre(name, "int8"));
    fs::remove_all(dir_ / "all");
    decode(out_, "all", dir_ / "all");
    const Model prototype = open_path(source);
    const Model high = open_path(dir_ / (std::string("all/") + name));
    const Model low = open_path(dir_ / "all/int8");
    ASSERT_EQ(high.weights.size(), prototype.weights.size());
    for (const Weight& weight : prototype.weights) {
      const Tile all{0, weight.rows(), 0, weight.cols()};
      std::vector<float> a(weight.params);
      std::vector<float> b(weight.params);
      open_reader(prototype, weight)->values(all, a.data());
      open_reader(high, *high.find_weight(weight.name))->values(all, b.data());
      EXPECT_EQ(std::memcmp(a.data(), b.data(), 4 * a.size()), 0) << weight.name;
      std::vector<std::uint16_t> p(weight.params);
      std::vector<std::uint16_t> q(weight.params);
      open_reader(prototype, weight)->codes(all, p.data());
      open_reader(low, *low.find_weight(weight.name))->codes(all, q.data());
      EXPECT_EQ(p, q) << weight.name;
    }
    const auto container = open_container(out_);
    const auto& streams = container->index().streams;
    EXPECT_EQ(std::count_if(
                  streams.begin(), streams.end(),
                  [](const QstoreStream& stream) { return stream.method == QstoreMethod::kPair; }),
              2);
  }
}

TEST_F(QstoreTest, ReadsTheLowLevelWithoutTheOneAbove) {
  encode(out_, {kData + "/models/wap", kData + "/models/wap/wap-int8"});
  std::string bytes = read_file(out_);
  {
    const auto container = open_container(out_);
    for (const QstoreStream& stream : container->index().streams) {
      if (stream.level != 0) continue;
      for (const QstoreBlock& block : stream.blocks) {
        for (std::uint64_t i = 0; i < block.stored_bytes; ++i) bytes[block.offset + i] = 0;
      }
    }
  }
  dir_.write("out.qstore", bytes);
  decode(out_, "low", dir_ / "low");
  EXPECT_EQ(contents(dir_ / "low"), contents(kData + "/models/wap/wap-int8"));
  EXPECT_EQ(class_of([&] { decode(out_, "high", dir_ / "high"); }), "corrupt");
  EXPECT_FALSE(fs::exists(dir_ / "high"));
}

TEST_F(QstoreTest, OpensAsTheModelItWasMadeFrom) {
  for (const char* source :
       {"/models/wap", "/checkpoints/gptq-4bit-actorder", "/checkpoints/mxfp4-experts",
        "/models/stories260K/stories260K-F16.gguf"}) {
    SCOPED_TRACE(source);
    const Model model = open_path(kData + source);
    encode(out_, {kData + source});
    const Model contained = open_path(out_);
    EXPECT_EQ(contained.container, Container::kQstore);
    EXPECT_EQ(contained.architecture, model.architecture);
    ASSERT_EQ(contained.weights.size(), model.weights.size());
    for (std::size_t i = 0; i < model.weights.size(); ++i) {
      const Weight& weight = model.weights[i];
      const Weight& other = contained.weights[i];
      EXPECT_EQ(other.name, weight.name);
      EXPECT_EQ(other.shape, weight.shape);
      EXPECT_EQ(other.scheme, weight.scheme);
      EXPECT_EQ(other.size_bytes, weight.size_bytes);
      ASSERT_TRUE(other.container_bytes);
      EXPECT_LE(*other.container_bytes, weight.size_bytes);
      std::vector<float> a(weight.params);
      std::vector<float> b(weight.params);
      const Tile all{0, weight.rows(), 0, weight.cols()};
      open_reader(model, weight)->values(all, a.data());
      open_reader(contained, other)->values(all, b.data());
      EXPECT_EQ(std::memcmp(a.data(), b.data(), 4 * a.size()), 0) << weight.name;
    }
  }
}

TEST_F(QstoreTest, ListsALevelBelowTheOther) {
  encode(out_, {kData + "/models/wap", kData + "/models/wap/wap-int8"});
  const Model model = open_path(out_);
  ASSERT_EQ(model.levels.size(), 2U);
  ASSERT_EQ(model.weights.size(), 78U);
  for (std::size_t i = 0; i < model.weights.size(); i += 2) {
    EXPECT_EQ(model.weights[i].name, model.weights[i + 1].name);
    EXPECT_EQ(model.weights[i].level, 0U);
    EXPECT_EQ(model.weights[i + 1].level, 1U);
  }
  const Weight* q = model.find_weight("model.layers.0.self_attn.q_proj.weight");
  ASSERT_NE(q, nullptr);
  EXPECT_LT(*q->container_bytes, q->params / 2);  // the residual alone
  OpenOptions options;
  options.first_level_only = true;
  EXPECT_EQ(open_model(find_models(out_).models.at(0), options).weights.size(), 39U);
}

TEST_F(QstoreTest, StoresTheSameBytesOnce) {
  const std::string weights = test::bf16_bytes(256 * 256, 1);
  round_trip(write_model({{"a.weight", DType::kBF16, {256, 256}, weights},
                          {"b.weight", DType::kBF16, {256, 256}, weights},
                          {"c.weight", DType::kBF16, {256, 256}, test::bf16_bytes(256 * 256, 2)}}));
  const auto container = open_container(out_);
  const auto& segments = container->index().levels[0].files[0].segments;
  ASSERT_EQ(segments.size(), 3U);
  EXPECT_EQ(segments[0].stream, segments[1].stream);
  EXPECT_NE(segments[0].stream, segments[2].stream);
}

TEST_F(QstoreTest, FindsNarrowNumbersInsideF32) {
  const std::size_t count = 128 * 128;
  const std::string halves = test::bf16_bytes(count, 3);
  std::string from_bf16;
  std::string from_f16;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t word = 0;
    std::memcpy(&word, halves.data() + 2 * i, 2);
    const float wide = bf16_to_float(word);
    const float half =
        f16_to_float(static_cast<std::uint16_t>((word & 0x83FF) | 0x2800 | (i & 1) << 10));
    from_bf16.append(reinterpret_cast<const char*>(&wide), 4);
    from_f16.append(reinterpret_cast<const char*>(&half), 4);
  }
  round_trip(write_model({{"a.weight", DType::kF32, {128, 128}, from_bf16},
                          {"b.weight", DType::kF32, {128, 128}, from_f16}}));
  const auto container = open_container(out_);
  const auto& segments = container->index().levels[0].files[0].segments;
  const auto view = [&](std::size_t i) {
    return container->index().streams[segments[i].stream].view;
  };
  EXPECT_EQ(view(0), QstoreView::kF32AsBF16);
  EXPECT_EQ(view(1), QstoreView::kF32AsF16);
  EXPECT_LT(fs::file_size(out_), 4 * count);
}

TEST_F(QstoreTest, KeepsSpecialValuesAndOddShapes) {
  // Every bit pattern of 16 bits: NaN payloads, infinities, subnormals, both zeros.
  std::string patterns;
  for (unsigned i = 0; i < 65536; ++i) {
    patterns.push_back(static_cast<char>(i & 0xFF));
    patterns.push_back(static_cast<char>(i >> 8));
  }
  round_trip(write_model({{"bf16", DType::kBF16, {256, 256}, patterns},
                          {"f16", DType::kF16, {65536}, patterns + ""},
                          {"f32", DType::kF32, {128, 256}, patterns.substr(0, 131072)},
                          {"scalar", DType::kF32, {}, std::string(4, '\x7f')},
                          {"empty", DType::kF32, {0, 5}, ""},
                          {"row", DType::kBF16, {1, 3}, "abcdef"},
                          {"column", DType::kF64, {3, 1}, std::string(24, 'x')},
                          {"f4", DType::kF4, {2, 4}, "wxyz"},
                          {"bool", DType::kBool, {3}, std::string("\0\1\1", 3)}}));
  round_trip(write_model({}));
  round_trip(write_model({{"zeros", DType::kBF16, {512, 512}, std::string(524288, '\0')}}));
}

TEST_F(QstoreTest, KeepsPairsThatAreNotRoundings) {
  // Scales of 0, NaN and infinity, q = −128, codes that have nothing to do with the weights.
  const std::size_t rows = 70;
  const std::size_t cols = 70;
  std::string high = test::bf16_bytes(rows * cols, 5);
  std::string codes(rows * cols, '\0');
  std::uint64_t seed = 9;
  for (char& c : codes) {
    seed = seed * 6364136223846793005ULL + 1;
    c = static_cast<char>(seed >> 56);
  }
  std::vector<float> scales(rows, 0.5F);
  scales[3] = 0;
  scales[4] = std::bit_cast<float>(0x7FC00001u);
  scales[5] = std::bit_cast<float>(0x7F800000u);
  scales[6] = -1;
  const std::string scale_bytes(reinterpret_cast<const char*>(scales.data()), 4 * rows);
  const std::string a = dir_.write(
      "a/model.safetensors", safetensors_bytes({{"m.weight", DType::kBF16, {rows, cols}, high}}));
  const std::string b = dir_.write(
      "b/model.safetensors", safetensors_bytes({{"m.weight", DType::kI8, {rows, cols}, codes},
                                                {"m.SCB", DType::kF32, {rows}, scale_bytes}}));
  encode(out_, {dir_ / "a", dir_ / "b"});
  decode(out_, "all", dir_ / "all");
  EXPECT_EQ(contents(dir_ / "all/a"), contents(dir_ / "a"));
  EXPECT_EQ(contents(dir_ / "all/b"), contents(dir_ / "b"));
}

TEST_F(QstoreTest, CountsEscapes) {
  // Roundings but for three weights of one row.
  const std::size_t cols = 4096;
  std::uint64_t seed = 3;
  std::vector<float> values(cols);
  std::string codes(cols, '\0');
  for (std::size_t i = 0; i < cols; ++i) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    const int q = static_cast<int>((seed >> 33) % 255) - 127;
    values[i] = static_cast<float>(q == 0 ? 1 : q);
    codes[i] = static_cast<char>(q == 0 ? 1 : q);
  }
  for (const std::size_t i : {5U, 99U, 2000U}) values[i] = -values[i] * 0.5F;
  std::string high(2 * cols, '\0');
  for (std::size_t i = 0; i < cols; ++i) {
    const std::uint16_t word = float_to_bf16(values[i]);
    std::memcpy(high.data() + 2 * i, &word, 2);
  }
  const float scale = 127;
  const std::string scale_bytes(reinterpret_cast<const char*>(&scale), 4);
  dir_.write("a/model.safetensors",
             safetensors_bytes({{"m.weight", DType::kBF16, {1, cols}, high}}));
  dir_.write("b/model.safetensors", safetensors_bytes({{"m.weight", DType::kI8, {1, cols}, codes},
                                                       {"m.SCB", DType::kF32, {1}, scale_bytes}}));
  encode(out_, {dir_ / "a", dir_ / "b"});
  const Model model = open_model(find_models(out_).models.at(0));
  const Weight& pair = model.weights.at(0);
  ASSERT_EQ(pair.scheme, Scheme::kQstore);
  const std::vector<StoredPart> parts = stored_parts(*container_of(model), model, pair);
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(parts[0].method, "pair");
  EXPECT_EQ(parts[0].escapes, 3U);
  EXPECT_EQ(parts[0].raw_blocks, 0U);
}

TEST_F(QstoreTest, NeverMakesSmallModelsMuchLarger) {
  std::vector<test::StoredTensor> tensors;
  std::string noise;
  std::uint64_t seed = 11;
  for (int i = 0; i < 40; ++i) {
    noise.clear();
    for (int k = 0; k < 256; ++k) {
      seed = seed * 6364136223846793005ULL + 1;
      noise.push_back(static_cast<char>(seed >> 56));
    }
    tensors.push_back({"model.layers." + std::to_string(i) + ".w", DType::kBF16, {8, 16}, noise});
  }
  round_trip(write_model(tensors));
}

TEST_F(QstoreTest, TakesRegularFilesOfTheFolderAlone) {
  dir_.write("m/model.safetensors",
             safetensors_bytes({{"w", DType::kBF16, {64, 64}, test::bf16_bytes(4096, 1)}}));
  dir_.write("m/config.json", "{}");
  dir_.write("m/.hidden", "x");
  dir_.write("m/empty.txt", "");
  dir_.write("m/.qinspect-999999999-1-0.tmp", "left by a dead run");
  dir_.write("m/sub/inside.txt", "x");
  dir_.write("elsewhere.txt", "secret");
  fs::create_symlink(dir_ / "elsewhere.txt", dir_ / "m/link.txt");
  const EncodeResult result = encode(out_, {dir_ / "m"});
  EXPECT_THAT(result.notes, testing::ElementsAre("links beside the weights are left out: 1"));
  decode(out_, "high", dir_ / "back");
  fs::remove(dir_ / "m/.qinspect-999999999-1-0.tmp");
  EXPECT_EQ(contents(dir_ / "back"), contents(dir_ / "m"));
  EXPECT_FALSE(fs::exists(dir_ / "back/sub"));
  EXPECT_FALSE(fs::exists(dir_ / "back/link.txt"));
}

// A container that stands in its model's folder is no file of the model, and may be replaced.
TEST_F(QstoreTest, IsMadeAnewInsideTheModelsFolder) {
  dir_.write("m/model.safetensors",
             safetensors_bytes({{"w", DType::kBF16, {64, 64}, test::bf16_bytes(4096, 1)}}));
  dir_.write("m/config.json", "{}");
  const auto source = contents(dir_ / "m");
  const std::string inside = dir_ / "m/m.qstore";
  EXPECT_THAT(encode(inside, {dir_ / "m"}).notes, testing::IsEmpty());
  EXPECT_THAT(encode(inside, {dir_ / "m"}).notes,
              testing::ElementsAre("containers beside the weights are left out: 1"));
  decode(inside, "high", dir_ / "back");
  EXPECT_TRUE(contents(dir_ / "back") == source);
}

TEST_F(QstoreTest, SmallModelsGrowByFourKibibytesAtMost) {
  std::mt19937_64 random(5);
  std::vector<test::StoredTensor> tensors;
  for (int i = 0; i < 400; ++i) {
    std::string noise(256, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    tensors.push_back({"model.layers." + std::to_string(i) + ".w", DType::kBF16, {8, 16}, noise});
  }
  const std::vector<std::string> sources = {
      write_model(tensors), kData + "/models/stories260K",
      dir_.write("one/model.safetensors",
                 safetensors_bytes({{"w", DType::kBF16, {8, 16}, test::bf16_bytes(128, 1)}}))};
  for (const std::string& source : sources) {
    for (const PlaneEffort effort : {PlaneEffort::kFast, PlaneEffort::kRatio}) {
      EncodeOptions options;
      options.effort = effort;
      const EncodeResult result = encode(out_, {source}, options);
      EXPECT_LE(result.container_bytes, result.source_bytes + 4096) << source;
    }
  }
}

TEST_F(QstoreTest, AllEffortComesBackToo) {
  EncodeOptions options;
  options.effort = PlaneEffort::kRatio;
  options.block_weights = 4096;
  for (const char* model : {"/models/wap", "/models/wap/wap-int8", "/models/stories260K",
                            "/models/stories260K/stories260K-F16.gguf"}) {
    round_trip(kData + model, options);
  }
}

TEST_F(QstoreTest, AllEffortForBothLevels) {
  EncodeOptions options;
  const std::string wap = kData + "/models/wap";
  const std::uint64_t fast = encode(out_, {wap, "int8"}, options).container_bytes;
  options.effort = PlaneEffort::kRatio;
  EXPECT_LT(encode(out_, {wap, "int8"}, options).container_bytes, fast);
  const auto container = open_container(out_);
  EXPECT_THAT(test::faults_of(*container), testing::IsEmpty());
  const auto& streams = container->index().streams;
  EXPECT_TRUE(std::any_of(streams.begin(), streams.end(), [](const QstoreStream& stream) {
    return stream.method == QstoreMethod::kPair;
  }));
  decode(out_, "wap", dir_ / "back");
  EXPECT_TRUE(contents(dir_ / "back") == contents(wap));
}

TEST_F(QstoreTest, FollowsLinksToShards) {
  const std::string bytes =
      safetensors_bytes({{"w", DType::kBF16, {64, 64}, test::bf16_bytes(4096, 1)}});
  dir_.write("blobs/0123", bytes);
  fs::create_directories(dir_ / "m");
  fs::create_symlink(dir_ / "blobs/0123", dir_ / "m/model.safetensors");
  encode(out_, {dir_ / "m"});
  decode(out_, "high", dir_ / "back");
  EXPECT_EQ(read_file(dir_ / "back/model.safetensors"), bytes);
}

TEST_F(QstoreTest, RefusesNamesThatDifferInCaseAlone) {
  dir_.write("m/model.safetensors", safetensors_bytes({{"w", DType::kBF16, {2}, "abcd"}}));
  dir_.write("m/Notes.txt", "x");
  dir_.write("m/notes.TXT", "x");
  EXPECT_EQ(class_of([&] { encode(out_, {dir_ / "m"}); }), "duplicate");
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(QstoreTest, RefusesToOverwriteWhatItReads) {
  const std::string model = write_model({{"w", DType::kBF16, {2}, "abcd"}});
  EXPECT_EQ(class_of([&] { encode(model, {model}); }), "usage");
  EXPECT_FALSE(read_file(model).empty());
  encode(out_, {model});
  EXPECT_EQ(class_of([&] { encode(dir_ / "b.qstore", {out_}); }), "usage");
}

TEST_F(QstoreTest, LeavesNothingWhenCancelled) {
  std::atomic<bool> cancel = false;
  EncodeOptions options;
  options.cancel = &cancel;
  for (const std::uint64_t when : {0U, 1'000'000U, 9'000'000U}) {
    cancel = when == 0;
    options.progress = [&](std::uint64_t done, std::uint64_t) {
      if (done > when) cancel = true;
    };
    EXPECT_TRUE(encode(out_, {kData + "/models/wap"}, options).cancelled);
    EXPECT_TRUE(fs::is_empty(dir_.path()));
  }
  encode(out_, {kData + "/models/wap"});
  const auto container = open_container(out_);
  DecodeOptions stop;
  stop.cancel = &cancel;
  EXPECT_TRUE(decode_levels(*container, {0}, false, dir_ / "back", stop).cancelled);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_.path()), {}), 1);
}

TEST_F(QstoreTest, NamesLevelsAndFindsThem) {
  const std::string wap = kData + "/models/wap";
  const EncodeResult result = encode(out_, {wap, wap, "int8"});
  EXPECT_THAT(result.levels, testing::ElementsAre("wap", "wap-2", "int8"));
  const auto container = open_container(out_);
  EXPECT_EQ(find_level(*container, "high"), 0U);
  EXPECT_EQ(find_level(*container, "wap-2"), 1U);
  EXPECT_EQ(find_level(*container, "low"), 2U);
  EXPECT_EQ(class_of([&] { find_level(*container, "medium"); }), "usage");
}

}  // namespace
}  // namespace qi
