#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/detail_view.h"
#include "views/model_screen.h"
#include "views/widgets.h"

namespace qi {
namespace {

// "12 of 291 · 537 M · 1.00 GiB · 16.00 → 10.55 b/w": a count and what it sums up to, from the
// count alone (0) over bytes (1) and bits per weight (2) to everything (3).
std::string totals_text(std::string count, const Totals& totals, int detail, const Glyphs& glyphs) {
  const std::string dot = fmt::format(" {} ", glyphs.dot);
  if (detail >= 3) count += dot + human_count(totals.params);
  if (detail >= 1) count += dot + human_bytes(totals.size_bytes);
  if (detail < 2 || totals.params == 0) return count;
  count += fmt::format("{}{:.2f}", dot, totals.bits_per_weight());
  if (const auto bits = totals.predicted_bits()) {
    count += fmt::format(" {} {}{:.2f}", glyphs.arrow,
                         totals.analysed < totals.weights ? glyphs.almost : "", *bits);
  }
  return count + " b/w";
}

std::string kind_text(const Model& model) {
  if (model.kind == ModelKind::kModel) return "";
  std::string out = fmt::format("  {}", kind_name(model.kind));
  if (model.adapter_rank) out += fmt::format(" rank {}", *model.adapter_rank);
  if (!model.base_model.empty()) out += fmt::format(" of {}", escape(model.base_model));
  return out;
}

}  // namespace

void ModelScreen::paint(Canvas& canvas, const Glyphs& glyphs) const {
  draw_title(canvas, glyphs);
  draw_filter(canvas, glyphs);
  draw_rules(canvas, glyphs);
  draw_tree(canvas, glyphs);
  draw_table(canvas, glyphs);
  if (const auto weight = current_weight()) {
    const std::string waiting =
        job_.active ? "being analysed, or next in line" : "not analysed: A analyses every weight";
    draw_detail(canvas, layout_.detail, table_, *weight, waiting, glyphs);
  }
  draw_status(canvas, glyphs);
  if (chooser_) chooser_->draw(canvas, placed_columns(), glyphs);
  draw_footer_line(canvas, glyphs);
}

void ModelScreen::draw_title(Canvas& canvas, const Glyphs& glyphs) const {
  const Rect& area = layout_.title;
  const Model& model = table_.model();
  const Totals& all = table_.all();
  const auto bits = table_.predicted_bits();
  const std::string predicted =
      bits ? fmt::format(" {} {}{:.2f}", glyphs.arrow,
                         table_.analysed() < table_.size() ? glyphs.almost : "", *bits)
           : "";
  const std::string dot = fmt::format(" {} ", glyphs.dot);
  const std::string label = table_.main_label().empty() ? "" : table_.main_label() + " ";
  const std::string rate = fmt::format("{:.2f}", table_.bits_per_weight());
  const std::string counts = counted(all.weights, "weight");
  const std::string params = human_count(all.params);
  const std::string bytes = human_bytes(all.size_bytes);
  // From full to short; the first that leaves room for the name is taken.
  const std::array<std::string, 4> facts = {
      fmt::format("{}{}{} params{}{}{}{}{} b/w{}", counts, dot, params, dot, bytes, dot, label,
                  rate, predicted),
      fmt::format("{}  {}  {}  {}{} b/w", counts, params, bytes, rate, predicted),
      fmt::format("{}  {}  {}", counts, params, bytes),
      bytes,
  };
  std::string name = escape(model.name);
  const std::string kind = kind_text(model);
  const bool wide = layout_.wide;
  const int before = wide ? 11 : 1;  // " qinspect  "
  const int name_width = std::min(display_width(name) + display_width(kind), area.width / 3);
  std::size_t choice = 0;
  while (choice + 1 < facts.size() &&
         before + name_width + 3 + display_width(facts[choice]) > area.width - 1) {
    ++choice;
  }
  const int room = area.width - 1 - display_width(facts[choice]) - 3 - before;
  if (wide) canvas.text(area, 1, area.y, "qinspect", {Ink::kAccent});
  name = elide_middle(name, std::max(0, room), glyphs.ellipsis);
  const int x = canvas.text(area, before, area.y, name, {Ink::kStrong});
  canvas.text(area, x, area.y, elide_end(kind, std::max(0, before + room - x), glyphs.ellipsis),
              {Ink::kDim});
  canvas.text_right(area, area.right() - 1, area.y, facts[choice]);
}

namespace {

// What the rows shown and the marked ones come to, in as much detail as there is room for. Of
// everything the title says the rest.
std::pair<std::string, std::string> counts_text(const WeightTable& table, int room, bool wide,
                                                const Glyphs& glyphs) {
  struct Detail {
    int shown, marked;
  };
  constexpr std::array kDetails = {Detail{3, 3}, Detail{2, 3}, Detail{2, 2}, Detail{1, 2},
                                   Detail{1, 1}, Detail{0, 1}, Detail{0, 0}};
  const Totals& shown = table.shown();
  const int most = shown.weights < table.size() ? 3 : wide ? 1 : 0;
  const std::string of = fmt::format("{} of {}", grouped(shown.weights), grouped(table.size()));
  const std::uint64_t marks = table.marked().weights;
  std::string count, marked;
  for (const Detail& detail : kDetails) {
    count = totals_text(of, shown, std::min(detail.shown, most), glyphs);
    if (marks > 0) {
      marked = totals_text(
          fmt::format("  {} {}{}", glyphs.mark, grouped(marks), detail.marked > 0 ? " marked" : ""),
          table.marked(), detail.marked, glyphs);
    }
    if (display_width(count) + display_width(marked) <= room) break;
  }
  return {count, marked};
}

// Cells that the filter's field must keep: some of a long pattern is enough.
int field_width(const std::string& typed, int right) {
  constexpr int kLabel = 20;  // "/ filters by name"
  return typed.empty() ? kLabel : std::max(kLabel, std::min(12 + display_width(typed), right / 3));
}

}  // namespace

void ModelScreen::draw_filter(Canvas& canvas, const Glyphs& glyphs) const {
  const Rect& area = layout_.filter;
  const int y = area.y;
  // On the right: how far the analysis is.
  int right = area.right() - 1;
  if (table_.size() > 0) {
    const std::size_t done = table_.analysed() + table_.failed();
    const int bar = layout_.wide ? 10 : 6;
    const std::string text = fmt::format("analysed {}/{} ", grouped(done), grouped(table_.size()));
    right -= bar;
    draw_progress(canvas, {right, y, bar, 1},
                  static_cast<double>(done) / static_cast<double>(table_.size()), glyphs);
    canvas.text_right(area, right, y, text, {Ink::kDim});
    right -= display_width(text) + 2;
  }
  // Before it: how much is shown and how much is marked.
  const std::string typed = filtering_ ? field_.text() : escape(table_.filter());
  const int least = field_width(typed, right);
  const auto [count, marked] =
      counts_text(table_, std::max(0, right - least), layout_.wide, glyphs);
  const int width = display_width(count) + display_width(marked);
  // Under the table's first column where the field leaves that free.
  const std::string shown_text =
      elide_middle(typed, std::max(4, right - width - 14), glyphs.ellipsis);
  const int field_end = typed.empty() ? 0 : 10 + display_width(shown_text) + 2;
  const int wanted =
      layout_.wide ? layout_.rows.empty() ? layout_.detail.x + 1 : layout_.rows.x + kMarkCells : 34;
  const int x = std::min(std::max({wanted, field_end, least}), std::max(0, right - width));
  const bool none = table_.rows().empty() && table_.size() > 0;
  int end = canvas.text({0, y, right, 1}, x, y, count, {none ? Ink::kWarning : Ink::kText});
  canvas.text({0, y, right, 1}, end, y, marked, {Ink::kMark});

  const Rect field{0, y, std::max(0, x - 1), 1};
  if (!filtering_ && table_.filter().empty()) {
    const int key = canvas.text(field, 1, y, first_key(Command::kFilter, kInTable), {Ink::kKey});
    canvas.text(field, key + 1, y, "filters by name", {Ink::kDim});
    return;
  }
  end = canvas.text(field, 1, y, "filter: ", {Ink::kDim});
  const int after = canvas.text(field, end, y, shown_text, {Ink::kMatch});
  if (filtering_) {
    const int cursor = std::min(
        end + display_width(std::string_view(field_.text()).substr(0, field_.cursor())), after);
    canvas.set_cursor(std::min(cursor, field.right()), y);
    canvas.ground({end, y, std::max(1, after - end), 1}, Ground::kField);
  }
}

void ModelScreen::draw_rules(Canvas& canvas, const Glyphs& glyphs) const {
  const Style style{Ink::kRule};
  for (const Rect& rule : {layout_.top_rule, layout_.bottom_rule, layout_.detail_rule}) {
    canvas.fill(rule, glyphs.horizontal, style);
  }
  // Without a status line a warning stands in the rule.
  if (layout_.status.empty() && !warning_.empty() && !layout_.detail_rule.empty()) {
    const Rect& line = layout_.detail_rule;
    const std::string warning = elide_middle(escape(warning_), line.width - 8, glyphs.ellipsis);
    canvas.text_right(line, line.right() - 2, line.y, " " + warning + " ", {Ink::kWarning});
  }
  const Rect& rule = layout_.tree_rule;
  if (rule.empty()) return;
  canvas.fill(rule, glyphs.vertical, style);
  canvas.text(canvas.bounds(), rule.x, layout_.top_rule.y, glyphs.tee_down, style);
  canvas.text(canvas.bounds(), rule.x, layout_.bottom_rule.y, glyphs.tee_up, style);
  if (!layout_.detail_rule.empty()) {
    canvas.text(canvas.bounds(), rule.x, layout_.detail_rule.y, glyphs.tee_right, style);
  }
}

// What the analysis has come to when no job runs.
std::string ModelScreen::resting_text() const {
  const std::size_t left =
      table_.size() - std::min(table_.size(), table_.analysed() + table_.failed());
  if (table_.size() == 0) return "no weights";
  if (left > 0)
    return fmt::format("{} not analysed: A analyses every one", counted(left, "weight"));
  if (table_.failed() > 0) {
    return fmt::format("{} analysed, {} failed", counted(table_.analysed(), "weight"),
                       grouped(table_.failed()));
  }
  return table_.size() == 1 ? "the one weight is analysed"
                            : fmt::format("all {} analysed", counted(table_.size(), "weight"));
}

namespace {

std::string status_text(const JobStatus& job) {
  std::string text = fmt::format("{} {}/{}", job.name, grouped(job.done), grouped(job.total));
  if (job.paused) return text + "  paused";
  if (job.bytes_per_s > 0) text += fmt::format("  {}", human_rate(job.bytes_per_s));
  if (job.eta_s) text += fmt::format("  ETA {}", human_duration(*job.eta_s));
  return text;
}

}  // namespace

void ModelScreen::draw_status(Canvas& canvas, const Glyphs& glyphs) const {
  const Rect& area = layout_.status;
  if (area.empty()) return;
  int right = area.right() - 1;
  const std::string resting = resting_text();
  if (notice().empty() && !warning_.empty()) {
    // A job's numbers change their width; the warning must not move with them.
    const int taken = job_.active || !others_.empty() ? area.width * (others_.empty() ? 2 : 3) / 4
                                                      : std::max(display_width(resting) + 5, 30);
    const std::string warning = elide_middle(escape(warning_), area.width - taken, glyphs.ellipsis);
    canvas.text_right(area, right, area.y, warning, {Ink::kWarning});
    right -= display_width(warning) + 2;
  }
  const Rect room{area.x, area.y, std::max(0, right - area.x), 1};
  if (!notice().empty()) {
    canvas.text(room, area.x + 1, area.y, elide_end(notice(), room.width - 1, glyphs.ellipsis),
                {Ink::kWarning});
    return;
  }
  if (job_.active || !others_.empty()) {
    const unsigned tick = job_.active ? job_.tick : others_.front().tick;
    int x = canvas.text(room, area.x + 1, area.y, glyphs.spinner[tick % glyphs.spinner.size()],
                        {Ink::kAccent});
    x = canvas.text(room, x, area.y, " ");
    if (job_.active) x = canvas.text(room, x, area.y, status_text(job_));
    for (const JobStatus& other : others_) {
      if (&other != &others_.front() || job_.active) {
        x = canvas.text(room, x, area.y, fmt::format(" {} ", glyphs.dot), {Ink::kDim});
      }
      x = canvas.text(room, x, area.y, status_text(other));
    }
    const bool one = others_.empty();
    const Command command = one ? Command::kCancel : Command::kShowJobs;
    x = canvas.text(room, x + 3, area.y, first_key(command, context()), {Ink::kKey});
    canvas.text(room, x, area.y, one ? " cancels" : " jobs", {Ink::kDim});
    return;
  }
  canvas.text(room, area.x + 1, area.y, resting, {Ink::kDim});
}

void ModelScreen::draw_footer_line(Canvas& canvas, const Glyphs& glyphs) const {
  const Rect& area = layout_.footer;
  // Without a status line, what a key has to say stands here until the next one.
  if (!layout_.wide && !notice().empty()) {
    canvas.text(area, area.x + 1, area.y, elide_end(notice(), area.width - 2, glyphs.ellipsis),
                {Ink::kWarning});
    return;
  }
  draw_footer(canvas, area, context(),
              [this](Command command) { return why_not(command).empty(); });
}

}  // namespace qi
