#include "engine/tensor/roles.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <unordered_map>

namespace qi {
namespace {

// No naming scheme nests deeper; a longer name is not one we know.
constexpr std::size_t kMaxComponents = 48;
constexpr std::size_t kMaxComponentBytes = 64;

// Module names that mean the same wherever they stand. Names whose meaning hangs on the module
// around them ("dense", "c_proj", "wo" …) are decided in role_in_context().
const std::unordered_map<std::string_view, Role>& module_roles() {
  using enum Role;
  static const std::unordered_map<std::string_view, Role> table = {
      {"embed_tokens", kEmbed},
      {"embed_tokens_per_layer", kEmbed},
      {"wte", kEmbed},
      {"wpe", kEmbed},
      {"word_embeddings", kEmbed},
      {"word_embedding", kEmbed},
      {"position_embeddings", kEmbed},
      {"token_type_embeddings", kEmbed},
      {"embed_positions", kEmbed},
      {"tok_embeddings", kEmbed},
      {"token_embd", kEmbed},
      {"per_layer_token_embd", kEmbed},
      {"position_embd", kEmbed},
      {"token_types", kEmbed},
      {"embed_in", kEmbed},
      {"embed", kEmbed},
      {"embedding", kEmbed},
      {"embeddings", kEmbed},
      {"shared", kEmbed},
      {"lm_head", kHead},
      {"embed_out", kHead},
      {"unembedding", kHead},
      {"output_layer", kHead},
      {"score", kHead},
      {"q_proj", kQ},
      {"wq", kQ},
      {"wq_a", kQ},
      {"wq_b", kQ},
      {"q_a_proj", kQ},
      {"q_b_proj", kQ},
      {"query", kQ},
      {"query_proj", kQ},
      {"q_lin", kQ},
      {"to_q", kQ},
      {"attn_q", kQ},
      {"attn_q_a", kQ},
      {"attn_q_b", kQ},
      {"cross_attn_q", kQ},
      {"k_proj", kK},
      {"wk", kK},
      {"k_lin", kK},
      {"key_proj", kK},
      {"to_k", kK},
      {"attn_k", kK},
      {"attn_k_b", kK},
      {"cross_attn_k", kK},
      {"v_proj", kV},
      {"wv", kV},
      {"v_lin", kV},
      {"value_proj", kV},
      {"to_v", kV},
      {"attn_v", kV},
      {"attn_v_b", kV},
      {"cross_attn_v", kV},
      {"qkv", kQkv},
      {"qkv_proj", kQkv},
      {"c_attn", kQkv},
      {"query_key_value", kQkv},
      {"attn_qkv", kQkv},
      {"wqkv", kQkv},
      {"w_pack", kQkv},
      {"kv_proj", kQkv},
      {"kv_a_proj_with_mqa", kQkv},
      {"kv_b_proj", kQkv},
      {"wkv_a", kQkv},
      {"wkv_b", kQkv},
      {"attn_kv_a_mqa", kQkv},
      {"attn_kv_b", kQkv},
      {"o_proj", kO},
      {"attn_output", kO},
      {"attn_out", kO},
      {"cross_attn_o", kO},
      {"out_lin", kO},
      {"to_out", kO},
      {"gate_proj", kGate},
      {"ffn_gate", kGate},
      {"ffn_gate_exps", kGate},
      {"ffn_gate_shexp", kGate},
      {"wi_0", kGate},
      {"up_proj", kUp},
      {"ffn_up", kUp},
      {"ffn_up_exps", kUp},
      {"ffn_up_shexp", kUp},
      {"w3", kUp},
      {"v1", kUp},
      {"fc1", kUp},
      {"fc_in", kUp},
      {"c_fc", kUp},
      {"lin1", kUp},
      {"wi", kUp},
      {"wi_1", kUp},
      {"dense_h_to_4h", kUp},
      {"gate_up_proj", kGateUp},
      {"ffn_gate_up_exps", kGateUp},
      {"mlp1", kGateUp},
      {"input_linear", kGateUp},
      {"down_proj", kDown},
      {"ffn_down", kDown},
      {"ffn_down_exps", kDown},
      {"ffn_down_shexp", kDown},
      {"mlp2", kDown},
      {"output_linear", kDown},
      {"fc2", kDown},
      {"fc_out", kDown},
      {"lin2", kDown},
      {"dense_4h_to_h", kDown},
      {"router", kRouter},
      {"ffn_gate_inp", kRouter},
      {"ffn_gate_inp_shexp", kRouter},
      {"shared_expert_gate", kRouter},
      {"gate", kRouter},
      {"wg", kRouter},
  };
  return table;
}

bool any_of(std::string_view word, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

/// The name cut at its dots (or slashes), lower-cased; components longer than any module's name
/// become empty. Views of the name, or of a lower-cased copy: neither may move.
class Components {
 public:
  explicit Components(std::string_view name) {
    unsigned capitals = 0;
    for (const char c : name) capitals |= is_capital(c);
    if (capitals != 0) {
      lowered_ = name;
      for (char& c : lowered_) {
        if (is_capital(c)) c = static_cast<char>(c - 'A' + 'a');
      }
      name = lowered_;
    }
    std::size_t begin = 0;
    for (std::size_t i = 0; i < name.size(); ++i) {
      if (name[i] != '.' && name[i] != '/') continue;
      add(name.substr(begin, i - begin));
      begin = i + 1;
      if (count_ == kMaxComponents) {
        count_ = 0;  // nested deeper than names are: nothing to be known
        return;
      }
    }
    add(name.substr(begin));
  }
  Components(const Components&) = delete;
  Components& operator=(const Components&) = delete;

  std::size_t size() const { return count_; }
  std::string_view operator[](std::size_t i) const {
    return i < count_ ? std::string_view(parts_[i].begin, parts_[i].size) : std::string_view();
  }

 private:
  static bool is_capital(char c) { return static_cast<unsigned char>(c - 'A') < 26; }
  void add(std::string_view part) {
    parts_[count_++] = {part.data(), part.size() <= kMaxComponentBytes ? part.size() : 0};
  }

  std::string lowered_;
  struct Part {
    const char* begin;
    std::size_t size;
  };
  std::array<Part, kMaxComponents> parts_;  // not initialised beyond count_
  std::size_t count_ = 0;
};

/// A whole component as a number; −1 when it is none or does not fit.
std::int32_t number_of(std::string_view word) {
  if (word.empty() || word.size() > 9) return -1;
  std::int32_t value = 0;
  for (const char c : word) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

/// Removes what ties a stored part or a fused bias to its module: "gate_up_proj_blocks".
std::string_view without_part_suffix(std::string_view word) {
  for (const std::string_view suffix : {"_blocks", "_scales", "_bias", "_weight"}) {
    if (word.size() > suffix.size() && word.ends_with(suffix)) {
      return word.substr(0, word.size() - suffix.size());
    }
  }
  return word;
}

/// Words that name a tower or a projector, or begin the name of one. By their first letter: every
/// component of every name comes here.
Role tower_word(std::string_view word) {
  using enum Role;
  const auto begins = [&](std::string_view text) { return word.starts_with(text); };
  switch (word[0]) {
    case 'a':
      if (begins("audio") || word == "apm") return kAudio;
      return word == "aligner" ? kVision : kOther;
    case 'c':
      if (word == "code2wav") return kAudio;
      return word == "connector" ? kVision : kOther;
    case 'e':
      if (word == "embed_audio") return kAudio;
      return word == "embed_vision" ? kVision : kOther;
    case 'g':
      return word == "gen_vision_model" ? kVision : kOther;
    case 'i':
      return begins("image_") || begins("img_") ? kVision : kOther;
    case 'm':
      return begins("multi_modal") || begins("multimodal") || begins("mm_") ? kVision : kOther;
    case 'p':
      return any_of(word,
                    {"perceiver_resampler", "patch_merger", "patch_embed", "pre_mm_projector_norm"})
                 ? kVision
                 : kOther;
    case 's':
      if (begins("speech")) return kAudio;
      return word == "sam_model" ? kVision : kOther;
    case 't':
      return any_of(word, {"talker", "token2wav", "tts"}) ? kAudio : kOther;
    case 'v':
      return begins("vision") || begins("visual") || any_of(word, {"vit", "vpm", "vqmodel"})
                 ? kVision
                 : kOther;
    default:
      return kOther;
  }
}

// A tower's or projector's component, wherever it stands, makes the tensor part of that tower.
Role tower_of(const Components& parts) {
  // GGUF projector files: "v.blk.0.attn_q", "a.blk.0.attn_q", "mm.0", "mm.a.mlp.1".
  if (any_of(parts[0], {"v", "mm", "resampler", "mlp1"})) {
    return parts[0] == "mm" && parts[1] == "a" ? Role::kAudio : Role::kVision;
  }
  if (parts[0] == "a") return Role::kAudio;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].empty()) continue;
    if (const Role role = tower_word(parts[i]); role != Role::kOther) return role;
  }
  return Role::kOther;
}

// LoRA pairs: peft ("lora_A"), GGUF ("….weight.lora_a"), kohya ("lora_down" is A).
Role lora_of(const Components& parts) {
  for (std::size_t i = parts.size(); i-- > 0;) {
    if (!parts[i].starts_with("lora_")) continue;
    if (any_of(parts[i], {"lora_a", "lora_embedding_a", "lora_down"})) return Role::kLoraA;
    if (any_of(parts[i], {"lora_b", "lora_embedding_b", "lora_up"})) return Role::kLoraB;
  }
  return Role::kOther;
}

bool is_attention(std::string_view word) {
  return word.find("attn") != std::string_view::npos ||
         word.find("attention") != std::string_view::npos;
}

bool is_norm(std::string_view word) {
  return word.find("norm") != std::string_view::npos || word.starts_with("ln_") ||
         any_of(word, {"ln", "ln1", "ln2", "ln0"});
}

// Recurrent mixers name their projections like attention does, and mean something else.
bool is_recurrent(std::string_view word) {
  return any_of(word, {"mixer", "mamba", "ssm", "linear_attn", "rglru", "recurrent_block"});
}

/// Words that need the module around them; `outer` is the component before `word`.
Role role_in_context(const Components& parts, std::size_t i, bool in_layer) {
  const std::string_view word = without_part_suffix(parts[i]);
  const std::string_view outer = i > 0 ? parts[i - 1] : std::string_view();
  const bool feed_forward = any_of(outer, {"mlp", "ffn", "feed_forward", "densereludense"});
  if (word == "output" || word == "head") {
    return in_layer ? Role::kOther : Role::kHead;
  }
  if (word == "key") return feed_forward ? Role::kUp : Role::kK;  // RWKV's channel mix
  if (word == "value") return feed_forward ? Role::kDown : Role::kV;
  if (word == "wo") return feed_forward ? Role::kDown : Role::kO;
  if (word == "c_proj") return feed_forward ? Role::kDown : Role::kO;
  if (word == "out_proj") return is_recurrent(outer) ? Role::kOther : Role::kO;
  if (word == "in_proj")
    return is_attention(outer) && !is_recurrent(outer) ? Role::kQkv : Role::kOther;
  if (word == "proj" || word == "out" || word == "o") {
    return is_attention(outer) ? Role::kO : Role::kOther;
  }
  if (is_attention(outer)) {
    if (word == "q") return Role::kQ;
    if (word == "k") return Role::kK;
    if (word == "v") return Role::kV;
  }
  if (word == "dense") {
    if (is_attention(outer)) return Role::kO;
    if (outer == "intermediate") return Role::kUp;
    if (outer == "output") return i > 1 && is_attention(parts[i - 2]) ? Role::kO : Role::kDown;
  }
  if (word == "w1" || word == "w2") {
    // First-generation Qwen names the up projection w1 and the gate w2; all others w1, w3, w2.
    for (std::size_t k = 0; k < i; ++k) {
      if (parts[k] == "h" && outer == "mlp") return word == "w1" ? Role::kUp : Role::kGate;
    }
    return word == "w1" ? Role::kGate : Role::kDown;
  }
  return Role::kOther;
}

/// Scales of activations and caches belong to a layer, not to a weight.
bool is_activation_side(std::string_view last) {
  return any_of(last, {"input_scale", "input_global_scale", "input_zero_point", "k_scale",
                       "v_scale", "output_scale", "act_scale"});
}

Role module_role(const Components& parts, bool in_layer) {
  const std::string_view last = parts[parts.size() - 1];
  if (is_activation_side(last)) return Role::kOther;
  if (last == "bias" || last.ends_with("_bias") || last == "exp_probs_b") return Role::kBias;
  // From the end: what comes last and has a meaning is the module itself.
  for (std::size_t i = parts.size(); i-- > 0;) {
    if (parts[i] == "weight") continue;
    if (is_norm(parts[i])) return Role::kNorm;
    const auto& table = module_roles();
    if (const auto it = table.find(without_part_suffix(parts[i])); it != table.end()) {
      return it->second;
    }
    if (const Role role = role_in_context(parts, i, in_layer); role != Role::kOther) return role;
    if (is_recurrent(parts[i])) return Role::kOther;
  }
  return Role::kOther;
}

}  // namespace

NameFacts name_facts(std::string_view name) {
  NameFacts facts;
  const Components parts(name);
  if (parts.size() == 0) return facts;

  // A multi-token-prediction head counts its layers from 0 again.
  const bool own_numbering = parts[0] == "mtp" || parts[1] == "mtp";
  bool in_layer = false;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    const std::int32_t number = number_of(parts[i + 1]);
    if (number < 0) continue;
    if (!in_layer && any_of(parts[i], {"layers", "layer", "h", "blocks", "block", "blk",
                                       "decoder_layer", "encoder_layer"})) {
      in_layer = true;
      if (!own_numbering) facts.layer = number;
    } else if (any_of(parts[i], {"experts", "local_experts", "expert"}) ||
               // old GGUF files keep experts apart: "blk.0.ffn_gate.3.weight"
               (in_layer && any_of(parts[i], {"ffn_gate", "ffn_up", "ffn_down"}))) {
      facts.expert = number;
    }
  }

  const Role lora = lora_of(parts);
  const Role tower = tower_of(parts);
  if (tower != Role::kOther) facts.layer = facts.expert = -1;
  if (lora != Role::kOther) {
    facts.role = lora;
  } else if (tower != Role::kOther) {
    facts.role = tower;
  } else {
    facts.role = module_role(parts, in_layer);
  }
  return facts;
}

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The end of the run of digits that begins at `begin`.
std::size_t digits_end(std::string_view text, std::size_t begin) {
  while (begin < text.size() && is_digit(text[begin])) ++begin;
  return begin;
}

int sign(std::size_t a, std::size_t b) {
  return a < b ? -1 : (a > b ? 1 : 0);
}

/// First position where the two differ; names share long beginnings, so eight bytes at a time.
std::size_t first_difference(std::string_view a, std::string_view b) {
  const std::size_t length = std::min(a.size(), b.size());
  std::size_t i = 0;
  for (; i + 8 <= length; i += 8) {
    std::uint64_t x = 0;
    std::uint64_t y = 0;
    std::memcpy(&x, a.data() + i, 8);
    std::memcpy(&y, b.data() + i, 8);
    if (x != y) break;
  }
  while (i < length && a[i] == b[i]) ++i;
  return i;
}

}  // namespace

int compare_names(std::string_view a, std::string_view b) {
  std::size_t i = first_difference(a, b);
  if (i == a.size() && i == b.size()) return 0;
  while (i > 0 && is_digit(a[i - 1]))
    --i;  // the number that contains the difference, from its start
  std::size_t j = i;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const std::size_t a_end = digits_end(a, i);
      const std::size_t b_end = digits_end(b, j);
      while (i < a_end && a[i] == '0') ++i;
      while (j < b_end && b[j] == '0') ++j;
      if (a_end - i != b_end - j) return sign(a_end - i, b_end - j);
      if (const int order = a.substr(i, a_end - i).compare(b.substr(j, b_end - j)); order != 0) {
        return order;
      }
      i = a_end;
      j = b_end;
    } else if (a[i] != b[j]) {
      return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]) ? -1 : 1;
    } else {
      ++i;
      ++j;
    }
  }
  if (const int order = sign(a.size() - i, b.size() - j); order != 0) return order;
  return a.compare(b);  // they differ in leading zeros only
}

}  // namespace qi
