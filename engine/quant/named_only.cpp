#include "engine/quant/named_only.h"

#include <array>
#include <span>

#include "engine/io/checked.h"

namespace qi {
namespace {

struct Companion {
  std::string_view suffix;
  PartRole role;
};

/// How the logical shape follows from the stored ones.
enum class ShapeRule : std::uint8_t {
  kAsStored,
  kTransposed,  // codes [in, out]
  kFourRows,    // codes [out/4, in]
  kAdditive,    // codes [out/og, in/ig, K], codebooks [K, 2^n, og, ig]
  kVectors,     // vectors as long as the outputs (SV, svh; else the codes' columns) and the inputs
  kMarlinTile,  // codes [in/16, …], scales [G, out]
  kBitmask,     // bitmask [out, in/8]
};

struct Row {
  Scheme scheme;
  std::string_view codes;     // suffix of the tensor with the codes
  std::string_view required;  // a companion that must be there
  std::string_view method;    // quant_method that the config must name; empty: any
  std::uint8_t bits;          // 0: not known from the names
  ShapeRule rule;
  std::span<const Companion> companions;  // taken where they exist
  std::string_view why;
  DType only = DType::kUnknown;  // the codes' type; kUnknown: any
};

constexpr std::array kHqqParts = {Companion{".scale", PartRole::kScales},
                                  Companion{".zero", PartRole::kZeros},
                                  Companion{".shape", PartRole::kShape},
                                  Companion{".nbits", PartRole::kState},
                                  Companion{".group_size", PartRole::kState},
                                  Companion{".axis", PartRole::kState},
                                  Companion{".packing", PartRole::kState},
                                  Companion{".channel_wise", PartRole::kState},
                                  Companion{".view_as_float", PartRole::kState},
                                  Companion{".unpack_view_dtype", PartRole::kState},
                                  Companion{".compute_dtype", PartRole::kState},
                                  Companion{".offload_meta", PartRole::kState},
                                  Companion{".optimize", PartRole::kState},
                                  Companion{".round_zero", PartRole::kState},
                                  Companion{".quant_zero", PartRole::kState},
                                  Companion{".quant_scale", PartRole::kState},
                                  Companion{".stores_quant_config", PartRole::kState}};
constexpr std::array kAqlmParts = {Companion{".codebooks", PartRole::kCodebook},
                                   Companion{".scales", PartRole::kScales}};
constexpr std::array kQuipParts = {
    Companion{".SU", PartRole::kOther}, Companion{".SV", PartRole::kOther},
    Companion{".Wscale", PartRole::kScales}, Companion{".codebook_id", PartRole::kState}};
constexpr std::array kExl2Parts = {
    Companion{".q_scale", PartRole::kScales}, Companion{".q_scale_max", PartRole::kSecondScales},
    Companion{".q_groups", PartRole::kState}, Companion{".q_invperm", PartRole::kPermutation},
    Companion{".q_perm", PartRole::kOther},   Companion{".q_group_map", PartRole::kGroupIndex}};
constexpr std::array kExl3Parts = {
    Companion{".suh", PartRole::kOther}, Companion{".svh", PartRole::kOther},
    Companion{".su", PartRole::kOther},  Companion{".sv", PartRole::kOther},
    Companion{".mcg", PartRole::kState}, Companion{".mul1", PartRole::kState}};
constexpr std::array kVptqParts = {Companion{".centroids", PartRole::kCodebook},
                                   Companion{".centroids.weight", PartRole::kCodebook},
                                   Companion{".res_centroids", PartRole::kSecondCodebook},
                                   Companion{".res_centroids.weight", PartRole::kSecondCodebook},
                                   Companion{".res_indices", PartRole::kOther},
                                   Companion{".outlier_indices", PartRole::kOutliers},
                                   Companion{".outlier_centroids.weight", PartRole::kOutliers},
                                   Companion{".perm", PartRole::kPermutation},
                                   Companion{".weight_scale", PartRole::kScales},
                                   Companion{".weight_bias", PartRole::kZeros}};
constexpr std::array kEetqParts = {Companion{".weight_scales", PartRole::kScales}};
constexpr std::array kQuantoParts = {Companion{"._scale", PartRole::kScales},
                                     Companion{"._shift", PartRole::kZeros}};
constexpr std::array kScaledParts = {Companion{".weight_scale", PartRole::kScales},
                                     Companion{".weight_scale_2", PartRole::kSecondScales},
                                     Companion{".weight_zero_point", PartRole::kZeros},
                                     Companion{".pre_quant_scale", PartRole::kOther}};
constexpr std::array kTorchaoParts = {Companion{"._weight_scale", PartRole::kScales},
                                      Companion{"._weight_zero_point", PartRole::kZeros}};
constexpr std::array kMarlinParts = {Companion{".s", PartRole::kScales}};
constexpr std::array kQqqParts = {Companion{".s_channel", PartRole::kScales},
                                  Companion{".s_group", PartRole::kSecondScales}};
constexpr std::array kBitblasParts = {Companion{".scales", PartRole::kScales},
                                      Companion{".zeros", PartRole::kZeros},
                                      Companion{".qzeros", PartRole::kZeros}};
constexpr std::array kSparseParts = {Companion{".bitmask", PartRole::kOther},
                                     Companion{".shape", PartRole::kShape},
                                     Companion{".row_offsets", PartRole::kRowOffsets}};

using enum ShapeRule;

constexpr std::array kRows = {
    Row{Scheme::kHqq, ".W_q", ".scale", "", 0, kAsStored, kHqqParts,
        "HQQ: its shape and packing stand in the payload, not decoded"},
    Row{Scheme::kAqlm, ".codes", ".codebooks", "", 0, kAdditive, kAqlmParts,
        "AQLM: additive codebooks are not decoded"},
    Row{Scheme::kQuip, ".Qidxs", ".SU", "", 2, kVectors, kQuipParts,
        "QuIP#: rotated by Hadamard transforms, not decoded"},
    Row{Scheme::kExl2, ".q_weight", ".q_scale", "", 0, kVectors, kExl2Parts,
        "EXL2: mixed widths in a kernel's order, not decoded"},
    Row{Scheme::kExl3, ".trellis", ".suh", "", 0, kVectors, kExl3Parts,
        "EXL3: trellis codes are not decoded"},
    Row{Scheme::kVptq, ".indices", "", "vptq", 0, kAsStored, kVptqParts,
        "VPTQ: vector codebooks are not decoded"},
    Row{Scheme::kEetq, ".qweight", ".weight_scales", "", 8, kTransposed, kEetqParts,
        "EETQ: int8 in a kernel's order, not decoded", DType::kI8},
    Row{Scheme::kEetq, ".weight", ".weight_scales", "", 8, kTransposed, kEetqParts,
        "EETQ: int8 in a kernel's order, not decoded", DType::kI8},
    Row{Scheme::kQuanto, "._data", "._scale", "", 0, kAsStored, kQuantoParts,
        "quanto: not decoded"},
    Row{Scheme::kBitnet, ".weight", ".weight_scale", "bitnet", 2, kFourRows, kScaledParts,
        "BitNet: packed ternary weights are not decoded"},
    Row{Scheme::kQuark, ".weight", ".weight_scale", "quark", 0, kAsStored, kScaledParts,
        "Quark: not decoded"},
    Row{Scheme::kTorchao, "._weight_qdata", "._weight_scale", "", 0, kAsStored, kTorchaoParts,
        "torchao: not decoded"},
    Row{Scheme::kQqq, ".B", ".s_channel", "", 4, kAsStored, kQqqParts,
        "QQQ: tiles permuted for a GPU kernel, not decoded"},
    Row{Scheme::kMarlin, ".B", ".s", "", 4, kMarlinTile, kMarlinParts,
        "Marlin: tiles permuted for a GPU kernel, not decoded"},
    Row{Scheme::kBitblas, ".qweight", ".scales", "bitblas", 0, kAsStored, kBitblasParts,
        "BitBLAS: packed for a generated kernel, not decoded"},
    Row{Scheme::kUnknown, ".weight", ".pre_quant_scale", "modelopt", 4, kAsStored, kScaledParts,
        "ModelOpt W4A16_AWQ is not decoded"},
    Row{Scheme::kCompressedTensors, ".compressed", ".bitmask", "", 0, kBitmask, kSparseParts,
        "sparse bitmask compression is not decoded"},
};

/// The length of the first of those companions, or `otherwise`.
std::uint64_t length_of(Grouping& grouping, std::string_view module,
                        std::initializer_list<std::string_view> suffixes, std::uint64_t otherwise) {
  for (const auto suffix : suffixes) {
    if (const auto index = grouping.find(module, suffix)) {
      return element_count(grouping.tensor(*index).shape).value_or(otherwise);
    }
  }
  return otherwise;
}

/// The logical shape; the stored one where the parts do not give it.
Shape logical_shape(Grouping& grouping, const Row& row, const Tensor& codes,
                    std::string_view module) {
  const Shape& stored = codes.shape;
  Shape shape = stored;
  const auto sized = [&](std::uint64_t a, std::uint64_t by_a, std::uint64_t b, std::uint64_t by_b) {
    const auto rows = checked_mul(a, by_a);
    const auto cols = checked_mul(b, by_b);
    if (rows && cols) shape = {*rows, *cols};
  };
  if (row.rule == kTransposed && stored.size() == 2) sized(stored[1], 1, stored[0], 1);
  if (row.rule == kFourRows && stored.size() == 2) sized(stored[0], 4, stored[1], 1);
  if (row.rule == kAdditive && stored.size() == 3) {
    const auto books = grouping.find(module, ".codebooks");
    const Shape& book = grouping.tensor(*books).shape;
    if (book.size() == 4) sized(stored[0], book[2], stored[1], book[3]);
  }
  if (row.rule == kVectors && !stored.empty()) {
    sized(length_of(grouping, module, {".SV", ".svh"}, stored.back()), 1,
          length_of(grouping, module, {".SU", ".suh", ".q_invperm", ".q_perm"}, stored[0]), 1);
  }
  if (row.rule == kMarlinTile && stored.size() == 2) {
    const Shape& scales = grouping.tensor(*grouping.find(module, ".s")).shape;
    if (!scales.empty()) sized(scales.back(), 1, stored[0], 16);
  }
  if (row.rule == kBitmask) {
    const Shape& mask = grouping.tensor(*grouping.find(module, ".bitmask")).shape;
    if (mask.size() == 2) sized(mask[0], 1, mask[1], 8);
  }
  return element_count(shape) ? shape : stored;
}

}  // namespace

bool build_named_only(Grouping& grouping, std::uint32_t codes) {
  const Tensor& tensor = grouping.tensor(codes);
  // Plain floats are most of every model: no look-ups for them.
  if (is_float(tensor.dtype) && element_bits(tensor.dtype) >= 16 &&
      tensor.name.ends_with(".weight")) {
    return false;
  }
  for (const Row& row : kRows) {
    const std::string_view name = tensor.name;
    if (!name.ends_with(row.codes)) continue;
    if (row.only != DType::kUnknown && row.only != tensor.dtype) continue;
    if (!row.method.empty() && grouping.config().method != row.method) continue;
    const std::string_view module = name.substr(0, name.size() - row.codes.size());
    if (!row.required.empty() && !grouping.find(module, row.required)) continue;
    std::string logical(module);
    if (!module.ends_with(".weight")) logical += ".weight";
    Weight weight = start_weight(row.scheme, std::move(logical),
                                 logical_shape(grouping, row, tensor, module), codes);
    for (const Companion& companion : row.companions) {
      grouping.take(weight, companion.role, module, companion.suffix);
    }
    for (const Part& part : weight.parts) {
      if (part.role == PartRole::kScales) weight.scale_dtype = grouping.tensor(part.tensor).dtype;
    }
    weight.bits = row.bits;
    weight.undecodable = row.why;
    grouping.add(std::move(weight));
    return true;
  }
  return false;
}

}  // namespace qi
