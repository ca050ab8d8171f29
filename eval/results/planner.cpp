#include "eval/results/planner.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/tensor/name_map.h"

namespace qi {
namespace {

// Corners of the lower convex hull of a weight's choices, from the smallest to the best: the ones
// that are cheapest at some price of a byte. `hull` gets them; `order` is scratch.
void find_hull(std::span<const Choice> choices, std::vector<std::size_t>& order,
               std::vector<std::size_t>& hull) {
  order.resize(choices.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(choices[a].bytes, choices[a].cost, a) <
           std::tuple(choices[b].bytes, choices[b].cost, b);
  });
  hull.clear();
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
}

std::string usage_text(std::string_view text) {
  return fmt::format("the target \"{}\"", text);
}

}  // namespace

Chooser::Chooser(std::vector<Choice> choices, std::vector<std::size_t> ends)
    : choices_(std::move(choices)), ends_(std::move(ends)) {
  std::vector<std::size_t> order, hull;
  steps_.reserve(choices_.size() - ends_.size());
  smallest_.reserve(ends_.size());
  for (std::size_t w = 0; w < ends_.size(); ++w) {
    const std::span<const Choice> of_weight = of(w);
    find_hull(of_weight, order, hull);
    for (std::size_t i = 1; i < hull.size(); ++i) {
      const Choice &before = of_weight[hull[i - 1]], &after = of_weight[hull[i]];
      steps_.push_back(
          {(before.cost - after.cost) / static_cast<double>(after.bytes - before.bytes), w,
           hull[i]});
    }
    smallest_.push_back(hull.front());
  }
  // Along a hull the slopes fall, or are equal where rounding made them so: in the order they came.
  std::stable_sort(steps_.begin(), steps_.end(),
                   [](const Step& a, const Step& b) { return a.slope > b.slope; });
}

Choices Chooser::within(std::uint64_t budget) const {
  Choices out;
  out.picked = smallest_;
  for (std::size_t w = 0; w < ends_.size(); ++w) out.bytes += of(w)[smallest_[w]].bytes;
  out.feasible = out.bytes <= budget;
  // The price falls: whoever's next step is worth it takes it, till the budget does not hold one.
  double price = 0;
  std::uint64_t unspent = 0;
  if (out.feasible) {
    for (const Step& step : steps_) {
      const std::span<const Choice> choices = of(step.weight);
      const std::uint64_t bytes =
          out.bytes - choices[out.picked[step.weight]].bytes + choices[step.choice].bytes;
      if (bytes > budget) {
        price = step.slope;
        unspent = budget - out.bytes;
        break;
      }
      out.bytes = bytes;
      out.picked[step.weight] = step.choice;
    }
  }
  const auto cost = [&] {
    double sum = 0;
    for (std::size_t w = 0; w < ends_.size(); ++w) sum += of(w)[out.picked[w]].cost;
    return sum;
  };
  // At that price nothing is better than this, and the rest cannot buy more than the price says.
  out.bound = std::max(0.0, cost() - price * static_cast<double>(unspent));
  if (out.feasible && unspent > 0) spend_rest(budget, out);
  out.cost = cost();
  if (!out.feasible) out.bound = out.cost;
  return out;
}

// What is left of the budget: the exchange that takes away most, again and again.
void Chooser::spend_rest(std::uint64_t budget, Choices& out) const {
  struct Swap {
    double gain;
    std::size_t weight, choice;
  };
  for (bool moved = true; moved;) {
    moved = false;
    std::vector<Swap> swaps;
    for (std::size_t w = 0; w < ends_.size(); ++w) {
      const std::span<const Choice> choices = of(w);
      const Choice& now = choices[out.picked[w]];
      Swap best{0, w, 0};
      for (std::size_t i = 0; i < choices.size(); ++i) {
        if (out.bytes - now.bytes + choices[i].bytes > budget) continue;
        if (now.cost - choices[i].cost > best.gain) best = {now.cost - choices[i].cost, w, i};
      }
      if (best.gain > 0) swaps.push_back(best);
    }
    std::stable_sort(swaps.begin(), swaps.end(),
                     [](const Swap& a, const Swap& b) { return a.gain > b.gain; });
    for (const Swap& swap : swaps) {
      const Choice& now = of(swap.weight)[out.picked[swap.weight]];
      const Choice& other = of(swap.weight)[swap.choice];
      const std::uint64_t bytes = out.bytes - now.bytes + other.bytes;
      if (bytes > budget) continue;
      out.picked[swap.weight] = swap.choice;
      out.bytes = bytes;
      moved = true;
    }
  }
}

std::string_view plan_measure_name(PlanMeasure measure) {
  switch (measure) {
    case PlanMeasure::kSquaredError:
      return "squared error";
    case PlanMeasure::kRelativeError:
      return "relative error";
    case PlanMeasure::kOutputError:
      return "output error";
    case PlanMeasure::kModelDamage:
      break;
  }
  return "damage to the model";
}

std::optional<double> plan_cost(const PlanRow& one, PlanMeasure measure) {
  const ResultRow& row = *one.row;
  const auto squared_error = [&] { return *row.mse * static_cast<double>(row.weights); };
  std::optional<double> cost;
  if (measure == PlanMeasure::kSquaredError && row.mse) {
    cost = squared_error();
  } else if (measure == PlanMeasure::kRelativeError && row.relative_error) {
    cost = *row.relative_error * *row.relative_error;
  } else if (measure == PlanMeasure::kOutputError && row.output_error) {
    cost = row.output_error;
  } else if (measure == PlanMeasure::kModelDamage && row.mse && one.damage_rate) {
    cost = squared_error() * *one.damage_rate;
  }
  if (!row.ok || !cost || !std::isfinite(*cost) || *cost < 0) return std::nullopt;
  return cost;
}

void set_damage_rates(std::span<PlanRow> rows, std::span<const std::optional<double>> damage) {
  std::vector<double> errors(damage.size());
  for (const PlanRow& row : rows) {
    if (row.config >= errors.size()) continue;
    errors[row.config] += plan_cost(row, PlanMeasure::kSquaredError).value_or(0);
  }
  for (PlanRow& row : rows) {
    row.damage_rate.reset();
    if (row.config >= errors.size() || !damage[row.config]) continue;
    const double nats = std::max(0.0, *damage[row.config]);  // a perplexity may fall a little
    if (errors[row.config] > 0) {
      row.damage_rate = nats / errors[row.config];
    } else if (nats == 0) {
      row.damage_rate = 0;
    }
  }
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

Planner::Planner(std::span<const PlanRow> rows, PlanMeasure measure) {
  // The rows of each weight behind each other, weights in the order in which they first occur.
  struct Slot {
    std::size_t place = 0;  // among the weights, from 1
    std::size_t rows = 0;
  };
  std::vector<Slot> slots;  // by weight number
  std::size_t weights = 0;
  // What is needed of the rows, in their order in memory: they are large and would be read slowly
  // in any other.
  struct Facts {
    Choice choice;
    std::int64_t run;
    bool measured;
  };
  std::vector<Facts> facts;
  facts.reserve(rows.size());
  for (const PlanRow& one : rows) {
    const std::optional<double> cost = plan_cost(one, measure);
    facts.push_back({{one.row->bytes_out, cost.value_or(0)}, one.row->run, cost.has_value()});
    if (slots.size() <= one.weight) slots.resize(one.weight + 1);
    Slot& slot = slots[one.weight];
    if (slot.rows++ == 0) slot.place = ++weights;
  }
  std::vector<std::size_t> next(weights + 1);  // where a weight's next row goes
  for (const Slot& slot : slots) {
    if (slot.rows > 0) next[slot.place] = slot.rows;
  }
  std::partial_sum(next.begin(), next.end(), next.begin());
  std::vector<std::size_t> order(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    order[next[slots[rows[i].weight].place - 1]++] = i;
  }

  std::vector<Choice> choices;
  std::vector<std::size_t> ends;
  choices.reserve(rows.size());
  rows_.reserve(rows.size());
  std::size_t begin = 0;
  for (std::size_t w = 0; w < weights; ++w) {
    const std::size_t first = rows_.size();
    for (; begin < next[w]; ++begin) {
      const std::size_t i = order[begin];
      const Facts& row = facts[i];
      if (!row.measured) continue;
      const auto same =
          std::find_if(rows_.begin() + static_cast<std::ptrdiff_t>(first), rows_.end(),
                       [&](std::size_t other) { return rows[other].config == rows[i].config; });
      if (same == rows_.end()) {
        rows_.push_back(i);
        choices.push_back(row.choice);
      } else if (facts[*same].run <= row.run) {
        *same = i;
        choices[static_cast<std::size_t>(same - rows_.begin())] = row.choice;
      }
    }
    if (rows_.size() == first) {
      ++known_.left_out;
      continue;
    }
    const auto less = [](const Choice& a, const Choice& b) { return a.bytes < b.bytes; };
    known_.smallest +=
        std::min_element(choices.begin() + static_cast<std::ptrdiff_t>(first), choices.end(), less)
            ->bytes;
    known_.weights += rows[rows_[first]].row->weights;
    firsts_.push_back(first);
    ends.push_back(rows_.size());
  }
  if (choices.empty()) {
    throw Error(ErrorCode::kUsage, "there is nothing to plan with",
                measure == PlanMeasure::kModelDamage
                    ? "configurations that were evaluated on the whole model"
                    : fmt::format("rows of weights with their {}", plan_measure_name(measure)));
  }
  chooser_.emplace(std::move(choices), std::move(ends));
}

Plan Planner::plan(const PlanTarget& target) const {
  Plan out = known_;
  if (target.bytes) {
    out.budget = *target.bytes - std::min(*target.bytes, target.other_bytes);
  } else if (target.bits_per_weight) {
    out.budget = static_cast<std::uint64_t>(
        std::min(0x1p62, *target.bits_per_weight * static_cast<double>(out.weights) / 8));
  } else {
    throw Error(ErrorCode::kUsage, "the plan has no target", "bytes or bits per weight");
  }
  const Choices found = chooser_->within(out.budget);
  for (std::size_t w = 0; w < firsts_.size(); ++w) {
    out.rows.push_back(rows_[firsts_[w] + found.picked[w]]);
  }
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
