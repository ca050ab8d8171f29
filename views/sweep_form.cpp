#include "views/sweep_form.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "engine/io/error.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "engine/text/width.h"
#include "eval/calibration/calibrated_model.h"
#include "views/widgets.h"

namespace qi {
namespace {

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

constexpr std::string_view kAlias = "the same as --";  // one name of an option is enough

std::vector<FormSection> sections_of(std::span<const MethodFamily> families,
                                     const SweepForm::Extras& extras) {
  std::vector<FormSection> out;
  for (const MethodFamily& family : families) {
    FormSection section{
        std::string(family.name), std::string(family.description), {}, out.empty(), false};
    if (family.calibrated) section.fields = extras.calibration;
    for (const GridOption& one : family.options) {
      if (one.help.starts_with(kAlias)) continue;
      section.fields.push_back({std::string(one.name), std::string(one.values),
                                std::string(one.defaults), std::string(one.help)});
    }
    out.push_back(std::move(section));
  }
  if (extras.evaluation) out.push_back(*extras.evaluation);
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
  using Kind = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, DType, bool, bool>;
  struct Same {
    std::uint64_t weights = 0;
    std::uint64_t numbers = 0;
    std::uint64_t bytes = 0;
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
    Same& same = kinds[{matrix.rows, matrix.cols, matrix.matrix_rows, matrix.dtype, columns.empty(),
                        is_block_linear(weight)}];
    same.importance = columns;
    ++same.weights;
    same.numbers += weight.params;
    same.bytes += weight.size_bytes;
    out.numbers += weight.params;
    out.bytes_in += weight.size_bytes;
  }
  double seconds = 0;
  bool timed = true;
  try {
    for (const MethodFamily* family : families) {
      const std::vector<Params> configs = family->expand(grid);
      out.configs += configs.size();
      // Calibrated ones leave all but the linear layers of blocks alone.
      const auto covers = [&](const Kind& kind) {
        return !family->calibrated || std::get<5>(kind);
      };
      std::uint64_t covered = 0;
      for (const auto& [kind, same] : kinds) {
        if (!covers(kind)) continue;
        out.rows += configs.size() * same.weights;
        covered += same.numbers;
      }
      const auto speed = speeds.find(family->name);
      timed = timed && speed != speeds.end();
      if (speed != speeds.end()) {
        (family->calibrated ? out.together_seconds : seconds) +=
            speed->second * static_cast<double>(covered) * static_cast<double>(configs.size());
      }
      for (const Params& params : configs) {
        std::uint64_t bytes = 0;
        bool told = true, any = false;
        for (const auto& [kind, same] : kinds) {
          if (!covers(kind)) {
            bytes += same.bytes;
            continue;
          }
          const auto& [rows, cols, matrix_rows, dtype, unweighted, linear] = kind;
          const MatrixInfo matrix{rows, cols, matrix_rows, dtype, same.importance};
          if (!family->unfit(params, matrix).empty()) {
            out.unfit += same.weights;
            continue;
          }
          const auto size = family->predict(params, matrix);
          told = told && size.has_value();
          any = true;
          bytes += size.value_or(0) * same.weights;
        }
        if (!told || !any) continue;
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
  if (timed && out.configs > 0) out.seconds = seconds;
  if (out.configs > 0 && out.rows == 0) out.problem = "no weight here is a linear layer of a block";
  return out;
}

SweepForm::SweepForm(std::shared_ptr<const Model> model, std::vector<std::uint32_t> weights,
                     bool marked, unsigned threads, std::span<const MethodFamily> families,
                     Extras extras)
    : FormScreen(FormList(sections_of(families, extras)), Ask::kStartSweep),
      model_(std::move(model)),
      weights_(std::move(weights)),
      marked_(marked),
      threads_(std::max(1u, threads)),
      families_(families),
      extras_(std::move(extras)) {
  look_ahead();
}

void SweepForm::begin_with(const FormList& form) {
  form_ = form;
  look_ahead();
}

void SweepForm::set_speeds(SweepSpeeds speeds) {
  speeds_ = std::move(speeds);
  look_ahead();
}

void SweepForm::set_texts(SweepTexts texts) {
  texts_ = std::move(texts);
  look_ahead();
}

std::vector<std::string> SweepForm::families() const {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < families_.size(); ++i) {
    if (form_.sections()[i].on) out.emplace_back(families_[i].name);
  }
  return out;
}

const FormSection* SweepForm::evaluation() const {
  const bool on = extras_.evaluation && form_.sections().back().on;
  return on ? &form_.sections().back() : nullptr;
}

GridOptions SweepForm::grid() const {
  GridOptions out;
  for (std::size_t i = 0; i < families_.size(); ++i) {
    if (!form_.sections()[i].on) continue;
    for (const GridOption& one : families_[i].options) {
      const std::string* typed = form_.typed(one.name);
      if (typed == nullptr) continue;
      std::vector<std::string>& values = out[std::string(one.name)];
      if (one.name == kImportance) {
        values = {importance_ != nullptr ? importance_->digest() : *typed};
      } else if (!one.values.empty()) {
        values = list_of(*typed);
      }
    }
  }
  return out;
}

SweepForm::Options SweepForm::options() const {
  Options out;
  const auto add = [&](const std::vector<FormField>& fields) {
    for (const FormField& field : fields) {
      const std::string* typed = form_.typed(field.name);
      const std::string& text = typed != nullptr ? *typed : field.defaults;
      if (!text.empty()) out.emplace_back(field.name, field.values.empty() ? "" : text);
    }
  };
  for (std::size_t i = 0; i < families_.size(); ++i) {
    if (!families_[i].calibrated || !form_.sections()[i].on) continue;
    add(extras_.calibration);
    break;  // one text for all of them
  }
  if (const FormSection* section = evaluation()) add(section->fields);
  return out;
}

void SweepForm::read_importance() {
  const std::string* typed = form_.typed(kImportance);
  const std::string path = typed == nullptr ? "" : *typed;
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
    if (form_.sections()[i].on) chosen.push_back(&families_[i]);
  }
  read_importance();
  outlook_ = sweep_outlook(*model_, weights_, chosen, grid(), speeds_, importance_.get());
  std::string problem;
  if (grid().contains(kImportance)) problem = importance_problem_;
  if (problem.empty() && extras_.check) problem = escape(extras_.check(*this));
  if (problem.empty()) problem = escape(texts_.problem);
  if (!problem.empty() && outlook_.problem.empty()) {
    outlook_ = {};
    outlook_.problem = std::move(problem);
  }
  if (outlook_.rows == 0 || !extras_.memory) return;
  try {
    outlook_.memory = extras_.memory(*this);
  } catch (const Error& error) {
    outlook_ = {};
    outlook_.problem = escape(describe(error));
  }
}

std::string SweepForm::why_not(Command command) const {
  if (command != Command::kStart) return FormScreen::why_not(command);
  if (!outlook_.problem.empty()) return outlook_.problem;
  if (outlook_.rows == 0) return "no family is switched on";
  return texts_.reading ? "the text is being read: in a moment" : "";
}

// --- drawing

void SweepForm::paint(Canvas& canvas, const Glyphs& glyphs) const {
  std::string facts = counted(weights_.size(), marked_ ? "marked weight" : "weight");
  if (outlook_.numbers > 0) {  // else the grid is refused, and nothing was counted
    facts += fmt::format("  {} params  {}", human_count(outlook_.numbers),
                         human_bytes(outlook_.bytes_in));
  }
  paint_title(canvas, glyphs, "Sweep  " + escape(model_->name), facts);
  form_.paint(canvas, glyphs);
  paint_outlook(canvas, glyphs);
  paint_footer(canvas, glyphs);
}

void SweepForm::paint_outlook(Canvas& canvas, const Glyphs& glyphs) const {
  const int rule = rule_row();
  canvas.fill({0, rule, size().width, 1}, glyphs.horizontal, {Ink::kRule});
  const SweepOutlook& ahead = outlook_;
  const int room = size().width - 2;
  const auto line = [&](int number, std::string_view text, Ink ink = Ink::kText) {
    canvas.text(bounds(), 1, rule + 1 + number, elide_end(text, room, glyphs.ellipsis), {ink});
  };
  if (!ahead.problem.empty()) {
    int number = 0;
    for (const std::string& part : wrap(ahead.problem, room)) {
      if (number < kRowsBelow) line(number++, part, Ink::kError);
    }
    return;
  }
  if (ahead.rows == 0) return line(0, "no family is switched on: Enter switches one", Ink::kDim);
  std::string rows =
      fmt::format("{} x {}: {}", counted(ahead.weights, "weight"),
                  counted(ahead.configs, "configuration"), counted(ahead.rows, "row"));
  if (ahead.unfit > 0) rows += fmt::format(", {} of them not possible", grouped(ahead.unfit));
  if (const FormSection* section = evaluation()) {
    const FormField& kinds = section->fields.front();
    const std::string* typed = form_.typed(kinds.name);
    rows += fmt::format(", then {} of each", escape(typed != nullptr ? *typed : kinds.defaults));
  }
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
  if (texts_.reading) return line(2, "the text is being read", Ink::kDim);
  std::string last = "time: not known yet";
  if (ahead.seconds) {
    last = fmt::format("time: about {} on {}",
                       human_duration(*ahead.seconds / threads_ + ahead.together_seconds),
                       counted(threads_, "thread"));
  }
  if (ahead.memory) last += fmt::format(", memory: at most {}", human_bytes(*ahead.memory));
  line(2, last + "; known rows are kept", Ink::kDim);
}

}  // namespace qi
