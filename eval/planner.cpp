#include "eval/planner.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/tensor/name_map.h"

namespace qi {
namespace {

// Corners of the lower convex hull of a weight's choices, from the smallest to the best: the ones
// that are cheapest at some price of a byte.
std::vector<std::size_t> hull_of(const std::vector<Choice>& choices) {
  std::vector<std::size_t> order(choices.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(choices[a].bytes, choices[a].cost, a) <
           std::tuple(choices[b].bytes, choices[b].cost, b);
  });
  std::vector<std::size_t> hull;
  const auto slope = [&](std::size_t a, std::size_t b) {
    return (choices[a].cost - choices[b].cost) /
           static_cast<double>(choices[b].bytes - choices[a].bytes);
  };
  for (const std::size_t next : order) {
    if (!hull.empty() && choices[next].cost >= choices[hull.back()].cost) continue;
    while (hull.size() >= 2 &&
           slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), next)) {
      hull.pop_back();
    }
    hull.push_back(next);
  }
  return hull;
}

struct Step {
  double slope;  // cost that a byte takes away
  std::size_t weight;
  std::size_t to;  // index into the weight's hull
};

std::uint64_t sum_bytes(std::span<const std::vector<Choice>> weights, const Choices& choices) {
  std::uint64_t sum = 0;
  for (std::size_t w = 0; w < weights.size(); ++w) sum += weights[w][choices.picked[w]].bytes;
  return sum;
}

// What is left of the budget: the exchange that takes away most, again and again.
void spend_rest(std::span<const std::vector<Choice>> weights, std::uint64_t budget, Choices& out) {
  for (bool moved = true; moved;) {
    moved = false;
    std::vector<Step> swaps;
    for (std::size_t w = 0; w < weights.size(); ++w) {
      const Choice& now = weights[w][out.picked[w]];
      Step best{0, w, 0};
      for (std::size_t i = 0; i < weights[w].size(); ++i) {
        const Choice& other = weights[w][i];
        if (out.bytes - now.bytes + other.bytes > budget) continue;
        if (now.cost - other.cost > best.slope) best = {now.cost - other.cost, w, i};
      }
      if (best.slope > 0) swaps.push_back(best);
    }
    std::sort(swaps.begin(), swaps.end(), [](const Step& a, const Step& b) {
      return std::tuple(-a.slope, a.weight) < std::tuple(-b.slope, b.weight);
    });
    for (const Step& swap : swaps) {
      const Choice& now = weights[swap.weight][out.picked[swap.weight]];
      const Choice& other = weights[swap.weight][swap.to];
      const std::uint64_t bytes = out.bytes - now.bytes + other.bytes;
      if (bytes > budget) continue;
      out.picked[swap.weight] = swap.to;
      out.bytes = bytes;
      moved = true;
    }
  }
}

/// File and tensor.
using WeightKey = std::pair<std::string_view, std::string_view>;
struct WeightHash {
  std::size_t operator()(const WeightKey& key) const {
    const std::hash<std::string_view> hash;
    return hash(key.first) * 31 + hash(key.second);
  }
};

std::string usage_text(std::string_view text) {
  return fmt::format("the target \"{}\"", text);
}

}  // namespace

Choices choose_within(std::span<const std::vector<Choice>> weights, std::uint64_t budget) {
  Choices out;
  std::vector<std::vector<std::size_t>> hulls;
  std::vector<Step> steps;
  hulls.reserve(weights.size());
  for (std::size_t w = 0; w < weights.size(); ++w) {
    const std::vector<Choice>& choices = weights[w];
    hulls.push_back(hull_of(choices));
    const std::vector<std::size_t>& hull = hulls.back();
    for (std::size_t i = 1; i < hull.size(); ++i) {
      const Choice &before = choices[hull[i - 1]], &after = choices[hull[i]];
      steps.push_back(
          {(before.cost - after.cost) / static_cast<double>(after.bytes - before.bytes), w, i});
    }
    out.picked.push_back(hull.front());
  }
  out.bytes = sum_bytes(weights, out);
  out.feasible = out.bytes <= budget;
  // The price falls: whoever's next step is worth it takes it, till the budget does not hold one.
  std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) {
    return std::tuple(-a.slope, a.weight, a.to) < std::tuple(-b.slope, b.weight, b.to);
  });
  double price = 0;
  std::uint64_t unspent = 0;
  if (out.feasible) {
    for (const Step& step : steps) {
      const std::vector<Choice>& choices = weights[step.weight];
      const std::uint64_t bytes = out.bytes - choices[out.picked[step.weight]].bytes +
                                  choices[hulls[step.weight][step.to]].bytes;
      if (bytes > budget) {
        price = step.slope;
        unspent = budget - out.bytes;
        break;
      }
      out.bytes = bytes;
      out.picked[step.weight] = hulls[step.weight][step.to];
    }
  }
  const auto cost = [&] {
    double sum = 0;
    for (std::size_t w = 0; w < weights.size(); ++w) sum += weights[w][out.picked[w]].cost;
    return sum;
  };
  // At that price nothing is better than this, and the rest cannot buy more than the price says.
  out.bound = std::max(0.0, cost() - price * static_cast<double>(unspent));
  if (out.feasible && unspent > 0) spend_rest(weights, budget, out);
  out.cost = cost();
  if (!out.feasible) out.bound = out.cost;
  return out;
}

std::string_view plan_measure_name(PlanMeasure measure) {
  switch (measure) {
    case PlanMeasure::kSquaredError:
      return "squared error";
    case PlanMeasure::kRelativeError:
      return "relative error";
    case PlanMeasure::kOutputError:
      break;
  }
  return "output error";
}

std::optional<double> plan_cost(const ResultRow& row, PlanMeasure measure) {
  std::optional<double> cost;
  if (measure == PlanMeasure::kSquaredError && row.mse) {
    cost = *row.mse * static_cast<double>(row.weights);
  } else if (measure == PlanMeasure::kRelativeError && row.relative_error) {
    cost = *row.relative_error * *row.relative_error;
  } else if (measure == PlanMeasure::kOutputError && row.output_error) {
    cost = row.output_error;
  }
  if (!row.ok || !cost || !std::isfinite(*cost) || *cost < 0) return std::nullopt;
  return cost;
}

PlanTarget parse_plan_target(std::string_view text) {
  const auto refuse = [&] {
    return Error(ErrorCode::kUsage, usage_text(text) + " is not understood",
                 "bits per weight such as 4.5, or a size such as \"4.2 GiB\"");
  };
  const auto strip = [](std::string_view s) {
    const std::size_t begin = std::min(s.find_first_not_of(' '), s.size());
    s.remove_prefix(begin);
    return s.substr(0, s.find_last_not_of(' ') + 1);
  };
  const std::string_view typed = strip(text);
  double number = 0;
  const auto [stop, bad] = std::from_chars(typed.data(), typed.data() + typed.size(), number);
  if (bad != std::errc() || !std::isfinite(number) || number <= 0) throw refuse();
  const std::string_view unit = strip(typed.substr(static_cast<std::size_t>(stop - typed.data())));
  PlanTarget out;
  if (unit.empty() || unit == "b/w" || unit == "bpw") {
    out.bits_per_weight = number;
    return out;
  }
  struct Factor {
    std::string_view unit;
    double factor;
  };
  constexpr std::array kFactors = {
      Factor{"B", 1},        Factor{"KiB", 0x1p10}, Factor{"MiB", 0x1p20}, Factor{"GiB", 0x1p30},
      Factor{"TiB", 0x1p40}, Factor{"kB", 1e3},     Factor{"KB", 1e3},     Factor{"MB", 1e6},
      Factor{"GB", 1e9},     Factor{"TB", 1e12},    Factor{"K", 0x1p10},   Factor{"M", 0x1p20},
      Factor{"G", 0x1p30},   Factor{"T", 0x1p40},
  };
  for (const Factor& one : kFactors) {
    if (one.unit != unit) continue;
    const double bytes = number * one.factor;
    if (bytes >= 0x1p63) throw refuse();
    out.bytes = static_cast<std::uint64_t>(bytes);
    return out;
  }
  throw refuse();
}

Plan make_plan(std::span<const ResultRow> rows, const PlanTarget& target) {
  std::map<MethodConfig, std::uint32_t> numbers;
  std::vector<PlanRow> numbered;
  for (const ResultRow& row : rows) {
    const auto [at, fresh] =
        numbers.try_emplace(row.config, static_cast<std::uint32_t>(numbers.size()));
    numbered.push_back({&row, at->second});
  }
  return make_plan(numbered, target);
}

Plan make_plan(std::span<const PlanRow> rows, const PlanTarget& target) {
  std::unordered_map<WeightKey, std::size_t, WeightHash> numbers;
  std::vector<std::vector<std::size_t>> weights;  // the newest row of each configuration, ascending
  WeightKey last;                                 // rows mostly come weight after weight
  std::size_t number = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ResultRow& row = *rows[i].row;
    if (row.is_total()) continue;
    const WeightKey key{row.file, row.tensor};
    if (weights.empty() || key != last) {
      const auto [at, fresh] = numbers.try_emplace(key, weights.size());
      if (fresh) weights.emplace_back();
      number = at->second;
      last = key;
    }
    if (!plan_cost(row, target.measure)) continue;
    std::vector<std::size_t>& of_weight = weights[number];
    const auto same = std::find_if(of_weight.begin(), of_weight.end(), [&](std::size_t other) {
      return rows[other].config == rows[i].config;
    });
    if (same == of_weight.end()) {
      of_weight.push_back(i);
    } else if (rows[*same].row->run <= row.run) {
      of_weight.erase(same);
      of_weight.push_back(i);
    }
  }
  Plan out;
  std::vector<std::vector<Choice>> choices;
  std::vector<std::vector<std::size_t>> chosen;  // the rows behind the choices
  for (std::vector<std::size_t>& weight : weights) {
    if (weight.empty()) {
      ++out.left_out;
      continue;
    }
    std::vector<Choice>& of_weight = choices.emplace_back();
    of_weight.reserve(weight.size());
    std::uint64_t smallest = ~std::uint64_t{0};
    for (const std::size_t row : weight) {
      const ResultRow& one = *rows[row].row;
      of_weight.push_back({one.bytes_out, *plan_cost(one, target.measure)});
      smallest = std::min(smallest, one.bytes_out);
    }
    out.smallest += smallest;
    out.weights += rows[weight.front()].row->weights;
    chosen.push_back(std::move(weight));
  }
  if (choices.empty()) {
    throw Error(ErrorCode::kUsage, "there is nothing to plan with",
                fmt::format("rows of weights with their {}", plan_measure_name(target.measure)));
  }
  if (target.bytes) {
    out.budget = *target.bytes - std::min(*target.bytes, target.other_bytes);
  } else if (target.bits_per_weight) {
    out.budget = static_cast<std::uint64_t>(
        std::min(0x1p62, *target.bits_per_weight * static_cast<double>(out.weights) / 8));
  } else {
    throw Error(ErrorCode::kUsage, "the plan has no target", "bytes or bits per weight");
  }
  const Choices found = choose_within(choices, out.budget);
  for (std::size_t w = 0; w < choices.size(); ++w) out.rows.push_back(chosen[w][found.picked[w]]);
  out.bytes = found.bytes;
  out.cost = found.cost;
  out.bound = found.bound;
  out.feasible = found.feasible;
  return out;
}

TensorTypes tensor_type_lines(std::span<const ResultRow* const> rows) {
  struct Line {
    std::string type;
    std::vector<std::string_view> names;
    bool torn = false;
  };
  TensorTypes out;
  std::vector<std::string> order;
  std::map<std::string, Line> by_name;
  for (const ResultRow* one : rows) {
    const ResultRow& row = *one;
    const auto type = row.config.params.get("type");
    if (row.config.family != "ggml" || !type) {
      out.left_out.push_back(row.tensor);
      continue;
    }
    const auto mapped = gguf_name(row.tensor);
    std::string name = mapped ? mapped->name : row.tensor;
    const auto [at, fresh] = by_name.try_emplace(name);
    Line& line = at->second;
    if (fresh) {
      line.type = *type;
      order.push_back(std::move(name));
    }
    line.torn = line.torn || line.type != *type;
    line.names.push_back(row.tensor);
  }
  for (const std::string& name : order) {
    const Line& line = by_name.at(name);
    if (line.torn) {
      out.left_out.insert(out.left_out.end(), line.names.begin(), line.names.end());
      continue;
    }
    std::string pattern;
    for (const char c : name) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
      pattern += plain ? c : '.';
    }
    out.lines.push_back(fmt::format("--tensor-type ^{}$={}", pattern, line.type));
  }
  return out;
}

}  // namespace qi
