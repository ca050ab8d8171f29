// Checkpoints of fewer bits, made from a model by rounding its linear layers to grids of groups:
// the layouts that GPTQ, AWQ and compressed-tensors write. Header only, one thread.
#pragma once

#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "engine/format/safetensors.h"
#include "engine/quant/coded_matrix.h"
#include "engine/tensor/numbers.h"
#include "tests/support/open_path.h"
#include "tests/support/temp_dir.h"
#include "tests/support/trained_like.h"

namespace qi::test {

enum class CodeLayout { kGptq, kAwq, kCompressedTensors };

struct QuantizedAs {
  CodeLayout layout = CodeLayout::kGptq;
  int bits = 4;
  std::uint64_t group = 128;
  bool symmetric = true;
  /// Columns of a group are spread over the matrix, as act_order leaves them (GPTQ alone).
  bool act_order = false;
  /// Codes are off by normal noise of so many steps, as where errors were passed on.
  double off = 0;
};

inline CodedMatrix rounded(const std::vector<float>& weight, std::uint64_t rows, std::uint64_t cols,
                           const QuantizedAs& as) {
  testing_support::Random random(rows * cols);
  CodedMatrix coded;
  coded.rows = rows;
  coded.cols = cols;
  coded.bits = as.bits;
  coded.groups = (cols + as.group - 1) / as.group;
  coded.codes.resize(rows * cols);
  coded.group_of.resize(cols);
  for (std::uint64_t c = 0; c < cols; ++c) {
    coded.group_of[c] =
        static_cast<std::uint32_t>(as.act_order ? c * 7 % cols / as.group : c / as.group);
  }
  const auto top = static_cast<float>((1 << as.bits) - 1);
  for (std::uint64_t r = 0; r < rows; ++r) {
    for (std::uint32_t g = 0; g < coded.groups; ++g) {
      float low = 0;
      float high = 0;
      for (std::uint64_t c = 0; c < cols; ++c) {
        if (coded.group_of[c] != g) continue;
        low = std::min(low, weight[r * cols + c]);
        high = std::max(high, weight[r * cols + c]);
      }
      if (as.symmetric) low = -(high = std::max(high, -low));
      const float scale = f16_to_float(float_to_f16(high > low ? (high - low) / top : 1));
      const float zero = as.symmetric ? (top + 1) / 2 : std::nearbyint(-low / scale);
      coded.scales.push_back(scale);
      coded.zeros.push_back(zero);
      for (std::uint64_t c = 0; c < cols; ++c) {
        if (coded.group_of[c] != g) continue;
        const auto off = as.off == 0 ? 0.0F : static_cast<float>(as.off * random.normal());
        const float code = std::nearbyint(weight[r * cols + c] / scale + off) + zero;
        coded.codes[r * cols + c] = static_cast<std::uint8_t>(std::min(std::max(code, 0.0F), top));
      }
    }
  }
  return coded;
}

/// Words of `lines` lines of `count` codes each, code(line, i), the i-th in field order[i %
/// fields].
template <typename Code>
std::string packed_words(std::uint64_t lines, std::uint64_t count, int bits, bool awq,
                         const Code& code) {
  constexpr unsigned kAwqField[8] = {0, 4, 1, 5, 2, 6, 3, 7};
  const auto fields = static_cast<std::uint64_t>(32 / bits);
  std::string out;
  for (std::uint64_t line = 0; line < lines; ++line) {
    for (std::uint64_t first = 0; first < count; first += fields) {
      std::uint32_t word = 0;
      for (std::uint64_t k = 0; k < fields && first + k < count; ++k) {
        const unsigned field = awq ? kAwqField[k] : static_cast<unsigned>(k);
        word |= static_cast<std::uint32_t>(code(line, first + k)) << (field * unsigned(bits));
      }
      out.append(reinterpret_cast<const char*>(&word), 4);
    }
  }
  return out;
}

class CheckpointWriter {
 public:
  void put(const std::string& name, DType type, Shape shape, std::string bytes) {
    Tensor tensor;
    tensor.name = name;
    tensor.dtype = type;
    tensor.shape = std::move(shape);
    tensor.offset = payload_.size();
    tensor.size_bytes = bytes.size();
    payload_ += bytes;
    tensors_.push_back(std::move(tensor));
  }
  void put_coded(const std::string& module, const CodedMatrix& m, const QuantizedAs& as) {
    const auto fields = static_cast<std::uint64_t>(32 / m.bits);
    const std::uint32_t mask = (1U << m.bits) - 1;
    const auto code = [&](std::uint64_t r, std::uint64_t c) { return m.codes[r * m.cols + c]; };
    const auto zero = [&](std::uint64_t r, std::uint64_t g) {
      return static_cast<std::uint32_t>(m.zeros[r * m.groups + g]);
    };
    if (as.layout == CodeLayout::kCompressedTensors) {
      put(module + ".weight_packed", DType::kI32, {m.rows, m.cols / fields},
          packed_words(m.rows, m.cols, m.bits, false, code));
      put(module + ".weight_scale", DType::kF16, {m.rows, m.groups}, scales(m, false));
      const std::int64_t shape[2] = {static_cast<std::int64_t>(m.rows),
                                     static_cast<std::int64_t>(m.cols)};
      put(module + ".weight_shape", DType::kI64, {2},
          {reinterpret_cast<const char*>(shape), sizeof shape});
      if (as.symmetric) return;
      // A word holds the zeros of consecutive rows: turned back from [groups, words of rows].
      const std::string turned =
          packed_words(m.groups, m.rows, m.bits, false,
                       [&](std::uint64_t g, std::uint64_t r) { return zero(r, g); });
      std::string words(turned.size(), '\0');
      const std::uint64_t of_rows = m.rows / fields;
      for (std::uint64_t i = 0; i < of_rows * m.groups; ++i) {
        std::memcpy(words.data() + 4 * i,
                    turned.data() + 4 * (i % m.groups * of_rows + i / m.groups), 4);
      }
      put(module + ".weight_zero_point", DType::kI32, {of_rows, m.groups}, words);
      return;
    }
    const bool awq = as.layout == CodeLayout::kAwq;
    if (awq) {
      put(module + ".qweight", DType::kI32, {m.cols, m.rows / fields},
          packed_words(m.cols, m.rows, m.bits, true,
                       [&](std::uint64_t c, std::uint64_t r) { return code(r, c); }));
    } else {
      // [cols / fields, rows]: a word holds consecutive columns of a row.
      put(module + ".qweight", DType::kI32, {m.cols / fields, m.rows},
          packed_words(m.cols / fields, m.rows * fields, m.bits, false,
                       [&](std::uint64_t line, std::uint64_t i) {
                         return code(i / fields, line * fields + i % fields);
                       }));
    }
    put(module + ".qzeros", DType::kI32, {m.groups, m.rows / fields},
        packed_words(m.groups, m.rows, m.bits, awq, [&](std::uint64_t g, std::uint64_t r) {
          return awq ? zero(r, g) : (zero(r, g) - 1) & mask;
        }));
    put(module + ".scales", DType::kF16, {m.groups, m.rows}, scales(m, true));
    if (awq) return;
    put(module + ".g_idx", DType::kI32, {m.cols},
        {reinterpret_cast<const char*>(m.group_of.data()), 4 * m.group_of.size()});
  }
  std::string file() const { return safetensors_header(tensors_) + payload_; }

 private:
  static std::string scales(const CodedMatrix& m, bool by_group) {
    std::string out(2 * m.scales.size(), '\0');
    for (std::uint64_t i = 0; i < m.scales.size(); ++i) {
      const std::uint64_t place = by_group ? i % m.groups * m.rows + i / m.groups : i;
      const std::uint16_t half = float_to_f16(m.scales[i]);
      std::memcpy(out.data() + 2 * place, &half, 2);
    }
    return out;
  }

  std::vector<Tensor> tensors_;
  std::string payload_;
};

/// Writes the checkpoint that `model_path` becomes into the new folder `out`.
inline void write_quantized(const std::string& model_path, const std::string& out,
                            const QuantizedAs& as) {
  const Model model = open_path(model_path);
  CheckpointWriter writer;
  for (const Weight& weight : model.weights) {
    const Tensor& tensor = model.tensor(weight.parts.front());
    if (weight.name.ends_with("_proj.weight")) {
      std::vector<float> values(weight.params);
      open_reader(model, weight)->values({0, weight.rows(), 0, weight.cols()}, values.data());
      writer.put_coded(weight.name.substr(0, weight.name.rfind('.')),
                       rounded(values, weight.rows(), weight.cols(), as), as);
      continue;
    }
    std::string bytes(tensor.size_bytes, '\0');
    model.file(tensor).read_at(tensor.offset, std::as_writable_bytes(std::span(bytes)));
    writer.put(tensor.name, tensor.dtype, tensor.shape, std::move(bytes));
  }
  std::filesystem::create_directories(out);
  std::ofstream(out + "/model.safetensors", std::ios::binary) << writer.file();
  const char* kMethods[] = {"gptq", "awq", "compressed-tensors"};
  std::ofstream(out + "/config.json")
      << "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],"
         "\"quantization_config\":{\"quant_method\":\""
      << kMethods[static_cast<int>(as.layout)] << "\",\"bits\":" << as.bits
      << ",\"group_size\":" << as.group << (as.symmetric ? "" : ",\"zero_point\":true") << "}}\n";
}

}  // namespace qi::test
