#include "views/sweep_form.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "views/widgets.h"

namespace qi {
namespace {

constexpr int kTop = 2;      // rows above the list
constexpr int kOutlook = 3;  // rows below it, and a rule
constexpr int kName = 20;    // cells of an option's name
constexpr int kValue = 28;   // and of its value, where the screen is wide
constexpr int kMarginCells = 2;

// "4, 8" → {"4", "8"}; blanks around commas are no part of a value.
std::vector<std::string> list_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    std::string_view one = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t begin = std::min(one.find_first_not_of(' '), one.size());
    one = one.substr(begin, one.find_last_not_of(' ') + 1 - begin);
    if (!one.empty()) out.emplace_back(one);
  }
  return out;
}

MatrixInfo matrix_of(const Model& model, const Weight& weight) {
  MatrixInfo out;
  out.rows = weight.rows();
  out.cols = weight.cols();
  const std::size_t dims = weight.shape.size();
  out.matrix_rows = dims >= 3 ? weight.shape[dims - 2] : out.rows;
  out.dtype = model.tensor(weight.parts.front()).dtype;
  return out;
}

constexpr std::string_view kImportance = "imatrix";  // the option that names a file

}  // namespace

SweepOutlook sweep_outlook(const Model& model, std::span<const std::uint32_t> weights,
                           std::span<const MethodFamily* const> families, const GridOptions& grid,
                           const SweepSpeeds& speeds, const ImportanceMatrix* importance) {
  SweepOutlook out;
  out.weights = weights.size();
  // Most weights of a model are of a few shapes: each is asked for once.
  using Kind = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, DType, bool>;
  struct Same {
    std::uint64_t weights = 0;
    std::span<const float> importance;  // of one of them
  };
  std::map<Kind, Same> kinds;
  for (const std::uint32_t index : weights) {
    const Weight& weight = model.weights[index];
    const MatrixInfo matrix = matrix_of(model, weight);
    std::span<const float> columns;
    if (importance != nullptr && matrix.matrix_rows > 0) {
      columns = importance->find(weight.name, matrix.cols, matrix.rows / matrix.matrix_rows);
    }
    Same& same =
        kinds[{matrix.rows, matrix.cols, matrix.matrix_rows, matrix.dtype, columns.empty()}];
    same.importance = columns;
    ++same.weights;
    out.numbers += weight.params;
    out.bytes_in += weight.size_bytes;
  }
  double seconds = 0;
  bool timed = true;
  try {
    for (const MethodFamily* family : families) {
      const std::vector<Params> configs = family->expand(grid);
      out.configs += configs.size();
      const auto speed = speeds.find(family->name);
      if (speed == speeds.end()) {
        timed = false;
      } else {
        seconds +=
            speed->second * static_cast<double>(out.numbers) * static_cast<double>(configs.size());
      }
      for (const Params& params : configs) {
        std::uint64_t bytes = 0;
        bool told = true;
        for (const auto& [kind, same] : kinds) {
          const auto& [rows, cols, matrix_rows, dtype, unweighted] = kind;
          const MatrixInfo matrix{rows, cols, matrix_rows, dtype, same.importance};
          if (!family->unfit(params, matrix).empty()) {
            out.unfit += same.weights;
            continue;
          }
          const auto size = family->predict(params, matrix);
          told = told && size.has_value();
          bytes += size.value_or(0) * same.weights;
        }
        if (!told || bytes == 0) continue;
        out.smallest = out.foretold == 0 ? bytes : std::min(out.smallest, bytes);
        out.largest = std::max(out.largest, bytes);
        ++out.foretold;
      }
    }
  } catch (const Error& error) {
    SweepOutlook problem;
    problem.problem = escape(describe(error));
    problem.weights = weights.size();
    return problem;
  }
  out.rows = out.configs * out.weights;
  if (timed && out.configs > 0) out.seconds = seconds;
  return out;
}

SweepForm::SweepForm(std::shared_ptr<const Model> model, std::vector<std::uint32_t> weights,
                     bool marked, unsigned threads, std::span<const MethodFamily> families)
    : model_(std::move(model)),
      weights_(std::move(weights)),
      marked_(marked),
      threads_(std::max(1u, threads)),
      families_(families),
      on_(families.size(), 0) {
  if (!on_.empty()) on_.front() = 1;
  list_lines();
  look_ahead();
}

void SweepForm::set_speeds(SweepSpeeds speeds) {
  speeds_ = std::move(speeds);
  look_ahead();
}

std::vector<std::string> SweepForm::families() const {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < families_.size(); ++i) {
    if (on_[i] != 0) out.emplace_back(families_[i].name);
  }
  return out;
}

GridOptions SweepForm::grid() const {
  GridOptions out;
  for (std::size_t i = 0; i < families_.size(); ++i) {
    if (on_[i] == 0) continue;
    for (const GridOption& one : families_[i].options) {
      const auto typed = values_.find(std::string(one.name));
      if (typed == values_.end()) continue;
      std::vector<std::string>& values = out[std::string(one.name)];
      if (one.name == kImportance) {
        values = {importance_ != nullptr ? importance_->digest() : typed->second};
      } else if (!one.values.empty()) {
        values = list_of(typed->second);
      }
    }
  }
  return out;
}

void SweepForm::list_lines() {
  lines_.clear();
  for (std::size_t i = 0; i < families_.size(); ++i) {
    lines_.push_back({i, -1});
    if (on_[i] == 0) continue;
    for (std::size_t k = 0; k < families_[i].options.size(); ++k) {
      lines_.push_back({i, static_cast<int>(k)});
    }
  }
  list_.resize(lines_.size(), body().height);
}

void SweepForm::read_importance() {
  const auto typed = values_.find(std::string(kImportance));
  const std::string path = typed == values_.end() ? "" : typed->second;
  if (path == importance_path_) return;
  importance_path_ = path;
  importance_.reset();
  importance_problem_.clear();
  if (path.empty()) return;
  try {
    importance_ = std::make_shared<const ImportanceMatrix>(ImportanceMatrix::read(path));
    if (!importance_->warnings().empty()) {
      set_notice(describe(importance_->warnings().front()));
    }
  } catch (const Error& error) {
    importance_problem_ = escape(describe(error));
  }
}

void SweepForm::look_ahead() {
  std::vector<const MethodFamily*> chosen;
  for (std::size_t i = 0; i < families_.size(); ++i) {
    if (on_[i] != 0) chosen.push_back(&families_[i]);
  }
  read_importance();
  outlook_ = sweep_outlook(*model_, weights_, chosen, grid(), speeds_, importance_.get());
  if (!importance_problem_.empty() && grid().contains(kImportance)) {
    outlook_ = {};
    outlook_.problem = importance_problem_;
  }
}

const SweepForm::Line* SweepForm::current() const {
  return list_.at() < lines_.size() ? &lines_[list_.at()] : nullptr;
}

Rect SweepForm::body() const {
  return {0, kTop, size().width, std::max(0, size().height - kTop - kOutlook - 2)};
}

void SweepForm::arrange() {
  list_.resize(lines_.size(), body().height);
}

// --- keys

std::string SweepForm::why_not(Command command) const {
  const Line* line = current();
  switch (command) {
    case Command::kStart:
      if (!outlook_.problem.empty()) return outlook_.problem;
      return outlook_.rows > 0 ? "" : "no family is switched on";
    case Command::kEnter:
      return line != nullptr ? "" : "there are no families";
    case Command::kReset:
      if (line == nullptr || line->option < 0) return "this is no option";
      return values_.contains(std::string(option(*line).name)) ? "" : "it has its defaults";
    case Command::kExport:
      return "a form is no table";
    default:
      return "";
  }
}

void SweepForm::change() {
  const Line* line = current();
  if (line == nullptr) return;
  if (line->option < 0) {
    on_[line->family] ^= 1;
    list_lines();
    return look_ahead();
  }
  const GridOption& one = option(*line);
  const std::string name(one.name);
  const auto typed = values_.find(name);
  if (one.values.empty()) {
    if (typed == values_.end()) {
      values_[name] = "on";
    } else {
      values_.erase(typed);
    }
    return look_ahead();
  }
  field_.set_text(typed != values_.end() ? typed->second : std::string(one.defaults));
  editing_ = true;
}

Request SweepForm::run(Command command) {
  if (list_.handle(command)) return {};
  switch (command) {
    case Command::kEnter:
      change();
      return {};
    case Command::kReset:
      values_.erase(std::string(option(*current()).name));
      look_ahead();
      return {};
    case Command::kStart:
      return Ask::kStartSweep;
    case Command::kShowResults:
      return Ask::kShowResults;
    case Command::kBack:
      return Ask::kBack;
    default:
      return {};
  }
}

Request SweepForm::typed(const Key& key, Command command) {
  if (command == Command::kClear) {
    editing_ = false;
    return {};
  }
  if (command == Command::kAccept) {
    editing_ = false;
    const GridOption& one = option(*current());
    const std::string name(one.name);
    if (list_of(field_.text()).empty() || field_.text() == one.defaults) {
      values_.erase(name);
    } else {
      values_[name] = field_.text();
    }
    look_ahead();
    return {};
  }
  if (!field_.handle(key)) {
    set_notice(fmt::format("{}: Enter keeps the value, Esc leaves it", escape(key_name(key))));
  }
  return {};
}

Request SweepForm::mouse(const Key& key) {
  if (editing_) return {};
  if (key.code == KeyCode::kWheelUp) list_.move_by(-3);
  if (key.code == KeyCode::kWheelDown) list_.move_by(3);
  if (key.code != KeyCode::kClick || !body().contains(key.x, key.y)) return {};
  const std::size_t at = list_.top() + static_cast<std::size_t>(key.y - body().y);
  if (at >= lines_.size()) return {};
  const bool again = at == list_.at();
  list_.move_to(at);
  if (again) change();
  return {};
}

// --- drawing

void SweepForm::paint(Canvas& canvas, const Glyphs& glyphs) const {
  std::string facts = counted(weights_.size(), marked_ ? "marked weight" : "weight");
  if (outlook_.numbers > 0) {  // else the grid is refused, and nothing was counted
    facts += fmt::format("  {} params  {}", human_count(outlook_.numbers),
                         human_bytes(outlook_.bytes_in));
  }
  paint_title(canvas, glyphs, "Sweep  " + escape(model_->name), facts);
  const Rect area = body();
  for (std::size_t i = list_.top(); i < list_.end() && i < lines_.size(); ++i) {
    const int y = area.y + static_cast<int>(i - list_.top());
    paint_line(canvas, glyphs, lines_[i], y, i == list_.at());
    if (i != list_.at()) continue;
    canvas.text(area, 0, y, glyphs.cursor);
    if (!editing_) canvas.ground({0, y, area.width, 1}, Ground::kCursor);
  }
  paint_outlook(canvas, glyphs);
  paint_footer(canvas, glyphs);
}

void SweepForm::paint_line(Canvas& canvas, const Glyphs& glyphs, const Line& line, int y,
                           bool here) const {
  const Rect row{0, y, size().width - 1, 1};
  const MethodFamily& family = families_[line.family];
  const bool on = on_[line.family] != 0;
  if (line.option < 0) {
    const int x =
        canvas.text(row, kMarginCells, y, fmt::format("[{}] {}", on ? "x" : " ", family.name),
                    {on ? Ink::kStrong : Ink::kText});
    canvas.text(row, std::max(x + 2, kMarginCells + kName + 2), y,
                elide_end(family.description,
                          std::max(0, row.right() - std::max(x + 2, kMarginCells + kName + 2)),
                          glyphs.ellipsis),
                {Ink::kDim});
    return;
  }
  const GridOption& one = option(line);
  const auto typed = values_.find(std::string(one.name));
  const bool own = typed != values_.end();
  const int at = kMarginCells + kName + 2;
  const int room = std::min(kValue, std::max(0, row.right() - at));
  canvas.text({0, y, at - 1, 1}, kMarginCells + 4, y, one.name, {own ? Ink::kStrong : Ink::kText});
  if (here && editing_) {
    canvas.ground({at, y, room, 1}, Ground::kField);
    // The end of a long text is what one types at.
    std::string_view shown = field_.text();
    std::size_t cursor = field_.cursor();
    while (cursor > 0 && display_width(shown.substr(0, cursor)) >= room) {
      const std::size_t cut = cluster_at(shown, 0).text.size();
      shown.remove_prefix(cut);
      cursor -= std::min(cursor, cut);
    }
    canvas.text({at, y, room, 1}, at, y, shown, {Ink::kText, Ground::kField});
    canvas.set_cursor(at + display_width(shown.substr(0, cursor)), y);
  } else if (one.values.empty()) {
    canvas.text(row, at, y, own ? "[x]" : "[ ]", {own ? Ink::kStrong : Ink::kText});
  } else {
    const std::string text = own                    ? escape(typed->second)
                             : one.defaults.empty() ? std::string(glyphs.missing)
                                                    : std::string(one.defaults);
    canvas.text({at, y, room, 1}, at, y, elide_end(text, room, glyphs.ellipsis),
                {own ? Ink::kStrong : Ink::kText});
  }
  const int help = at + room + 2;
  std::string words(one.help);
  if (!one.values.empty()) words = fmt::format("{}: {}", one.help, one.values);
  canvas.text(row, help, y, elide_end(words, std::max(0, row.right() - help), glyphs.ellipsis),
              {Ink::kDim});
}

void SweepForm::paint_outlook(Canvas& canvas, const Glyphs& glyphs) const {
  const int rule = size().height - kOutlook - 2;
  canvas.fill({0, rule, size().width, 1}, glyphs.horizontal, {Ink::kRule});
  const SweepOutlook& ahead = outlook_;
  const int room = size().width - 2;
  const auto line = [&](int number, std::string_view text, Ink ink = Ink::kText) {
    canvas.text(bounds(), 1, rule + 1 + number, elide_end(text, room, glyphs.ellipsis), {ink});
  };
  if (!ahead.problem.empty()) {
    int number = 0;
    for (const std::string& part : wrap(ahead.problem, room)) {
      if (number < kOutlook) line(number++, part, Ink::kError);
    }
    return;
  }
  if (ahead.rows == 0) return line(0, "no family is switched on: Enter switches one", Ink::kDim);
  std::string rows =
      fmt::format("{} x {}: {}", counted(ahead.weights, "weight"),
                  counted(ahead.configs, "configuration"), counted(ahead.rows, "row"));
  if (ahead.unfit > 0) rows += fmt::format(", {} of them not possible", grouped(ahead.unfit));
  line(0, rows, Ink::kStrong);
  if (ahead.foretold > 0) {
    const auto of = [&](std::uint64_t bytes) {
      return fmt::format("{} ({:.2f} b/w)", human_bytes(bytes),
                         8.0 * static_cast<double>(bytes) / static_cast<double>(ahead.numbers));
    };
    std::string sizes =
        fmt::format("size: {} as stored, {}", human_bytes(ahead.bytes_in), of(ahead.smallest));
    if (ahead.largest != ahead.smallest) sizes += fmt::format(" to {}", of(ahead.largest));
    if (ahead.foretold < ahead.configs) {
      sizes += fmt::format("; of {} only coding tells", grouped(ahead.configs - ahead.foretold));
    }
    line(1, sizes);
  } else {
    line(1, fmt::format("size: {} as stored; only coding tells what comes out",
                        human_bytes(ahead.bytes_in)));
  }
  line(2,
       ahead.seconds
           ? fmt::format("time: about {} on {}; what the database has is not measured again",
                         human_duration(*ahead.seconds / threads_), counted(threads_, "thread"))
           : "time: not known yet; what the database has is not measured again",
       Ink::kDim);
}

}  // namespace qi
