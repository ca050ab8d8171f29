// Tokenizers for tests: of the sample models, of a tokenizer.json as text, and of GGUF keys built
// in memory. Header only, one thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/format/gguf.h"
#include "engine/format/open.h"
#include "engine/format/qstore_writer.h"
#include "engine/io/xxh3.h"
#include "eval/tokenizer/pipeline.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/temp_dir.h"

namespace qi::test {

using Json = nlohmann::ordered_json;

inline const std::string kModels = std::string(QI_TEST_DATA) + "/models/";

inline Json read_json(const std::string& path) {
  return Json::parse(read_file(path));
}

inline std::unique_ptr<Tokenizer> load(const std::string& path) {
  return load_tokenizer(open_model(find_models(path).models.at(0)));
}

inline std::unique_ptr<Tokenizer> of_json(std::string_view text) {
  return make_pipeline(read_tokenizer_json(text, "tokenizer.json"));
}

inline std::unique_ptr<Tokenizer> of_gguf(const GgufBuilder& builder) {
  const TempDir folder;
  return load_tokenizer(open_gguf({folder.write("model.gguf", builder.build())}));
}

/// XXH3 of the tokens as little-endian 32-bit numbers.
inline std::uint64_t digest(const std::vector<std::int32_t>& ids) {
  return XXH3_64bits(ids.data(), 4 * ids.size());
}

inline void add_texts(GgufBuilder& to, std::string_view key,
                      const std::vector<std::string>& texts) {
  ByteWriter value = to.writer();
  value.number<std::uint32_t>(8).number<std::uint64_t>(texts.size());
  for (const std::string& text : texts) value.text(text);
  to.key(key, 9, value.str());
}

template <typename T>
void add_numbers(GgufBuilder& to, std::string_view key, std::uint32_t type,
                 const std::vector<T>& numbers) {
  ByteWriter value = to.writer();
  value.number<std::uint32_t>(type).number<std::uint64_t>(numbers.size());
  for (const T number : numbers) value.number<T>(number);
  to.key(key, 9, value.str());
}

/// wap's tokenizer.json in the keys that a converter makes of it.
inline GgufBuilder wap_in_gguf(std::string_view pre) {
  const Json file = read_json(kModels + "wap/tokenizer.json");
  std::vector<std::string> tokens(2048);
  for (const auto& [text, id] : file["model"]["vocab"].items()) {
    tokens[id.get<std::size_t>()] = text;
  }
  std::vector<std::int32_t> types(2048, 1);
  for (const Json& added : file["added_tokens"]) {
    tokens[added["id"].get<std::size_t>()] = added["content"].get<std::string>();
    types[added["id"].get<std::size_t>()] = 3;
  }
  GgufBuilder builder;
  builder.text("general.architecture", "llama").text("tokenizer.ggml.model", "gpt2");
  builder.text("tokenizer.ggml.pre", pre);
  add_texts(builder, "tokenizer.ggml.tokens", tokens);
  add_numbers(builder, "tokenizer.ggml.token_type", 5, types);
  add_texts(builder, "tokenizer.ggml.merges",
            file["model"]["merges"].get<std::vector<std::string>>());
  builder.u32("tokenizer.ggml.bos_token_id", 2046).u32("tokenizer.ggml.eos_token_id", 2047);
  return builder;
}

}  // namespace qi::test
