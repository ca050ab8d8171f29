// The metadata of a GGUF file to be written, key by key, as the bytes that go into the file
// (version 3, little-endian); and what a model's configuration and tokenizer become there.
// Refuses architectures and vocabularies that llama.cpp has no keys for (kUsage, kBadSchema), and
// files beside the model that are not what they should be. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor/model.h"

namespace qi {

class GgufKeys {
 public:
  void text(std::string_view key, std::string_view value);
  void u32(std::string_view key, std::uint64_t value);
  void i32(std::string_view key, std::int32_t value);
  void f32(std::string_view key, double value);
  void boolean(std::string_view key, bool value);
  void texts(std::string_view key, std::span<const std::string> values);
  void floats(std::string_view key, std::span<const float> values);
  void numbers(std::string_view key, std::span<const std::int32_t> values);
  /// As it was read from another file of either byte order.
  void copy(const MetaEntry& entry);

  std::uint64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void begin(std::string_view key, std::uint32_t type);
  void put_text(std::string_view value);
  template <typename T>
  void put(T value);

  std::string bytes_;
  std::uint64_t count_ = 0;
};

/// What llama.cpp does differently for the architectures that it knows.
struct GgufArchitecture {
  std::string_view hugging_face;  // in config.json
  std::string_view name;          // general.architecture
  bool rotary_pairs = false;      // q and k rows of a rotation stand side by side
  bool norm_plus_one = false;     // norms are stored as what they multiply with
  bool key_length = false;        // heads of a size of their own
};
/// Throws kUsage, naming those it knows.
const GgufArchitecture& gguf_architecture(const Model& model);

/// general.architecture, general.name and the sizes of the network, from config.json.
void add_model_keys(const Model& model, const GgufArchitecture& architecture, GgufKeys& keys);
/// Factors by which Llama 3 stretches its rotary waves, "rope_freqs.weight": [head size / 2];
/// empty: none.
std::vector<float> rotary_factors(const Model& model);

/// tokenizer.*, from tokenizer.json, tokenizer_config.json and config.json beside the model; tokens
/// that the embeddings have beyond those of the tokenizer are unused ones. Notes say what was not
/// found, or has no name in llama.cpp.
void add_tokenizer_keys(const Model& model, GgufKeys& keys, std::vector<std::string>& notes);

}  // namespace qi
