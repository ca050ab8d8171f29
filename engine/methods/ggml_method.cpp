// ggml's types (engine/quant/ggml_quantize.h): rows of blocks as in a GGUF file. A row that is no
// multiple of a type's block gets the type that llama-quantize falls back to (note() says so).
//
// params: type=Q4_K, or mixture=Q4_K_M for a whole model, which whoever knows the model resolves
// into a type for each weight; imatrix= 16 hex digits: MatrixInfo::importance counts.
#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/methods/families.h"
#include "engine/methods/grid.h"
#include "engine/methods/sized_coder.h"
#include "engine/quant/ggml_blocks.h"
#include "engine/quant/ggml_quantize.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr std::array kOptions = {
    GridOption{"types", "ggml types, all, mixtures such as Q4_K_M",
               "Q8_0,Q6_K,Q5_K,Q4_K,Q4_0,Q3_K,Q2_K", "what llama-quantize writes"},
    GridOption{"imatrix", "FILE", "", "importance of columns; its 16 hex digits stand in params"},
};
// llama-quantize's names for files of several types that are no type's name as well.
constexpr std::array<std::string_view, 11> kMixtures = {"Q2_K_S", "Q3_K_S", "Q3_K_M", "Q3_K_L",
                                                        "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M",
                                                        "IQ2_M",  "IQ3_XS", "IQ3_M"};

bool is_mixture(std::string_view name) {
  return std::find(kMixtures.begin(), kMixtures.end(), name) != kMixtures.end();
}

DType read_type(std::string_view what, std::string_view text) {
  const auto type = dtype_from_name(text);
  if (!type || !ggml_quantizable(*type)) {
    bad_value(what, text, "a type or mixture that llama-quantize writes, such as Q4_K or Q4_K_M");
  }
  return *type;
}

struct GgmlSetting {
  DType type = DType::kUnknown;  // of a mixture
  std::string_view mixture;
  bool weighted = false;
};

GgmlSetting setting_of(const Params& params) {
  GgmlSetting setting;
  ParamReader reader("ggml", params);
  if (reader.has("mixture")) {
    setting.mixture = reader.choice("mixture", kMixtures);
  } else {
    setting.type = read_type("ggml type=", reader.word("type"));
  }
  if (reader.has("imatrix")) {
    const std::string_view hash = reader.word("imatrix");
    const bool is_hash =
        hash.size() == 16 && hash.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    if (!is_hash) bad_value("ggml imatrix=", hash, "16 hex digits");
    setting.weighted = true;
  }
  reader.finish();
  return setting;
}

// llama-quantize, llama_tensor_get_type(): what stands in for a type of 256.
DType fallback(DType type) {
  switch (type) {
    case DType::kQ4K:
      return DType::kQ5_0;
    case DType::kQ5K:
      return DType::kQ5_1;
    case DType::kQ6K:
      return DType::kQ8_0;
    case DType::kTQ1_0:
    case DType::kTQ2_0:
      return DType::kQ4_0;
    default:
      return DType::kIQ4NL;
  }
}

DType type_for_row(DType type, std::uint64_t cols) {
  const auto fits = [cols](DType of) { return cols % info(of).block_elements == 0; };
  if (!fits(type) && info(type).block_elements == 256) type = fallback(type);
  return fits(type) ? type : DType::kF16;
}

class GgmlCoder : public SizedCoder {
 public:
  GgmlCoder(const GgmlSetting& setting, const MatrixInfo& matrix)
      : SizedCoder(matrix), type_(type_for_row(setting.type, cols_)) {
    if (setting.weighted && matrix.importance.size() == cols_) {
      importance_.assign(matrix.importance.begin(), matrix.importance.end());
    }
  }
  std::unique_ptr<MethodCoder> clone() const override { return std::make_unique<GgmlCoder>(*this); }

 protected:
  std::uint64_t strip_bytes(std::uint64_t, std::uint64_t count) const override {
    return stored_bytes(type_, count * cols_).value();
  }
  void encode_strip(std::uint64_t, std::uint64_t count, const float* in, std::byte* out) override {
    quantize_blocks(type_, in, count, cols_, importance_.empty() ? nullptr : importance_.data(),
                    out);
  }
  void decode_strip(std::uint64_t, std::uint64_t count, const std::byte* in, float* out) override {
    if (is_plain(type_)) {
      to_floats(type_, in, count * cols_, false, out);
    } else {
      dequantize_blocks(type_, in, count * cols_, out);
    }
  }

 private:
  DType type_;
  std::vector<float> importance_;
};

std::vector<Params> expand(const GridOptions& given) {
  std::vector<std::string> types;
  for (const std::string& text : grid_values(given, kOptions[0])) {
    if (text != "all") {
      types.push_back(is_mixture(text) ? text : std::string(info(read_type("--types", text)).name));
      continue;
    }
    for (const DTypeInfo& type : all_dtypes()) {
      if (is_block(type.type) && ggml_quantizable(type.type)) types.emplace_back(type.name);
    }
  }
  std::vector<Params> list;
  for (const std::string& type : types) {
    Params params;
    params.set(is_mixture(type) ? "mixture" : "type", type);
    if (given.find(kOptions[1].name) != given.end()) {
      params.set("imatrix", grid_values(given, kOptions[1]).front());
    }
    setting_of(params);
    add_once(list, std::move(params));
  }
  return list;
}

std::string unfit(const Params& params, const MatrixInfo&) {
  const GgmlSetting setting = setting_of(params);
  return setting.mixture.empty() ? std::string()
                                 : fmt::format("{} is made of several types", setting.mixture);
}

std::unique_ptr<MethodCoder> make(const Params& params, const MatrixInfo& matrix) {
  const std::string odd = unfit(params, matrix);
  if (!odd.empty()) throw Error(ErrorCode::kMissing, odd, "the weight's own type");
  return std::make_unique<GgmlCoder>(setting_of(params), matrix);
}

std::optional<std::uint64_t> predict(const Params& params, const MatrixInfo& matrix) {
  const GgmlSetting setting = setting_of(params);
  if (!setting.mixture.empty()) return std::nullopt;
  return GgmlCoder(setting, matrix).total_bytes();
}

std::string label(const Params& params) {
  const GgmlSetting setting = setting_of(params);
  const std::string_view name = setting.mixture.empty() ? info(setting.type).name : setting.mixture;
  return fmt::format("{}{}", name, setting.weighted ? " imatrix" : "");
}

std::string note(const Params& params, const MatrixInfo& matrix) {
  const GgmlSetting setting = setting_of(params);
  if (!setting.mixture.empty()) return {};
  const DType type = type_for_row(setting.type, matrix.cols);
  if (type != setting.type) {
    return fmt::format("stored as {}: a row of {} is no multiple of {}", info(type).name,
                       matrix.cols, info(setting.type).block_elements);
  }
  const bool weighted = setting.weighted && matrix.importance.size() == matrix.cols;
  if (ggml_needs_importance(type) && !weighted) {
    return fmt::format("llama-quantize makes no {} without an importance matrix", info(type).name);
  }
  if (setting.weighted && !weighted) return "the importance matrix has no such row";
  return {};
}

}  // namespace

MethodFamily ggml_family() {
  return {"ggml", "the block types of GGUF files", kOptions, 1, expand, unfit, make, predict, label,
          note};
}

}  // namespace qi
