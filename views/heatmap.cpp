#include "views/heatmap.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "views/canvas.h"

namespace qi {
namespace {

constexpr int kLabelRounds = 6;  // components a label may grow to before it is the whole name

std::int32_t number_of(std::string_view part) {
  std::int32_t number = -1;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  return error == std::errc() && end == part.data() + part.size() ? number : -1;
}

bool names_layers(std::string_view part) {
  constexpr std::array<std::string_view, 8> kWords = {
      "layers", "layer", "h", "blocks", "block", "blk", "decoder_layer", "encoder_layer"};
  return std::find(kWords.begin(), kWords.end(), part) != kWords.end();
}

/// The component that ends before the dot before `begin`; empty at the start.
std::string_view part_before(std::string_view name, std::size_t begin) {
  if (begin < 2) return {};
  const std::size_t dot = name.rfind('.', begin - 2);
  const std::size_t start = dot == std::string_view::npos ? 0 : dot + 1;
  return name.substr(start, begin - 1 - start);
}

/// The name of the module: that of the weight without ".weight", its layer's and its expert's
/// number replaced by '*'. Written into `out`.
void module_name(const HeatItem& weight, std::string& out) {
  constexpr std::string_view kSuffix = ".weight";
  std::string_view name = weight.name;
  if (name.size() > kSuffix.size() && name.ends_with(kSuffix)) name.remove_suffix(kSuffix.size());
  out.clear();
  // Outside of layers each has a cell of its own.
  bool layer_seen = weight.layer < 0;
  bool expert_seen = weight.expert < 0 || weight.layer < 0;
  std::size_t copied = 0;
  for (std::size_t begin = 0; !layer_seen || !expert_seen;) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    if (begin < end && name[begin] >= '0' && name[begin] <= '9') {
      const std::int32_t number = number_of(name.substr(begin, end - begin));
      bool hit = false;
      if (!layer_seen) {
        hit = layer_seen = number == weight.layer && names_layers(part_before(name, begin));
      } else {
        hit = expert_seen = number == weight.expert;
      }
      if (hit) {
        out += name.substr(copied, begin - copied);
        out += '*';
        copied = end;
      }
    }
    if (end == name.size()) break;
    begin = end + 1;
  }
  out += name.substr(copied);
}

/// The last `count` components of a name.
std::string_view last_parts(std::string_view name, int count) {
  std::size_t at = name.size();
  for (; count > 0; --count) {
    if (at == 0) return name;
    const std::size_t dot = name.rfind('.', at - 1);
    if (dot == std::string_view::npos) return name;
    at = dot;
  }
  return name.substr(at + 1);
}

/// For each name the shortest end that no other one has.
std::vector<std::string> short_labels(const std::vector<std::string>& names) {
  std::vector<int> lengths;
  for (const std::string& name : names) {
    // A bias is one of something.
    const std::string_view last = last_parts(name, 1);
    lengths.push_back(last == "bias" || last == "*" ? 2 : 1);
  }
  for (int round = 0;; ++round) {
    std::unordered_map<std::string_view, std::uint32_t> seen;
    for (std::size_t i = 0; i < names.size(); ++i) ++seen[last_parts(names[i], lengths[i])];
    bool clash = false;
    std::vector<int> longer = lengths;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (seen[last_parts(names[i], lengths[i])] == 1) continue;
      longer[i] = round < kLabelRounds ? lengths[i] + 1 : std::numeric_limits<int>::max();
      clash = clash || last_parts(names[i], lengths[i]).size() < names[i].size();
    }
    if (!clash) break;
    lengths = std::move(longer);
  }
  std::vector<std::string> out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    out.push_back(escape(last_parts(names[i], lengths[i])));
  }
  return out;
}

std::vector<HeatItem> items_of(const Model& model) {
  std::vector<HeatItem> out;
  out.reserve(model.weights.size());
  for (const Weight& one : model.weights) {
    out.push_back({one.name, one.role, one.layer, one.expert});
  }
  return out;
}

}  // namespace

// --- which weights stand where

HeatMap::HeatMap(const Model& model) : HeatMap(items_of(model)) {}

HeatMap::HeatMap(const std::vector<HeatItem>& all) {
  struct Place {
    std::uint32_t module, layer, weight;  // layer: its number first, then its place in layers()
  };
  std::vector<Place> places;
  places.reserve(all.size());
  std::vector<std::uint32_t> alone;
  std::unordered_map<std::string, std::uint32_t> found;
  std::vector<std::string> names;
  std::vector<Role> roles;
  std::vector<std::uint32_t> next;  // by module: the one that came after it last time
  std::uint32_t last = 0;
  std::string name;
  for (std::uint32_t i = 0; i < all.size(); ++i) {
    if (all[i].layer < 0) {
      alone.push_back(i);
      continue;
    }
    if (layers_.empty() || layers_.back() != all[i].layer) layers_.push_back(all[i].layer);
    module_name(all[i], name);
    // Layers repeat each other, so the module that came next last time mostly does again.
    std::uint32_t module = last < next.size() ? next[last] : 0;
    if (module >= names.size() || names[module] != name) {
      module = found.try_emplace(name, static_cast<std::uint32_t>(names.size())).first->second;
      if (module == names.size()) {
        names.push_back(name);
        roles.push_back(all[i].role);
        next.push_back(0);
      }
      if (last < next.size()) next[last] = module;
    }
    last = module;
    places.push_back({module, static_cast<std::uint32_t>(all[i].layer), i});
  }
  std::sort(layers_.begin(), layers_.end());
  layers_.erase(std::unique(layers_.begin(), layers_.end()), layers_.end());

  // Modules by role.
  std::vector<std::uint32_t> order(names.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return roles[a] < roles[b]; });
  std::vector<std::uint32_t> place_of(names.size());
  std::vector<std::string> labels = short_labels(names);
  for (const std::uint32_t module : order) {
    place_of[module] = static_cast<std::uint32_t>(modules_.size());
    modules_.push_back({std::move(labels[module]), roles[module], 0});
  }

  // Cells by module, then layer, then as the model lists the weights.
  std::vector<std::uint32_t> starts(modules_.size() + 1, 0);
  std::int32_t number = -1;
  std::uint32_t layer = 0;
  for (Place& place : places) {
    if (place.layer != static_cast<std::uint32_t>(number)) {
      number = static_cast<std::int32_t>(place.layer);
      layer = static_cast<std::uint32_t>(std::lower_bound(layers_.begin(), layers_.end(), number) -
                                         layers_.begin());
    }
    place.layer = layer;
    place.module = place_of[place.module];
    ++starts[place.module + 1];
  }
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  std::vector<Place> sorted(places.size());
  for (const Place& place : places) sorted[starts[place.module]++] = place;
  const auto before = [](const Place& a, const Place& b) {
    return std::pair(a.module, a.layer) < std::pair(b.module, b.layer);
  };
  if (!std::is_sorted(sorted.begin(), sorted.end(), before)) {
    std::stable_sort(sorted.begin(), sorted.end(), before);
  }
  first_.assign(modules_.size() + 1, 0);
  weights_.reserve(all.size());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const bool fresh = i == 0 || before(sorted[i - 1], sorted[i]);
    if (fresh) {
      begin_.push_back(static_cast<std::uint32_t>(weights_.size()));
      layer_of_.push_back(sorted[i].layer);
      first_[sorted[i].module + 1] = static_cast<std::uint32_t>(layer_of_.size());
    }
    weights_.push_back(sorted[i].weight);
    std::uint32_t& most = modules_[sorted[i].module].most;
    most = std::max(most, static_cast<std::uint32_t>(weights_.size()) - begin_.back());
  }

  std::stable_sort(alone.begin(), alone.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return all[a].role < all[b].role; });
  std::vector<std::string> outside_names;
  for (const std::uint32_t index : alone) {
    module_name(all[index], name);
    outside_names.push_back(name);
  }
  labels = short_labels(outside_names);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    outside_.push_back({std::move(labels[i]), all[alone[i]].role, 1});
    begin_.push_back(static_cast<std::uint32_t>(weights_.size()));
    weights_.push_back(alone[i]);
  }
  begin_.push_back(static_cast<std::uint32_t>(weights_.size()));
}

std::uint32_t HeatMap::cell(std::size_t module, std::size_t layer) const {
  const auto begin = layer_of_.begin() + first_[module];
  const auto end = layer_of_.begin() + first_[module + 1];
  const auto it = std::lower_bound(begin, end, layer);
  if (it == end || *it != layer) return kNoCell;
  return static_cast<std::uint32_t>(it - layer_of_.begin());
}

// --- values

HeatValues heat_values(const HeatMap& map, const std::function<double(std::uint32_t)>& value_of,
                       HeatFold fold) {
  HeatValues out;
  out.values.assign(map.cells(), kNoNumber);
  for (std::uint32_t cell = 0; cell < map.cells(); ++cell) {
    double sum = 0, largest = 0, smallest = 0;
    std::size_t count = 0;
    for (const std::uint32_t index : map.weights(cell)) {
      const double value = value_of(index);
      if (std::isnan(value)) continue;
      sum += value;
      largest = count == 0 ? value : std::max(largest, value);
      smallest = count == 0 ? value : std::min(smallest, value);
      ++count;
    }
    if (count == 0) continue;
    const double value = fold == HeatFold::kLargest    ? largest
                         : fold == HeatFold::kSmallest ? smallest
                                                       : sum / static_cast<double>(count);
    if (std::isnan(value)) continue;  // the mean of both infinities
    out.values[cell] = value;
    ++out.known;
    if (std::isfinite(value)) out.sorted.push_back(value);
  }
  std::sort(out.sorted.begin(), out.sorted.end());
  return out;
}

namespace {

/// The logarithmic scale of these values: log where all are positive, else asinh(v/c) with the
/// smallest magnitude c.
class LogScale {
 public:
  explicit LogScale(const std::vector<double>& sorted) : plain_(sorted.front() > 0) {
    if (plain_) return;
    unit_ = std::numeric_limits<double>::infinity();
    for (const double value : sorted) {
      if (value != 0) unit_ = std::min(unit_, std::abs(value));
    }
    if (std::isinf(unit_)) unit_ = 1;
  }
  double operator()(double value) const { return plain_ ? std::log(value) : of_both(value); }
  double back(double scaled) const { return plain_ ? std::exp(scaled) : std::sinh(scaled) * unit_; }

 private:
  double of_both(double value) const {
    const double ratio = value / unit_;
    // Beyond the largest double the ratio is a difference of logarithms.
    if (std::isfinite(ratio)) return std::asinh(ratio);
    return std::copysign(std::log(2.0) + std::log(std::abs(value)) - std::log(unit_), value);
  }

  bool plain_;
  double unit_ = 1;
};

}  // namespace

std::vector<float> heat_levels(const HeatValues& values, HeatScale scale) {
  std::vector<float> out(values.values.size(), std::numeric_limits<float>::quiet_NaN());
  if (values.known == 0) return out;
  const std::vector<double>& sorted = values.sorted;
  const bool flat = sorted.empty() || values.low() == values.high();
  const double low = flat ? 0 : values.low();
  const double high = flat ? 1 : values.high();
  const LogScale log(flat ? std::vector<double>{1} : sorted);
  const double begin = scale == HeatScale::kLog ? log(low) : low;
  const double end = scale == HeatScale::kLog ? log(high) : high;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double value = values.values[i];
    double level = 0.5;
    if (std::isnan(value)) continue;
    if (std::isinf(value)) {
      level = value > 0 ? 1 : 0;
    } else if (flat) {
      level = 0.5;
    } else if (scale == HeatScale::kRank) {
      const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), value);
      const auto sum = static_cast<double>((first - sorted.begin()) + (last - sorted.begin()) - 1);
      level = sum / 2 / static_cast<double>(sorted.size() - 1);
    } else {
      // Halves first: high − low may pass the largest double.
      const double at = scale == HeatScale::kLog ? log(value) : value;
      level = (at / 2 - begin / 2) / (end / 2 - begin / 2);
    }
    out[i] = static_cast<float>(std::clamp(level, 0.0, 1.0));
  }
  return out;
}

double heat_value_at(const HeatValues& values, HeatScale scale, double level) {
  const std::vector<double>& sorted = values.sorted;
  switch (scale) {
    case HeatScale::kLinear:
      return values.low() * (1 - level) + values.high() * level;
    case HeatScale::kLog: {
      const LogScale log(sorted);
      if (level <= 0) return values.low();
      if (level >= 1) return values.high();
      return log.back(log(values.low()) * (1 - level) + log(values.high()) * level);
    }
    case HeatScale::kRank:
      return sorted[static_cast<std::size_t>(
          std::lround(level * static_cast<double>(sorted.size() - 1)))];
  }
  return kNoNumber;
}

int heat_step(float level) {
  return std::min(kRampSteps - 1, static_cast<int>(level * kRampSteps));
}

}  // namespace qi
