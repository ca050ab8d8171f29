#include "views/planner_screen.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/results_screen.h"
#include "views/weight_text.h"
#include "views/widgets.h"

namespace qi {
namespace {

using Id = ResultColumnId;

enum ColumnOf : std::size_t { kName, kConfig, kBits, kSize, kSnr, kShare, kShareBar };

}  // namespace

PlannerScreen::PlannerScreen(std::shared_ptr<const ResultSet> set, ResultPart part,
                             std::optional<std::uint64_t> other_bytes)
    : TableScreen("Plan  " + part.title, "plan",
                  {{"weight", 24, 0, false, false, "tensor"},
                   {"configuration", 22, 1},
                   {"b/w", 6, 2, true},
                   {"size", 9, 4, true},
                   {"SNR dB", 6, 3, true},
                   {"of error", 8, 5, true},
                   {"", 12, 6}}),
      model_(part.title),
      other_bytes_(other_bytes) {
  set_ = std::move(set);
  for (const std::size_t row : part.rows) {
    if (set_->row(row).is_total()) continue;
    indices_.push_back(row);
    rows_.push_back({&set_->row(row), set_->weight_of(row), set_->config_of(row)});
    names_.add(set_->row(row).tensor);
  }
  std::vector<std::optional<double>> damage(set_->configs().size());
  for (std::size_t row = 0; row < set_->size() && !rows_.empty(); ++row) {
    const ResultRow& total = set_->row(row);
    if (!total.is_total() || !total.damage || total.model != rows_.front().row->model) continue;
    damage[set_->config_of(row)] = total.damage;
  }
  set_damage_rates(rows_, damage);
}

void PlannerScreen::set_target(std::string text) {
  field_.set_text(std::move(text));
  typing_ = false;
  make();
}

void PlannerScreen::make() {
  plan_.reset();
  index_.reset();
  problem_.clear();
  try {
    PlanTarget target = parse_plan_target(field_.text());
    target.other_bytes = other_bytes_.value_or(0);
    std::optional<Planner>& planner = planners_[static_cast<std::size_t>(measure_)];
    if (!planner) planner.emplace(rows_, measure_);
    plan_ = planner->plan(target);
  } catch (const Error& error) {
    problem_ = escape(fmt::format("{}: expected {}", error.message, error.expected));
  }
  rows_changed();
  if (plan_ && !plan_->feasible) {
    set_notice(fmt::format("the smallest there is takes {}, more than the target",
                           human_bytes(plan_->smallest + other_bytes_.value_or(0))));
  }
}

void PlannerScreen::arrange() {
  TableScreen::arrange();
  name_level_ = names_.level(column_width(0));
}

double PlannerScreen::share(std::size_t line) const {
  if (!(plan_->cost > 0)) return 0;
  return plan_cost(rows_[plan_->rows[line]], measure_).value_or(0) / plan_->cost;
}

TableCell PlannerScreen::cell(std::size_t line, std::size_t column) const {
  const ResultRow& one = row(line);
  switch (column) {
    case kName:
      return {shown_name(one.tensor, name_level_)};
    case kConfig:
      return {set_->configs()[set_->config_of(index(line))].label};
    case kBits:
      return {result_text(Id::kBits, one)};
    case kSize:
      return {result_text(Id::kBytesOut, one)};
    case kSnr:
      return {result_text(Id::kSnr, one)};
    case kShare:
      return {fmt::format("{:.1f} %", 100 * share(line))};
    default:
      return {"", Ink::kText, share(line)};
  }
}

std::string PlannerScreen::filter_text(std::size_t line) const {
  return set_->search_text(index(line));
}

NameSearch* PlannerScreen::search_index() {
  if (!plan_) return nullptr;
  if (index_ == nullptr) {
    std::vector<std::size_t> rows;
    for (const std::size_t row : plan_->rows) rows.push_back(indices_[row]);
    index_ = std::make_unique<NameSearch>(set_->search(), rows);
  }
  return index_.get();
}

double PlannerScreen::sort_key(std::size_t line, std::size_t column) const {
  const ResultRow& one = row(line);
  switch (column) {
    case kBits:
      return one.bits_per_weight();
    case kSize:
      return static_cast<double>(one.bytes_out);
    case kSnr:
      return result_number(Id::kSnr, one);
    case kName:
      return set_->sort_key(Id::kTensor, index(line));
    case kConfig:
      return set_->sort_key(Id::kConfig, index(line));
    case kShare:
    case kShareBar:
      return share(line);
    default:
      return std::numeric_limits<double>::quiet_NaN();
  }
}

std::string PlannerScreen::facts() const {
  if (!plan_) return "";
  std::string out = fmt::format("{:.3f} b/w  {} of {}", plan_->bits_per_weight(),
                                human_bytes(plan_->bytes), human_bytes(plan_->budget));
  if (other_bytes_) {
    out += fmt::format("  model {}", human_bytes(plan_->bytes + *other_bytes_));
  }
  return out;
}

std::string PlannerScreen::when_empty() const {
  if (!problem_.empty()) return problem_;
  return "type a target: bits per weight such as 4.5, or a size of the model such as 4.2 GiB";
}

std::string PlannerScreen::detail(std::size_t line) const {
  std::string sum = fmt::format("{}: {}", plan_measure_name(measure_), human_number(plan_->cost));
  if (!plan_->feasible) {
    sum += "; the target is not reached: every weight takes its smallest configuration";
  } else if (plan_->bound >= plan_->cost) {
    sum += "; no plan within the target has less";
  } else if (plan_->bound > 0) {
    sum += fmt::format("; no plan within the target has less than {:.2f} % of that",
                       100 * plan_->bound / plan_->cost);
  }
  if (plan_->left_out > 0) {
    sum += fmt::format("; {} without it left out", counted(plan_->left_out, "weight"));
  }
  return fmt::format("{}\n{}", sum, result_detail(row(line), escape(row(line).tensor)));
}

TextTable PlannerScreen::table_shown() const {
  std::vector<const ResultRow*> rows;
  for (const std::size_t line : lines_shown()) rows.push_back(&row(line));
  return result_table("plan", rows);
}

TensorTypes PlannerScreen::tensor_types() const {
  if (!plan_) return {};
  std::vector<const ResultRow*> rows;
  for (std::size_t line = 0; line < row_count(); ++line) rows.push_back(&row(line));
  return tensor_type_lines(rows);
}

void PlannerScreen::paint(Canvas& canvas, const Glyphs& glyphs) const {
  TableScreen::paint(canvas, glyphs);
  // The target has the filter's line while it is typed, and before there is a plan.
  if (!typing_ && plan_) return;
  const Rect line{0, 1, size().width, 1};
  canvas.fill(line, " ", {});
  const int x = canvas.text(line, 1, 1, "target: ", {Ink::kKey});
  const Rect room{x, 1, std::min(40, line.width - x - 1), 1};
  canvas.fill(room, " ", {Ink::kText, typing_ ? Ground::kField : Ground::kGround});
  canvas.text(room, x, 1, field_.text(), {Ink::kText, typing_ ? Ground::kField : Ground::kGround});
  if (typing_) {
    const int at = display_width(std::string_view(field_.text()).substr(0, field_.cursor()));
    canvas.set_cursor(std::min(x + at, room.right() - 1), 1);
  }
  canvas.text_right(line, line.right() - 1, 1, fmt::format("least {}", plan_measure_name(measure_)),
                    {Ink::kDim});
}

std::string PlannerScreen::why_not(Command command) const {
  // Another target can be typed whatever is shown.
  if (command == Command::kEnter) return "";
  return TableScreen::why_not(command);
}

Request PlannerScreen::run_own(Command command) {
  if (command == Command::kEnter) {
    typing_ = true;
  } else if (command == Command::kAxis) {
    measure_ = static_cast<PlanMeasure>((static_cast<std::size_t>(measure_) + 1) % kPlanMeasures);
    make();
    if (notice().empty()) set_notice(fmt::format("least {}", plan_measure_name(measure_)));
  }
  return {};
}

Request PlannerScreen::typed_own(const Key& key, Command command) {
  if (command == Command::kClear) {
    typing_ = false;
    return plan_ || !problem_.empty() ? Request() : Ask::kBack;
  }
  if (command == Command::kAccept) {
    typing_ = false;
    make();
    return {};
  }
  if (!field_.handle(key)) {
    set_notice(fmt::format("{}: Enter plans, Esc leaves", escape(key_name(key))));
  }
  return {};
}

}  // namespace qi
