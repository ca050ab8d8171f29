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

  Context context() const override { return kInPicker; }
  std::string why_not(Command command) const override;

 private:
  void arrange() override;
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Request run(Command command) override;
  Request mouse(const Key& key) override;

  std::string path_;
  std::vector<PickerEntry> entries_;
  ListCursor list_;
};

}  // namespace qi
