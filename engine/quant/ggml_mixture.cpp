#include "engine/quant/ggml_mixture.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cctype>
#include <initializer_list>

namespace qi {
namespace {

struct Mixture {
  std::string_view name;
  DType base;
};
constexpr std::array kMixtures = {
    Mixture{"F16", DType::kF16},      Mixture{"BF16", DType::kBF16},
    Mixture{"Q4_0", DType::kQ4_0},    Mixture{"Q4_1", DType::kQ4_1},
    Mixture{"Q5_0", DType::kQ5_0},    Mixture{"Q5_1", DType::kQ5_1},
    Mixture{"Q8_0", DType::kQ8_0},    Mixture{"Q2_K", DType::kQ2K},
    Mixture{"Q2_K_S", DType::kQ2K},   Mixture{"Q3_K_S", DType::kQ3K},
    Mixture{"Q3_K_M", DType::kQ3K},   Mixture{"Q3_K_L", DType::kQ3K},
    Mixture{"Q4_K_S", DType::kQ4K},   Mixture{"Q4_K_M", DType::kQ4K},
    Mixture{"Q5_K_S", DType::kQ5K},   Mixture{"Q5_K_M", DType::kQ5K},
    Mixture{"Q6_K", DType::kQ6K},     Mixture{"IQ1_S", DType::kIQ1S},
    Mixture{"IQ1_M", DType::kIQ1M},   Mixture{"IQ2_XXS", DType::kIQ2XXS},
    Mixture{"IQ2_XS", DType::kIQ2XS}, Mixture{"IQ2_S", DType::kIQ2XS},
    Mixture{"IQ2_M", DType::kIQ2S},   Mixture{"IQ3_XXS", DType::kIQ3XXS},
    Mixture{"IQ3_XS", DType::kIQ3S},  Mixture{"IQ3_S", DType::kIQ3S},
    Mixture{"IQ3_M", DType::kIQ3S},   Mixture{"IQ4_NL", DType::kIQ4NL},
    Mixture{"IQ4_XS", DType::kIQ4XS}, Mixture{"TQ1_0", DType::kTQ1_0},
    Mixture{"TQ2_0", DType::kTQ2_0},
};
constexpr auto kNames = [] {
  std::array<std::string_view, kMixtures.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kMixtures[i].name;
  return names;
}();

// The rules, in the order llama-quantize asks them.
class Rules {
 public:
  Rules(std::string_view mixture, DType base, const MixtureModel& model, const Weight& weight)
      : mixture_(mixture), base_(base), model_(model), weight_(weight), i_(weight.layer) {}

  DType type() const {
    if (base_ == DType::kF16 || base_ == DType::kBF16) return base_;
    const Role role = weight_.role;
    if (role == Role::kHead || (role == Role::kEmbed && model_.tied)) return head();
    if (role == Role::kEmbed) return embeddings();
    if (is({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})) return smallest();
    switch (role) {
      case Role::kV:
        return value();
      case Role::kK:
        if (model_.experts == 8) return DType::kQ8_0;
        [[fallthrough]];
      case Role::kQ:
        return is({"IQ3_XS"}) ? DType::kIQ3XXS : is({"IQ3_XXS"}) ? DType::kIQ2S : base_;
      case Role::kO:
        return output();
      case Role::kQkv:
        if (is({"Q3_K_M", "Q3_K_L", "IQ3_M"})) return DType::kQ4K;
        return is({"Q4_K_M"}) ? DType::kQ5K : is({"Q5_K_M"}) ? DType::kQ6K : base_;
      case Role::kDown:
        return down();
      case Role::kGate:
      case Role::kUp:
      case Role::kGateUp:
        // the middle layers
        return is({"IQ3_XS"}) && i_ >= part(8) && i_ < 7 * model_.layers / 8 ? DType::kIQ3XXS
                                                                             : base_;
      default:
        return base_;
    }
  }

 private:
  bool is(std::initializer_list<std::string_view> names) const {
    return std::find(names.begin(), names.end(), mixture_) != names.end();
  }
  int part(int n) const { return model_.layers / n; }
  bool first(int n) const { return i_ < part(n); }
  bool many_heads_share() const { return model_.kv_heads > 0 && group() >= 4; }
  int group() const { return model_.heads / model_.kv_heads; }
  // The first and last eighth, and every third layer between.
  bool more_bits() const {
    return first(8) || i_ >= 7 * model_.layers / 8 || (i_ - part(8)) % 3 == 2;
  }

  DType head() const {
    if (weight_.cols() % 256 != 0) return DType::kQ8_0;
    if (is({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS"})) {
      return DType::kQ5K;
    }
    return base_ == DType::kQ8_0 ? base_ : DType::kQ6K;
  }

  DType embeddings() const {
    if (is({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"})) return DType::kQ2K;
    if (is({"IQ2_S", "IQ2_M", "IQ3_XXS"})) return DType::kIQ3S;
    return is({"TQ1_0", "TQ2_0"}) ? DType::kQ4K : base_;
  }

  DType smallest() const {
    const bool s_or_m = is({"IQ2_S", "IQ2_M"});
    const DType larger = s_or_m ? DType::kIQ3S : DType::kQ2K;
    switch (weight_.role) {
      case Role::kV:
        return many_heads_share() || model_.experts >= 4 ? DType::kQ4K : larger;
      case Role::kK:
        return model_.experts == 8 ? DType::kQ4K : base_;
      case Role::kDown:
        return first(8) ? larger : base_;
      case Role::kO:
        if (model_.experts == 8) return DType::kQ5K;
        return is({"IQ1_S", "IQ1_M"}) ? DType::kIQ2XXS : s_or_m ? DType::kIQ3S : base_;
      default:
        return base_;
    }
  }

  DType value() const {
    DType type = base_;
    if (is({"Q2_K"})) type = many_heads_share() ? DType::kQ4K : DType::kQ3K;
    if (is({"Q2_K_S", "IQ3_XS", "IQ3_S"}) && many_heads_share()) type = DType::kQ4K;
    if (is({"IQ3_XXS"})) {
      type = many_heads_share() ? DType::kQ4K : model_.importance ? DType::kIQ3XXS : DType::kIQ3S;
    }
    if (is({"IQ3_M"})) type = DType::kQ4K;
    if (is({"Q3_K_M"})) type = i_ < 2 ? DType::kQ5K : DType::kQ4K;
    if (is({"Q3_K_L"})) type = DType::kQ5K;
    if (is({"IQ4_NL", "IQ4_XS"}) && many_heads_share()) type = DType::kQ5K;
    if (is({"Q4_K_M", "Q5_K_M"}) && more_bits()) type = DType::kQ6K;
    if (is({"Q4_K_S"}) && i_ < 4) type = DType::kQ5K;
    // A 70B: eight heads share these, so more bits of them cost little.
    const bool large = model_.kv_heads > 0 && group() == 8 && model_.layers == 80;
    if (large && (type == DType::kQ3K || type == DType::kQ4K)) type = DType::kQ5K;
    return model_.experts == 8 ? DType::kQ8_0 : type;
  }

  DType output() const {
    if (model_.experts == 8) {
      return is({"Q2_K", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "Q3_K_S", "Q3_K_M", "Q4_K_S",
                 "Q4_K_M", "IQ4_NL", "IQ4_XS"})
                 ? DType::kQ5K
                 : base_;
    }
    if (is({"Q2_K"})) return DType::kQ3K;
    if (is({"IQ3_XXS"})) return DType::kIQ3S;
    if (is({"Q3_K_M", "IQ3_M"})) return DType::kQ4K;
    return is({"Q3_K_L"}) ? DType::kQ5K : base_;
  }

  DType down() const {
    if (is({"Q2_K"})) return DType::kQ3K;
    if (is({"Q2_K_S"})) return first(8) ? DType::kQ4K : base_;
    if (is({"IQ3_XXS"}) && !model_.importance) return first(8) ? DType::kQ4K : DType::kQ3K;
    if (is({"Q3_K_M"})) return first(16) ? DType::kQ5K : DType::kQ4K;
    if (is({"Q3_K_L"})) return DType::kQ5K;
    if (is({"Q4_K_M", "Q5_K_M"})) return more_bits() ? DType::kQ6K : base_;
    if (is({"Q4_K_S"})) return first(8) ? DType::kQ5K : base_;
    if (is({"IQ3_M"})) {
      return first(8) || (model_.experts == 8 && more_bits()) ? DType::kQ4K : base_;
    }
    if (is({"IQ4_NL", "IQ4_XS"}) && !model_.importance) return first(8) ? DType::kQ5K : base_;
    if (is({"Q4_0", "Q5_0"}) && model_.importance && first(8)) {
      return base_ == DType::kQ4_0 ? DType::kQ4_1 : DType::kQ5_1;
    }
    return base_;
  }

  std::string_view mixture_;
  DType base_;
  const MixtureModel& model_;
  const Weight& weight_;
  int i_;
};

bool left_as_it_is(const Weight& weight) {
  if (weight.shape.size() < 2) return true;
  switch (weight.role) {
    case Role::kNorm:
    case Role::kBias:
    case Role::kRouter:
    case Role::kVision:
    case Role::kAudio:
    case Role::kLoraA:
    case Role::kLoraB:
      return true;
    default:
      return !weight.name.ends_with("weight") && weight.shape.size() < 3;
  }
}

const Mixture* find(std::string_view name) {
  const auto same = [](char a, char b) {
    return std::toupper(static_cast<unsigned char>(a)) ==
           std::toupper(static_cast<unsigned char>(b));
  };
  const auto found = std::find_if(kMixtures.begin(), kMixtures.end(), [&](const Mixture& mixture) {
    return std::equal(name.begin(), name.end(), mixture.name.begin(), mixture.name.end(), same);
  });
  return found == kMixtures.end() ? nullptr : &*found;
}

}  // namespace

std::span<const std::string_view> ggml_mixtures() {
  return kNames;
}

std::optional<std::string_view> ggml_mixture_named(std::string_view name) {
  const Mixture* mixture = find(name);
  if (mixture == nullptr) return std::nullopt;
  return mixture->name;
}

DType ggml_fallback(DType type, std::uint64_t cols) {
  const auto whole = [&](DType of) { return cols % info(of).block_elements == 0; };
  if (whole(type)) return type;
  DType smaller = DType::kF16;
  switch (type) {
    case DType::kQ2K:
    case DType::kQ3K:
    case DType::kIQ1S:
    case DType::kIQ1M:
    case DType::kIQ2XXS:
    case DType::kIQ2XS:
    case DType::kIQ2S:
    case DType::kIQ3XXS:
    case DType::kIQ3S:
    case DType::kIQ4XS:
      smaller = DType::kIQ4NL;
      break;
    case DType::kTQ1_0:
    case DType::kTQ2_0:
      smaller = DType::kQ4_0;
      break;
    case DType::kQ4K:
      smaller = DType::kQ5_0;
      break;
    case DType::kQ5K:
      smaller = DType::kQ5_1;
      break;
    case DType::kQ6K:
      smaller = DType::kQ8_0;
      break;
    default:
      break;
  }
  return whole(smaller) ? smaller : DType::kF16;
}

MixtureChoice ggml_mixture_type(std::string_view mixture, const MixtureModel& model,
                                const Weight& weight) {
  const Mixture* found = find(mixture);
  assert(found != nullptr);
  if (left_as_it_is(weight)) return {};
  const DType asked = Rules(found->name, found->base, model, weight).type();
  const DType type = ggml_fallback(asked, weight.cols());
  if (type == asked) return {type, std::nullopt};
  return {type, asked};
}

}  // namespace qi
