#include "engine/methods/lossless_coders.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "engine/codec/baselines.h"
#include "engine/codec/huffman_codec.h"
#include "engine/codec/little_endian.h"
#include "engine/codec/pair_codec.h"
#include "engine/codec/plane_codec.h"
#include "engine/io/error.h"
#include "engine/quant/float_codes.h"

namespace qi {
namespace {

[[noreturn]] void refuse_block() {
  throw Error(ErrorCode::kCorrupt, "a block that does not decode", "as many bytes as were coded");
}

void append_block(std::vector<std::byte>& out, std::span<const std::byte> block) {
  const std::size_t at = out.size();
  out.resize(at + 4 + block.size());
  store_u32(out.data() + at, static_cast<std::uint32_t>(block.size()));
  std::copy(block.begin(), block.end(), out.begin() + static_cast<std::ptrdiff_t>(at + 4));
}

/// The next block, taken off the strip.
std::span<const std::byte> take_block(std::span<const std::byte>& strip) {
  const std::size_t size = strip.size() < 4 ? 0 : load_u32(strip.data());
  if (strip.size() < 4 || size > strip.size() - 4) refuse_block();
  const auto block = strip.subspan(4, size);
  strip = strip.subspan(4 + size);
  return block;
}

class StoreCoder : public MethodCoder {
 public:
  bool lossless() const override { return true; }
  void encode(const MatrixRows& rows, std::vector<std::byte>& out) override {
    out.assign(rows.stored.begin(), rows.stored.end());
  }
  void decode(std::span<const std::byte> coded, const DecodedRows& rows) override {
    if (coded.size() != rows.stored.size()) refuse_block();
    std::copy(coded.begin(), coded.end(), rows.stored.begin());
  }
  std::unique_ptr<MethodCoder> clone() const override { return std::make_unique<StoreCoder>(); }
};

class BlockCoder : public MethodCoder {
 public:
  explicit BlockCoder(const MatrixInfo& matrix)
      : matrix_(matrix), block_rows_(std::max<std::uint64_t>(1, kPlaneBlock / matrix.cols)) {}
  bool lossless() const override { return true; }
  std::uint64_t strip_rows() const override { return block_rows_; }

  void encode(const MatrixRows& rows, std::vector<std::byte>& out) override {
    out.clear();
    each_block(rows.stored,
               [&](std::span<const std::byte> block) { append_block(out, encode_block(block)); });
  }
  void decode(std::span<const std::byte> coded, const DecodedRows& rows) override {
    each_block(rows.stored,
               [&](std::span<std::byte> block) { decode_block(take_block(coded), block); });
    if (!coded.empty()) refuse_block();
  }

 protected:
  /// Valid until the next call.
  virtual std::span<const std::byte> encode_block(std::span<const std::byte> block) = 0;
  virtual void decode_block(std::span<const std::byte> coded, std::span<std::byte> block) = 0;

  /// The blocks of a strip that begins with one.
  template <typename Bytes, typename Use>
  void each_block(Bytes strip, Use&& use) const {
    const std::uint64_t row_bytes = stored_row_bytes(matrix_);
    const std::uint64_t rows = block_rows_ * row_bytes;
    // A longer row is cut where whole numbers of any type end.
    const std::uint64_t most =
        matrix_.cols <= kPlaneBlock ? rows : stored_bytes(matrix_.dtype, kPlaneBlock).value();
    for (std::uint64_t row = 0; row < strip.size(); row += rows) {
      const Bytes some = strip.subspan(row, std::min(rows, strip.size() - row));
      for (std::uint64_t at = 0; at < some.size(); at += most) {
        use(some.subspan(at, std::min(most, some.size() - at)));
      }
    }
  }

  const MatrixInfo matrix_;

 private:
  std::uint64_t block_rows_;
};

class Lz4Coder : public BlockCoder {
 public:
  using BlockCoder::BlockCoder;
  std::unique_ptr<MethodCoder> clone() const override {
    return std::make_unique<Lz4Coder>(matrix_);
  }

 protected:
  std::span<const std::byte> encode_block(std::span<const std::byte> block) override {
    lz4_encode(block, out_);
    return out_;
  }
  void decode_block(std::span<const std::byte> coded, std::span<std::byte> block) override {
    if (!lz4_decode(coded, block)) refuse_block();
  }

 private:
  std::vector<std::byte> out_;
};

class ZstdBlocks : public BlockCoder {
 public:
  ZstdBlocks(const MatrixInfo& matrix, int level)
      : BlockCoder(matrix), level_(level), zstd_(level) {}
  std::unique_ptr<MethodCoder> clone() const override {
    return std::make_unique<ZstdBlocks>(matrix_, level_);
  }

 protected:
  std::span<const std::byte> encode_block(std::span<const std::byte> block) override {
    return zstd_.encode(block);
  }
  void decode_block(std::span<const std::byte> coded, std::span<std::byte> block) override {
    if (!zstd_.decode(coded, block)) refuse_block();
  }

 private:
  int level_;
  ZstdCoder zstd_;
};

class HuffmanBlocks : public BlockCoder {
 public:
  explicit HuffmanBlocks(const MatrixInfo& matrix) : BlockCoder(matrix), huffman_(matrix.dtype) {}
  std::unique_ptr<MethodCoder> clone() const override {
    return std::make_unique<HuffmanBlocks>(matrix_);
  }

 protected:
  std::span<const std::byte> encode_block(std::span<const std::byte> block) override {
    return huffman_.encode(block);
  }
  void decode_block(std::span<const std::byte> coded, std::span<std::byte> block) override {
    if (!huffman_.decode(coded, block)) refuse_block();
  }

 private:
  HuffmanBlockCoder huffman_;
};

// A table, made of all numbers, is shared by all clones.
struct SharedTable {
  explicit SharedTable(const PlaneHistogram& histogram)
      : table(PlaneTable::choose(histogram, PlaneEffort::kFast)), bytes(table.serialise().size()) {}
  PlaneTable table;
  std::uint64_t bytes;
};

class PlanesCoder : public BlockCoder {
 public:
  explicit PlanesCoder(const MatrixInfo& matrix)
      : BlockCoder(matrix),
        element_bytes_(plane_kind(matrix.dtype).element_bytes),
        histogram_(plane_kind(matrix.dtype)) {}
  bool wants_survey() const override { return true; }
  void survey(const MatrixRows& rows) override {
    histogram_.add(rows.stored.data(), rows.stored.size() / element_bytes_);
  }
  void finish_survey() override { shared_ = std::make_shared<const SharedTable>(histogram_); }
  std::uint64_t shared_bytes() const override { return shared_ == nullptr ? 0 : shared_->bytes; }
  std::unique_ptr<MethodCoder> clone() const override {
    auto copy = std::make_unique<PlanesCoder>(matrix_);
    copy->shared_ = shared_;
    return copy;
  }

 protected:
  std::span<const std::byte> encode_block(std::span<const std::byte> block) override {
    return encoder_.encode(shared_->table, block.data(), block.size() / element_bytes_);
  }
  void decode_block(std::span<const std::byte> coded, std::span<std::byte> block) override {
    decoder_.decode(shared_->table, coded, block.size() / element_bytes_, block.data());
  }

 private:
  std::size_t element_bytes_;
  PlaneHistogram histogram_;
  std::shared_ptr<const SharedTable> shared_;
  PlaneEncoder encoder_;
  PlaneDecoder decoder_;
};

// A block: q by planes, with its number of bytes; the rows' scales; what is missing, likewise.
class PairCoder : public MethodCoder {
 public:
  explicit PairCoder(const MatrixInfo& matrix)
      : matrix_(matrix),
        block_rows_(pair_block_rows(matrix.cols)),
        histogram_(plane_kind(DType::kI8)),
        encoder_(*pair_format(matrix.dtype)),
        decoder_(*pair_format(matrix.dtype)) {}
  bool lossless() const override { return true; }
  std::uint64_t strip_rows() const override { return block_rows_; }
  bool wants_survey() const override { return true; }
  void survey(const MatrixRows& rows) override {
    make_low(rows.values);
    histogram_.add(reinterpret_cast<const std::byte*>(q_.data()), q_.size());
  }
  void finish_survey() override { shared_ = std::make_shared<const SharedTable>(histogram_); }
  std::uint64_t shared_bytes() const override { return shared_ == nullptr ? 0 : shared_->bytes; }

  void encode(const MatrixRows& rows, std::vector<std::byte>& out) override {
    out.clear();
    const std::uint64_t cols = matrix_.cols;
    for (std::uint64_t row = 0; row < rows.count; row += block_rows_) {
      const std::uint64_t count = std::min(block_rows_, rows.count - row);
      make_low(rows.values.subspan(row * cols, count * cols));
      append_block(
          out, planes_encoder_.encode(shared_->table, reinterpret_cast<const std::byte*>(q_.data()),
                                      q_.size()));
      const auto scales = std::as_bytes(std::span(scales_));
      out.insert(out.end(), scales.begin(), scales.end());
      append_block(out, encoder_.encode({q_.data(), scales_.data(), count, cols},
                                        rows.stored.data() + 2 * row * cols));
    }
  }
  void decode(std::span<const std::byte> coded, const DecodedRows& rows) override {
    const std::uint64_t cols = matrix_.cols;
    for (std::uint64_t row = 0; row < rows.count; row += block_rows_) {
      const std::uint64_t count = std::min(block_rows_, rows.count - row);
      q_.resize(count * cols);
      scales_.resize(count);
      planes_decoder_.decode(shared_->table, take_block(coded), q_.size(),
                             reinterpret_cast<std::byte*>(q_.data()));
      if (coded.size() < 4 * count) refuse_block();
      std::copy_n(coded.begin(), 4 * count, std::as_writable_bytes(std::span(scales_)).begin());
      coded = coded.subspan(4 * count);
      decoder_.decode({q_.data(), scales_.data(), count, cols}, take_block(coded),
                      rows.stored.data() + 2 * row * cols);
    }
    if (!coded.empty()) refuse_block();
  }
  std::unique_ptr<MethodCoder> clone() const override {
    auto copy = std::make_unique<PairCoder>(matrix_);
    copy->shared_ = shared_;
    return copy;
  }

 private:
  void make_low(std::span<const float> values) {
    const std::uint64_t cols = matrix_.cols;
    q_.resize(values.size());
    scales_.resize(values.size() / cols);
    for (std::uint64_t r = 0; r < scales_.size(); ++r) {
      const auto row = values.subspan(r * cols, cols);
      const bool finite =
          std::all_of(row.begin(), row.end(), [](float value) { return std::isfinite(value); });
      scales_[r] = finite ? absmax(row.data(), cols) : std::numeric_limits<float>::infinity();
      int8_codes(finite ? scales_[r] : 0, row.data(), cols, q_.data() + r * cols);
    }
  }

  const MatrixInfo matrix_;
  std::uint64_t block_rows_;
  PlaneHistogram histogram_;
  std::shared_ptr<const SharedTable> shared_;
  PlaneEncoder planes_encoder_;
  PlaneDecoder planes_decoder_;
  PairEncoder encoder_;
  PairDecoder decoder_;
  std::vector<std::int8_t> q_;
  std::vector<float> scales_;
};

}  // namespace

std::uint64_t stored_row_bytes(const MatrixInfo& matrix) {
  return matrix.cols * static_cast<std::uint64_t>(element_bits(matrix.dtype)) / 8;
}

std::unique_ptr<MethodCoder> make_store_coder(const MatrixInfo&) {
  return std::make_unique<StoreCoder>();
}
std::unique_ptr<MethodCoder> make_lz4_coder(const MatrixInfo& matrix) {
  return std::make_unique<Lz4Coder>(matrix);
}
std::unique_ptr<MethodCoder> make_zstd_coder(const MatrixInfo& matrix, int level) {
  return std::make_unique<ZstdBlocks>(matrix, level);
}
std::unique_ptr<MethodCoder> make_huffman_coder(const MatrixInfo& matrix) {
  return std::make_unique<HuffmanBlocks>(matrix);
}
std::unique_ptr<MethodCoder> make_planes_coder(const MatrixInfo& matrix) {
  return std::make_unique<PlanesCoder>(matrix);
}
std::unique_ptr<MethodCoder> make_pair_coder(const MatrixInfo& matrix) {
  return std::make_unique<PairCoder>(matrix);
}

}  // namespace qi
