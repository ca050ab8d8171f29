// The Weight screen: everything about one weight. Draws what the table knows of it; reads nothing.
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "views/screen.h"
#include "views/weight_table.h"

namespace qi {

class WeightScreen final : public Screen {
 public:
  WeightScreen(std::shared_ptr<const WeightTable> table, std::uint32_t weight);

  Context context() const override { return kInWeight; }
  std::string copy_text() const override { return table_->weight(weight_).name; }
  std::uint32_t weight() const { return weight_; }

 private:
  void paint(Canvas& canvas, const Glyphs& glyphs) const override;
  Request run(Command command) override;

  std::shared_ptr<const WeightTable> table_;
  std::uint32_t weight_;
};

}  // namespace qi
