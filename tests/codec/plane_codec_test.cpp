#include "engine/codec/plane_codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "engine/codec/plane_fit.h"
#include "engine/codec/plane_pool.h"
#include "engine/codec/plane_short.h"
#include "engine/io/error.h"
#include "engine/tensor/numbers.h"
#include "tests/support/error_of.h"
#include "tests/support/trained_like.h"

namespace qi {
namespace {

using testing_support::Random;
using Bytes = std::vector<std::byte>;

// ---- contents -----------------------------------------------------------------------------------

struct Content {
  const char* name;
  std::function<void(Random&, DType, Bytes&)> fill;
};

void fill_random(Random& random, DType, Bytes& bytes) {
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.next());
}

void fill_normal(Random& random, DType type, Bytes& bytes) {
  const std::size_t element = info(type).block_bytes;
  for (std::size_t i = 0; i + element <= bytes.size(); i += element) {
    const double value = 0.02 * random.student8();
    const auto single = static_cast<float>(value);
    std::uint64_t bits = 0;
    switch (type) {
      case DType::kBF16:
        bits = float_to_bf16(single);
        break;
      case DType::kF16:
        bits = float_to_f16(single);
        break;
      case DType::kF32:
        std::memcpy(&bits, &single, 4);
        break;
      case DType::kF64:
        std::memcpy(&bits, &value, 8);
        break;
      default:
        bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(std::nearbyint(value * 1000)));
    }
    std::memcpy(bytes.data() + i, &bits, element);
  }
}

// NaN payloads, infinities, −0, subnormals and huge numbers among normal ones.
void fill_special(Random& random, DType type, Bytes& bytes) {
  fill_normal(random, type, bytes);
  for (std::size_t i = 0; i < bytes.size(); i += 1 + random.next() % 40) {
    constexpr std::uint8_t kBytes[] = {0xff, 0x7f, 0x80, 0x00, 0x01, 0x7c};
    bytes[i] = std::byte{kBytes[random.next() % 6]};
  }
}

void fill_zeros_and_normal(Random& random, DType type, Bytes& bytes) {
  fill_normal(random, type, bytes);
  const std::size_t element = info(type).block_bytes;
  for (std::size_t i = 0; i + element <= bytes.size(); i += element) {
    if (random.next() % 3 != 0) std::memset(bytes.data() + i, 0, element);
  }
}

void fill_constant(Random& random, DType, Bytes& bytes) {
  std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(random.next()));
}

void fill_constant_but_one(Random& random, DType type, Bytes& bytes) {
  fill_constant(random, type, bytes);
  if (!bytes.empty()) bytes[random.next() % bytes.size()] ^= std::byte{0x41};
}

const Content kContents[] = {
    {"random bits", fill_random},     {"normal", fill_normal},
    {"special values", fill_special}, {"zeros strewn in", fill_zeros_and_normal},
    {"constant", fill_constant},      {"all but one equal", fill_constant_but_one},
};

const DType kTypes[] = {DType::kBF16, DType::kF16,    DType::kF32,    DType::kF64,
                        DType::kI8,   DType::kF8E4M3, DType::kF8E5M2, DType::kU8};

// ---- round trips --------------------------------------------------------------------------------

// Every path's bytes and every path's numbers.
void expect_round_trip(const PlaneTable& chosen, const Bytes& values, const std::string& what) {
  SCOPED_TRACE(what);
  const PlaneTable table = PlaneTable::parse(chosen.serialise());
  EXPECT_EQ(table.serialise(), chosen.serialise());
  const std::size_t count = values.size() / table.element_bytes();
  Bytes first;
  for (const CodecPath path : codec_paths()) {
    PlaneEncoder encoder(path);
    const auto block = encoder.encode(table, values.data(), count);
    EXPECT_LE(block.size(), values.size() + 1);
    if (path == CodecPath::kPortable) first.assign(block.begin(), block.end());
    EXPECT_TRUE(std::equal(block.begin(), block.end(), first.begin(), first.end()))
        << "bytes of path " << static_cast<int>(path);
  }
  for (const CodecPath path : codec_paths()) {
    PlaneDecoder decoder(path);
    // A block of its own size, so that a sanitizer sees a read past its end.
    const Bytes block = first;
    Bytes out(values.size() + 1, std::byte{0x55});
    decoder.decode(table, block, count, out.data());
    EXPECT_EQ(out.back(), std::byte{0x55});
    out.pop_back();
    EXPECT_TRUE(out == values) << "numbers of path " << static_cast<int>(path);
  }
}

TEST(PlaneCodecTest, EveryTypeSizeAndContentComesBack) {
  Random random(1);
  for (const DType type : kTypes) {
    for (const Content& content : kContents) {
      for (const std::size_t count : {0, 1, 63, 64, 65, 128, 1000, 4999, 70001}) {
        Bytes values(count * info(type).block_bytes);
        content.fill(random, type, values);
        for (const PlaneEffort effort : {PlaneEffort::kFast, PlaneEffort::kRatio}) {
          PlaneHistogram histogram(plane_kind(type));
          histogram.add_sample(values.data(), count);
          expect_round_trip(
              PlaneTable::choose(histogram, effort), values,
              std::string(info(type).name) + ", " + content.name + ", " + std::to_string(count));
        }
      }
    }
  }
}

TEST(PlaneCodecTest, NibblesComeBackAndShrink) {
  Random random(2);
  for (const std::size_t count : {0, 1, 31, 32, 33, 64, 100, 5000}) {
    Bytes values(count);
    const auto nibble = [&random] {
      return static_cast<unsigned>(
          std::clamp(std::nearbyint(8 + 2.5 * random.normal()), 0.0, 15.0));
    };
    for (std::byte& b : values) b = static_cast<std::byte>(nibble() | nibble() << 4);
    PlaneHistogram histogram(nibble_kind());
    histogram.add(values.data(), count);
    const PlaneTable table = PlaneTable::choose(histogram, PlaneEffort::kFast);
    expect_round_trip(table, values, std::to_string(count));
    PlaneEncoder encoder;
    if (count == 5000) {
      EXPECT_LT(encoder.encode(table, values.data(), count).size(), 4700u);
    }
  }
}

// A table that was made for other numbers codes these all the same.
TEST(PlaneCodecTest, ATableNeedNotFit) {
  Random random(3);
  for (const DType type : kTypes) {
    Bytes sample(2000 * info(type).block_bytes);
    Bytes values(3000 * info(type).block_bytes);
    fill_normal(random, type, sample);
    for (const Content& content : kContents) {
      content.fill(random, type, values);
      for (const PlaneEffort effort : {PlaneEffort::kFast, PlaneEffort::kRatio}) {
        for (const bool empty : {false, true}) {
          PlaneHistogram histogram(plane_kind(type));
          if (!empty) histogram.add(sample.data(), 2000);
          expect_round_trip(PlaneTable::choose(histogram, effort), values,
                            std::string(info(type).name) + ", " + content.name);
        }
      }
    }
  }
}

// Splits that choose() would not take here, and both layouts over the same numbers.
TEST(PlaneCodecTest, EverySplitAndLayout) {
  Random random(4);
  const std::vector<RansSymbol> few = {{3, 1000}, {7, 2000}, {9, 1000}, {kEscapeSymbol, 96}};
  std::vector<RansSymbol> many;
  for (unsigned i = 0; i < 63; ++i) many.push_back({static_cast<std::uint8_t>(i), 64});
  many.push_back({kEscapeSymbol, 64});
  std::vector<RansSymbol> middle;
  for (unsigned i = 0; i < 24; ++i) middle.push_back({static_cast<std::uint8_t>(2 * i), 160});
  middle.push_back({kEscapeSymbol, 4096 - 24 * 160});
  for (const unsigned head_bytes : {1, 2}) {
    for (unsigned shift = 0; shift <= (head_bytes == 1 ? 4u : 10u); ++shift) {
      for (const bool sign : {false, true}) {
        const PlaneSplit split{static_cast<std::uint8_t>(head_bytes),
                               static_cast<std::uint8_t>(shift), sign, 2};
        if (split.raw_bits() + 4 > 8 * head_bytes) continue;
        const PlaneKind kind{static_cast<std::uint8_t>(head_bytes), sign, false, 0, 0};
        Bytes values(head_bytes * 1500);
        for (std::size_t i = 0; i < values.size(); i += head_bytes) {
          const unsigned code = random.next() % 8 == 0 ? static_cast<unsigned>(random.next())
                                                       : 5 + 2 * (random.next() % 4);
          const unsigned head =
              code << shift | (random.next() & ((1u << shift) - 1)) | (random.next() & 0x8080u);
          std::memcpy(values.data() + i, &head, head_bytes);
        }
        const std::string what = std::to_string(head_bytes) + ":" + std::to_string(shift);
        expect_round_trip({kind, split, RansTable(few, RansLayout::kAlias)}, values, what);
        expect_round_trip({kind, split, RansTable(few, RansLayout::kTwoLevel)}, values, what);
        expect_round_trip({kind, split, RansTable(middle, RansLayout::kTwoLevel)}, values, what);
        expect_round_trip({kind, split, RansTable(middle, RansLayout::kAlias)}, values, what);
        expect_round_trip({kind, split, RansTable(many, RansLayout::kAlias)}, values, what);
        expect_round_trip({kind, split, RansTable(many, RansLayout::kDirect)}, values, what);
        expect_round_trip({kind, split, RansTable(few, RansLayout::kDirect)}, values, what);
      }
    }
  }
}

TEST(PlaneCodecTest, ConstantBlocksAreOneElement) {
  const Bytes values(80000, std::byte{0x3c});
  PlaneHistogram histogram(plane_kind(DType::kF64));
  histogram.add(values.data(), 10000);
  PlaneEncoder encoder;
  const PlaneTable table = PlaneTable::choose(histogram, PlaneEffort::kFast);
  EXPECT_EQ(encoder.encode(table, values.data(), 10000).size(), 9u);
}

// float32 that holds bf16 costs the bf16.
TEST(PlaneCodecTest, LowBytesThatAreAllEqualAreStoredOnce) {
  Random random(5);
  Bytes values(4 * 20000);
  fill_normal(random, DType::kF32, values);
  for (std::size_t i = 0; i < values.size(); i += 4) values[i] = values[i + 1] = std::byte{0};
  PlaneHistogram histogram(plane_kind(DType::kF32));
  histogram.add(values.data(), 20000);
  const PlaneTable table = PlaneTable::choose(histogram, PlaneEffort::kFast);
  expect_round_trip(table, values, "bf16 in f32");
  PlaneEncoder encoder;
  EXPECT_LT(encoder.encode(table, values.data(), 20000).size() * 8.0 / 20000, 11.0);
}

// ---- classes ------------------------------------------------------------------------------------

// Rows and columns that differ in scale, some of them zero.
void scale_rows_and_columns(Random& random, DType type, std::size_t cols, Bytes& bytes) {
  const std::size_t element = info(type).block_bytes;
  std::vector<double> column(cols);
  for (double& c : column) c = std::exp(0.9 * random.normal());
  double row = 1;
  for (std::size_t i = 0; i * element < bytes.size(); ++i) {
    if (i % cols == 0) row = random.next() % 50 == 0 ? 0 : std::exp(1.5 * random.normal());
    const auto value = static_cast<float>(0.02 * row * column[i % cols] * random.student8());
    std::uint64_t bits = 0;
    if (type == DType::kBF16) bits = float_to_bf16(value);
    if (type == DType::kF16) bits = float_to_f16(value);
    if (type == DType::kF32) std::memcpy(&bits, &value, 4);
    if (type == DType::kI8) {
      bits = static_cast<std::uint64_t>(
          static_cast<std::int64_t>(std::clamp(std::nearbyint(500.0 * value), -128.0, 127.0)));
    }
    std::memcpy(bytes.data() + i * element, &bits, element);
  }
}

PlaneTable table_for_rows(DType type, const Bytes& values, std::size_t cols) {
  const std::size_t rows = values.size() / info(type).block_bytes / cols;
  double bytes = 0;
  return PlaneTable::choose_for_rows(plane_kind(type), {values.data(), rows, cols, rows}, bytes);
}

TEST(PlaneCodecTest, ClassesOfRowsAndColumnsComeBack) {
  Random random(31);
  std::size_t with_columns = 0;
  std::size_t with_rows = 0;
  for (const DType type : {DType::kBF16, DType::kF16, DType::kF32, DType::kI8}) {
    for (const std::size_t cols : {1, 7, 64, 100, 512, 576, 1000, 2048}) {
      for (const std::size_t rows : {1, 2, 30, 200}) {
        Bytes values(rows * cols * info(type).block_bytes);
        scale_rows_and_columns(random, type, cols, values);
        const PlaneTable table = table_for_rows(type, values, cols);
        with_rows += table.classes() != nullptr ? 1 : 0;
        with_columns += table.classes() != nullptr && !table.classes()->columns.empty() ? 1 : 0;
        const std::string what =
            std::string(info(type).name) + ", " + std::to_string(rows) + "x" + std::to_string(cols);
        expect_round_trip(table, values, what);
        // Other numbers under the same table, and a block that ends inside a row.
        for (const Content& content : kContents) {
          Bytes other((rows * cols - cols / 3) * info(type).block_bytes);
          content.fill(random, type, other);
          expect_round_trip(table, other, what + ", " + content.name);
        }
      }
    }
  }
  EXPECT_GT(with_rows, 30u);
  EXPECT_GT(with_columns, 15u);
}

TEST(PlaneCodecTest, ClassesPayWhereScalesDiffer) {
  Random random(32);
  for (const DType type : {DType::kBF16, DType::kF16, DType::kI8}) {
    constexpr std::size_t kCols = 512;
    Bytes values(400 * kCols * info(type).block_bytes);
    scale_rows_and_columns(random, type, kCols, values);
    const PlaneTable classed = table_for_rows(type, values, kCols);
    PlaneHistogram histogram(plane_kind(type));
    histogram.add(values.data(), 400 * kCols);
    const PlaneTable plain = PlaneTable::choose(histogram, PlaneEffort::kRatio);
    PlaneEncoder encoder;
    const auto size = [&](const PlaneTable& table) {
      return encoder.encode(table, values.data(), 400 * kCols).size() + table.serialise().size();
    };
    const std::size_t without = size(plain);
    EXPECT_LT(static_cast<double>(size(classed)), 0.98 * static_cast<double>(without))
        << info(type).name;
  }
}

double bits_per_weight(DType type, PlaneEffort effort) {
  const std::vector<float> drawn = testing_support::trained_like(6, 64, 4096);
  Bytes values(2 * drawn.size());
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const std::uint16_t word =
        type == DType::kBF16 ? float_to_bf16(drawn[i]) : float_to_f16(drawn[i]);
    std::memcpy(values.data() + 2 * i, &word, 2);
  }
  PlaneHistogram histogram(plane_kind(type));
  histogram.add_sample(values.data(), drawn.size());
  const PlaneTable table = PlaneTable::choose(histogram, effort);
  PlaneEncoder encoder;
  const std::size_t size =
      encoder.encode(table, values.data(), drawn.size()).size() + table.serialise().size();
  return 8.0 * static_cast<double>(size) / static_cast<double>(drawn.size());
}

TEST(PlaneCodecTest, TrainedWeightsCostWhatTheirEntropySays) {
  EXPECT_LT(bits_per_weight(DType::kBF16, PlaneEffort::kFast), 10.72);
  EXPECT_LT(bits_per_weight(DType::kBF16, PlaneEffort::kRatio), 10.68);
  EXPECT_LT(bits_per_weight(DType::kF16, PlaneEffort::kFast), 13.72);
  EXPECT_LT(bits_per_weight(DType::kF16, PlaneEffort::kRatio), 13.66);
}

// ---- damage -------------------------------------------------------------------------------------

// Every path either refuses the block or gives numbers; none reads or writes where it must not
// (which a sanitizer sees), and all do the same.
void expect_survival(const PlaneTable& table, const Bytes& block, std::size_t count) {
  std::string first;
  for (const CodecPath path : codec_paths()) {
    PlaneDecoder decoder(path);
    Bytes out(count * table.element_bytes());
    std::string result;
    try {
      decoder.decode(table, block, count, out.data());
      result.assign(reinterpret_cast<const char*>(out.data()), out.size());
    } catch (const Error& error) {
      EXPECT_EQ(error.code, ErrorCode::kCorrupt);
      result = "refused";
    }
    if (path == CodecPath::kPortable) first = result;
    EXPECT_TRUE(result == first) << "path " << static_cast<int>(path);
  }
}

// Each byte of a short block, some of a long one with its lanes.
TEST(PlaneCodecTest, DamagedBlocksAreRefusedOrGiveNumbers) {
  Random random(7);
  for (const DType type : {DType::kBF16, DType::kF16, DType::kF64, DType::kI8}) {
    for (const std::size_t times : {12, 90}) {
      const std::size_t count = 300;
      Bytes values(count * info(type).block_bytes);
      fill_special(random, type, values);
      PlaneHistogram histogram(plane_kind(type));
      histogram.add(values.data(), count);
      const PlaneTable table = PlaneTable::choose(histogram, PlaneEffort::kRatio);
      PlaneEncoder encoder;
      Bytes large;
      for (std::size_t i = 0; i < times; ++i) {
        large.insert(large.end(), values.begin(), values.end());
      }
      const auto coded = encoder.encode(table, large.data(), times * count);
      const Bytes block(coded.begin(), coded.end());
      const bool is_short = times * count <= kShortHeads;
      ASSERT_EQ(block[0], is_short ? std::byte{3} : std::byte{2}) << info(type).name;
      for (std::size_t i = 0; i < block.size(); i += i < 400 ? 1 : is_short ? 7 : 197) {
        Bytes damaged = block;
        damaged[i] ^= static_cast<std::byte>(1 + random.next() % 255);
        expect_survival(table, damaged, times * count);
        if (i % 8 == 0) {
          const Bytes cut(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(i));
          EXPECT_EQ(test::class_of([&] {
                      Bytes out(large.size());
                      PlaneDecoder().decode(table, cut, times * count, out.data());
                    }),
                    "corrupt");
        }
      }
      // Streams that lie about their lengths in step with each other.
      for (int round = 0; !is_short && round < 200; ++round) {
        Bytes damaged = block;
        for (std::size_t i = 0; i < damaged.size(); ++i) {
          if (random.next() % 50 == 0) damaged[i] = static_cast<std::byte>(random.next());
        }
        std::memcpy(damaged.data(), block.data(), 12);
        std::uint32_t words = 0;
        std::memcpy(&words, block.data() + 4, 4);
        const auto fewer = static_cast<std::uint32_t>(random.next() % words);
        std::memcpy(damaged.data() + 4, &fewer, 4);
        damaged.erase(damaged.end() - 2 * static_cast<std::ptrdiff_t>(words - fewer),
                      damaged.end());
        expect_survival(table, damaged, times * count);
      }
      // Short ones by another word, or with another number of escapes.
      for (int round = 0; is_short && round < 200; ++round) {
        Bytes damaged = block;
        damaged[1] = static_cast<std::byte>(random.next() % 128);
        damaged.resize(damaged.size() - random.next() % 64 + random.next() % 64);
        expect_survival(table, damaged, times * count);
      }
    }
  }
}

TEST(PlaneCodecTest, DamagedBlocksWithClassesAreRefusedOrGiveNumbers) {
  Random random(9);
  for (const DType type : {DType::kBF16, DType::kI8}) {
    for (const auto& [cols, rows] :
         {std::pair<std::size_t, std::size_t>{60, 12}, {512, 12}, {60, 420}, {512, 52}}) {
      const std::size_t count = rows * cols;
      Bytes values(count * info(type).block_bytes);
      scale_rows_and_columns(random, type, cols, values);
      Bytes many;
      for (std::size_t i = 0; i < 360; i += rows)
        many.insert(many.end(), values.begin(), values.end());
      const PlaneTable table = table_for_rows(type, many, cols);
      ASSERT_NE(table.classes(), nullptr);
      PlaneEncoder encoder;
      const auto coded = encoder.encode(table, values.data(), count);
      const Bytes block(coded.begin(), coded.end());
      const bool is_short = count <= kShortHeads;
      ASSERT_EQ(block[0], is_short ? std::byte{3} : std::byte{2});
      for (std::size_t i = 0; i < block.size(); i += i < 400 ? 1 : is_short ? 7 : 197) {
        Bytes damaged = block;
        damaged[i] ^= static_cast<std::byte>(1 + random.next() % 255);
        expect_survival(table, damaged, count);
      }
      const Bytes text = table.serialise();
      for (std::size_t i = 0; i < std::min<std::size_t>(text.size(), 700); i += is_short ? 1 : 5) {
        Bytes damaged = text;
        damaged[i] ^= static_cast<std::byte>(1 + random.next() % 255);
        std::string word = test::class_of([&] { PlaneTable::parse(damaged); });
        EXPECT_TRUE(word == "corrupt" || word == "none");
        if (word == "none") expect_survival(PlaneTable::parse(damaged), block, count);
      }
    }
  }
}

// Numbers of any count, from one on, cost little more than their share of a large block.
TEST(PlaneCodecTest, FewNumbersCostLittleMoreThanTheirShare) {
  Random random(31);
  Bytes all(2 * 8192);
  fill_normal(random, DType::kBF16, all);
  PlaneHistogram histogram(plane_kind(DType::kBF16));
  histogram.add(all.data(), 8192);
  for (const PlaneEffort effort : {PlaneEffort::kFast, PlaneEffort::kRatio}) {
    const PlaneTable table = PlaneTable::choose(histogram, effort);
    PlaneEncoder encoder;
    for (std::size_t count = 1; count <= 8192; count = count * 5 / 4 + 1) {
      const auto block = encoder.encode(table, all.data(), count);
      EXPECT_LE(static_cast<double>(block.size()), 11.6 * static_cast<double>(count) / 8 + 16)
          << count;
      Bytes out(2 * count);
      PlaneDecoder().decode(table, block, count, out.data());
      EXPECT_TRUE(std::equal(out.begin(), out.end(), all.begin())) << count;
    }
  }
}

TEST(PlaneCodecTest, ClassesOfRowsComeBackInBothForms) {
  Random random(32);
  for (int round = 0; round < 400; ++round) {
    const std::size_t count = 1 + random.next() % 300;
    const auto spread = 1 + random.next() % 60;
    std::vector<std::int8_t> rows(count);
    for (std::int8_t& row : rows) {
      const auto z = static_cast<int>(random.next() % spread * (random.next() % 4) / 3);
      row = static_cast<std::int8_t>(random.next() % 2 != 0 ? z : -z);
    }
    Bytes packed(packed_rows_bound(count));
    const std::size_t size = pack_rows(rows, packed.data());
    ASSERT_LE(size, packed.size());
    std::vector<std::int8_t> found(count);
    const auto bytes = std::span<const std::byte>(packed).first(size);
    EXPECT_EQ(unpack_rows(bytes, found), size);
    EXPECT_EQ(found, rows);
    EXPECT_EQ(test::class_of([&] { unpack_rows(bytes.first(size - 1), found); }), "corrupt");
  }
  // All ones: no class is so far away.
  std::vector<std::int8_t> rows(3);
  Bytes ones(64, std::byte{255});
  ones[0] = std::byte{0};
  ones[1] = std::byte{17};
  EXPECT_EQ(test::class_of([&] { unpack_rows(ones, rows); }), "corrupt");
}

// Small matrices and vectors of one shape, but for their scale, share one set of tables.
TEST(PlaneCodecTest, SmallTensorsShareTables) {
  Random random(33);
  const PlaneKind kind = plane_kind(DType::kBF16);
  PlanePool pool(kind);
  std::vector<Bytes> all;
  std::vector<PlaneRows> rows;
  for (std::size_t i = 0; i < 24; ++i) {
    const std::size_t cols = 16 + 8 * i;
    const std::size_t count = i % 3 == 0 ? 1 : 20;
    Bytes& values = all.emplace_back(2 * count * cols);
    for (std::size_t k = 0; k < count * cols; ++k) {
      const double value = std::exp2(static_cast<double>(i) / 2 - 8) * random.student8();
      const std::uint16_t bits = float_to_bf16(static_cast<float>(value));
      std::memcpy(values.data() + 2 * k, &bits, 2);
    }
    rows.push_back({values.data(), count, cols, count});
  }
  for (const PlaneRows& r : rows) {
    pool.add(pool.count(r, 2.0 * static_cast<double>(r.rows * r.cols)));
  }
  pool.settle();
  std::size_t bytes = 0;
  std::size_t weights = 0;
  std::set<Bytes> symbols;
  for (const PlaneRows& r : rows) {
    const std::size_t count = r.rows * r.cols;
    std::size_t least = SIZE_MAX;
    PlaneEncoder encoder;
    const std::vector<PlaneTable> tables = pool.tables(r);
    ASSERT_FALSE(tables.empty());
    for (const PlaneTable& table : tables) {
      const Bytes text = table.serialise();
      symbols.emplace(text.begin() + static_cast<std::ptrdiff_t>(PlaneTable::symbols_at(text)),
                      text.end());
      const auto block = encoder.encode(PlaneTable::parse(text), r.values, count);
      least = std::min(least, block.size());
      Bytes out(2 * count);
      PlaneDecoder().decode(table, block, count, out.data());
      EXPECT_EQ(std::memcmp(out.data(), r.values, out.size()), 0);
    }
    bytes += least;
    weights += count;
  }
  EXPECT_LE(symbols.size(), 2U);
  EXPECT_LT(8.0 * static_cast<double>(bytes), 10.9 * static_cast<double>(weights));
}

TEST(PlaneCodecTest, DamagedTablesAreRefusedOrAreTables) {
  Random random(8);
  for (const DType type : kTypes) {
    Bytes values(2000 * info(type).block_bytes);
    fill_normal(random, type, values);
    PlaneHistogram histogram(plane_kind(type));
    histogram.add(values.data(), 2000);
    const Bytes table = PlaneTable::choose(histogram, PlaneEffort::kRatio).serialise();
    for (std::size_t i = 0; i < table.size(); ++i) {
      for (unsigned flip = 1; flip < 256; ++flip) {
        Bytes damaged = table;
        damaged[i] ^= static_cast<std::byte>(flip);
        const std::string word = test::class_of([&] { PlaneTable::parse(damaged); });
        EXPECT_TRUE(word == "corrupt" || word == "none");
      }
      const Bytes cut(table.begin(), table.begin() + static_cast<std::ptrdiff_t>(i));
      EXPECT_EQ(test::class_of([&] { PlaneTable::parse(cut); }), "corrupt");
    }
  }
}

}  // namespace
}  // namespace qi
