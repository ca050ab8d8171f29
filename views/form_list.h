// The lines of a form: sections that can be switched on, each with its fields below it while it is
// on; a field is a switch or takes a line of text. Owns what was chosen and typed, moves and edits,
// draws itself. Knows neither what the fields mean nor whether a text is right. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "views/canvas.h"
#include "views/glyphs.h"
#include "views/key.h"
#include "views/list_cursor.h"
#include "views/text_field.h"

namespace qi {

struct FormField {
  std::string name;      // one among all sections is one field
  std::string values;    // what it takes, for people: "4,8,16"; empty: a switch
  std::string defaults;  // what counts while nothing is typed; may be empty
  std::string help;
};

struct FormSection {
  std::string name;
  std::string description;
  std::vector<FormField> fields;
  bool on = false;
  bool fixed = false;  // always on, without a switch
};

/// How many of the sections that are not fixed can be on.
enum class FormSwitches : std::uint8_t { kAny, kOne };

class FormList {
 public:
  explicit FormList(std::vector<FormSection> sections, FormSwitches switches = FormSwitches::kAny);

  const std::vector<FormSection>& sections() const { return sections_; }
  /// What stands in a field instead of its default ("on" of a switch); null: nothing does.
  const std::string* typed(std::string_view field) const;

  bool empty() const { return lines_.empty(); }
  bool editing() const { return editing_; }
  /// True: it moved.
  bool move(Command command) { return cursor_.handle(command); }
  /// Turns the section or switch under the cursor, or begins to edit the field. True: what is
  /// chosen changed.
  bool change();
  /// The field's default again.
  void reset();
  /// Why reset() has nothing to do; empty: it has.
  std::string why_not_reset() const;
  enum class Typed { kNothing, kChanged, kNoKey };
  /// A key while editing().
  Typed type(const Key& key, Command command);
  /// A click on a line goes there, on the cursor's line it is change(). True as there.
  bool mouse(const Key& key);

  void arrange(const Rect& area);
  void paint(Canvas& canvas, const Glyphs& glyphs) const;

 private:
  // A line: a section, or one of its fields.
  struct Line {
    std::size_t section = 0;
    int field = -1;
  };
  const FormField* field(const Line& line) const;
  const FormField* current() const;
  Rect list_area() const;
  void list_lines();
  std::size_t switch_others_off(const FormSection& kept);
  void paint_section(Canvas& canvas, const Glyphs& glyphs, const FormSection& section, int y) const;
  void paint_field(Canvas& canvas, const Glyphs& glyphs, const FormField& field, int y,
                   bool edited) const;
  void paint_help(Canvas& canvas, const Glyphs& glyphs) const;

  std::vector<FormSection> sections_;
  FormSwitches switches_;
  std::map<std::string, std::string, std::less<>> typed_;
  std::vector<Line> lines_;
  ListCursor cursor_;
  bool editing_ = false;
  TextField text_;
  Rect area_;
};

}  // namespace qi
