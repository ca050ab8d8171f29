#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "eval/sweep/measure.h"
#include "eval/sweep/sweep.h"

namespace qi {
namespace {

const MethodFamily& family_of(const std::string& name) {
  if (const MethodFamily* family = find_family(name)) return *family;
  std::vector<std::string_view> names;
  for (const MethodFamily& family : method_families()) names.push_back(family.name);
  throw Error(ErrorCode::kUsage, fmt::format("no family is called {}", name),
              fmt::format("one of {}", fmt::join(names, ", ")));
}

/// Every option must mean something to one of the families.
void check_options(const SweepRequest& request) {
  std::set<std::string_view> known;
  for (const std::string& name : request.families) {
    for (const GridOption& option : family_of(name).options) known.insert(option.name);
  }
  for (const auto& [name, values] : request.grid) {
    if (!known.contains(name)) {
      throw Error(ErrorCode::kUsage,
                  fmt::format("--{} is no option of {}", name, fmt::join(request.families, ", ")));
    }
  }
}

/// With what it is calibrated with in the parameters.
MethodConfig calibrated(MethodConfig config, const SweepRequest& request) {
  if (!is_calibrated(config.family) || request.calibration == nullptr) return config;
  config.params.set("calibration", request.calibration->digest);
  if (!request.model_hash.empty()) config.params.set("model", request.model_hash);
  return config;
}

std::vector<MethodConfig> configs_of(const SweepRequest& request) {
  std::vector<MethodConfig> configs;
  for (const std::string& name : request.families) {
    for (Params& params : family_of(name).expand(request.grid)) {
      const MethodConfig config = calibrated({name, std::move(params)}, request);
      if (std::find(configs.begin(), configs.end(), config) == configs.end()) {
        configs.push_back(config);
      }
    }
  }
  return configs;
}

/// A calibrated configuration is of one text.
void check_calibration(const MethodConfig& config, const CalibrationText* text) {
  if (text == nullptr) {
    throw Error(ErrorCode::kUsage, fmt::format("{} looks at a calibration text", config.family),
                "--calibration FILE");
  }
  if (config.params.get("calibration") != text->digest) {
    throw Error(ErrorCode::kUsage,
                fmt::format("{} was calibrated with another text", config.family),
                fmt::format("calibration={}", text->digest));
  }
}

bool is_chosen(const Weight& weight, const SweepRequest& request) {
  if (request.selected) return request.selected(weight);
  if (!request.all_weights) return is_layer_matrix(weight);
  return weight.undecodable.empty() && weight.params > 0;
}

/// What `asked` is for this weight; nothing when it leaves the weight alone.
std::optional<MethodConfig> config_for(const Weight& weight, const MethodConfig& asked,
                                       const SweepRequest& request, const MixtureModel& rules) {
  if (is_calibrated(asked.family) && !is_block_linear(weight)) return std::nullopt;
  const auto mixture = asked.params.get("mixture");
  if (!mixture) return is_chosen(weight, request) ? std::optional(asked) : std::nullopt;
  if (request.selected && !request.selected(weight)) return std::nullopt;
  if (!weight.undecodable.empty() || weight.params == 0) return std::nullopt;
  const MixtureChoice choice = ggml_mixture_type(*mixture, rules, weight);
  if (choice.type == DType::kUnknown) return std::nullopt;
  MethodConfig config{asked.family, {}};
  for (const auto& [key, value] : asked.params.values()) {
    if (key != "mixture") config.params.set(key, value);
  }
  // The family itself falls back from the rule's own type, and says so.
  config.params.set("type", info(choice.instead_of.value_or(choice.type)).name);
  return config;
}

}  // namespace

bool is_layer_matrix(const Weight& weight) {
  switch (weight.role) {
    case Role::kEmbed:
    case Role::kHead:
    case Role::kRouter:
    case Role::kNorm:
    case Role::kBias:
    case Role::kVision:
    case Role::kAudio:
      return false;
    default:
      return weight.layer >= 0 && weight.shape.size() >= 2 && weight.rows() > 1 &&
             weight.cols() > 1;
  }
}

SweepPlan plan_sweep(std::shared_ptr<const Model> model, const SweepRequest& request) {
  if (request.configs.empty()) {
    if (request.families.empty()) throw Error(ErrorCode::kUsage, "no family to sweep");
    check_options(request);
  }
  SweepPlan plan;
  plan.model = std::move(model);
  plan.configs = request.configs.empty() ? configs_of(request) : request.configs;
  if (plan.configs.empty()) throw Error(ErrorCode::kUsage, "the grid is empty");
  plan.importance = request.importance;
  plan.calibration = request.calibration;
  for (const MethodConfig& config : plan.configs) {
    if (!is_calibrated(config.family)) continue;
    check_calibration(config, plan.calibration.get());
    if (!plan.architecture) plan.architecture = read_architecture(*plan.model);
  }
  std::vector<MethodConfig> asked;
  asked.swap(plan.configs);
  for (const MethodConfig& config : asked) plan.totals.push_back({config, {}, 0});
  const MixtureModel rules = mixture_model(*plan.model, request.importance != nullptr);
  std::map<MethodConfig, std::uint32_t> places;  // in plan.configs
  std::vector<std::uint64_t> covered(asked.size());
  for (const Weight& weight : plan.model->weights) {
    std::map<std::uint32_t, std::uint32_t> units;  // of this weight: config → unit
    for (std::size_t c = 0; c < asked.size(); ++c) {
      const std::optional<MethodConfig> config = config_for(weight, asked[c], request, rules);
      if (!config) continue;
      const auto [place, is_new] =
          places.emplace(*config, static_cast<std::uint32_t>(plan.configs.size()));
      if (is_new) plan.configs.push_back(*config);
      if (units.empty()) plan.weights.push_back(&weight);
      const auto [unit, first] =
          units.emplace(place->second, static_cast<std::uint32_t>(plan.units.size()));
      if (first) {
        plan.units.push_back({static_cast<std::uint32_t>(plan.weights.size() - 1), place->second});
      }
      plan.totals[c].units.push_back(unit->second);
      covered[c] += weight.size_bytes;
    }
  }
  std::erase_if(plan.totals, [](const SweepTotal& total) { return total.units.empty(); });
  if (plan.weights.empty()) {
    throw Error(ErrorCode::kUsage, "no weight to sweep",
                request.selected ? "--tensors that match one"
                                 : "matrices of layers, or --all-weights, or --tensors",
                plan.model->path);
  }
  for (SweepTotal& total : plan.totals) {
    const auto at = std::find(asked.begin(), asked.end(), total.config) - asked.begin();
    const std::uint64_t all = plan.model->size_bytes();
    total.other_bytes = all - std::min(all, covered[static_cast<std::size_t>(at)]);
  }
  return plan;
}

namespace {

/// What measuring a unit holds.
struct UnitMemory {
  std::uint64_t bytes = 0;
  bool whole = false;  // such units wait until there is room for them
};

UnitMemory memory_of(const SweepPlan& plan, const SweepUnit& unit) {
  if (!forecast(plan, unit).unfit.empty()) return {};
  const Weight& weight = *plan.weights[unit.weight];
  const MethodConfig& config = plan.configs[unit.config];
  if (is_calibrated(config.family)) {
    const CalibrationText& text = *plan.calibration;
    return {calibrated_memory(*plan.architecture, config, text.tokens.size(), text.length), true};
  }
  const MatrixInfo matrix = matrix_of(plan, weight);
  const auto coder = family_of(config.family).make(config.params, matrix);
  if (coder->strip_rows() == 0) return {matrix.rows * matrix.cols * kWholeBytesPerValue, true};
  return {strip_of(*coder, matrix) * matrix.cols * kStripBytesPerValue, false};
}

}  // namespace

MatrixInfo matrix_of(const SweepPlan& plan, const Weight& weight) {
  MatrixInfo matrix = matrix_info(*plan.model, weight);
  if (plan.importance != nullptr && matrix.matrix_rows > 0) {
    matrix.importance =
        plan.importance->find(weight.name, matrix.cols, matrix.rows / matrix.matrix_rows);
  }
  return matrix;
}

SweepForecast forecast(const SweepPlan& plan, const SweepUnit& unit) {
  const Weight& weight = *plan.weights[unit.weight];
  const MethodConfig& config = plan.configs[unit.config];
  SweepForecast result;
  if (!weight.undecodable.empty() || weight.params == 0) {
    result.unfit = weight.params == 0 ? "it holds no numbers" : weight.undecodable;
    return result;
  }
  const MatrixInfo matrix = matrix_of(plan, weight);
  const MethodFamily& family = family_of(config.family);
  result.unfit = family.unfit(config.params, matrix);
  if (!result.unfit.empty()) return result;
  result.bytes_out = family.predict(config.params, matrix);
  if (family.note != nullptr) result.note = family.note(config.params, matrix);
  return result;
}

std::uint64_t unit_memory(const SweepPlan& plan, const SweepUnit& unit) {
  return memory_of(plan, unit).bytes;
}

std::uint64_t memory_needed(const SweepPlan& plan, unsigned threads) {
  // Strips grow with the row, so the widest weight and the largest one tell.
  std::uint64_t strips = 0, whole = 0, calibrated = 0;
  std::set<std::pair<std::uint32_t, Shape>> seen;
  const std::uint64_t workers = std::max(1u, threads);
  for (const SweepUnit& unit : plan.units) {
    if (!seen.emplace(unit.config, plan.weights[unit.weight]->shape).second) continue;
    const UnitMemory memory = memory_of(plan, unit);
    if (is_calibrated(plan.configs[unit.config].family)) {  // one after the other
      calibrated = std::max(calibrated, memory.bytes);
      continue;
    }
    const std::uint64_t together =
        memory.whole ? std::max(memory.bytes, std::min(workers * memory.bytes, kWholeBytes)) : 0;
    whole = std::max(whole, together);
    if (!memory.whole) strips = std::max(strips, memory.bytes);
  }
  return kSweepFixedBytes + workers * strips + whole + calibrated;
}

}  // namespace qi
