// What every screen is: keys in, state out, and a drawing of that state on a canvas. No terminal,
// no clock, no threads: whatever happens outside comes in through member functions of the screen.
#pragma once

#include <cstdint>

#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/key.h"
#include "views/keymap.h"

namespace qi {

/// What a screen asks of the program after a key.
enum class Request : std::uint8_t {
  kNothing,
  kBack,
  kHelp,
  kQuit,
  kOpen,  // the picker's choice
  kAnalyseAll,
  kCancelJobs,
};

class Screen {
 public:
  virtual ~Screen() = default;
  /// Before the first drawing and whenever the size changes.
  virtual void resize(Size size) = 0;
  /// Draws on a blank canvas of the size given to resize().
  virtual void draw(Canvas& canvas, const Glyphs& glyphs) const = 0;
  virtual Request handle(const Key& key) = 0;
  /// Where the keys go now; the help shows those first.
  virtual Context context() const = 0;
};

}  // namespace qi
