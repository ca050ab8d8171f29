// The family of lossless codecs (lossless_coders.h).
#include <array>
#include <vector>

#include <fmt/format.h>

#include "engine/codec/models.h"
#include "engine/io/error.h"
#include "engine/methods/families.h"
#include "engine/methods/grid.h"
#include "engine/methods/lossless_coders.h"

namespace qi {
namespace {

constexpr std::array kLosslessOptions = {
    GridOption{"codecs", "store,lz4,zstd,huffman,planes,pair", "store,lz4,zstd,huffman,planes,pair",
               "what codes the numbers as stored"},
    GridOption{"levels", "1 to 22", "3", "of zstd alone"},
};
constexpr std::array<std::string_view, 6> kCodecs = {"store",   "lz4",    "zstd",
                                                     "huffman", "planes", "pair"};

struct Setting {
  std::string_view codec;
  int level = 0;
};

Setting lossless_setting_of(const Params& params) {
  Setting setting;
  ParamReader reader("lossless", params);
  setting.codec = reader.choice("codec", kCodecs);
  if (setting.codec == "zstd") setting.level = static_cast<int>(reader.integer("level", 1, 22));
  reader.finish();
  return setting;
}

std::vector<Params> lossless_expand(const GridOptions& given) {
  std::vector<Params> list;
  for (const std::string& codec : grid_values(given, kLosslessOptions[0])) {
    read_choice("--codecs", codec, kCodecs);
    Params params;
    params.set("codec", codec);
    if (codec != "zstd") {
      add_once(list, std::move(params));
      continue;
    }
    for (const std::string& level : grid_values(given, kLosslessOptions[1])) {
      read_integer("--levels", level, 1, 22);
      params.set("level", level);
      add_once(list, params);
    }
  }
  return list;
}

std::string lossless_unfit(const Params& params, const MatrixInfo& matrix) {
  const Setting setting = lossless_setting_of(params);
  const std::string_view type = info(matrix.dtype).name;
  if (!is_plain(matrix.dtype)) return fmt::format("{} is not stored as plain numbers", type);
  if (matrix.cols * static_cast<std::uint64_t>(element_bits(matrix.dtype)) % 8 != 0) {
    return fmt::format("a row of {} {} does not end at a byte", matrix.cols, type);
  }
  if (setting.codec == "pair" && pair_format(matrix.dtype) == nullptr) {
    return fmt::format("pair is for BF16 and F16, not {}", type);
  }
  return {};
}

std::unique_ptr<MethodCoder> lossless_make(const Params& params, const MatrixInfo& matrix) {
  const std::string odd = lossless_unfit(params, matrix);
  if (!odd.empty()) throw Error(ErrorCode::kBadDtype, odd, "plain numbers that the codec takes");
  const Setting setting = lossless_setting_of(params);
  if (setting.codec == "lz4") return make_lz4_coder(matrix);
  if (setting.codec == "zstd") return make_zstd_coder(matrix, setting.level);
  if (setting.codec == "huffman") return make_huffman_coder(matrix);
  if (setting.codec == "planes") return make_planes_coder(matrix);
  if (setting.codec == "pair") return make_pair_coder(matrix);
  return make_store_coder(matrix);
}

std::optional<std::uint64_t> lossless_predict(const Params& params, const MatrixInfo& matrix) {
  if (lossless_setting_of(params).codec != "store" || !lossless_unfit(params, matrix).empty())
    return std::nullopt;
  return matrix.rows * stored_row_bytes(matrix);
}

std::string lossless_label(const Params& params) {
  const Setting setting = lossless_setting_of(params);
  return setting.level == 0 ? std::string(setting.codec)
                            : fmt::format("{} {}", setting.codec, setting.level);
}

}  // namespace

MethodFamily lossless_family() {
  return {"lossless",      "every bit comes back", kLosslessOptions, 1,
          lossless_expand, lossless_unfit,         lossless_make,    lossless_predict,
          lossless_label};
}

}  // namespace qi
