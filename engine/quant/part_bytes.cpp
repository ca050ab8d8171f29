#include "engine/quant/part_bytes.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/io/checked.h"
#include "engine/tensor/numbers.h"

namespace qi {

void PartBytes::check_range(std::uint64_t offset, std::uint64_t length) const {
  if (range_fits(offset, length, tensor_.size_bytes)) return;
  fail(ErrorCode::kTruncated, std::min(offset, tensor_.size_bytes),
       fmt::format("{} ends after {} bytes", tensor_.name, tensor_.size_bytes),
       fmt::format("{} more bytes", length));
}

std::span<const std::byte> PartBytes::bytes(std::uint64_t offset, std::uint64_t length) {
  check_range(offset, length);
  if (offset != last_offset_ || length != last_.size()) {
    last_ = file_->bytes(tensor_.offset + offset, static_cast<std::size_t>(length), scratch_);
    last_offset_ = offset;
  }
  return last_;
}

std::span<const std::byte> PartBytes::kept_bytes(std::uint64_t offset, std::uint64_t length) {
  check_range(offset, length);
  last_ = {};  // it may have been in `scratch_`
  return file_->kept_bytes(tensor_.offset + offset, static_cast<std::size_t>(length), scratch_);
}

void PartBytes::floats(std::uint64_t first, std::uint64_t count, float* out) {
  const DTypeInfo& row = info(tensor_.dtype);
  // Sub-byte numbers start on byte boundaries in groups of block_elements.
  const std::uint64_t skip = first % row.block_elements;
  const std::uint64_t wanted = skip + count;
  const std::uint64_t bits = static_cast<std::uint64_t>(element_bits(tensor_.dtype));
  const auto raw = bytes((first - skip) / row.block_elements * row.block_bytes,
                         ceil_div<std::uint64_t>(wanted * bits, 8));
  if (skip == 0) return to_floats(tensor_.dtype, raw.data(), count, swap_, out);
  unaligned_.resize(wanted);
  to_floats(tensor_.dtype, raw.data(), wanted, swap_, unaligned_.data());
  std::copy(unaligned_.begin() + static_cast<std::ptrdiff_t>(skip), unaligned_.end(), out);
}

void PartBytes::fail(ErrorCode code, std::uint64_t offset, const std::string& message,
                     std::string expected) const {
  throw Error(code, message, std::move(expected), file_->path(), tensor_.offset + offset);
}

const Part* find_part(const Weight& weight, PartRole role) {
  const auto it = std::find_if(weight.parts.begin(), weight.parts.end(),
                               [&](const Part& part) { return part.role == role; });
  return it == weight.parts.end() ? nullptr : &*it;
}

}  // namespace qi
