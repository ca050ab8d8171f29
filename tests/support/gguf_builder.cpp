#include "tests/support/gguf_builder.h"

#include <algorithm>
#include <bit>

namespace qi::test {
namespace {
std::uint64_t padded(std::uint64_t size, std::uint64_t alignment) {
  return alignment == 0 ? size : (size + alignment - 1) / alignment * alignment;
}
}  // namespace

ByteWriter& ByteWriter::raw(const void* value, std::size_t size) {
  std::string bytes(static_cast<const char*>(value), size);
  if (big_ != (std::endian::native == std::endian::big)) std::reverse(bytes.begin(), bytes.end());
  out_ += bytes;
  return *this;
}

ByteWriter& ByteWriter::text(std::string_view value) {
  number<std::uint64_t>(value.size());
  return bytes(value);
}

ByteWriter& ByteWriter::bytes(std::string_view value) {
  out_ += value;
  return *this;
}

ByteWriter& ByteWriter::pad(std::size_t alignment) {
  out_.resize(padded(out_.size(), alignment));
  return *this;
}

GgufBuilder& GgufBuilder::key(std::string_view name, std::uint32_t type, const std::string& value) {
  keys_ += writer().text(name).number(type).bytes(value).str();
  ++key_count_;
  return *this;
}

GgufBuilder& GgufBuilder::u16(std::string_view name, std::uint16_t value) {
  return key(name, 2, writer().number(value).str());
}
GgufBuilder& GgufBuilder::u32(std::string_view name, std::uint32_t value) {
  return key(name, 4, writer().number(value).str());
}
GgufBuilder& GgufBuilder::i32(std::string_view name, std::int32_t value) {
  return key(name, 5, writer().number(value).str());
}
GgufBuilder& GgufBuilder::f32(std::string_view name, float value) {
  return key(name, 6, writer().number(value).str());
}
GgufBuilder& GgufBuilder::text(std::string_view name, std::string_view value) {
  return key(name, 8, writer().text(value).str());
}

GgufBuilder& GgufBuilder::texts(std::string_view name,
                                std::initializer_list<std::string_view> values) {
  ByteWriter out = writer();
  out.number<std::uint32_t>(8).number<std::uint64_t>(values.size());
  for (std::string_view value : values) out.text(value);
  return key(name, 9, out.str());
}

GgufBuilder& GgufBuilder::alignment(std::uint32_t bytes) {
  alignment_ = bytes;
  return u32("general.alignment", bytes);
}

GgufBuilder& GgufBuilder::tensor(std::string_view name, const std::vector<std::uint64_t>& dims,
                                 std::uint32_t type, const std::string& payload,
                                 std::optional<std::uint64_t> offset) {
  const std::uint64_t at = offset.value_or(padded(data_size_, alignment_));
  tensors_.push_back({std::string(name), dims, type, at, payload});
  if (!offset) data_size_ = at + payload.size();
  return *this;
}

GgufBuilder& GgufBuilder::claim_tensors(std::uint64_t count) {
  claimed_tensors_ = count;
  return *this;
}
GgufBuilder& GgufBuilder::claim_keys(std::uint64_t count) {
  claimed_keys_ = count;
  return *this;
}
GgufBuilder& GgufBuilder::no_final_padding() {
  final_padding_ = false;
  return *this;
}
GgufBuilder& GgufBuilder::append(std::string_view bytes) {
  tail_ += bytes;
  return *this;
}

std::string GgufBuilder::build() const {
  ByteWriter out = writer();
  out.bytes("GGUF").number(version_);
  out.number(claimed_tensors_.value_or(tensors_.size()));
  out.number(claimed_keys_.value_or(key_count_));
  out.bytes(keys_);
  for (const Record& record : tensors_) {
    out.text(record.name).number(static_cast<std::uint32_t>(record.dims.size()));
    for (std::uint64_t dim : record.dims) out.number(dim);
    out.number(record.type).number(record.offset);
  }
  std::string data;
  for (const Record& record : tensors_) {
    if (record.offset > (1U << 24)) continue;  // a lie: nothing is stored there
    data.resize(std::max<std::size_t>(data.size(), record.offset + record.payload.size()));
    data.replace(record.offset, record.payload.size(), record.payload);
  }
  if (final_padding_) data.resize(padded(data.size(), alignment_));
  if (!data.empty()) out.pad(alignment_);
  return out.bytes(data).bytes(tail_).str();
}

}  // namespace qi::test
