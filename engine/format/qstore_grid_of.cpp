#include "engine/format/qstore_grid_of.h"

#include "engine/quant/part_bytes.h"

namespace qi {
namespace {

std::optional<GridScales> scales_as(DType type) {
  switch (type) {
    case DType::kF16:
      return GridScales::kF16;
    case DType::kBF16:
      return GridScales::kBF16;
    case DType::kF32:
      return GridScales::kF32;
    default:
      return std::nullopt;
  }
}

// Layout of codes and zero points; false: none of ours.
bool describe_codes(const Model& model, const Weight& weight, QstoreGrid& grid) {
  const Part* zeros = find_part(weight, PartRole::kZeros);
  const DType codes_type = model.tensor(weight.parts.front()).dtype;
  grid.bits = weight.bits;
  switch (weight.scheme) {
    case Scheme::kGptq:
      grid.layout = GridLayout::kGptq;
      grid.zeros_as = weight.format == "v2" ? GridZeros::kGptq : GridZeros::kGptqOne;
      grid.scales_by_group = true;
      return true;
    case Scheme::kAwq:
      grid.layout = GridLayout::kAwq;
      grid.zeros_as = GridZeros::kAwq;
      grid.scales_by_group = true;
      return weight.format == "gemm";
    case Scheme::kCompressedTensors: {
      const DType zeros_type = zeros == nullptr ? DType::kUnknown : model.tensor(*zeros).dtype;
      if (codes_type == DType::kI32) {
        grid.layout = GridLayout::kRows;
        if (zeros != nullptr) grid.zeros_as = GridZeros::kRows;
        return zeros == nullptr || zeros_type == DType::kI32;
      }
      grid.layout = GridLayout::kInt8;
      if (zeros != nullptr) grid.zeros_as = GridZeros::kInt8;
      return codes_type == DType::kI8 && (zeros == nullptr || zeros_type == DType::kI8);
    }
    default:
      return false;
  }
}

}  // namespace

QstoreGrid int8_grid(std::uint64_t rows, std::uint64_t cols, std::uint32_t codes,
                     std::uint32_t scales) {
  QstoreGrid grid;
  grid.scales_as = GridScales::kAbsmax;
  grid.rows = rows;
  grid.cols = cols;
  grid.codes = codes;
  grid.scales = scales;
  return grid;
}

std::optional<QstoreGrid> grid_of(const Model& model, const Weight& weight,
                                  const StreamOfTensor& stream_of) {
  const Part* scales = find_part(weight, PartRole::kScales);
  if (scales == nullptr || weight.shape.size() != 2 || weight.params == 0 ||
      !weight.undecodable.empty()) {
    return std::nullopt;
  }
  const auto stream_of_part = [&](const Part& part) { return stream_of(model.tensor(part).name); };
  const auto codes_stream = stream_of_part(weight.parts.front());
  const auto scales_stream = stream_of_part(*scales);
  const auto type = scales_as(model.tensor(*scales).dtype);
  const auto numbers = element_count(model.tensor(*scales).shape);
  if (!codes_stream || !scales_stream || !type || !numbers || *numbers % weight.rows() != 0) {
    return std::nullopt;
  }
  if (weight.scheme == Scheme::kLlmInt8) {
    if (*type != GridScales::kF32) return std::nullopt;
    return int8_grid(weight.rows(), weight.cols(), *codes_stream, *scales_stream);
  }
  QstoreGrid grid;
  grid.scales_as = *type;
  grid.rows = weight.rows();
  grid.cols = weight.cols();
  grid.groups = *numbers / weight.rows();
  grid.group_size = grid.groups == 1 ? 0 : weight.group_size;
  grid.codes = *codes_stream;
  grid.scales = *scales_stream;
  if (!describe_codes(model, weight, grid)) return std::nullopt;
  if (grid.zeros_as != GridZeros::kMiddle) {
    grid.zeros = stream_of_part(*find_part(weight, PartRole::kZeros));
    if (!grid.zeros) return std::nullopt;
  }
  if (const Part* index = find_part(weight, PartRole::kGroupIndex)) {
    grid.index = stream_of_part(*index);
  }
  return grid;
}

}  // namespace qi
