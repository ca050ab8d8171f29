#include "views/weight_screen.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/layout.h"
#include "views/weight_facts.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kMostZoom = 20;

}  // namespace

WeightScreen::WeightScreen(std::shared_ptr<const WeightTable> table, std::uint32_t weight)
    : table_(std::move(table)), weight_(weight) {
  show(weight);
}

// --- state

void WeightScreen::show(std::uint32_t weight) {
  weight_ = weight;
  details_.reset();
  stored_.clear();
  details_failure_.clear();
  progress_.reset();
  outliers_ = {};
  const Model& model = table_->model();
  previous_ = static_cast<std::uint32_t>(neighbour(model, weight, -1));
  next_ = static_cast<std::uint32_t>(neighbour(model, weight, 1));
  tied_ = table_->shared().next(weight).value_or(weight);
  const Weight& shown = table_->weight(weight);
  grid_.show(shown.rows(), shown.cols(), 0, 0);
  if (!shown.undecodable.empty()) grid_.set_failure(escape(shown.undecodable));
  statistics_changed();
}

void WeightScreen::statistics_changed() {
  const Statistics* known = table_->statistics(weight_);
  if (known != nullptr) grid_.set_spread(known->std.value_or(0), known->absmax.value_or(0));
}

void WeightScreen::set_details(std::uint32_t weight, std::shared_ptr<const WeightDetails> details,
                               std::vector<StoredPart> stored) {
  if (weight != weight_ || details == details_) return;
  details_ = std::move(details);
  stored_ = std::move(stored);
  details_failure_.clear();
  progress_.reset();
  outliers_.resize(outlier_count(*details_), 1);
}

void WeightScreen::set_details_failure(std::uint32_t weight, const std::string& reason) {
  if (weight != weight_) return;
  details_failure_ = escape(reason);
  progress_.reset();
}

std::optional<Tile> WeightScreen::wanted_window() const {
  if (too_small(size()) || places().values.empty()) return {};
  return grid_.wanted();
}

void WeightScreen::set_window(std::uint32_t weight, std::shared_ptr<const ValueWindow> window) {
  if (weight == weight_) grid_.set_window(std::move(window));
}

void WeightScreen::set_window_failure(std::uint32_t weight, const std::string& reason) {
  if (weight == weight_) grid_.set_failure(escape(reason));
}

void WeightScreen::arrange() {
  const Rect values = places().values;
  grid_.resize({values.width, values.height});
}

// --- keys

std::string WeightScreen::why_not(Command command) const {
  const Weight& shown = table_->weight(weight_);
  const Size now = size();
  switch (command) {
    case Command::kPreviousLayer:
    case Command::kNextLayer: {
      if (shown.layer < 0) return "this weight is in no layer";
      const bool none = (command == Command::kNextLayer ? next_ : previous_) == weight_;
      return none ? fmt::format("no weight like this in a layer {} it",
                                command == Command::kNextLayer ? "after" : "before")
                  : "";
    }
    case Command::kTied:
      if (tied_ != weight_) return "";
      if (!table_->shared().tied_head().empty()) return table_->shared().tied_head();
      return "no other weight shares these bytes";
    case Command::kZoom: {
      const WeightLayout both = weight_layout(now, in_values_, false);
      return both.overview.empty() || both.values.empty()
                 ? "the pane is alone already: Tab goes to the other one"
                 : "";
    }
    case Command::kAxis:
      if (places().overview.empty()) return "no chart is shown: Tab goes to them";
      return is_known() ? "" : "no histogram yet";
    case Command::kZoomIn:
      if (!is_known()) return "no histogram yet";
      if (details_ == nullptr) return "the values are not counted finely yet";
      return zoom_ == kMostZoom ? "there is nothing finer to see" : "";
    case Command::kZoomOut:
      return zoom_ == 0 ? "all values are shown" : "";
    case Command::kLeft:
    case Command::kRight:
    case Command::kEnter:
    case Command::kUp:
    case Command::kDown:
    case Command::kHalfUp:
    case Command::kHalfDown:
    case Command::kPageUp:
    case Command::kPageDown:
    case Command::kFirst:
    case Command::kLast:
      if (in_values_) return grid_.visible().rows == 0 ? "there are no values" : "";
      return outliers_.count() == 0 ? "there are no outliers to go through" : "";
    case Command::kForm:
      return grid_.has_form(ValueForm::kCode) || grid_.has_form(ValueForm::kHex)
                 ? ""
                 : "this scheme stores no code of its own for each value";
    case Command::kCancel:
      return progress_ ? "" : "nothing runs for this screen";
    default:
      return "";
  }
}

void WeightScreen::switch_pane() {
  in_values_ = !in_values_;
  arrange();
}

Request WeightScreen::run(Command command) {
  switch (command) {
    case Command::kBack:
      return Ask::kBack;
    case Command::kNextPane:
    case Command::kPreviousPane:
      switch_pane();
      return {};
    case Command::kZoom:
      zoomed_ = !zoomed_;
      arrange();
      return {};
    case Command::kPreviousLayer:
      show(previous_);
      return {};
    case Command::kNextLayer:
      show(next_);
      return {};
    case Command::kTied:
      show(tied_);
      return {};
    case Command::kAxis:
      logarithmic_ = !logarithmic_;
      return {};
    case Command::kZoomIn:
      ++zoom_;
      return {};
    case Command::kZoomOut:
      --zoom_;
      return {};
    case Command::kForm:
      grid_.next_form();
      return {};
    case Command::kCancel:
      return Ask::kCancelJobs;
    case Command::kEnter: {
      const Outlier& one = outlier_at(*details_, outliers_.at());
      if (!in_values_) switch_pane();
      grid_.move_to(one.row, one.col);
      return {};
    }
    default:
      if (in_values_) {
        grid_.handle(command);
      } else {
        outliers_.handle(command);
      }
      return {};
  }
}

Request WeightScreen::mouse(const Key& key) {
  const WeightLayout at = places();
  const bool wheel = key.code == KeyCode::kWheelUp || key.code == KeyCode::kWheelDown;
  const Command step = key.code == KeyCode::kWheelUp ? Command::kUp : Command::kDown;
  if (at.values.contains(key.x, key.y)) {
    for (int i = 0; i < 3 && wheel; ++i) grid_.handle(step);
    if (key.code != KeyCode::kClick) return {};
    grid_.click(key.x - at.values.x, key.y - at.values.y);
    if (!in_values_) switch_pane();
  } else if (at.overview.contains(key.x, key.y)) {
    if (wheel) outliers_.handle(step);
    if (key.code == KeyCode::kClick && in_values_) switch_pane();
  }
  return {};
}

TextTable WeightScreen::table_shown() const {
  if (in_values_) return grid_.table_shown();
  return facts_table(table_->model(), table_->weight(weight_), table_->statistics(weight_),
                     details_.get(), stored_);
}

// --- drawing

std::string WeightScreen::facts() const {
  const Weight& shown = table_->weight(weight_);
  std::string out = fmt::format("{}   {}   {:.2f} b/w", shape_text(shown.shape),
                                table_->label(weight_), shown.bits_per_weight());
  if (table_->is_marked(weight_)) out += "   marked";
  return out;
}

Overview WeightScreen::overview() const {
  Overview out(*table_, weight_);
  out.details = details_.get();
  out.stored = stored_;
  out.logarithmic = logarithmic_;
  out.zoom = details_ == nullptr ? 0 : zoom_;
  out.outlier = outliers_.at();
  out.focused = !in_values_;
  const Weight& shown = table_->weight(weight_);
  const std::string& failure = table_->failure(weight_);
  if (!shown.undecodable.empty()) {
    out.no_statistics = fmt::format("values cannot be read: {}", escape(shown.undecodable));
  } else if (!failure.empty()) {
    out.no_statistics = fmt::format("the analysis failed: {}", escape(failure));
  } else {
    out.no_statistics = "not analysed yet: it waits, or the analysis is off (A in the list)";
  }
  if (!details_failure_.empty()) {
    out.no_details = fmt::format("failed: {}", details_failure_);
  } else if (progress_) {
    out.no_details = fmt::format("counted to {:.0f} %", 100 * *progress_);
  } else {
    out.no_details = "not counted yet";
  }
  return out;
}

void WeightScreen::paint(Canvas& canvas, const Glyphs& glyphs) const {
  const WeightLayout at = places();
  paint_title(canvas, glyphs, escape(table_->weight(weight_).name), facts());
  if (!at.overview.empty()) draw_overview(canvas, at.overview, overview(), glyphs);
  if (!at.rule.empty()) {
    const std::string title = fmt::format(" values as {} ", form_name(grid_.form()));
    const std::string range = fmt::format(" {} ", grid_.range_text(glyphs));
    canvas.fill(at.rule, glyphs.horizontal, {Ink::kRule});
    const int end = canvas.text(at.rule, at.rule.x + 1, at.rule.y, title,
                                {in_values_ ? Ink::kStrong : Ink::kText});
    if (end + display_width(range) + 1 <= at.rule.right()) {
      canvas.text_right(at.rule, at.rule.right() - 1, at.rule.y, range, {Ink::kDim});
    }
    if (at.rule.x > 0) {
      canvas.fill({at.rule.x - 1, at.rule.y, 1, at.values.height + 1}, glyphs.vertical,
                  {Ink::kRule});
    }
    grid_.draw(canvas, at.values, in_values_, glyphs);
  }
  paint_footer(canvas, glyphs);
}

}  // namespace qi
