#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "eval/measure.h"
#include "eval/sweep.h"

namespace qi {
namespace {

/// What a strip's numbers take while they are measured: as values, as coded, as decoded, and the
/// coder's own tables.
constexpr std::uint64_t kBytesPerValue = 16;

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

std::vector<MethodConfig> configs_of(const SweepRequest& request) {
  std::vector<MethodConfig> configs;
  for (const std::string& name : request.families) {
    for (Params& params : family_of(name).expand(request.grid)) {
      MethodConfig config{name, std::move(params)};
      if (std::find(configs.begin(), configs.end(), config) == configs.end()) {
        configs.push_back(std::move(config));
      }
    }
  }
  return configs;
}

bool is_chosen(const Weight& weight, const SweepRequest& request) {
  if (request.selected) return request.selected(weight);
  if (!request.all_weights) return is_layer_matrix(weight);
  return weight.undecodable.empty() && weight.params > 0;
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
  if (request.families.empty()) throw Error(ErrorCode::kUsage, "no family to sweep");
  check_options(request);
  SweepPlan plan;
  plan.model = std::move(model);
  plan.configs = configs_of(request);
  if (plan.configs.empty()) throw Error(ErrorCode::kUsage, "the grid is empty");
  for (const Weight& weight : plan.model->weights) {
    if (is_chosen(weight, request)) plan.weights.push_back(&weight);
  }
  if (plan.weights.empty()) {
    throw Error(ErrorCode::kUsage, "no weight to sweep",
                request.selected ? "--tensors that match one"
                                 : "matrices of layers, or --all-weights, or --tensors",
                plan.model->path);
  }
  std::uint64_t other_bytes = plan.model->size_bytes();
  for (const Weight* weight : plan.weights) {
    other_bytes -= std::min(other_bytes, weight->size_bytes);
  }
  plan.totals.reserve(plan.configs.size());
  for (const MethodConfig& config : plan.configs) {
    plan.totals.push_back({config, {}, other_bytes});
    plan.totals.back().units.reserve(plan.weights.size());
  }
  plan.units.reserve(plan.weights.size() * plan.configs.size());
  for (std::uint32_t w = 0; w < plan.weights.size(); ++w) {
    for (std::uint32_t c = 0; c < plan.configs.size(); ++c) {
      plan.totals[c].units.push_back(static_cast<std::uint32_t>(plan.units.size()));
      plan.units.push_back({w, c});
    }
  }
  return plan;
}

SweepForecast forecast(const SweepPlan& plan, const SweepUnit& unit) {
  const Weight& weight = *plan.weights[unit.weight];
  const MethodConfig& config = plan.configs[unit.config];
  SweepForecast result;
  if (!weight.undecodable.empty() || weight.params == 0) {
    result.unfit = weight.params == 0 ? "it holds no numbers" : weight.undecodable;
    return result;
  }
  const MatrixInfo matrix = matrix_info(*plan.model, weight);
  const MethodFamily& family = family_of(config.family);
  result.unfit = family.unfit(config.params, matrix);
  if (result.unfit.empty()) result.bytes_out = family.predict(config.params, matrix);
  return result;
}

std::uint64_t unit_memory(const SweepPlan& plan, const SweepUnit& unit) {
  if (!forecast(plan, unit).unfit.empty()) return 0;
  const Weight& weight = *plan.weights[unit.weight];
  const MethodConfig& config = plan.configs[unit.config];
  const MatrixInfo matrix = matrix_info(*plan.model, weight);
  const auto coder = family_of(config.family).make(config.params, matrix);
  return strip_of(*coder, matrix) * matrix.cols * kBytesPerValue;
}

std::uint64_t memory_needed(const SweepPlan& plan, unsigned threads) {
  // Strips grow with the row, so the widest weight and the largest one tell; a weight that can only
  // be coded whole waits until there is room for it.
  std::uint64_t largest = 0;
  std::set<std::pair<std::uint32_t, Shape>> seen;
  for (const SweepUnit& unit : plan.units) {
    if (!seen.emplace(unit.config, plan.weights[unit.weight]->shape).second) continue;
    largest = std::max(largest, unit_memory(plan, unit));
  }
  return kSweepFixedBytes + std::max(1u, threads) * largest;
}

}  // namespace qi
