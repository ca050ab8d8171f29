#include "engine/format/byte_source.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/codec/little_endian.h"
#include "engine/codec/models.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

class FilePart : public ByteSource {
 public:
  FilePart(std::shared_ptr<const File> file, std::uint64_t offset, std::uint64_t size)
      : file_(std::move(file)), offset_(offset), size_(size) {}
  std::uint64_t size() const override { return size_; }
  std::span<const std::byte> bytes(std::uint64_t offset, std::size_t length,
                                   Buffer& scratch) const override {
    return file_->bytes(offset_ + offset, length, scratch);
  }
  void check() const override { file_->check(); }

 private:
  std::shared_ptr<const File> file_;
  std::uint64_t offset_;
  std::uint64_t size_;
};

class Parts : public ByteSource {
 public:
  explicit Parts(std::vector<ByteSourcePtr> parts) : parts_(std::move(parts)) {
    for (const ByteSourcePtr& part : parts_) {
      begins_.push_back(size_);
      size_ += part->size();
    }
  }
  std::uint64_t size() const override { return size_; }
  std::span<const std::byte> bytes(std::uint64_t offset, std::size_t length,
                                   Buffer& scratch) const override {
    if (length == 0) return {};
    auto at = static_cast<std::size_t>(std::upper_bound(begins_.begin(), begins_.end(), offset) -
                                       begins_.begin() - 1);
    if (offset - begins_[at] + length <= parts_[at]->size()) {
      return parts_[at]->bytes(offset - begins_[at], length, scratch);
    }
    Buffer inner;
    if (scratch.size() < length) scratch.resize(length);
    for (std::size_t done = 0; done < length; ++at) {
      const std::uint64_t skip = offset + done - begins_[at];
      const auto count = static_cast<std::size_t>(
          std::min<std::uint64_t>(length - done, parts_[at]->size() - skip));
      if (count == 0) continue;
      const auto piece = parts_[at]->bytes(skip, count, inner);
      std::memcpy(scratch.data() + done, piece.data(), count);
      done += count;
    }
    return {scratch.data(), length};
  }
  void check() const override {
    for (const ByteSourcePtr& part : parts_) part->check();
  }

 private:
  std::vector<ByteSourcePtr> parts_;
  std::vector<std::uint64_t> begins_;
  std::uint64_t size_ = 0;
};

class Memory : public ByteSource {
 public:
  explicit Memory(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  std::uint64_t size() const override { return bytes_.size(); }
  std::span<const std::byte> bytes(std::uint64_t offset, std::size_t length,
                                   Buffer&) const override {
    return std::span(bytes_).subspan(static_cast<std::size_t>(offset), length);
  }
  void check() const override {}

 private:
  std::vector<std::byte> bytes_;
};

class Difference : public ByteSource {
 public:
  Difference(ByteSourcePtr source, ByteReader other)
      : source_(std::move(source)), other_(std::move(other)) {}
  std::uint64_t size() const override { return source_->size(); }
  std::span<const std::byte> bytes(std::uint64_t offset, std::size_t length,
                                   Buffer& scratch) const override {
    Buffer inner;
    if (scratch.size() < length) scratch.resize(length);
    other_(offset, std::span(scratch).first(length));
    const auto own = source_->bytes(offset, length, inner);
    for (std::size_t i = 0; i < length; ++i) scratch[i] ^= own[i];
    return {scratch.data(), length};
  }
  void check() const override { source_->check(); }

 private:
  ByteSourcePtr source_;
  ByteReader other_;
};

float number_at(const std::byte* words, std::size_t i, DType type) {
  const std::uint16_t word = load_u16(words + 2 * i);
  return type == DType::kF16 ? f16_to_float(word) : bf16_to_float(word);
}

class Int8Codes : public ByteSource {
 public:
  Int8Codes(ByteSourcePtr high, DType type, std::uint64_t cols, std::vector<float> scales)
      : high_(std::move(high)), type_(type), cols_(cols), scales_(std::move(scales)) {}
  std::uint64_t size() const override { return scales_.size() * cols_; }
  std::span<const std::byte> bytes(std::uint64_t offset, std::size_t length,
                                   Buffer& scratch) const override {
    Buffer inner;
    if (scratch.size() < length) scratch.resize(length);
    const auto words = high_->bytes(2 * offset, 2 * length, inner);
    for (std::size_t done = 0; done < length;) {
      const std::uint64_t row = (offset + done) / cols_;
      const auto count = static_cast<std::size_t>(
          std::min<std::uint64_t>(length - done, cols_ - (offset + done) % cols_));
      quantize(words.data() + 2 * done, count, scales_[static_cast<std::size_t>(row)],
               scratch.data() + done);
      done += count;
    }
    return {scratch.data(), length};
  }
  void check() const override { high_->check(); }

 private:
  void quantize(const std::byte* words, std::size_t count, float scale, std::byte* out) const {
    const PairRow row(*pair_format(type_), scale);
    if (!row.usable()) {
      std::fill_n(out, count, std::byte{0});
      return;
    }
    // The sum rounds to a whole number, half to even, which then stands in its lowest bits.
    constexpr float kRound = 0x1.8p23f;
    const float inverse = row.inverse();
    for (std::size_t i = 0; i < count; ++i) {
      const float sum = number_at(words, i, type_) * inverse + kRound;
      out[i] = static_cast<std::byte>(std::bit_cast<std::uint32_t>(sum) & 0xFF);
    }
  }

  ByteSourcePtr high_;
  DType type_;
  std::uint64_t cols_;
  std::vector<float> scales_;
};

}  // namespace

ByteSourcePtr source_of_file(std::shared_ptr<const File> file, std::uint64_t offset,
                             std::uint64_t size) {
  return std::make_shared<FilePart>(std::move(file), offset, size);
}
ByteSourcePtr source_of_parts(std::vector<ByteSourcePtr> parts) {
  return std::make_shared<Parts>(std::move(parts));
}
ByteSourcePtr source_of_memory(std::vector<std::byte> bytes) {
  return std::make_shared<Memory>(std::move(bytes));
}

ByteSourcePtr source_of_difference(ByteSourcePtr source, ByteReader other) {
  return std::make_shared<Difference>(std::move(source), std::move(other));
}

Int8Version int8_version(const ByteSourcePtr& high, DType type, std::uint64_t rows,
                         std::uint64_t cols) {
  std::vector<float> scales(static_cast<std::size_t>(rows));
  Buffer scratch;
  for (std::size_t row = 0; row < scales.size(); ++row) {
    const auto words = high->bytes(2 * cols * row, static_cast<std::size_t>(2 * cols), scratch);
    std::uint16_t largest = 0;
    for (std::size_t i = 0; i < cols; ++i) {
      largest = std::max<std::uint16_t>(largest, load_u16(words.data() + 2 * i) & 0x7FFF);
    }
    std::array<std::byte, 2> word;
    store_u16(word.data(), largest);
    const float scale = number_at(word.data(), 0, type);
    scales[row] = std::isfinite(scale) ? scale : 0.0F;
  }
  high->check();
  const auto bytes = std::as_bytes(std::span(scales));
  Int8Version version;
  version.scales = source_of_memory({bytes.begin(), bytes.end()});
  version.codes = std::make_shared<Int8Codes>(high, type, cols, std::move(scales));
  return version;
}

}  // namespace qi
