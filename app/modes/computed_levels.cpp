#include "app/modes/computed_levels.h"

#include <charconv>
#include <filesystem>
#include <vector>

#include <fmt/format.h>

#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "engine/io/temporary.h"
#include "eval/quantize/quantize_model.h"

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

ComputedLevels::ComputedLevels(Session& session, std::string source, const std::string& beside)
    : session_(session),
      source_(std::move(source)),
      folder_((fs::path(beside).parent_path() / temporary_name()).string()) {}

ComputedLevels::~ComputedLevels() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

bool ComputedLevels::names(const std::string& low) {
  return low.starts_with(kFamily);
}

void ComputedLevels::open() {
  if (model_ != nullptr) return;
  if (session_.options().calibration.empty()) {
    throw Error(ErrorCode::kUsage, "--low gptq without --calibration FILE",
                "a text, or a .json of token ids");
  }
  const Catalog catalog = session_.find(source_);
  model_ = std::make_unique<const Model>(session_.open_only(source_, catalog));
  std::vector<std::string> inputs;
  text_ = calibration_text(session_, *model_, inputs);
  std::error_code failed;
  if (!fs::create_directory(folder_, failed)) {
    throw Error(ErrorCode::kIo, "cannot make a folder: " + failed.message(), {}, folder_);
  }
}

std::string ComputedLevels::compute(const std::string& low) {
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
  request.workers = {session_.options().threads, &cancel_requested()};
  Progress progress("quantize", session_.options().quiet, session_.options().ascii, false);
  const QuantizeResult result = quantize_model(request, events_on(progress, session_));
  progress.clear();
  if (result.cancelled) throw Interrupted{};
  return request.output;
}

}  // namespace qi
