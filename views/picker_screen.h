// Where a path holds several models: which one to open. Names from the file system are escaped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "views/list_cursor.h"
#include "views/screen.h"

namespace qi {

struct PickerEntry {
  std::string name;  // raw
  std::string kind;  // "gguf", "safetensors, 4 files"
  std::string path;  // raw
  std::uint64_t size_bytes = 0;
};

class PickerScreen final : public Screen {
 public:
  PickerScreen(std::string path, std::vector<PickerEntry> entries);

  void resize(Size size) override;
  void draw(Canvas& canvas, const Glyphs& glyphs) const override;
  Request handle(const Key& key) override;
  Context context() const override { return kInPicker; }
  std::size_t choice() const { return list_.at(); }
  /// A line above the footer: why the last choice could not be opened.
  void set_notice(std::string text) { notice_ = std::move(text); }

 private:
  std::string path_;
  std::vector<PickerEntry> entries_;
  std::string notice_;
  ListCursor list_;
  Size size_;
};

}  // namespace qi
