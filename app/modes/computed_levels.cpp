#include "app/modes/computed_levels.h"

#include <charconv>
#include <filesystem>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/io/temporary.h"

namespace qi {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFamily = "gptq:";

struct GptqLevel {
  int bits = 0;
  std::uint64_t group = 0;
};
GptqLevel parse_level(const std::string& low) {
  GptqLevel level;
  const char* end = low.data() + low.size();
  const auto bits = std::from_chars(low.data() + kFamily.size(), end, level.bits);
  if (bits.ec == std::errc() && bits.ptr != end && *bits.ptr == ':') {
    const auto group = std::from_chars(bits.ptr + 1, end, level.group);
    const bool whole = group.ec == std::errc() && group.ptr == end && level.group > 0;
    if (whole && (level.bits == 4 || level.bits == 8)) return level;
  }
  throw Error(ErrorCode::kUsage, "--low " + low, "gptq:BITS:GROUP with 4 or 8 bits");
}

}  // namespace

ComputedLevels::ComputedLevels(OpenModel open_model, ReadText read_text, const std::string& beside)
    : open_model_(std::move(open_model)),
      read_text_(std::move(read_text)),
      folder_((fs::path(beside).parent_path() / temporary_name()).string()) {}

ComputedLevels::~ComputedLevels() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

bool ComputedLevels::names(const std::string& low) {
  return low.starts_with(kFamily);
}

void ComputedLevels::check(const std::string& low, const std::string& calibration) {
  parse_level(low);
  if (!calibration.empty()) return;
  throw Error(ErrorCode::kUsage, "--low gptq without --calibration FILE",
              "a text, or a .json of token ids");
}

void ComputedLevels::open() {
  if (model_ != nullptr) return;
  model_ = open_model_();
  text_ = read_text_(*model_);
  std::error_code failed;
  if (!fs::create_directory(folder_, failed)) {
    throw Error(ErrorCode::kIo, "cannot make a folder: " + failed.message(), {}, folder_);
  }
}

std::string ComputedLevels::compute(const std::string& low, const Workers& workers,
                                    const QuantizeEvents& events) {
  const GptqLevel level = parse_level(low);
  open();
  const std::string options =
      fmt::format("bits={};group-sizes={};symmetric;styles=minmax", level.bits, level.group);
  QuantScheme scheme = *find_quant_scheme("gptq");
  scheme.bits = level.bits;
  scheme.group = level.group;
  scheme.options = options;
  QuantizeRequest request;
  request.model = model_.get();
  request.scheme = &scheme;
  request.output = fmt::format("{}/gptq-{}-{}", folder_, level.bits, level.group);
  request.method = scheme_method(scheme, {});
  request.calibration = text_;
  request.workers = workers;
  return quantize_model(request, events).cancelled ? "" : request.output;
}

}  // namespace qi
