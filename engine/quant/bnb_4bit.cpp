#include "engine/quant/bnb_4bit.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/io/checked.h"
#include "engine/quant/part_bytes.h"
#include "engine/quant/scale_parts.h"

namespace qi {
namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kLargestState = 65536;  // bytes of JSON; real ones have about 200
constexpr std::uint64_t kLargestBlock = std::uint64_t{1} << 32;

std::string as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Error schema_error(const std::string& message, const std::string& expected) {
  return Error(ErrorCode::kBadSchema, message, expected);
}

/// A positive whole number of that name; 0 when absent, nothing when something else.
std::optional<std::uint64_t> positive(const Json& root, const char* key) {
  const auto it = root.find(key);
  if (it == root.end()) return 0;
  if (!it->is_number_unsigned() || *it == 0 || it->get<std::uint64_t>() > kLargestBlock) {
    return std::nullopt;
  }
  return it->get<std::uint64_t>();
}

/// The parts as sizes, to hold against the state.
struct Sizes {
  std::uint64_t bytes = 0;
  std::uint64_t blocks = 0;
  std::optional<std::uint64_t> nested_blocks;
};

/// Why a state cannot describe these parts; empty when it can.
std::string mismatch(const QuantState& state, const Sizes& sizes) {
  const auto count = element_count(state.shape);
  if (!count || ceil_div<std::uint64_t>(*count, 2) != sizes.bytes) {
    return fmt::format("shape {} for {} bytes of nibbles", shape_text(state.shape), sizes.bytes);
  }
  if (ceil_div(*count, state.block_size) != sizes.blocks) {
    return fmt::format("{} blocks of {} for {} weights", sizes.blocks, state.block_size, *count);
  }
  if (state.nested_block_size != 0 &&
      sizes.nested_blocks != ceil_div(sizes.blocks, state.nested_block_size)) {
    return fmt::format("nested blocks of {} for {} blocks", state.nested_block_size, sizes.blocks);
  }
  return {};
}

bool is_float_vector(const Tensor& tensor, std::uint64_t count) {
  return tensor.dtype == DType::kF32 && element_count(tensor.shape) == count;
}

class Bnb4BitReader : public WeightReader {
 public:
  Bnb4BitReader(const Model& opened, const Weight& packed)
      : WeightReader(opened, packed),
        codes_(opened, opened.tensor(packed.parts.front())),
        absmax_(opened, opened.tensor(*find_part(packed, PartRole::kScales))) {
    PartBytes state_bytes(opened, opened.tensor(*find_part(packed, PartRole::kState)));
    const std::string text = as_text(state_bytes.bytes(0, state_bytes.tensor().size_bytes));
    if (const auto error = parse_quant_state(text, state_)) {
      state_bytes.fail(error->code, 0, error->message, error->expected);
    }
    Sizes sizes{codes_.tensor().size_bytes, element_count(absmax_.tensor().shape).value_or(0), {}};
    if (const Part* part = find_part(packed, PartRole::kSecondScales)) {
      nested_.emplace(opened, opened.tensor(*part));
      sizes.nested_blocks = element_count(nested_->tensor().shape);
    }
    const std::string odd = mismatch(state_, sizes);
    if (!odd.empty()) state_bytes.fail(ErrorCode::kBadValue, 0, "quant_state: " + odd);
    if (state_.shape != packed.shape || (state_.nested_block_size != 0) != nested_.has_value()) {
      state_bytes.fail(ErrorCode::kBadValue, 0, "quant_state contradicts the stored tensors");
    }
    PartBytes map(opened, opened.tensor(*find_part(packed, PartRole::kCodebook)));
    map.floats(0, map_.size(), map_.data());
    if (nested_) {
      PartBytes second(opened, opened.tensor(*find_part(packed, PartRole::kSecondCodebook)));
      second.floats(0, nested_map_.size(), nested_map_.data());
    }
  }

  int code_bits() const override { return 4; }

 protected:
  void read_values(const Tile& tile, float* out) override {
    each_run(tile, [&](std::uint64_t first, std::uint64_t count, std::uint64_t at) {
      run_values(first, count, out + at);
    });
  }

  void read_codes(const Tile& tile, std::uint16_t* out) override {
    each_run(tile, [&](std::uint64_t first, std::uint64_t count, std::uint64_t at) {
      const auto raw = nibbles(first, count);
      for (std::uint64_t i = 0; i < count; ++i) out[at + i] = nibble(raw, first, i);
    });
  }

  void read_scales(const ScaleSink& sink) override {
    constexpr std::uint64_t kRun = 4096;
    const std::uint64_t blocks = ceil_div(weight_.params, state_.block_size);
    for (std::uint64_t begin = 0; begin < blocks; begin += kRun) {
      load_scales(begin, std::min(kRun, blocks - begin));
      if (!sink({scales_, {}, false})) return;
    }
  }

 private:
  template <typename Run>
  void each_run(const Tile& tile, const Run& run) {
    const std::uint64_t cols = weight_.cols();
    if (tile.cols == cols) return run(tile.row * cols, tile.rows * cols, 0);
    for (std::uint64_t r = 0; r < tile.rows; ++r) {
      run((tile.row + r) * cols + tile.col, tile.cols, r * tile.cols);
    }
  }

  std::span<const std::byte> nibbles(std::uint64_t first, std::uint64_t count) {
    const std::uint64_t begin = first / 2;
    return codes_.bytes(begin, ceil_div<std::uint64_t>(first + count, 2) - begin);
  }

  /// Code of element first + i: the EVEN element is in the high nibble.
  static std::uint16_t nibble(std::span<const std::byte> raw, std::uint64_t first,
                              std::uint64_t i) {
    const std::uint64_t e = first % 2 + i;
    return (std::to_integer<std::uint16_t>(raw[e / 2]) >> (e % 2 == 0 ? 4 : 0)) & 15;
  }

  void run_values(std::uint64_t first, std::uint64_t count, float* out) {
    const std::uint64_t begin = first / state_.block_size;
    const std::uint64_t end = ceil_div(first + count, state_.block_size);
    load_scales(begin, end - begin);
    const auto raw = nibbles(first, count);
    std::uint64_t i = 0;
    for (std::uint64_t b = begin; b < end; ++b) {
      // One multiplication for each of the 16 codes of a block, not for each of its weights.
      std::array<float, 16> scaled;
      for (std::size_t k = 0; k < 16; ++k) scaled[k] = map_[k] * scales_[b - begin];
      const std::uint64_t stop = std::min(count, (b + 1) * state_.block_size - first);
      if ((first + i) % 2 != 0 && i < stop) out[i] = scaled[nibble(raw, first, i)], ++i;
      for (; i + 2 <= stop; i += 2) {
        const auto byte = std::to_integer<unsigned>(raw[(first % 2 + i) / 2]);
        out[i] = scaled[byte >> 4];
        out[i + 1] = scaled[byte & 15];
      }
      if (i < stop) out[i] = scaled[nibble(raw, first, i)], ++i;
    }
  }

  /// The scales of blocks [begin, begin + count), undoing the second quantization.
  void load_scales(std::uint64_t begin, std::uint64_t count) {
    scales_.resize(count);
    if (!nested_) return absmax_.floats(begin, count, scales_.data());
    const std::uint64_t size = state_.nested_block_size;
    const std::uint64_t outer = begin / size;
    outer_scales_.resize((begin + count - 1) / size - outer + 1);
    nested_->floats(outer, outer_scales_.size(), outer_scales_.data());
    const auto raw = absmax_.bytes(begin, count);
    for (std::uint64_t i = 0; i < count; ++i) {
      scales_[i] = nested_map_[std::to_integer<std::size_t>(raw[i])] *
                       outer_scales_[(begin + i) / size - outer] +
                   state_.nested_offset;
    }
  }

  PartBytes codes_;
  PartBytes absmax_;
  std::optional<PartBytes> nested_;
  QuantState state_;
  std::array<float, 16> map_{};
  std::array<float, 256> nested_map_{};
  std::vector<float> scales_;
  std::vector<float> outer_scales_;
};

}  // namespace

std::optional<Error> parse_quant_state(const std::string& text, QuantState& state) {
  state = {};
  if (text.size() > kLargestState)
    return schema_error("quant_state is too long", "about 200 bytes");
  const Json root = Json::parse(text, nullptr, false);
  if (root.is_discarded()) return Error(ErrorCode::kBadJson, "quant_state is not JSON");
  if (!root.is_object()) return schema_error("quant_state is not a JSON object", "an object");
  const auto shape = root.find("shape");
  if (shape == root.end() || !shape->is_array() || shape->empty() || shape->size() > 64) {
    return schema_error("quant_state has no shape", "an array of sizes");
  }
  for (const Json& dim : *shape) {
    if (!dim.is_number_unsigned() || dim == 0) {
      return schema_error("quant_state has a bad shape", "positive whole numbers");
    }
    state.shape.push_back(dim.get<std::uint64_t>());
  }
  const auto block = positive(root, "blocksize");
  const auto nested = positive(root, "nested_blocksize");
  if (!block || *block == 0 || !nested) {
    return schema_error("quant_state has a bad blocksize", "a positive whole number");
  }
  state.block_size = *block;
  state.nested_block_size = *nested;
  const auto offset = root.find("nested_offset");
  if (offset != root.end()) {
    if (!offset->is_number()) return schema_error("nested_offset is not a number", "a number");
    state.nested_offset = static_cast<float>(offset->get<double>());
    state.has_offset = true;
  }
  return std::nullopt;
}

bool build_bnb_4bit(Grouping& grouping, std::uint32_t codes, std::string_view name) {
  // Nibbles lie in one column (or one row); nothing else is looked up by name.
  const Shape& stored = grouping.tensor(codes).shape;
  if (stored.size() != 2 || (stored[0] != 1 && stored[1] != 1)) return false;
  const auto absmax = grouping.find(name, ".absmax");
  if (!absmax) {
    if (grouping.find(name, ".quant_map")) {
      grouping.warn("4-bit codes without absmax: listed as stored", codes);
    }
    return false;
  }
  Weight weight = start_weight(Scheme::kNF4, std::string(name), {}, codes);
  if (!grouping.take(weight, PartRole::kState, name, ".quant_state.bitsandbytes__nf4")) {
    weight.scheme = Scheme::kFP4;
    grouping.take(weight, PartRole::kState, name, ".quant_state.bitsandbytes__fp4");
  }
  const Tensor& scales = grouping.tensor(*absmax);
  const auto map = grouping.find(name, ".quant_map");
  const bool nested = scales.dtype == DType::kU8;
  const auto second = grouping.find(name, ".nested_absmax");
  const auto second_map = grouping.find(name, ".nested_quant_map");
  const bool complete =
      weight.parts.size() == 2 && map && is_float_vector(grouping.tensor(*map), 16);
  const bool scaled = nested ? second && second_map && is_scale(grouping.tensor(*second)) &&
                                   is_float_vector(grouping.tensor(*second_map), 256)
                             : is_scale(scales);
  if (!complete || !scaled) {
    grouping.warn("4-bit codes without all of quant_state, quant_map and absmax: listed as stored",
                  codes);
    return false;
  }
  const std::uint32_t state_index = weight.parts.back().tensor;
  weight.parts.push_back({*absmax, PartRole::kScales});
  weight.parts.push_back({*map, PartRole::kCodebook});
  if (nested) {
    weight.parts.push_back({*second, PartRole::kSecondScales});
    weight.parts.push_back({*second_map, PartRole::kSecondCodebook});
  }
  Sizes sizes{grouping.tensor(codes).size_bytes, element_count(scales.shape).value_or(0), {}};
  if (nested) sizes.nested_blocks = element_count(grouping.tensor(*second).shape);
  QuantState state;
  std::string odd = "is too long";
  if (grouping.tensor(state_index).size_bytes <= kLargestState) {
    const auto error = parse_quant_state(as_text(grouping.read(state_index, false)), state);
    odd = error ? error->message : mismatch(state, sizes);
  }
  if (odd.empty()) {
    weight.shape = state.shape;
    weight.group_size = state.block_size;
    if (nested && !state.has_offset)
      grouping.warn("nested_offset is absent: taken as 0", state_index);
  } else {
    // The true shape is only there: list the nibbles as one row; the reader says what is wrong.
    grouping.warn("quant_state " + odd, state_index);
    const auto count = checked_mul<std::uint64_t>(sizes.bytes, 2);
    weight.shape = {count.value_or(0)};
  }
  weight.format = nested ? "nested" : "plain";
  weight.bits = 4;
  weight.scale_dtype = scales.dtype;
  set_symmetric(weight);
  grouping.add(std::move(weight));
  return true;
}

std::unique_ptr<WeightReader> open_bnb_4bit_reader(const Model& model, const Weight& weight) {
  return std::make_unique<Bnb4BitReader>(model, weight);
}

}  // namespace qi
