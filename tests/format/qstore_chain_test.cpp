// Chains of precisions in containers: every level comes back byte for byte, whatever made the lower
// ones, for little more than the highest one alone.
#include <functional>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/qstore.h"
#include "engine/format/qstore_chain_facts.h"
#include "engine/format/qstore_grid.h"
#include "engine/format/qstore_grid_of.h"
#include "tests/format/qstore_fixture.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/memory_file.h"
#include "tests/support/quantized_checkpoint.h"

namespace qi {
namespace {

namespace fs = std::filesystem;
using test::class_of;
using test::CodeLayout;
using test::contents;
using test::decode;
using test::encode;
using test::kData;
using test::open_container;
using test::open_path;
using test::QuantizedAs;
using test::read_file;
using test::safetensors_bytes;
using test::write_quantized;

std::size_t streams_by(const QstoreContainer& container, QstoreMethod method) {
  const auto& streams = container.index().streams;
  return static_cast<std::size_t>(
      std::count_if(streams.begin(), streams.end(),
                    [&](const QstoreStream& stream) { return stream.method == method; }));
}

class QstoreChainTest : public testing::Test {
 protected:
  // Two matrices, large enough for several blocks of 4096 weights, and one that stays as it is.
  QstoreChainTest() {
    const auto matrix = [](std::uint64_t seed, std::uint64_t rows, std::uint64_t cols) {
      std::string bytes(2 * rows * cols, '\0');
      const std::vector<float> values = testing_support::trained_like(seed, rows, cols);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint16_t word = float_to_bf16(values[i]);
        std::memcpy(bytes.data() + 2 * i, &word, 2);
      }
      return bytes;
    };
    dir_.write(
        "w16/model.safetensors",
        safetensors_bytes({{"l.0.q_proj.weight", DType::kBF16, {64, 256}, matrix(1, 64, 256)},
                           {"l.0.o_proj.weight", DType::kBF16, {96, 128}, matrix(2, 96, 128)},
                           {"norm.weight", DType::kBF16, {256}, matrix(3, 1, 256)}}));
    options_.block_weights = 4096;
  }
  std::string quantized(const std::string& name, QuantizedAs as) {
    write_quantized(dir_ / "w16", dir_ / name, as);
    return dir_ / name;
  }
  // Encodes the levels, expects all of them back and returns the container's bytes.
  std::uint64_t round_trip(const std::vector<std::string>& levels) {
    const EncodeResult result = encode(out_, levels, options_);
    EXPECT_THAT(test::faults_of(*open_container(out_)), testing::IsEmpty());
    fs::remove_all(dir_ / "all");
    decode(out_, "all", dir_ / "all");
    for (std::size_t i = 0; i < levels.size(); ++i) {
      EXPECT_EQ(contents(dir_ / ("all/" + result.levels[i])), contents(levels[i])) << levels[i];
    }
    return result.container_bytes;
  }

  test::TempDir dir_;
  const std::string out_ = dir_ / "chain.qstore";
  EncodeOptions options_;
};

TEST_F(QstoreChainTest, GridsAreWhatTheReadersSay) {
  std::vector<std::string> folders;
  for (const CodeLayout layout :
       {CodeLayout::kGptq, CodeLayout::kAwq, CodeLayout::kCompressedTensors}) {
    for (const bool symmetric : {false, true}) {
      for (const int bits : {4, 8}) {
        if (layout == CodeLayout::kAwq && bits == 8) continue;
        const std::string name = fmt::format("l{}s{}b{}", int(layout), symmetric, bits);
        folders.push_back(quantized(
            name, {layout, bits, 32, symmetric, layout == CodeLayout::kGptq && !symmetric, 0}));
      }
    }
  }
  for (const char* name : {"gptq-4bit-actorder", "gptq-8bit", "awq-4bit", "ct-int4-group",
                           "ct-int8-channel", "bnb-int8"}) {
    folders.push_back(kData + "/checkpoints/" + name);
  }
  for (const std::string& folder : folders) {
    SCOPED_TRACE(folder);
    const Model model = open_path(folder);
    std::vector<Buffer> streams;
    const auto stream_of = [&](const std::string& name) -> std::optional<std::uint32_t> {
      for (const Tensor& tensor : model.tensors) {
        if (tensor.name != name) continue;
        streams.emplace_back(tensor.size_bytes);
        model.file(tensor).read_at(tensor.offset, streams.back());
        return static_cast<std::uint32_t>(streams.size() - 1);
      }
      return std::nullopt;
    };
    std::size_t found = 0;
    for (const Weight& weight : model.weights) {
      const auto grid = grid_of(model, weight, stream_of);
      if (!grid) continue;
      ++found;
      const auto bytes_of = [&](std::uint32_t i) { return std::span<const std::byte>(streams[i]); };
      const auto sizes = grid_sizes(*grid);
      ASSERT_TRUE(sizes);
      ASSERT_EQ(sizes->codes, streams[grid->codes].size());
      const GridBytes bytes = grid_bytes(*grid, bytes_of);
      const GridTile all{0, grid->rows, 0, grid->cols};
      std::vector<std::uint8_t> codes(weight.params);
      unpack_tile(*grid, streams[grid->codes], all, codes.data());
      Buffer packed(streams[grid->codes].size());
      pack_grid(*grid, codes.data(), packed);
      EXPECT_EQ(packed, streams[grid->codes]);
      // A tile that begins inside words.
      const GridTile inner{1, grid->rows - 1, 5, grid->cols - 6};
      std::vector<std::uint8_t> part(inner.count());
      unpack_tile(*grid, streams[grid->codes], inner, part.data());
      GridNumbers numbers;
      load_numbers(*grid, bytes, 0, grid->rows, numbers);
      std::vector<std::uint32_t> groups;
      load_groups(*grid, bytes.index, groups);
      std::vector<float> values(weight.params);
      open_reader(model, weight)->values({0, grid->rows, 0, grid->cols}, values.data());
      for (std::size_t r = 0; r < grid->rows; ++r) {
        for (std::size_t c = 0; c < grid->cols; ++c) {
          const std::size_t i = r * grid->cols + c;
          const std::size_t g = r * numbers.groups + groups[c];
          const float value = (static_cast<float>(codes[i]) - numbers.zeros[g]) * numbers.scales[g];
          ASSERT_NEAR(value, values[i], std::fabs(values[i]) * 1e-6) << r << ", " << c;
          if (r >= 1 && c >= 5 && c < 5 + inner.cols) {
            ASSERT_EQ(part[(r - 1) * inner.cols + c - 5], codes[i]);
          }
        }
      }
    }
    EXPECT_NE(found, 0U);
  }
}

TEST_F(QstoreChainTest, HoldsThreePrecisionsOfAnyLayout) {
  const std::uint64_t alone = round_trip({dir_ / "w16"});
  const std::string w8 = quantized("w8", {CodeLayout::kGptq, 8, 128, true, false, 0});
  const std::string a8 = quantized("a8", {CodeLayout::kGptq, 8, 64, false, true, 0});
  const std::string c8 = quantized("c8", {CodeLayout::kCompressedTensors, 8, 128, true, false, 0});
  const std::string w4 = quantized("w4", {CodeLayout::kGptq, 4, 128, true, false, 0});
  const std::string a4 = quantized("a4", {CodeLayout::kAwq, 4, 32, false, false, 0});
  const std::string c4 = quantized("c4", {CodeLayout::kCompressedTensors, 4, 64, false, false, 0});
  for (const std::string& high : {w8, a8, c8, std::string("int8")}) {
    for (const std::string& low : {w4, a4, c4}) {
      SCOPED_TRACE(high + " " + low);
      if (high == "int8") {
        encode(out_, {dir_ / "w16", high, low}, options_);
        decode(out_, "int8", dir_ / "int8");  // as a path that the next round can compare
      }
      const std::string from = high == "int8" ? dir_ / "int8" : high;
      const std::uint64_t bytes = round_trip({dir_ / "w16", from, low});
      fs::remove_all(dir_ / "int8");
      const auto container = open_container(out_);
      const bool pairs = high == "int8";
      EXPECT_EQ(streams_by(*container, QstoreMethod::kChain), pairs ? 2U : 4U);
      EXPECT_EQ(streams_by(*container, QstoreMethod::kPair), pairs ? 2U : 0U);
      EXPECT_EQ(container->header().version, 3U);
      // Scales, zero points and heads of small blocks come on top.
      EXPECT_LT(bytes, alone * 135 / 100);
    }
  }
  // Two of them: 16 bits given 4.
  EXPECT_LT(round_trip({dir_ / "w16", w4}), alone * 120 / 100);
  EXPECT_EQ(streams_by(*open_container(out_), QstoreMethod::kChain), 2U);
  EXPECT_EQ(open_container(out_)->header().version, 3U);
}

TEST_F(QstoreChainTest, GivesCodesBackThatAreNoRounding) {
  for (const double off : {0.3, 2.0, 50.0}) {
    SCOPED_TRACE(off);
    round_trip({dir_ / "w16", quantized("n8", {CodeLayout::kGptq, 8, 128, true, true, off}),
                quantized("n4", {CodeLayout::kGptq, 4, 128, false, true, off})});
  }
  // Grids that are none: scales of 0, NaN and infinity, and codes that have nothing to do with
  // them.
  std::string low = read_file(dir_ / "n4/model.safetensors");
  const Model model = open_path(dir_ / "n4");
  for (const Tensor& tensor : model.tensors) {
    if (!tensor.name.ends_with(".scales")) continue;
    const std::uint16_t odd[] = {0, 0x7E00, 0x7C00, 0x8000, 1, 0xFC00};
    for (std::size_t i = 0; i < 30; ++i) {
      std::memcpy(low.data() + tensor.offset + 2 * i, &odd[i % 6], 2);
    }
  }
  dir_.write("n4/model.safetensors", low);
  round_trip({dir_ / "w16", dir_ / "n8", dir_ / "n4"});
  round_trip({dir_ / "n8", dir_ / "n4"});
}

TEST_F(QstoreChainTest, ReadsEachLevelWithoutThoseAbove) {
  const std::vector<std::string> levels = {dir_ / "w16", quantized("w8", {CodeLayout::kGptq, 8}),
                                           quantized("w4", {CodeLayout::kGptq, 4})};
  encode(out_, levels, options_);
  const std::string sound = read_file(out_);
  const auto index = open_container(out_)->index();
  test::MemoryFile file;
  for (std::uint32_t kept = 0; kept < levels.size(); ++kept) {
    std::string bytes = sound;
    for (const QstoreStream& stream : index.streams) {
      for (const QstoreBlock& block : stream.blocks) {
        if (stream.level < kept) std::fill_n(bytes.begin() + block.offset, block.stored_bytes, 'x');
      }
    }
    for (std::uint32_t i = 0; i < levels.size(); ++i) {
      const auto container = open_container(file.set(bytes));
      const std::string to = dir_ / fmt::format("k{}l{}", kept, i);
      const std::string found = class_of([&] { decode_levels(*container, {i}, false, to, {}); });
      EXPECT_EQ(found, i < kept ? "corrupt" : "none");
      if (i < kept) continue;
      EXPECT_EQ(contents(to), contents(levels[i]));
    }
  }
}

TEST_F(QstoreChainTest, NamesWhatStandsOnDamage) {
  encode(out_,
         {dir_ / "w16", quantized("w8", {CodeLayout::kGptq, 8}),
          quantized("w4", {CodeLayout::kGptq, 4})},
         options_);
  std::string bytes = read_file(out_);
  const auto index = open_container(out_)->index();
  for (const QstoreStream& stream : index.streams) {
    if (stream.method != QstoreMethod::kChain || stream.level != 1) continue;
    bytes[index.streams[stream.chain.low.codes].blocks.back().offset] ^= 1;
    break;
  }
  test::MemoryFile file;
  const auto faults = test::faults_of(*open_container(file.set(bytes)));
  ASSERT_GT(faults.size(), 2U);
  EXPECT_THAT(faults.front().message, testing::HasSubstr("checksum is wrong"));
  for (std::size_t i = 1; i < faults.size(); ++i) {
    EXPECT_THAT(faults[i].message, testing::StartsWith("stands on damage elsewhere: block"));
    EXPECT_THAT(faults[i].message, testing::HasSubstr("of w4: checksum is wrong"));
    EXPECT_EQ(fs::path(faults[i].tensor).stem(), fs::path(faults.front().tensor).stem());
  }
}

TEST_F(QstoreChainTest, RefusesChainsThatDoNotFit) {
  encode(out_,
         {dir_ / "w16", quantized("w8", {CodeLayout::kGptq, 8}),
          quantized("w4", {CodeLayout::kGptq, 4})},
         options_);
  const auto container = open_container(out_);
  const QstoreIndex& sound = container->index();
  const auto verdict = [&](const std::function<void(QstoreStream&, std::uint32_t)>& change) {
    QstoreIndex index = sound;
    for (std::uint32_t i = 0; i < index.streams.size(); ++i) {
      if (index.streams[i].method == QstoreMethod::kChain && index.streams[i].level == 1) {
        change(index.streams[i], i);
        break;
      }
    }
    const std::vector<std::byte> text = qstore_index_text(index);
    return class_of([&] { parse_qstore_index(text, container->header(), "c.qstore"); });
  };
  EXPECT_EQ(verdict([](QstoreStream&, std::uint32_t) {}), "none");
  const std::function<void(QstoreStream&, std::uint32_t)> kLies[] = {
      [](QstoreStream& s, std::uint32_t i) { s.chain.low.codes = i; },
      [](QstoreStream& s, std::uint32_t) { s.chain.low.codes = s.chain.low.scales; },
      [](QstoreStream& s, std::uint32_t i) { s.chain.low.scales = i; },
      [](QstoreStream& s, std::uint32_t) { s.chain.low.zeros.reset(); },
      [](QstoreStream& s, std::uint32_t) { s.chain.low.rows *= 2; },
      [](QstoreStream& s, std::uint32_t) { s.chain.low.rows = s.chain.low.cols = 1ULL << 33; },
      [](QstoreStream& s, std::uint32_t) { s.chain.own->cols *= 2; },
      [](QstoreStream& s, std::uint32_t) { s.chain.own->bits = 4; },
      [](QstoreStream& s, std::uint32_t) { s.chain.low.bits = 3; },
      [](QstoreStream& s, std::uint32_t) { s.chain.low.groups = 0; },
      [](QstoreStream& s, std::uint32_t) { s.chain.low.layout = GridLayout::kInt8; },
      [](QstoreStream& s, std::uint32_t) { s.chain.low.index.reset(), s.chain.low.group_size = 1; },
      [](QstoreStream& s, std::uint32_t) { s.chain.own.reset(); },
  };
  for (const auto& lie : kLies) EXPECT_EQ(verdict(lie), "inconsistent") << &lie - kLies;
  EXPECT_EQ(verdict([](QstoreStream& s, std::uint32_t) { s.chain.low.codes = 1 << 20; }),
            "missing");
  // Version 2 has no chains.
  QstoreHeader header = container->header();
  header.version = kQstoreVersionWithoutChains;
  const std::vector<std::byte> text = qstore_index_text(sound);
  EXPECT_EQ(class_of([&] { parse_qstore_index(text, header, "c.qstore"); }), "bad_schema");
}

TEST_F(QstoreChainTest, SurvivesDamageWithoutChecksums) {
  options_.block_weights = 1024;
  encode(out_,
         {dir_ / "w16", quantized("w8", {CodeLayout::kGptq, 8, 128, true, false, 0.3}),
          quantized("w4", {CodeLayout::kGptq, 4})},
         options_);
  const std::string sound = read_file(out_);
  test::MemoryFile file;
  testing_support::Random random(7);
  const auto index = open_container(out_)->index();
  for (int round = 0; round < 60; ++round) {
    std::string bytes = sound;
    for (int k = 0; k < 3; ++k) {
      const std::size_t at =
          64 + random.next() % (open_container(out_)->header().index_offset - 64);
      bytes[at] = static_cast<char>(random.next());
    }
    const auto container = open_container(file.set(bytes));
    QstoreReader reader(*container, false);
    for (std::uint32_t i = 0; i < index.streams.size(); ++i) {
      for (std::uint64_t k = 0; k < index.streams[i].blocks.size(); ++k) {
        Buffer out(static_cast<std::size_t>(index.streams[i].block_bytes(k)));
        const std::string found = class_of([&] { reader.read_block(i, k, out); });
        EXPECT_TRUE(found == "none" || found == "corrupt") << found;
      }
    }
  }
}

TEST_F(QstoreChainTest, GivesTheSameFileWhateverTheThreads) {
  const std::vector<std::string> levels = {
      dir_ / "w16", quantized("w8", {CodeLayout::kGptq, 8, 128, true, true, 0.5}),
      quantized("w4", {CodeLayout::kGptq, 4})};
  options_.threads = 1;
  encode(out_, levels, options_);
  const std::string one = read_file(out_);
  options_.threads = 5;
  encode(out_, levels, options_);
  EXPECT_EQ(one, read_file(out_));
}

// The aim for a chain of the sample model: the container spends what the entropies say.
TEST_F(QstoreChainTest, SpendsTheConditionalEntropiesOfWap) {
  const std::string wap = kData + "/models/wap";
  write_quantized(wap, dir_ / "w8", {CodeLayout::kGptq, 8});
  write_quantized(wap, dir_ / "w4", {CodeLayout::kGptq, 4});
  encode(out_, {wap, dir_ / "w8", dir_ / "w4"});
  const auto container = open_container(out_);
  const Model model = open_path(out_);
  double entropy = 0;
  double spent = 0;
  double apart = 0;  // 16 bits by planes, 8 by Huffman, 4 as they are
  std::size_t weights = 0;
  for (const Weight& weight : model.weights) {
    const ChainFacts facts = chain_facts(*container, model, weight);
    if (!facts.by_chain) continue;
    ++weights;
    const auto n = static_cast<double>(weight.params);
    spent += n * *facts.by_chain;
    apart += n * (weight.bits == 4 ? 4 : weight.bits == 8 ? *facts.by_huffman : *facts.by_planes);
    if (facts.given_next) {
      entropy += n * *facts.given_next;
      EXPECT_EQ(facts.given_lowest.has_value(), weight.level == 0);
      continue;
    }
    std::vector<std::uint16_t> codes(weight.params);
    open_reader(model, weight)->codes({0, weight.rows(), 0, weight.cols()}, codes.data());
    std::array<std::uint64_t, 16> counts{};
    for (const std::uint16_t code : codes) ++counts[code];
    entropy += order0_bits(counts);
  }
  EXPECT_EQ(weights, 3 * 28U);
  EXPECT_LT(spent, entropy * 1.02);
  EXPECT_LT(spent, apart * 0.75);
}

}  // namespace
}  // namespace qi
