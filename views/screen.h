// What every screen is: keys in, state out, and a drawing of that state on a canvas. The way of a
// key is the same on all of them and stands here: text field, mouse, key table, why it cannot act.
// No terminal, no clock, no threads: whatever happens outside comes in through member functions.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/key.h"
#include "views/keymap.h"
#include "views/text_table.h"

namespace qi {

/// What a screen asks of the program after a key.
enum class Ask : std::uint8_t {
  kNothing,
  kBack,  // one screen back
  kQuit,
  kHelp,
  kCommandLine,  // `text`: what stands in it already
  kCopy,         // copy_text() to the clipboard
  kExport,       // table_shown() to a file: asks for its name
  kOpen,         // the picker's entry `index`
  kAnalyseAll,
  kCancelJobs,     // `index`: the JobId of one job; 0: what this screen waits for
  kPauseJob,       // `index`: the JobId; a paused one goes on
  kShowJobErrors,  // `index`: the JobId
  kShowWeight,     // `index`: the weight
  kShowHeatmap,
  kShowMetadata,
  kShowDiff,    // `text`: path of the other model; empty: the diff there is, else asks for one
  kShowVerify,  // on the Verify screen itself: once more
  kShowJobs,
  kShowLog,
  kShowSweep,       // the form; on the Model screen the sweep there is, if there is one
  kStartSweep,      // the form's
  kShowResults,     // of all runs
  kShowEval,        // the form, for the configuration under the cursor or the open model
  kStartEval,       // the form's
  kShowQuantize,    // on the Model screen the quantization there is, else the form
  kStartQuantize,   // the form's
  kShowRows,        // rows_under_cursor() of the top screen, a ResultSource
  kShowNamed,       // `text`: the weight of that name
  kCompare,         // compared_sides() of the top screen
  kPlan,            // planned_rows() of the top screen
  kStore,           // encode the model, decode the container: asks for the name
  kColumnsChanged,  // the Model screen's choice of columns: to be remembered
};

struct Request {
  Ask ask = Ask::kNothing;
  std::string text;
  std::uint64_t index = 0;

  // Most requests are the question alone.
  Request() = default;
  Request(Ask what) : ask(what) {}  // NOLINT(google-explicit-constructor)
  Request(Ask what, std::string words) : ask(what), text(std::move(words)) {}
  Request(Ask what, std::uint64_t which) : ask(what), index(which) {}
  bool operator==(const Request&) const = default;
};

class Screen {
 public:
  virtual ~Screen() = default;
  Screen() = default;
  Screen(Screen&&) = default;
  Screen& operator=(Screen&&) = default;

  /// Before the first drawing and whenever the size changes.
  void resize(Size size);
  /// Draws on a blank canvas of the size given to resize(); below kMinimum what it needs.
  void draw(Canvas& canvas, const Glyphs& glyphs) const;
  Request handle(const Key& key);
  /// Where the keys go now; the help shows those first.
  virtual Context context() const = 0;

  /// Why a command can do nothing now, printable; empty when it can. The footer leaves out what
  /// cannot act.
  virtual std::string why_not(Command) const { return ""; }
  /// The table shown, all its rows: what `e` writes. No columns: there is none.
  virtual TextTable table_shown() const { return {}; }
  /// What `y` copies, raw; empty: nothing.
  virtual std::string copy_text() const { return ""; }

  /// A line that stays until the next key; printable.
  const std::string& notice() const { return notice_; }
  void set_notice(std::string text) { notice_ = std::move(text); }

 protected:
  Size size() const { return size_; }
  Rect bounds() const { return {0, 0, size_.width, size_.height}; }
  /// Recomputes what depends on size().
  virtual void arrange() {}
  /// Draws everything, in a size that is large enough.
  virtual void paint(Canvas& canvas, const Glyphs& glyphs) const = 0;
  /// A command of the key table that can act in context(). Those that mean the same on every screen
  /// (help, quit, command line, jobs, log, copy, export) do not come here.
  virtual Request run(Command command) = 0;
  /// A wheel step, click, drag or release at key.x, key.y.
  virtual Request mouse(const Key&) { return {}; }
  /// A key while context() is a text field; `command` is what the key table says of it there.
  virtual Request typed(const Key&, Command) { return {}; }

  /// The last line: the notice, else the keys that can act.
  void paint_footer(Canvas& canvas, const Glyphs& glyphs) const;
  /// The first line: where one is on the left, facts on the right, which leave first.
  void paint_title(Canvas& canvas, const Glyphs& glyphs, std::string_view title,
                   std::string_view facts) const;

 private:
  Size size_;
  std::string notice_;
};

}  // namespace qi
