// Builds GGUF files in memory, right or wrong on purpose: any version, byte order, counts, types
// and offsets. One thread; nothing is checked.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qi::test {

/// Appends numbers and strings in one byte order.
class ByteWriter {
 public:
  explicit ByteWriter(bool big_endian = false) : big_(big_endian) {}
  template <typename T>
  ByteWriter& number(T value) {
    return raw(&value, sizeof value);
  }
  /// u64 length and bytes.
  ByteWriter& text(std::string_view value);
  ByteWriter& bytes(std::string_view value);
  ByteWriter& pad(std::size_t alignment);
  const std::string& str() const { return out_; }

 private:
  ByteWriter& raw(const void* value, std::size_t size);
  std::string out_;
  bool big_;
};

class GgufBuilder {
 public:
  explicit GgufBuilder(std::uint32_t version = 3, bool big_endian = false)
      : version_(version), big_(big_endian) {}

  /// A key of any type id with the bytes of its value.
  GgufBuilder& key(std::string_view name, std::uint32_t type, const std::string& value);
  GgufBuilder& u16(std::string_view name, std::uint16_t value);
  GgufBuilder& u32(std::string_view name, std::uint32_t value);
  GgufBuilder& i32(std::string_view name, std::int32_t value);
  GgufBuilder& f32(std::string_view name, float value);
  GgufBuilder& text(std::string_view name, std::string_view value);
  GgufBuilder& texts(std::string_view name, std::initializer_list<std::string_view> values);
  /// Adds general.alignment and keeps to it.
  GgufBuilder& alignment(std::uint32_t bytes);

  /// A tensor with dims in ggml order (row length first); placed behind the ones before it unless
  /// `offset` says otherwise.
  GgufBuilder& tensor(std::string_view name, const std::vector<std::uint64_t>& dims,
                      std::uint32_t type, const std::string& payload,
                      std::optional<std::uint64_t> offset = {});
  /// What the header claims instead of the truth.
  GgufBuilder& claim_tensors(std::uint64_t count);
  GgufBuilder& claim_keys(std::uint64_t count);
  /// Leave the padding after the last tensor out; add bytes at the end.
  GgufBuilder& no_final_padding();
  GgufBuilder& append(std::string_view bytes);

  ByteWriter writer() const { return ByteWriter(big_); }
  std::string build() const;

 private:
  struct Record {
    std::string name;
    std::vector<std::uint64_t> dims;
    std::uint32_t type;
    std::uint64_t offset;
    std::string payload;
  };

  std::uint32_t version_;
  bool big_;
  std::size_t alignment_ = 32;
  std::string keys_;
  std::uint64_t key_count_ = 0;
  std::vector<Record> tensors_;
  std::uint64_t data_size_ = 0;
  std::optional<std::uint64_t> claimed_tensors_, claimed_keys_;
  bool final_padding_ = true;
  std::string tail_;
};

}  // namespace qi::test
