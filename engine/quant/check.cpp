#include "engine/quant/check.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "engine/quant/part_bytes.h"
#include "engine/quant/scheme.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

using Severity = WeightFault::Severity;

constexpr std::uint64_t kChunk = 65536;  // elements looked at together

constexpr std::array<float, 16> kNf4 = {
    -1.0f,      -0.6961928f, -0.5250730f, -0.3949175f, -0.2844414f, -0.1847734f, -0.0910500f, 0.0f,
    0.0795803f, 0.1609302f,  0.2461123f,  0.3379152f,  0.4407098f,  0.5626170f,  0.7229568f,  1.0f};
constexpr std::array<float, 16> kFp4 = {
    0.0f,  1.0f / 192,  2.0f / 3,  1.0f,  1.0f / 3,  1.0f / 2,  1.0f / 6,  1.0f / 4,
    -0.0f, -1.0f / 192, -2.0f / 3, -1.0f, -1.0f / 3, -1.0f / 2, -1.0f / 6, -1.0f / 4};
constexpr float kMapTolerance = 1e-5f;  // the reference values have seven digits

class Checker {
 public:
  Checker(const Model& model, const Weight& weight) : model_(model), weight_(weight) {}

  std::vector<WeightFault> run() {
    if (!decodes()) return std::move(faults_);
    for (const Part& part : weight_.parts) check_part(part);
    return std::move(faults_);
  }

 private:
  /// Opening a reader checks states, stored shapes and group indices; outliers are only met while
  /// reading.
  bool decodes() {
    try {
      const auto reader = open_scheme_reader(model_, weight_);
      if (weight_.scheme != Scheme::kSpqr) return true;
      const TileWalk walk(weight_.rows(), weight_.cols(), std::max(kChunk, 16 * weight_.cols()));
      std::vector<float> values(std::max(kChunk, 16 * weight_.cols()));
      for (std::uint64_t t = 0; t < walk.size(); ++t) reader->values(walk[t], values.data());
      return true;
    } catch (const Error& error) {
      if (exit_status(error.code) != 2) throw;
      add_error(error);
      return false;
    }
  }

  void add_error(const Error& error) {
    WeightFault fault;
    fault.code = error.code;
    fault.file = error.file;
    fault.offset = error.offset.value_or(0);
    fault.message = error.message;
    if (!error.expected.empty()) fault.message += ", expected " + error.expected;
    for (const Part& part : weight_.parts) {
      const Tensor& tensor = model_.tensor(part);
      if (model_.file(tensor).path() != error.file || fault.offset < tensor.offset ||
          fault.offset - tensor.offset >= tensor.size_bytes) {
        continue;
      }
      fault.part = tensor.name;
      fault.length = std::min<std::uint64_t>(4, tensor.offset + tensor.size_bytes - fault.offset);
    }
    faults_.push_back(std::move(fault));
  }

  void check_part(const Part& part) {
    const Tensor& tensor = model_.tensor(part);
    const bool scales = part.role == PartRole::kScales || part.role == PartRole::kSecondScales;
    if (scales && weight_.scale_dtype == DType::kF8E8M0 && element_bits(tensor.dtype) == 8) {
      count(tensor, DType::kF8E8M0, Severity::kError, "scales are NaN (255)",
            [](float value) { return std::isnan(value); });
    } else if (scales && is_float(tensor.dtype)) {
      count(tensor, tensor.dtype, Severity::kError, "scales are NaN or infinite",
            [](float value) { return !std::isfinite(value); });
      count(tensor, tensor.dtype, Severity::kNote, "scales are zero or negative",
            [](float value) { return value <= 0; });
    }
    const bool plain_zeros = part.role == PartRole::kZeros && tensor.dtype != DType::kI32;
    if (plain_zeros && has_float_value(tensor.dtype)) {
      const float low = -std::ldexp(1.0f, weight_.bits - 1);
      const float high = -low - 1;
      count(tensor, tensor.dtype, Severity::kError, "zero points are outside the codes' range",
            [low, high](float value) { return !(value >= low && value <= high); });
    }
    if (part.role == PartRole::kCodes && is_float(tensor.dtype) &&
        element_bits(tensor.dtype) == 8) {
      count(tensor, tensor.dtype, Severity::kNote, "codes are NaN",
            [](float value) { return std::isnan(value); });
    }
    if (part.role == PartRole::kCodebook && weight_.scheme == Scheme::kNF4) check_map(tensor, kNf4);
    if (part.role == PartRole::kCodebook && weight_.scheme == Scheme::kFP4) check_map(tensor, kFp4);
  }

  template <typename Odd>
  void count(const Tensor& tensor, DType type, Severity severity, const char* what,
             const Odd& is_odd) {
    PartBytes bytes(model_, tensor);
    const std::uint64_t width = static_cast<std::uint64_t>(element_bits(tensor.dtype)) / 8;
    const std::uint64_t total = tensor.size_bytes / width;
    std::vector<float> values(std::min(kChunk, total));
    std::uint64_t found = 0;
    std::uint64_t first = 0;
    for (std::uint64_t at = 0; at < total; at += kChunk) {
      const std::uint64_t n = std::min(kChunk, total - at);
      const auto raw = bytes.bytes(at * width, n * width);
      to_floats(type, raw.data(), n, bytes.swap(), values.data());
      for (std::uint64_t i = 0; i < n; ++i) {
        if (is_odd(values[i]) && found++ == 0) first = at + i;
      }
    }
    model_.file(tensor).check();
    if (found == 0) return;
    add(tensor, severity, first * width, width,
        fmt::format("{} of {} {}, the first is number {}", found, total, what, first));
  }

  void check_map(const Tensor& tensor, const std::array<float, 16>& named) {
    PartBytes bytes(model_, tensor);
    std::array<float, 16> stored{};
    bytes.floats(0, stored.size(), stored.data());
    for (std::size_t i = 0; i < stored.size(); ++i) {
      if (std::abs(stored[i] - named[i]) <= kMapTolerance) continue;
      add(tensor, Severity::kNote, 4 * i, 4,
          fmt::format("quant_map is not that of {}: entry {} is {}, not {}",
                      scheme_name(weight_.scheme), i, stored[i], named[i]));
      return;
    }
  }

  void add(const Tensor& tensor, Severity severity, std::uint64_t offset, std::uint64_t length,
           std::string message) {
    faults_.push_back({severity, ErrorCode::kBadValue, model_.file(tensor).path(), tensor.name,
                       tensor.offset + offset, length, std::move(message)});
  }

  const Model& model_;
  const Weight& weight_;
  std::vector<WeightFault> faults_;
};

}  // namespace

std::vector<WeightFault> check_weight(const Model& model, const Weight& weight) {
  if (weight.scheme == Scheme::kNone || weight.scheme == Scheme::kGgml ||
      !weight.undecodable.empty()) {
    return {};
  }
  return Checker(model, weight).run();
}

}  // namespace qi
