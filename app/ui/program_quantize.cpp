// Smaller checkpoints: the form, which is made of the tables of schemes and of options, and the one
// that is written.
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "app/modes/modes.h"
#include "app/option_table.h"
#include "app/ui/background_quantize.h"
#include "app/ui/option_fields.h"
#include "app/ui/program.h"
#include "engine/checkpoint/quant_scheme.h"
#include "engine/methods/method.h"
#include "engine/text/escape.h"
#include "engine/text/numbers.h"
#include "views/option_form.h"
#include "views/quantize_screen.h"

namespace qi {
namespace {

constexpr std::string_view kOutField = "out";

/// Options of --quantize that this form has: of a calibration text, each under one name, and of the
/// methods that need one.
bool is_asked_for(const OptionSpec& option) {
  const bool taken = option.only_with == Mode::kQuantize || option.or_with == Mode::kQuantize;
  if (!taken || option.repeatable || option.name == "--to") return false;
  if (option.apply != nullptr) {
    return !option.value.empty() && option.name != "--num_calibration_samples";
  }
  for (const MethodFamily& family : method_families()) {
    for (const GridOption& grid : family.options) {
      if (family.calibrated && option.name.substr(2) == grid.name) return true;
    }
  }
  return false;
}

FormList schemes_form() {
  std::vector<FormSection> sections;
  for (const QuantScheme& scheme : quant_schemes()) {
    sections.push_back({std::string(scheme.name), std::string(scheme.summary), {}, false, false});
  }
  FormSection place{"output", "where it goes", {}, false, true};
  place.fields.push_back(
      {std::string(kOutField), "FOLDER", "", "the checkpoint's folder, which must not be there"});
  FormSection method{"method", "what its scheme takes of these", {}, false, true};
  for (const OptionSpec& option : option_table()) {
    if (is_asked_for(option)) method.fields.push_back(option_field(option));
  }
  sections.push_back(std::move(place));
  sections.push_back(std::move(method));
  return FormList(std::move(sections), FormSwitches::kOne);
}

/// As they are given in batch: one parser, one set of refusals.
std::vector<std::string> quantize_arguments(const OptionForm::Choice& choice,
                                            const std::string& path) {
  std::vector<std::string> out = {"--quantize", ""};
  if (!choice.sections.empty()) out.insert(out.end(), {"--to", choice.sections.front()});
  for (const auto& [name, text] : choice.options) {
    if (name == kOutField) {
      out[1] = text;
      continue;
    }
    out.push_back("--" + name);
    if (!text.empty()) out.push_back(text);
  }
  out.insert(out.end(), {"--", path});
  return out;
}

}  // namespace

void Program::show_quantize() {
  const bool from_screen = dynamic_cast<QuantizeScreen*>(&top()) != nullptr;
  if (quantize_ != nullptr && !from_screen) {
    if (!return_to<QuantizeScreen>()) push(std::make_unique<QuantizeScreen>(quantize_report_));
    return;
  }
  if (quantize_report_ != nullptr && quantize_report_->active()) {
    return top().set_notice("one is being written: x cancels it");
  }
  const auto model = model_->table().shared_model();
  if (model->kind != ModelKind::kModel) {
    return top().set_notice("only a language model can be quantized");
  }
  OptionForm::About about;
  about.title = "Quantize  " + escape(model->name);
  about.start = Ask::kStartQuantize;
  about.check = [model, path = path_](const OptionForm::Choice& choice) -> std::string {
    if (choice.sections.empty()) return "no scheme is chosen: Enter chooses one";
    if (choice.options.empty() || choice.options.front().first != kOutField) {
      return "no folder is named: out says where it goes";
    }
    return refusal_of([&] {
      QuantizeRequest request = quantize_request(parse_options(quantize_arguments(choice, path)));
      request.model = model.get();
      check_quantize(request);
    });
  };
  about.summary = [](const OptionForm::Choice& choice) {
    return fmt::format("{}, block after block, on all cores", escape(choice.sections.front()));
  };
  about.hint = "read back before it gets its name; finished blocks are kept when it is cancelled";
  push(std::make_unique<OptionForm>(
      std::move(about), quantize_choice_ != nullptr ? *quantize_choice_ : schemes_form()));
}

void Program::start_quantize() {
  const auto* form = dynamic_cast<OptionForm*>(&top());
  if (form == nullptr) return;
  trim_history();
  const OptionForm::Choice choice = form->choice();
  quantize_choice_ = std::make_unique<FormList>(form->form());
  const Options options = parse_options(quantize_arguments(choice, path_));
  BackgroundQuantize::What what;
  what.model = model_->table().shared_model();
  what.request = quantize_request(options);
  what.request.workers.threads = options_.threads;
  if (what.request.method) {
    what.calibration = [options](const Model& model) { return calibration_text(options, model); };
  }
  auto report = std::make_shared<QuantizeReport>();
  report->title = fmt::format("{}  {}  {}", escape(what.model->name),
                              escape(choice.sections.front()), escape(what.request.output));
  quantize_ =
      std::make_unique<BackgroundQuantize>(std::move(what), "quantize " + report->title, queue_);
  report->job = queue_.snapshot(quantize_->job());
  quantize_report_ = std::move(report);
  pop();
  if (return_to<QuantizeScreen>()) pop();
  push(std::make_unique<QuantizeScreen>(quantize_report_));
}

void Program::take_quantize() {
  QuantizeReport& report = *quantize_report_;
  // The state first: once that says "ended", all is there.
  report.job = queue_.snapshot(quantize_->job());
  BackgroundQuantize::Results results = quantize_->take();
  for (QuantizedFacts& facts : results.weights) report.weights.push_back(std::move(facts));
  for (const std::string& note : results.notes) log(LogLine::Kind::kNote, note);
  if (results.step) {
    report.stage = results.step->stage;
    report.block = results.step->block;
    report.blocks = results.step->blocks;
    report.done = results.step->done;
  }
  if (results.result) {
    const QuantizeResult& result = *results.result;
    report.outcome = result.cancelled
                         ? "cancelled: the same scheme and folder go on from the finished blocks"
                         : fmt::format("written: {} weights, {} -> {}", grouped(result.quantized),
                                       human_bytes(result.bytes_in), human_bytes(result.bytes));
    log(LogLine::Kind::kNote, report.title + ": " + report.outcome);
    top().set_notice(report.outcome);
  }
  if (results.error) {
    report.error = describe(*results.error);
    log(LogLine::Kind::kError, report.error);
    top().set_notice(report.error);
  }
  if (auto* screen = find_screen<QuantizeScreen>()) screen->refresh();
  changed_ = true;
}

}  // namespace qi
