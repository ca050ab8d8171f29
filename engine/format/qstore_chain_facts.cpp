#include "engine/format/qstore_chain_facts.h"

#include <algorithm>

#include "engine/codec/huffman_codec.h"
#include "engine/format/qstore_layout.h"

namespace qi {
namespace {

constexpr int kZstdLevel = 3;

// A stream, block by block.
class Blocks {
 public:
  Blocks(const QstoreContainer& container, std::uint32_t number, const std::atomic<bool>* cancel)
      : container_(container), number_(number), cancel_(cancel), reader_(container) {}

  /// use(offset, bytes) for each; false when cancelled.
  template <typename Use>
  bool each(const Use& use) {
    const QstoreStream& stream = container_.index().streams[number_];
    for (std::uint64_t block = 0; block < stream.blocks.size(); ++block) {
      if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) return false;
      bytes_.resize(static_cast<std::size_t>(stream.block_bytes(block)));
      reader_.read_block(number_, block, bytes_);
      use(block * stream.unit_bytes, std::span<const std::byte>(bytes_));
    }
    return true;
  }

 private:
  const QstoreContainer& container_;
  const std::uint32_t number_;
  const std::atomic<bool>* cancel_;
  QstoreReader reader_;
  Buffer bytes_;
};

// The whole streams that a chain stands on.
class WholeBytes {
 public:
  explicit WholeBytes(const QstoreContainer& container) : container_(container) {}
  std::span<const std::byte> operator()(std::uint32_t stream) {
    Buffer& bytes = buffers_.emplace_back();
    bytes.resize(static_cast<std::size_t>(container_.index().streams[stream].size_bytes));
    container_.read(stream, 0, bytes);
    return bytes;
  }

 private:
  const QstoreContainer& container_;
  std::list<Buffer> buffers_;
};

double ideal_bits(const QstoreContainer& container, std::uint32_t number, const QstoreChain& chain,
                  const std::atomic<bool>* cancel) {
  WholeBytes whole(container);
  ChainBytes given = chain_bytes(chain, 0, whole);
  ChainBlocks coder;
  double bits = 0;
  Blocks(container, number, cancel).each([&](std::uint64_t offset, auto bytes) {
    given.offset = offset;
    bits += coder.ideal_bits(chain, given, bytes);
  });
  return bits;
}

// What a stream's numbers are: their type, and how planes look at them.
struct Numbers {
  DType type = DType::kU8;
  PlaneKind kind;
};
Numbers numbers_of(const Tensor& tensor, int code_bits) {
  if (tensor.dtype == DType::kBF16 || tensor.dtype == DType::kF16) {
    return {tensor.dtype, plane_kind(tensor.dtype)};
  }
  return {DType::kU8, code_bits == 4 ? nibble_kind() : plane_kind(DType::kU8)};
}

void count_coders(const QstoreContainer& container, std::uint32_t number, const Numbers& numbers,
                  double weights, const std::atomic<bool>* cancel, ChainFacts& facts) {
  const std::size_t element = numbers.kind.element_bytes;
  PlaneHistogram histogram(numbers.kind);
  std::uint64_t zstd_bytes = 0;
  std::uint64_t huffman_bytes = 0;
  std::uint64_t plane_bytes = 0;
  ZstdPacker zstd;
  HuffmanBlockCoder huffman(numbers.type);
  Blocks blocks(container, number, cancel);
  blocks.each([&](std::uint64_t, auto bytes) {
    histogram.add(bytes.data(), bytes.size() / element);
    zstd_bytes += std::min(bytes.size(), zstd.pack(bytes, kZstdLevel).size());
    huffman_bytes += huffman.encode(bytes).size();
  });
  const PlaneTable table = PlaneTable::choose(histogram, PlaneEffort::kFast);
  PlaneEncoder planes;
  plane_bytes += table.serialise().size();
  const bool finished = blocks.each([&](std::uint64_t, auto bytes) {
    plane_bytes += planes.encode(table, bytes.data(), bytes.size() / element).size();
  });
  if (!finished) return;
  facts.by_zstd = 8 * static_cast<double>(zstd_bytes) / weights;
  facts.by_huffman = 8 * static_cast<double>(huffman_bytes) / weights;
  facts.by_planes = 8 * static_cast<double>(plane_bytes) / weights;
}

// The grid that codes stand on, followed down; nullptr: `number` stands on none.
const QstoreGrid* lowest_grid(const QstoreIndex& index, std::uint32_t number) {
  const QstoreGrid* lowest = nullptr;
  for (const QstoreStream* stream = &index.streams[number];;) {
    if (stream->method == QstoreMethod::kPair) {
      stream = &index.streams[stream->pairing.codes];
    } else if (stream->method == QstoreMethod::kChain) {
      lowest = &stream->chain.low;
      stream = &index.streams[lowest->codes];
    } else {
      return lowest;
    }
  }
}

bool is_in_chain(const QstoreIndex& index, std::uint32_t number) {
  if (index.streams[number].method == QstoreMethod::kChain) return true;
  return std::any_of(index.streams.begin(), index.streams.end(), [&](const QstoreStream& stream) {
    return (stream.method == QstoreMethod::kChain && stream.chain.low.codes == number) ||
           (stream.method == QstoreMethod::kPair && stream.pairing.codes == number &&
            index.streams[number].method == QstoreMethod::kChain);
  });
}

}  // namespace

ChainFacts chain_facts(const QstoreContainer& container, const Model& model, const Weight& weight,
                       const std::atomic<bool>* cancel) {
  ChainFacts facts;
  const QstoreIndex& index = container.index();
  if (weight.level >= index.levels.size() || weight.params == 0) return facts;
  std::optional<std::uint32_t> codes;
  std::uint64_t grid_bytes = 0;
  for (const QstoreFile& file : index.levels[weight.level].files) {
    if (file.role != QstoreFileRole::kWeights) continue;
    for (const QstoreSegment& segment : file.segments) {
      for (const Part& part : weight.parts) {
        if (model.tensor(part).name != segment.name) continue;
        if (&part == &weight.parts.front()) {
          codes = segment.stream;
        } else {
          grid_bytes += index.streams[segment.stream].stored_bytes();
        }
      }
    }
  }
  if (!codes) return facts;
  const QstoreStream& stream = index.streams[*codes];
  const QstoreGrid* lowest = lowest_grid(index, *codes);
  if (!is_in_chain(index, *codes) && lowest == nullptr) return facts;
  const auto weights = static_cast<double>(weight.params);
  const Tensor& tensor = model.tensor(weight.parts.front());
  count_coders(container, *codes, numbers_of(tensor, weight.bits), weights, cancel, facts);
  facts.by_chain = 8 * static_cast<double>(stream.stored_bytes()) / weights;
  facts.grids = 8 * static_cast<double>(grid_bytes) / weights;
  if (stream.method == QstoreMethod::kChain) {
    facts.given_next = ideal_bits(container, *codes, stream.chain, cancel) / weights;
  }
  const bool reaches_lower =
      lowest != nullptr && (stream.method != QstoreMethod::kChain || lowest != &stream.chain.low);
  if (reaches_lower) {
    QstoreChain chain = stream.chain;
    chain.low = *lowest;
    if (stream.method == QstoreMethod::kPair) chain.is_f16 = stream.pairing.is_f16;
    facts.given_lowest = ideal_bits(container, *codes, chain, cancel) / weights;
  }
  return facts;
}

}  // namespace qi
