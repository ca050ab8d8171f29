// Containers that are cut, flipped, shuffled or lie: every fault is found and named, and what is
// sound comes back all the same.
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/format/qstore.h"
#include "engine/format/qstore_facts.h"
#include "tests/format/qstore_fixture.h"
#include "tests/support/data.h"
#include "tests/support/error_of.h"
#include "tests/support/memory_file.h"

namespace qi {
namespace {

namespace fs = std::filesystem;
using test::class_of;
using test::contents;
using test::decode;
using test::encode;
using test::error_of;
using test::open_container;
using test::read_file;
using test::safetensors_bytes;
using test::TempDir;

using test::kData;

/// The class of the first fault; "none" for a sound container.
std::string verdict(const std::string& path, bool checksums_only = false) {
  std::string found = "none";
  const std::string thrown = class_of([&] {
    const auto faults = test::faults_of(*open_container(path), checksums_only);
    if (!faults.empty()) found = class_word(faults.front().code);
  });
  return thrown != "none" ? thrown : found;
}

class QstoreDamageTest : public testing::Test {
 protected:
  QstoreDamageTest() {
    const std::string matrix = test::bf16_bytes(48 * 32, 1);
    dir_.write("high/model.safetensors",
               safetensors_bytes({{"a.weight", DType::kBF16, {48, 32}, matrix},
                                  {"b.weight", DType::kBF16, {16, 32}, matrix.substr(64, 1024)},
                                  {"c.bias", DType::kF32, {3}, "aaaabbbbcccc"}}));
    dir_.write("high/config.json", "{\"model_type\": \"llama\"}");
    EncodeOptions options;
    options.block_weights = 1024;
    encode(out_, {dir_ / "high", "int8"}, options);
    bytes_ = read_file(out_);
  }

  // The container with another index, its checksums made right.
  std::string forged(const std::function<void(QstoreIndex&)>& change) const {
    const auto container = open_container(out_);
    QstoreIndex index = container->index();
    change(index);
    return with_index(qstore_index_text(index));
  }
  std::string with_index(const std::vector<std::byte>& text) const {
    QstoreHeader header = read_qstore_header(*File::open(out_));
    const std::vector<std::byte> packed = pack_qstore_index(text);
    header.index_bytes = packed.size();
    header.total_bytes = header.index_offset + packed.size();
    header.index_checksum = plain_checksum(packed);
    return with_header(header,
                       std::string(reinterpret_cast<const char*>(packed.data()), packed.size()));
  }
  std::string with_header(const QstoreHeader& header, const std::string& index) const {
    const std::vector<std::byte> head = qstore_header(header);
    const auto blocks = static_cast<std::size_t>(
        read_qstore_header(*File::open(out_)).index_offset - kQstoreHeaderBytes);
    return std::string(reinterpret_cast<const char*>(head.data()), head.size()) +
           bytes_.substr(kQstoreHeaderBytes, blocks) + index;
  }

  TempDir dir_;
  const std::string out_ = dir_ / "small.qstore";
  std::string bytes_;
  test::MemoryFile file_;
};

TEST_F(QstoreDamageTest, IsSmallAndSound) {
  EXPECT_LT(bytes_.size(), 8192U);
  EXPECT_EQ(verdict(out_), "none");
}

TEST_F(QstoreDamageTest, FindsEveryCut) {
  for (std::size_t length = 0; length < bytes_.size(); ++length) {
    const std::string found = verdict(file_.set(bytes_.substr(0, length)));
    EXPECT_EQ(found, "truncated") << length;
  }
}

TEST_F(QstoreDamageTest, FindsEveryFlippedBit) {
  for (std::size_t at = 0; at < bytes_.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes_;
      damaged[at] = static_cast<char>(damaged[at] ^ 1 << bit);
      const std::string found = verdict(file_.set(damaged), true);
      EXPECT_TRUE(found == "corrupt" || (at < 8 && found == "bad_magic"))
          << "bit " << bit << " of byte " << at << ": " << found;
    }
  }
}

TEST_F(QstoreDamageTest, FindsAppendedBytesAndTextMode) {
  EXPECT_EQ(verdict(file_.set(bytes_ + '\0')), "trailing");
  EXPECT_EQ(verdict(file_.set(bytes_ + bytes_)), "trailing");
  std::string text = bytes_;
  text.erase(4, 1);  // CR LF became LF
  const auto error = error_of([&] { open_container(file_.set(text)); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kBadMagic);
  EXPECT_THAT(error->message, testing::HasSubstr("copied as text"));
  EXPECT_EQ(verdict(file_.set("")), "truncated");
  EXPECT_EQ(verdict(file_.set("GGUF" + std::string(100, '\0'))), "bad_magic");
}

TEST_F(QstoreDamageTest, FindsMovedBlocks) {
  // Two blocks of one stream and of the same size, each sound in the other's place.
  dir_.write("twin/model.safetensors",
             safetensors_bytes({{"w", DType::kBF16, {64, 32}, test::bf16_bytes(2048, 3)}}));
  EncodeOptions options;
  options.block_weights = 1024;
  encode(out_, {dir_ / "twin"}, options);
  auto container = open_container(out_);
  const auto& streams = container->index().streams;
  const auto twin = std::find_if(streams.begin(), streams.end(), [](const QstoreStream& stream) {
    return stream.blocks.size() == 2;
  });
  ASSERT_NE(twin, streams.end());
  const auto number = static_cast<std::uint32_t>(twin - streams.begin());
  Buffer scratch;
  const auto first = container->stored(number, 0, scratch);
  EXPECT_NE(block_checksum(first, twin->level, number, 0),
            block_checksum(first, twin->level, number, 1));
  EXPECT_NE(block_checksum(first, twin->level, number, 0),
            block_checksum(first, twin->level, number + 1, 0));
  EXPECT_NE(block_checksum(first, twin->level, number, 0),
            block_checksum(first, twin->level + 1, number, 0));
}

TEST_F(QstoreDamageTest, NamesTensorBlockAndBytes) {
  const auto container = open_container(out_);
  for (std::uint32_t i = 0; i < container->index().streams.size(); ++i) {
    const QstoreStream& stream = container->index().streams[i];
    for (std::uint64_t k = 0; k < stream.blocks.size(); ++k) {
      const QstoreBlock& block = stream.blocks[k];
      std::string damaged = bytes_;
      damaged[block.offset + block.stored_bytes / 2] ^= 0x10;
      const auto faults = test::faults_of(*open_container(file_.set(damaged)), true);
      ASSERT_EQ(faults.size(), 1U);
      EXPECT_EQ(faults[0].tensor, container->subject(i).tensor);
      EXPECT_EQ(faults[0].block, k);
      EXPECT_EQ(faults[0].offset, block.offset);
      EXPECT_EQ(faults[0].length, block.stored_bytes);
    }
  }
}

// What the Weight screen says of each tensor: where its bytes are, and what of them is damaged.
TEST_F(QstoreDamageTest, TellsHowEachTensorIsStored) {
  const Model model = open_model(find_models(out_).models.at(0));
  const auto container = container_of(model);
  ASSERT_NE(container, nullptr);
  std::uint64_t damaged_parts = 0;
  for (const Weight& weight : model.weights) {
    const std::vector<StoredPart> parts = stored_parts(*container, model, weight);
    ASSERT_EQ(parts.size(), weight.parts.size()) << weight.name;
    std::uint64_t sum = 0;
    for (const StoredPart& part : parts) {
      EXPECT_EQ(part.damaged, 0U);
      EXPECT_LE(part.raw_blocks, part.blocks);
      sum += part.stored_bytes;
    }
    EXPECT_EQ(sum, weight.container_bytes) << weight.name;
    const std::atomic<bool> cancelled{true};
    EXPECT_EQ(stored_parts(*container, model, weight, &cancelled).size(), parts.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].blocks == 0) continue;
      const std::string& name = model.tensor(weight.parts[i]).name;
      std::uint32_t number = 0;
      for (const QstoreFile& file : container->index().levels[weight.level].files) {
        for (const QstoreSegment& segment : file.segments) {
          if (segment.name == name) number = segment.stream;
        }
      }
      const QstoreBlock& block = container->index().streams[number].blocks.back();
      std::string bytes = bytes_;
      bytes[block.offset] ^= 0x40;
      const auto broken = open_container(file_.set(bytes));
      const std::vector<StoredPart> found = stored_parts(*broken, model, weight);
      EXPECT_EQ(found[i].damaged, 1U) << name;
      EXPECT_EQ(found[i].first_damaged, parts[i].blocks - 1);
      EXPECT_EQ(found[i].stored_bytes, parts[i].stored_bytes);
      ++damaged_parts;
    }
  }
  EXPECT_GT(damaged_parts, 2U);
  EXPECT_EQ(container_of(open_model(find_models(kData + "/models/wap").models.at(0))), nullptr);
}

TEST_F(QstoreDamageTest, GivesSoundTensorsOfADamagedFile) {
  const Model model = open_model(find_models(out_).models.at(0));
  const auto container = open_container(out_);
  std::uint32_t damaged_stream = 0;
  for (const QstoreSegment& segment : container->index().levels[0].files[1].segments) {
    if (segment.name == "a.weight") damaged_stream = segment.stream;
  }
  std::string damaged = bytes_;
  damaged[container->index().streams[damaged_stream].blocks[0].offset] ^= 1;
  const std::string path = dir_.write("damaged.qstore", damaged);
  const auto broken = open_container(path);
  EXPECT_EQ(class_of([&] { decode(path, "high", dir_ / "whole"); }), "corrupt");
  EXPECT_FALSE(fs::exists(dir_ / "whole"));
  for (const QstoreSegment& segment : broken->index().levels[0].files[1].segments) {
    RestoredTensor wanted;
    wanted.name = segment.name;
    wanted.dtype = DType::kU8;
    wanted.size_bytes = broken->index().streams[segment.stream].size_bytes;
    wanted.shape = {wanted.size_bytes};
    wanted.stream = segment.stream;
    const std::string folder = dir_ / std::string(segment.name);
    const std::string found = class_of([&] { decode_tensors(*broken, {wanted}, folder, {}); });
    EXPECT_EQ(found, segment.name == "a.weight" ? "corrupt" : "none") << segment.name;
    EXPECT_EQ(fs::exists(folder), segment.name != "a.weight");
  }
}

// A decoder that gives other bytes than were encoded is found by the digests, not by checksums.
TEST_F(QstoreDamageTest, FindsWrongDigests) {
  const std::string path = dir_.write("forged.qstore", forged([](QstoreIndex& index) {
                                        for (QstoreStream& stream : index.streams)
                                          stream.digest.low ^= 1;
                                      }));
  EXPECT_EQ(verdict(path, true), "none");
  EXPECT_EQ(verdict(path), "corrupt");
  // Whole files are judged by their own digests, single tensors by theirs.
  EXPECT_EQ(class_of([&] { decode(path, "high", dir_ / "whole"); }), "none");
  const auto container = open_container(path);
  const QstoreSegment& segment = container->index().levels[0].files[1].segments.at(0);
  RestoredTensor alone;
  alone.name = segment.name;
  alone.dtype = DType::kU8;
  alone.stream = segment.stream;
  alone.size_bytes = container->index().streams[segment.stream].size_bytes;
  alone.shape = {alone.size_bytes};
  EXPECT_EQ(class_of([&] { decode_tensors(*container, {alone}, dir_ / "x", {}); }), "corrupt");
  const std::string files =
      dir_.write("files.qstore",
                 forged([](QstoreIndex& index) { index.levels[0].files[0].digest.high ^= 1; }));
  EXPECT_EQ(class_of([&] { decode(files, "high", dir_ / "x"); }), "corrupt");
  EXPECT_FALSE(fs::exists(dir_ / "x"));
}

TEST_F(QstoreDamageTest, RefusesIndexesThatLie) {
  const auto refused = [&](const char* wanted, const std::function<void(QstoreIndex&)>& change) {
    EXPECT_EQ(verdict(file_.set(forged(change)), true), wanted);
  };
  const auto named = [](std::string_view name) {
    return [name](QstoreIndex& index) { index.levels[0].files[0].name = name; };
  };
  static const std::string kLong(256, 'x');
  for (const std::string_view name :
       {std::string_view(""), std::string_view("."), std::string_view(".."),
        std::string_view("a/b"), std::string_view("/etc/passwd"), std::string_view("a\\b"),
        std::string_view("a\0b", 3), std::string_view(kLong)}) {
    refused("path", named(name));
  }
  refused("duplicate", named("Model.SafeTensors"));
  refused("duplicate", [](QstoreIndex& i) { i.levels[1].name = i.levels[0].name; });
  refused("path", [](QstoreIndex& i) { i.levels[1].name = "../up"; });
  refused("limit", [](QstoreIndex& i) { i.levels.clear(); });
  refused("size_mismatch", [](QstoreIndex& i) { ++i.levels[0].files[0].size_bytes; });
  refused("missing", [](QstoreIndex& i) { i.levels[0].files[1].segments[0].stream = 999; });
  refused("overflow", [](QstoreIndex& i) {
    i.levels[0].files[1].segments[0].literal_bytes = UINT64_MAX;
    i.levels[0].files[1].segments[1].literal_bytes = UINT64_MAX;
  });
  refused("hole", [](QstoreIndex& i) { --i.streams.back().blocks.back().stored_bytes; });
  refused("bad_offset", [](QstoreIndex& i) { ++i.streams.back().blocks.back().stored_bytes; });
  refused("bad_schema", [](QstoreIndex& i) { i.streams[0].level = 7; });
  refused("limit", [](QstoreIndex& i) { i.streams[0].unit_bytes = kQstoreMaxBlock + 1; });
  refused("truncated", [](QstoreIndex& i) { i.streams.back().size_bytes = UINT64_MAX; });
  // Level 1 must be readable without level 0.
  refused("inconsistent", [](QstoreIndex& i) {
    for (QstoreStream& stream : i.streams) stream.level = 0;
  });
  const auto pair_of = [](QstoreIndex& i) -> QstoreStream& {
    return *std::find_if(i.streams.begin(), i.streams.end(), [](const QstoreStream& stream) {
      return stream.method == QstoreMethod::kPair;
    });
  };
  refused("missing", [&](QstoreIndex& i) { pair_of(i).pairing.codes = 12345; });
  refused("inconsistent", [&](QstoreIndex& i) {
    QstoreStream& pair = pair_of(i);
    pair.pairing.codes = static_cast<std::uint32_t>(&pair - i.streams.data());
  });
  refused("inconsistent",
          [&](QstoreIndex& i) { std::swap(pair_of(i).pairing.codes, pair_of(i).pairing.scales); });
  refused("bad_shape", [&](QstoreIndex& i) { pair_of(i).pairing.cols = 0; });
  refused("size_mismatch", [&](QstoreIndex& i) { pair_of(i).pairing.cols = 31; });
}

TEST_F(QstoreDamageTest, RefusesTextsThatAreNoIndex) {
  const std::vector<std::byte> text = qstore_index_text(open_container(out_)->index());
  for (std::size_t length = 0; length < text.size(); ++length) {
    const std::vector<std::byte> cut(text.begin(), text.begin() + static_cast<long>(length));
    EXPECT_EQ(verdict(file_.set(with_index(cut)), true), "truncated") << length;
  }
  std::vector<std::byte> more = text;
  more.push_back(std::byte{0});
  EXPECT_EQ(verdict(file_.set(with_index(more)), true), "trailing");
  // Whatever the text, an error or a container; never a crash.
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const unsigned value : {0U, 1U, 0x7FU, 0x80U, 0xFFU}) {
      std::vector<std::byte> odd = text;
      odd[at] = static_cast<std::byte>(value);
      verdict(file_.set(with_index(odd)));
    }
  }
}

TEST_F(QstoreDamageTest, RefusesHeadersThatLie) {
  const QstoreHeader sound = read_qstore_header(*File::open(out_));
  const std::string index = bytes_.substr(sound.index_offset);
  const auto refused = [&](const char* wanted, const std::function<void(QstoreHeader&)>& change) {
    QstoreHeader header = sound;
    change(header);
    EXPECT_EQ(verdict(file_.set(with_header(header, index))), wanted);
  };
  refused("none", [](QstoreHeader&) {});
  refused("truncated", [](QstoreHeader& h) { ++h.total_bytes; });
  refused("trailing", [](QstoreHeader& h) { --h.total_bytes; });
  refused("bad_offset", [](QstoreHeader& h) { --h.index_offset; });
  refused("bad_offset", [](QstoreHeader& h) { h.index_offset = 0; });
  refused("bad_offset", [](QstoreHeader& h) { h.index_bytes = UINT64_MAX; });
  refused("corrupt", [](QstoreHeader& h) { ++h.index_checksum; });
  refused("limit", [](QstoreHeader& h) { h.block_limit = kQstoreMaxBlock + 1; });
  refused("limit", [](QstoreHeader& h) { h.block_limit = 1; });
}

// A few bytes may say that they decode to very many.
TEST_F(QstoreDamageTest, RefusesIndexesOfAbsurdSize) {
  QstoreHeader header = read_qstore_header(*File::open(out_));
  std::string index = bytes_.substr(header.index_offset);
  const std::uint64_t absurd = std::uint64_t{1} << 60;
  std::memcpy(index.data(), &absurd, 8);
  header.index_checksum = plain_checksum(std::as_bytes(std::span(index)));
  EXPECT_EQ(verdict(file_.set(with_header(header, index))), "limit");
}

// Checksums turned off, decoders see every damage and must survive it.
TEST_F(QstoreDamageTest, DecodersSurviveDamageWithoutChecksums) {
  const auto container = open_container(out_);
  const std::uint64_t end = container->header().index_offset;
  for (std::size_t at = kQstoreHeaderBytes; at < end; ++at) {
    for (const int bit : {0, 3, 7}) {
      std::string damaged = bytes_;
      damaged[at] = static_cast<char>(damaged[at] ^ 1 << bit);
      const auto broken = open_container(file_.set(damaged));
      QstoreReader reader(*broken, false);
      for (std::uint32_t i = 0; i < broken->index().streams.size(); ++i) {
        const QstoreStream& stream = broken->index().streams[i];
        for (std::uint64_t k = 0; k < stream.blocks.size(); ++k) {
          Buffer out(stream.block_bytes(k));
          const std::string found = class_of([&] { reader.read_block(i, k, out); });
          EXPECT_TRUE(found == "none" || found == "corrupt");
        }
      }
    }
  }
}

}  // namespace
}  // namespace qi
