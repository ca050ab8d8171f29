// The lines of the Metadata screen, without a screen: facts about the model, its configuration,
// the keys of its files, its tokenizer and its files. Arrays, large objects and long texts are
// folded; unfolding puts their elements below them, a page at a time. Arrays of a GGUF stay in the
// file: only elements that are shown are read. What cannot be read is a line that says why.
// One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "engine/format/tokenizer_facts.h"
#include "engine/tensor/model.h"

namespace qi {

struct MetaRow {
  /// Into the model, which outlives the lines, or own text.
  using Value =
      std::variant<std::string, const std::string*, const nlohmann::json*, const MetaArray*>;

  std::string source;  // "model", "config.json", "gguf", "__metadata__", "tokenizer" …
  std::string key;     // raw; of an element with its number: "tokens[12]"
  std::string type;    // "u32", "array", "string"
  Value value;
  std::uint16_t depth = 0;  // how many folds it lies in
  bool open = false;        // its elements stand below it
  bool fault = false;
  bool more = false;  // stands for the elements that are not shown yet, from `place` on
  ArrayPlace place;
};

class MetadataRows {
 public:
  static constexpr std::uint64_t kPage = 100;  // elements

  explicit MetadataRows(std::shared_ptr<const Model> model);
  const Model& model() const { return *model_; }

  std::size_t size() const { return rows_.size(); }
  const MetaRow& row(std::size_t index) const { return rows_[index]; }
  /// Puts them before the files; once. Returns where they begin.
  std::size_t add_tokenizer(std::vector<TokenizerFact> facts);

  /// Why Enter does nothing there; empty: it unfolds, folds or shows the next page.
  std::string why_not_fold(std::size_t index) const;
  /// Unfolds or folds; on a line that stands for more shows the next page in its place.
  void toggle(std::size_t index);

  /// The value, raw, cut after about `max_bytes`; of an array its length and first elements.
  std::string text(std::size_t index, std::uint64_t max_bytes) const;
  /// The same for a copy: arrays of a configuration whole, as JSON.
  std::string whole(std::size_t index, std::uint64_t max_bytes) const;
  /// A number that the value is, or the elements it has; NaN for texts.
  double number(std::size_t index) const;

 private:
  void add(std::string_view source, std::string_view key, std::string_view type, std::string value);
  void add_model();
  void add_json(std::vector<MetaRow>& out, std::string_view source, std::string key,
                const nlohmann::json& value, std::uint16_t depth);
  std::vector<MetaRow> page(const MetaRow& owner, ArrayPlace place);

  std::shared_ptr<const Model> model_;
  std::vector<MetaRow> rows_;
  std::size_t files_at_ = 0;  // where the tokenizer's lines go
  std::size_t unfolded_ = 0;  // lines from objects, while they are added
  mutable std::unordered_map<const MetaArray*, std::string> previews_;
};

}  // namespace qi
