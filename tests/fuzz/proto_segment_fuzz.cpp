// Any bytes as the two segments of one tensor of a prototype directory (two bytes say how long the
// int8 one is): refused with qi::Error or walked, and then --verify and reading agree on whether
// they are sound.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "engine/format/prototype.h"
#include "engine/format/prototype_segment.h"
#include "tests/support/memory_file.h"

namespace {

// More elements than this can stand in a few kilobytes, and take long.
constexpr std::uint64_t kMaxElements = 1 << 20;

void check(bool holds) {
  if (!holds) std::abort();
}

qi::Model model_of(std::string_view quant_bytes, std::string_view orig_bytes) {
  static qi::test::MemoryFile quant_file;
  static qi::test::MemoryFile orig_file;
  qi::Model model;
  model.files = {qi::File::open(quant_file.set(quant_bytes)),
                 qi::File::open(orig_file.set(orig_bytes))};
  const qi::QuantSegment quant = qi::parse_quant_segment({model.files[0], 0, quant_bytes.size()});
  qi::Weight weight;
  weight.name = "w";
  weight.shape = quant.shape;
  weight.params = quant.elements;
  for (std::uint32_t file = 0; file < 2; ++file) {
    qi::Tensor tensor;
    tensor.name = file == 0 ? "w.quant" : "w.orig";
    tensor.dtype = file == 0 ? qi::DType::kI8 : qi::DType::kBF16;
    tensor.shape = quant.shape;
    tensor.file = file;
    tensor.size_bytes = model.files[file]->size();
    model.tensors.push_back(tensor);
    weight.parts.push_back({file, file == 0 ? qi::PartRole::kLowLevel : qi::PartRole::kCodes});
  }
  model.weights.push_back(weight);
  return model;
}

bool reads(const qi::Model& model, const qi::Weight& weight) {
  try {
    const qi::Tile all{0, weight.rows(), 0, weight.cols()};
    const auto reader = qi::open_prototype_reader(model, weight);
    std::vector<std::uint16_t> codes(weight.params);
    reader->codes(all, codes.data());
    for (const std::uint16_t code : codes) check(code < 256);
    std::vector<float> values(weight.params);
    reader->values(all, values.data());
    return true;
  } catch (const qi::Error& error) {
    check(qi::exit_status(error.code) == 2);
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t quant_size = std::min<std::size_t>(data[0] | data[1] << 8, bytes.size());
  try {
    const qi::Model model = model_of(bytes.substr(0, quant_size), bytes.substr(quant_size));
    const qi::Weight& weight = model.weights[0];
    if (weight.params > kMaxElements) return 0;
    std::size_t faults = 0;
    qi::verify_prototype(model, weight, [&](const qi::PrototypeFault& fault) {
      check(qi::exit_status(fault.code) == 2);
      ++faults;
    });
    check(reads(model, weight) == (faults == 0));
  } catch (const qi::Error& error) {
    check(qi::exit_status(error.code) == 2);
  }
  return 0;
}
