// The Metadata screen: what the model's files say about it, as a table that can be searched, with
// the whole value of the line under the cursor below. The tokenizer's facts come in later, from a
// thread that may take its time. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "views/metadata_rows.h"
#include "views/table_screen.h"

namespace qi {

class MetadataScreen final : public TableScreen {
 public:
  explicit MetadataScreen(std::shared_ptr<const Model> model);

  /// "key = value", raw.
  std::string copy_text() const override;
  std::string why_not(Command command) const override;

  bool has_tokenizer() const { return has_tokenizer_; }
  void set_tokenizer(std::vector<TokenizerFact> facts);
  const MetadataRows& lines() const { return lines_; }

 private:
  MetadataScreen(std::shared_ptr<const Model> model, MetadataRows lines);

  Context place() const override { return kInMetadata; }
  std::size_t row_count() const override { return lines_.size(); }
  TableCell cell(std::size_t row, std::size_t column) const override;
  std::string export_text(std::size_t row, std::size_t column) const override;
  double sort_key(std::size_t row, std::size_t column) const override;
  std::string facts() const override;
  std::string detail(std::size_t row) const override;
  int detail_lines(int height) const override;
  Request enter(std::size_t row) override;

  std::string text_of(std::size_t row, std::size_t column, std::uint64_t max_bytes) const;

  MetadataRows lines_;
  bool has_tokenizer_ = false;
};

}  // namespace qi
