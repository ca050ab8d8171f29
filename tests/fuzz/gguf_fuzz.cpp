// Any bytes as a GGUF file: opened or refused with qi::Error, and what is opened lies inside the
// file, overlaps nothing, and can be read. The first byte picks byte order and version, the rest
// follows the version field, so that plain flips do not die at the magic.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

#include "engine/format/gguf.h"
#include "engine/quant/ggml_blocks.h"
#include "engine/quant/ggml_reader.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/memory_file.h"

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

void check_places(const qi::Model& model, std::uint64_t size) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const qi::Tensor& tensor : model.tensors) {
    if (tensor.size_bytes == 0) continue;
    check(tensor.offset <= size && tensor.size_bytes <= size - tensor.offset);
    ranges.emplace_back(tensor.offset, tensor.offset + tensor.size_bytes);
  }
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 1; i < ranges.size(); ++i) check(ranges[i - 1].second <= ranges[i].first);
}

void read_values(const qi::Model& model) {
  std::vector<float> values;
  for (std::uint32_t i = 0; i < std::min<std::size_t>(model.tensors.size(), 8); ++i) {
    const qi::Tensor& tensor = model.tensors[i];
    if (!qi::is_block(tensor.dtype) || !qi::ggml_undecodable(tensor).empty()) continue;
    qi::Weight weight;
    weight.name = tensor.name;
    weight.shape = tensor.shape;
    weight.params = qi::element_count(tensor.shape).value();
    weight.parts = {{i, qi::PartRole::kCodes}};
    const auto reader = qi::open_ggml_reader(model, weight);
    if (weight.params == 0) continue;
    // A corner that cuts blocks at both ends.
    const std::uint64_t cols = std::min<std::uint64_t>(weight.cols() - 1, 77);
    const qi::Tile tile{weight.rows() - 1, 1, 1, cols};
    values.resize(cols);
    reader->values(tile, values.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static qi::test::MemoryFile file;
  const bool big = (data[0] & 1) != 0;
  qi::test::ByteWriter bytes(big);
  bytes.bytes("GGUF").number<std::uint32_t>(3 - (data[0] >> 1) % 3);
  bytes.bytes({reinterpret_cast<const char*>(data) + 1, size - 1});
  const std::uint64_t file_size = bytes.str().size();
  try {
    const qi::Model model = qi::open_gguf({file.set(bytes.str())});
    check(model.big_endian == big);
    check_places(model, file_size);
    for (const qi::MetaEntry& entry : model.metadata.entries()) {
      const auto* array = std::get_if<qi::MetaArray>(&entry.value);
      if (array != nullptr) check(qi::array_elements(*array, 16).size() <= 16);
    }
    read_values(model);
  } catch (const qi::Error& error) {
    check(qi::exit_status(error.code) == 2);
    check(!error.offset || *error.offset <= file_size);
  }
  return 0;
}
