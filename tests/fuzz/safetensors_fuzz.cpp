// Any bytes as a safetensors file: accepted or refused with qi::Error, and what is accepted covers
// the data area exactly and comes back the same through our own writer.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/format/safetensors.h"

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

void check_accepted(const qi::SafetensorsHeader& header, std::uint64_t file_size) {
  std::uint64_t sum = 0;
  bool known = true;
  for (const qi::Tensor& tensor : header.tensors) {
    check(tensor.offset >= header.data_begin && tensor.offset <= file_size);
    check(tensor.size_bytes <= file_size - tensor.offset);
    sum += tensor.size_bytes;
    known = known && tensor.dtype != qi::DType::kUnknown;
  }
  check(sum == file_size - header.data_begin);
  if (!known) return;
  std::vector<qi::Tensor> tensors = header.tensors;
  for (qi::Tensor& tensor : tensors) tensor.offset -= header.data_begin;
  const std::string written = qi::safetensors_header(tensors);
  const qi::SafetensorsHeader again =
      qi::parse_safetensors(std::string_view(written).substr(8), written.size() + sum, "again");
  check(again.tensors.size() == tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    check(again.tensors[i].name == tensors[i].name && again.tensors[i].shape == tensors[i].shape);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kPrefix = 8;
  if (size < kPrefix) return 0;
  // The length field is taken modulo what is there: plain flips would nearly always end at it.
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kPrefix; ++i) length |= std::uint64_t{data[i]} << (8 * i);
  if (length > size - kPrefix) length %= size - kPrefix + 1;
  const std::string_view json(reinterpret_cast<const char*>(data) + kPrefix,
                              static_cast<std::size_t>(length));
  try {
    check_accepted(qi::parse_safetensors(json, size, "fuzz"), size);
  } catch (const qi::Error& error) {
    check(!error.offset || *error.offset <= size);
  }
  return 0;
}
