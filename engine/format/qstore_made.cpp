#include "engine/format/qstore_made.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <list>
#include <mutex>

#include <fmt/format.h>

#include "engine/codec/little_endian.h"
#include "engine/codec/models.h"
#include "engine/format/prototype.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

void put(MadeLevel& level, Tensor tensor, ByteSourcePtr source) {
  tensor.offset = level.tensors.empty()
                      ? 0
                      : level.tensors.back().tensor.offset + level.tensors.back().tensor.size_bytes;
  tensor.size_bytes = source->size();
  level.tensors.push_back({std::move(tensor), std::move(source)});
}

// "m.weight" has its scales under "m.SCB".
std::string scales_name(const std::string& weight) {
  constexpr std::string_view kEnding = "weight";
  return weight.ends_with(kEnding) ? weight.substr(0, weight.size() - kEnding.size()) + "SCB"
                                   : weight + ".SCB";
}

void put_layer(MadeLevel& level, const Weight& weight, Tensor codes, const Int8Version& version) {
  codes.dtype = DType::kI8;
  level.layers.push_back({weight.name, level.tensors.size(), level.tensors.size() + 1});
  Tensor scales;
  scales.name = scales_name(codes.name);
  scales.dtype = DType::kF32;
  scales.shape = {weight.rows()};
  put(level, std::move(codes), version.codes);
  put(level, std::move(scales), version.scales);
}

bool is_linear(const Model& model, const Weight& weight) {
  switch (weight.role) {
    case Role::kEmbed:
    case Role::kHead:
    case Role::kNorm:
    case Role::kBias:
    case Role::kRouter:
      return false;
    default:
      break;
  }
  return weight.scheme == Scheme::kNone && weight.shape.size() == 2 && weight.params != 0 &&
         pair_format(model.tensor(weight.parts.front()).dtype) != nullptr &&
         weight.name.ends_with(".weight");
}

// ---- prototype directories: numbers come from readers, which decode a whole weight each ---------

/// The readers used last, shared by all sources of a model.
class Readers {
 public:
  explicit Readers(const Model& model) : model_(model) {}

  template <typename Use>
  void use(const Weight& weight, Use&& use) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(open_.begin(), open_.end(), [&](const auto& reader) {
      return &reader->weight() == &weight;
    });
    if (found != open_.end()) {
      open_.splice(open_.begin(), open_, found);
    } else {
      if (open_.size() >= kOpen) open_.pop_back();
      open_.push_front(open_prototype_reader(model_, weight));
    }
    use(*open_.front());
  }
  const Model& model() const { return model_; }

 private:
  static constexpr std::size_t kOpen = 2;
  const Model& model_;
  std::mutex mutex_;
  std::list<std::unique_ptr<WeightReader>> open_;
};

// The pattern of a 16-bit number that a float32 was made from.
std::uint16_t narrow(DType type, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (type == DType::kBF16) return static_cast<std::uint16_t>(bits >> 16);
  const std::uint16_t half = float_to_f16(value);
  const bool is_nan = (bits & 0x7FFFFFFF) > 0x7F800000;
  return is_nan ? static_cast<std::uint16_t>((half & 0xFC00) | (bits >> 13 & 0x3FF)) : half;
}

class PrototypeNumbers : public ByteSource {
 public:
  PrototypeNumbers(std::shared_ptr<Readers> readers, const Weight& weight, DType type)
      : readers_(std::move(readers)), weight_(weight), type_(type) {}

  std::uint64_t size() const override { return weight_.params * element_bytes(); }
  std::span<const std::byte> bytes(std::uint64_t offset, std::size_t length,
                                   Buffer& scratch) const override {
    if (length == 0) return {};
    // Whole rows around what is asked for.
    const std::uint64_t row_bytes = weight_.cols() * element_bytes();
    const std::uint64_t first = offset / row_bytes;
    const std::uint64_t rows = (offset + length - 1) / row_bytes - first + 1;
    const auto skip = static_cast<std::size_t>(offset - first * row_bytes);
    if (scratch.size() < rows * row_bytes)
      scratch.resize(static_cast<std::size_t>(rows * row_bytes));
    const Tile tile{first, rows, 0, weight_.cols()};
    readers_->use(weight_, [&](WeightReader& reader) { read(reader, tile, scratch.data()); });
    return std::span<const std::byte>(scratch).subspan(skip, length);
  }
  void check() const override {
    for (const auto& file : readers_->model().files) file->check();
  }

 private:
  std::uint64_t element_bytes() const { return type_ == DType::kI8 ? 1 : 2; }

  void read(WeightReader& reader, const Tile& tile, std::byte* out) const {
    const auto count = static_cast<std::size_t>(tile.rows * tile.cols);
    if (type_ == DType::kI8) {
      std::vector<std::uint16_t> codes(count);
      reader.codes(tile, codes.data());
      for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::byte>(codes[i]);
      return;
    }
    std::vector<float> values(count);
    reader.values(tile, values.data());
    for (std::size_t i = 0; i < count; ++i) store_u16(out + 2 * i, narrow(type_, values[i]));
  }

  std::shared_ptr<Readers> readers_;
  const Weight& weight_;
  DType type_;
};

}  // namespace

MadeLevel int8_of(const Model& model) {
  if (model.container != Container::kSafetensors) {
    throw Error(ErrorCode::kUsage, "--low int8 of a model that is not in safetensors",
                "a safetensors model, or an int8 checkpoint after --low", model.path);
  }
  MadeLevel level;
  for (const Weight& weight : model.weights) {
    for (const Part& part : weight.parts) {
      const Tensor& tensor = model.tensor(part);
      const auto source =
          source_of_file(model.files[tensor.file], tensor.offset, tensor.size_bytes);
      if (is_linear(model, weight)) {
        put_layer(level, weight, tensor,
                  int8_version(source, tensor.dtype, weight.rows(), weight.cols()));
      } else {
        put(level, tensor, source);
      }
    }
  }
  if (level.layers.empty()) {
    throw Error(ErrorCode::kUsage, "--low int8 of a model without BF16 or F16 matrices",
                "a 16-bit model", model.path);
  }
  return level;
}

PrototypeLevels prototype_levels(const Model& model) {
  PrototypeLevels levels;
  const auto readers = std::make_shared<Readers>(model);
  for (const Weight& weight : model.weights) {
    Tensor tensor;
    tensor.name = weight.name;
    tensor.shape = weight.shape;
    const DType type = model.tensor(weight.parts.front()).dtype;
    if (weight.parts.size() == 1) {  // the int8 numbers alone
      tensor.dtype = DType::kI8;
      put(levels.low, tensor, std::make_shared<PrototypeNumbers>(readers, weight, DType::kI8));
      continue;
    }
    if (pair_format(type) == nullptr) {
      throw Error(ErrorCode::kUsage, "16-bit numbers of unknown type", "--dtype bf16 or f16",
                  model.path);
    }
    const auto high = std::make_shared<PrototypeNumbers>(readers, weight, type);
    Int8Version version;
    version.codes = std::make_shared<PrototypeNumbers>(readers, weight, DType::kI8);
    version.scales = int8_version(high, type, weight.rows(), weight.cols()).scales;
    tensor.dtype = type;
    put(levels.high, tensor, high);
    put_layer(levels.low, weight, std::move(tensor), version);
  }
  return levels;
}

}  // namespace qi
