// ggml's types (engine/quant/ggml_quantize.h): rows of blocks as in a GGUF file. A row that is no
// multiple of a type's block gets the type that llama-quantize falls back to (note() says so).
//
// params: type=Q4_K, or mixture=Q4_K_M for a whole model, which whoever knows the model resolves
// into a type for each weight; imatrix= 16 hex digits: MatrixInfo::importance counts.
#include <array>
#include <vector>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/methods/families.h"
#include "engine/methods/grid.h"
#include "engine/methods/sized_coder.h"
#include "engine/quant/ggml_blocks.h"
#include "engine/quant/ggml_mixture.h"
#include "engine/quant/ggml_quantize.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr std::array kOptions = {
    GridOption{"types", "ggml types, all, mixtures such as Q4_K_M",
               "Q8_0,Q6_K,Q5_K,Q4_K,Q4_0,Q3_K,Q2_K", "what llama-quantize writes"},
    GridOption{"imatrix", "FILE", "", "importance of columns; its 16 hex digits stand in params"},
};
/// Its spelling of a mixture's name that is not a type's as well; nothing for no such name.
std::optional<std::string_view> mixture_named(std::string_view name) {
  if (dtype_from_name(name)) return std::nullopt;
  return ggml_mixture_named(name);
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
    setting.mixture = reader.word("mixture");
    if (mixture_named(setting.mixture) != setting.mixture) {
      bad_value("ggml mixture=", setting.mixture, "a mixture of llama-quantize, such as Q4_K_M");
    }
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

class GgmlCoder : public SizedCoder {
 public:
  GgmlCoder(const GgmlSetting& setting, const MatrixInfo& matrix)
      : SizedCoder(matrix), type_(ggml_fallback(setting.type, cols_)) {
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
  const bool weighted = given.find(kOptions[1].name) != given.end();
  std::vector<Params> list;
  const auto add = [&](std::string_view key, std::string_view name) {
    Params params;
    params.set(key, name);
    if (weighted) params.set("imatrix", grid_values(given, kOptions[1]).front());
    setting_of(params);
    add_once(list, std::move(params));
  };
  for (const std::string& text : grid_values(given, kOptions[0])) {
    if (const auto mixture = mixture_named(text)) {
      add("mixture", *mixture);
    } else if (text != "all") {
      add("type", info(read_type("--types", text)).name);
    } else {  // that can be made
      for (const DTypeInfo& type : all_dtypes()) {
        if (!is_block(type.type) || !ggml_quantizable(type.type)) continue;
        if (weighted || !ggml_needs_importance(type.type)) add("type", type.name);
      }
    }
  }
  return list;
}

bool has_importance(const GgmlSetting& setting, const MatrixInfo& matrix) {
  return setting.weighted && matrix.importance.size() == matrix.cols;
}

std::string unfit(const Params& params, const MatrixInfo& matrix) {
  const GgmlSetting setting = setting_of(params);
  if (!setting.mixture.empty()) return fmt::format("{} is made of several types", setting.mixture);
  const DType type = ggml_fallback(setting.type, matrix.cols);
  if (ggml_needs_importance(type) && !has_importance(setting, matrix)) {
    return fmt::format("{} needs an importance matrix with this weight in it", info(type).name);
  }
  return {};
}

std::unique_ptr<MethodCoder> make(const Params& params, const MatrixInfo& matrix) {
  const std::string odd = unfit(params, matrix);
  if (!odd.empty()) throw Error(ErrorCode::kMissing, odd, "what the type is made with");
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
  const DType type = ggml_fallback(setting.type, matrix.cols);
  if (type != setting.type) {
    return fmt::format("stored as {}: a row of {} is no multiple of {}", info(type).name,
                       matrix.cols, info(setting.type).block_elements);
  }
  if (setting.weighted && !has_importance(setting, matrix)) {
    return "the importance matrix does not have this weight";
  }
  return {};
}

}  // namespace

MethodFamily ggml_family() {
  return {"ggml", "the block types of GGUF files", kOptions, 1, expand, unfit, make, predict, label,
          note};
}

}  // namespace qi
