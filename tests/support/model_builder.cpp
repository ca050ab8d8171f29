#include "tests/support/model_builder.h"

#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "tests/support/gguf_builder.h"

namespace qi::test {
namespace {

void write_sparse(const std::string& path, const std::string& head, std::uint64_t size) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) throw std::runtime_error("cannot create " + path);
  const ssize_t wrote = write(fd, head.data(), head.size());
  const bool ok =
      wrote == static_cast<ssize_t>(head.size()) && ftruncate(fd, static_cast<off_t>(size)) == 0;
  close(fd);
  if (!ok) throw std::runtime_error("cannot write " + path);
}

BuiltModel write_text(const std::string& path, const std::string& text) {
  write_sparse(path, text, text.size());
  return {.header_bytes = text.size()};
}

/// The tensors of a Llama-like text model, whose layers differ in `layer`.
struct TextModel {
  std::uint64_t vocab, hidden, layers, q_rows, kv_rows, intermediate;
  bool biases = false;
  bool tied = false;
  std::string prefix = "model";
};

std::vector<TensorSpec> text_model(const TextModel& m) {
  std::vector<TensorSpec> specs;
  const auto add = [&](std::string name, std::vector<std::uint64_t> shape) {
    specs.push_back({std::move(name), "BF16", std::move(shape)});
  };
  add(m.prefix + ".embed_tokens.weight", {m.vocab, m.hidden});
  for (std::uint64_t i = 0; i < m.layers; ++i) {
    const std::string layer = fmt::format("{}.layers.{}.", m.prefix, i);
    add(layer + "input_layernorm.weight", {m.hidden});
    add(layer + "mlp.down_proj.weight", {m.hidden, m.intermediate});
    add(layer + "mlp.gate_proj.weight", {m.intermediate, m.hidden});
    add(layer + "mlp.up_proj.weight", {m.intermediate, m.hidden});
    add(layer + "post_attention_layernorm.weight", {m.hidden});
    add(layer + "self_attn.q_proj.weight", {m.q_rows, m.hidden});
    add(layer + "self_attn.k_proj.weight", {m.kv_rows, m.hidden});
    add(layer + "self_attn.v_proj.weight", {m.kv_rows, m.hidden});
    add(layer + "self_attn.o_proj.weight", {m.hidden, m.q_rows});
    if (!m.biases) continue;
    add(layer + "self_attn.q_proj.bias", {m.q_rows});
    add(layer + "self_attn.k_proj.bias", {m.kv_rows});
    add(layer + "self_attn.v_proj.bias", {m.kv_rows});
  }
  add(m.prefix + ".norm.weight", {m.hidden});
  if (!m.tied) add("lm_head.weight", {m.vocab, m.hidden});
  return specs;
}

/// A linear layer in FP8 with one float32 scale for each block of 128 x 128.
void add_fp8_block(std::vector<TensorSpec>& specs, const std::string& module, std::uint64_t rows,
                   std::uint64_t cols) {
  specs.push_back({module + ".weight", "F8_E4M3", {rows, cols}});
  specs.push_back({module + ".weight_scale_inv", "F32", {(rows + 127) / 128, (cols + 127) / 128}});
}

}  // namespace

BuiltModel& BuiltModel::operator+=(const BuiltModel& other) {
  tensors += other.tensors;
  payload_bytes += other.payload_bytes;
  header_bytes += other.header_bytes;
  files += other.files;
  return *this;
}

std::uint64_t payload_bytes(const TensorSpec& spec) {
  static const std::map<std::string_view, std::uint64_t> kBits = {
      {"F4", 4},    {"U8", 8},   {"I8", 8},   {"F8_E4M3", 8}, {"F8_E8M0", 8},
      {"BF16", 16}, {"F16", 16}, {"F32", 32}, {"I32", 32},    {"I64", 64}};
  const auto bits = kBits.find(spec.dtype);
  if (bits == kBits.end()) throw std::invalid_argument("dtype " + spec.dtype);
  std::uint64_t elements = 1;
  for (const std::uint64_t dim : spec.shape) elements *= dim;
  return elements * bits->second / 8;
}

BuiltModel write_sparse_safetensors(const std::string& path, const std::vector<TensorSpec>& specs) {
  std::string json = "{\"__metadata__\":{\"format\":\"pt\"}";
  std::uint64_t offset = 0;
  for (const TensorSpec& spec : specs) {
    const std::uint64_t bytes = payload_bytes(spec);
    json += fmt::format(",\"{}\":{{\"dtype\":\"{}\",\"shape\":[", spec.name, spec.dtype);
    for (std::size_t i = 0; i < spec.shape.size(); ++i) {
      if (i > 0) json += ',';
      json += std::to_string(spec.shape[i]);
    }
    json += fmt::format("],\"data_offsets\":[{},{}]}}", offset, offset + bytes);
    offset += bytes;
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  std::string head(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) head[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
  head += json;
  write_sparse(path, head, head.size() + offset);
  return {
      .tensors = specs.size(), .payload_bytes = offset, .header_bytes = head.size(), .files = 1};
}

BuiltModel write_sharded(const std::string& folder, const std::vector<TensorSpec>& specs,
                         std::size_t shards) {
  std::uint64_t total = 0;
  for (const TensorSpec& spec : specs) total += payload_bytes(spec);
  BuiltModel built;
  std::string map;
  std::size_t next = 0;
  std::uint64_t done = 0;
  for (std::size_t shard = 1; shard <= shards; ++shard) {
    std::vector<TensorSpec> part;
    while (next < specs.size() && (done < total / shards * shard || shard == shards)) {
      done += payload_bytes(specs[next]);
      part.push_back(specs[next++]);
    }
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", shard, shards);
    for (const TensorSpec& spec : part) {
      map += fmt::format("{}\n    \"{}\": \"{}\"", map.empty() ? "" : ",", spec.name, name);
    }
    built += write_sparse_safetensors(folder + "/" + name, part);
  }
  built += write_text(
      folder + "/model.safetensors.index.json",
      fmt::format(
          "{{\n  \"metadata\": {{\n    \"total_size\": {}\n  }},\n  \"weight_map\": {{{}\n  "
          "}}\n}}\n",
          total, map));
  return built;
}

BuiltModel build_llama3_8b(const std::string& folder) {
  BuiltModel built = write_sharded(folder,
                                   text_model({.vocab = 128256,
                                               .hidden = 4096,
                                               .layers = 32,
                                               .q_rows = 4096,
                                               .kv_rows = 1024,
                                               .intermediate = 14336}),
                                   4);
  built += write_text(folder + "/config.json", R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
  "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
  "num_key_value_heads": 8, "vocab_size": 128256, "rms_norm_eps": 1e-05, "rope_scaling": null,
  "torch_dtype": "bfloat16"})");
  return built;
}

BuiltModel build_qwen2_05b(const std::string& folder) {
  BuiltModel built =
      write_sparse_safetensors(folder + "/model.safetensors", text_model({.vocab = 151936,
                                                                          .hidden = 896,
                                                                          .layers = 24,
                                                                          .q_rows = 896,
                                                                          .kv_rows = 128,
                                                                          .intermediate = 4864,
                                                                          .biases = true,
                                                                          .tied = true}));
  built += write_text(folder + "/config.json", R"({
  "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 896,
  "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
  "vocab_size": 151936, "tie_word_embeddings": true})");
  return built;
}

BuiltModel build_deepseek_v3(const std::string& folder) {
  constexpr std::uint64_t kHidden = 7168;
  constexpr std::uint64_t kExpert = 2048;
  std::vector<TensorSpec> specs;
  specs.push_back({"model.embed_tokens.weight", "BF16", {129280, kHidden}});
  for (int i = 0; i < 61; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    const std::string attention = layer + "self_attn.";
    specs.push_back({layer + "input_layernorm.weight", "BF16", {kHidden}});
    add_fp8_block(specs, attention + "q_a_proj", 1536, kHidden);
    specs.push_back({attention + "q_a_layernorm.weight", "BF16", {1536}});
    add_fp8_block(specs, attention + "q_b_proj", 24576, 1536);
    add_fp8_block(specs, attention + "kv_a_proj_with_mqa", 576, kHidden);
    specs.push_back({attention + "kv_a_layernorm.weight", "BF16", {512}});
    add_fp8_block(specs, attention + "kv_b_proj", 32768, 512);
    add_fp8_block(specs, attention + "o_proj", kHidden, 16384);
    specs.push_back({layer + "post_attention_layernorm.weight", "BF16", {kHidden}});
    const auto feed_forward = [&](const std::string& module, std::uint64_t inner) {
      add_fp8_block(specs, module + ".gate_proj", inner, kHidden);
      add_fp8_block(specs, module + ".up_proj", inner, kHidden);
      add_fp8_block(specs, module + ".down_proj", kHidden, inner);
    };
    if (i < 3) {
      feed_forward(layer + "mlp", 18432);
      continue;
    }
    specs.push_back({layer + "mlp.gate.weight", "BF16", {256, kHidden}});
    specs.push_back({layer + "mlp.gate.e_score_correction_bias", "F32", {256}});
    feed_forward(layer + "mlp.shared_experts", kExpert);
    for (int e = 0; e < 256; ++e) feed_forward(fmt::format("{}mlp.experts.{}", layer, e), kExpert);
  }
  specs.push_back({"model.norm.weight", "BF16", {kHidden}});
  specs.push_back({"lm_head.weight", "BF16", {129280, kHidden}});
  BuiltModel built = write_sharded(folder, specs, 163);
  built += write_text(folder + "/config.json", R"({
  "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_size": 7168,
  "num_hidden_layers": 61, "n_routed_experts": 256, "vocab_size": 129280,
  "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                          "weight_block_size": [128, 128]}})");
  return built;
}

BuiltModel build_gpt_oss_20b(const std::string& folder) {
  constexpr std::uint64_t kHidden = 2880;
  std::vector<TensorSpec> specs;
  specs.push_back({"model.embed_tokens.weight", "BF16", {201088, kHidden}});
  for (int i = 0; i < 24; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    const auto linear = [&](const std::string& name, std::uint64_t rows, std::uint64_t cols) {
      specs.push_back({layer + name + ".weight", "BF16", {rows, cols}});
      specs.push_back({layer + name + ".bias", "BF16", {rows}});
    };
    specs.push_back({layer + "input_layernorm.weight", "BF16", {kHidden}});
    linear("self_attn.q_proj", 4096, kHidden);
    linear("self_attn.k_proj", 512, kHidden);
    linear("self_attn.v_proj", 512, kHidden);
    linear("self_attn.o_proj", kHidden, 4096);
    specs.push_back({layer + "self_attn.sinks", "BF16", {64}});
    specs.push_back({layer + "post_attention_layernorm.weight", "BF16", {kHidden}});
    linear("mlp.router", 32, kHidden);
    for (const auto& [name, rows] :
         {std::pair("gate_up_proj", 2 * kHidden), std::pair("down_proj", kHidden)}) {
      const std::string stack = fmt::format("{}mlp.experts.{}", layer, name);
      specs.push_back({stack + "_blocks", "U8", {32, rows, kHidden / 32, 16}});
      specs.push_back({stack + "_scales", "U8", {32, rows, kHidden / 32}});
      specs.push_back({stack + "_bias", "BF16", {32, rows}});
    }
  }
  specs.push_back({"model.norm.weight", "BF16", {kHidden}});
  specs.push_back({"lm_head.weight", "BF16", {201088, kHidden}});
  BuiltModel built = write_sharded(folder, specs, 3);
  built += write_text(folder + "/config.json", R"({
  "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "hidden_size": 2880,
  "num_hidden_layers": 24, "num_local_experts": 32, "vocab_size": 201088,
  "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert":
    ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}})");
  return built;
}

namespace {

struct GgufType {
  std::string_view name;
  std::uint32_t id, block, bytes;
};

BuiltModel write_sparse_gguf(const std::string& path, const GgufType& type) {
  // TinyLlama's shapes, rows first.
  constexpr std::uint64_t kHidden = 2048;
  GgufBuilder gguf;
  gguf.text("general.architecture", "llama").text("general.name", "TinyLlama");
  gguf.u32("llama.block_count", 22).u32("llama.embedding_length", kHidden);
  BuiltModel built{.files = 1};
  std::uint64_t offset = 0;
  std::uint64_t stored = 0;  // what the builder writes itself: up to its last small offset
  const auto add = [&](const std::string& name, const std::vector<std::uint64_t>& dims,
                       bool quantized) {
    gguf.tensor(name, dims, quantized ? type.id : 0, "", offset);
    if (offset <= (1U << 24)) stored = offset;
    std::uint64_t elements = 1;
    for (const std::uint64_t dim : dims) elements *= dim;
    const std::uint64_t bytes = quantized ? elements / type.block * type.bytes : elements * 4;
    built.payload_bytes += bytes;
    offset += (bytes + 31) / 32 * 32;
    ++built.tensors;
  };
  add("token_embd.weight", {kHidden, 32000}, true);
  for (int i = 0; i < 22; ++i) {
    const std::string block = fmt::format("blk.{}.", i);
    add(block + "attn_norm.weight", {kHidden}, false);
    add(block + "attn_q.weight", {kHidden, kHidden}, true);
    add(block + "attn_k.weight", {kHidden, 256}, true);
    add(block + "attn_v.weight", {kHidden, 256}, true);
    add(block + "attn_output.weight", {kHidden, kHidden}, true);
    add(block + "ffn_norm.weight", {kHidden}, false);
    add(block + "ffn_gate.weight", {kHidden, 5632}, true);
    add(block + "ffn_up.weight", {kHidden, 5632}, true);
    add(block + "ffn_down.weight", {5632, kHidden}, true);
  }
  add("output_norm.weight", {kHidden}, false);
  add("output.weight", {kHidden, 32000}, true);
  std::string head = gguf.build();
  if (stored == 0) head.resize((head.size() + 31) / 32 * 32);
  write_sparse(path, head, head.size() - stored + offset);
  built.header_bytes = head.size() - stored;
  return built;
}

}  // namespace

BuiltModel build_gguf_quants(const std::string& folder) {
  constexpr GgufType kTypes[] = {
      {"Q2_K", 10, 256, 84},    {"Q3_K", 11, 256, 110},   {"Q4_0", 2, 32, 18},
      {"Q4_1", 3, 32, 20},      {"Q4_K", 12, 256, 144},   {"Q5_0", 6, 32, 22},
      {"Q5_K", 13, 256, 176},   {"Q6_K", 14, 256, 210},   {"Q8_0", 8, 32, 34},
      {"IQ4_XS", 23, 256, 136}, {"IQ2_XXS", 16, 256, 66}, {"F16", 1, 1, 2}};
  BuiltModel built;
  for (const GgufType& type : kTypes) {
    built += write_sparse_gguf(fmt::format("{}/TinyLlama-1.1B-{}.gguf", folder, type.name), type);
  }
  return built;
}

BuiltModel build_lora_adapter(const std::string& folder) {
  std::vector<TensorSpec> specs;
  for (int i = 0; i < 32; ++i) {
    for (const auto& [name, rows] : {std::pair("q_proj", 4096u), std::pair("v_proj", 1024u)}) {
      const std::string module =
          fmt::format("base_model.model.model.layers.{}.self_attn.{}", i, name);
      specs.push_back({module + ".lora_A.weight", "F32", {16, 4096}});
      specs.push_back({module + ".lora_B.weight", "F32", {rows, 16}});
    }
  }
  BuiltModel built = write_sparse_safetensors(folder + "/adapter_model.safetensors", specs);
  built += write_text(folder + "/adapter_config.json", R"({
  "base_model_name_or_path": "meta-llama/Meta-Llama-3-8B", "peft_type": "LORA", "r": 16,
  "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"})");
  return built;
}

BuiltModel build_llava(const std::string& folder) {
  std::vector<TensorSpec> specs = text_model({.vocab = 32064,
                                              .hidden = 4096,
                                              .layers = 32,
                                              .q_rows = 4096,
                                              .kv_rows = 4096,
                                              .intermediate = 11008,
                                              .tied = true,
                                              .prefix = "language_model.model"});
  specs.push_back({"language_model.lm_head.weight", "BF16", {32064, 4096}});
  for (int i = 1; i <= 2; ++i) {
    const std::string linear = fmt::format("multi_modal_projector.linear_{}", i);
    specs.push_back({linear + ".weight", "BF16", {4096, i == 1 ? 1024u : 4096u}});
    specs.push_back({linear + ".bias", "BF16", {4096}});
  }
  const std::string tower = "vision_tower.vision_model.";
  specs.push_back({tower + "embeddings.patch_embedding.weight", "BF16", {1024, 3, 14, 14}});
  for (int i = 0; i < 24; ++i) {
    const std::string layer = fmt::format("{}encoder.layers.{}.", tower, i);
    specs.push_back({layer + "self_attn.q_proj.weight", "BF16", {1024, 1024}});
    specs.push_back({layer + "mlp.fc1.weight", "BF16", {4096, 1024}});
    specs.push_back({layer + "mlp.fc2.weight", "BF16", {1024, 4096}});
  }
  BuiltModel built = write_sharded(folder, specs, 3);
  built += write_text(folder + "/config.json", R"({
  "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava",
  "text_config": {"model_type": "llama", "hidden_size": 4096, "vocab_size": 32064},
  "vision_config": {"model_type": "clip_vision_model", "hidden_size": 1024}})");
  return built;
}

BuiltModel build_llama3_405b_fp8(const std::string& folder) {
  std::vector<TensorSpec> specs = text_model({.vocab = 128256,
                                              .hidden = 16384,
                                              .layers = 126,
                                              .q_rows = 16384,
                                              .kv_rows = 1024,
                                              .intermediate = 53248});
  std::vector<TensorSpec> mixed;
  for (TensorSpec& spec : specs) {
    const bool feed_forward = spec.name.find(".mlp.") != std::string::npos;
    if (feed_forward) {
      const std::string scale = spec.name + "_scale";
      mixed.push_back({spec.name, "F8_E4M3", spec.shape});
      mixed.push_back({scale, "F32", {spec.shape[0], 1}});
    } else {
      mixed.push_back(std::move(spec));
    }
  }
  BuiltModel built = write_sharded(folder, mixed, 109);
  built += write_text(folder + "/config.json", R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16384,
  "num_hidden_layers": 126, "vocab_size": 128256,
  "quantization_config": {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}})");
  return built;
}

BuiltModel build_many_tensors(const std::string& path, std::uint64_t tensors) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors);
  constexpr std::string_view kNames[] = {"gate_proj", "up_proj", "down_proj"};
  for (std::uint64_t i = 0; i < tensors; ++i) {
    specs.push_back({fmt::format("model.layers.{}.mlp.experts.{}.{}.weight", i / 768, i / 3 % 256,
                                 kNames[i % 3]),
                     "BF16",
                     {4, 4}});
  }
  return write_sparse_safetensors(path, specs);
}

BuiltModel build_large_file(const std::string& path, std::uint64_t tensors, std::uint64_t bytes) {
  constexpr std::uint64_t kCols = 8192;
  const std::uint64_t rows = bytes / tensors / 2 / kCols;
  std::vector<TensorSpec> specs;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    specs.push_back({fmt::format("model.layers.{}.mlp.up_proj.weight", i), "BF16", {rows, kCols}});
  }
  return write_sparse_safetensors(path, specs);
}

}  // namespace qi::test
