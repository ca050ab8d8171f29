#include <sys/stat.h>

#include <utility>

#include <fmt/format.h>

#include "app/ui/program.h"
#include "engine/text/escape.h"
#include "views/metadata_screen.h"
#include "views/picker_screen.h"

namespace qi {
namespace {

constexpr std::uint64_t kAnalyseAllBytes = std::uint64_t{4} << 30;

std::uint64_t bytes_on_disk(const std::vector<std::string>& files) {
  std::uint64_t sum = 0;
  for (const std::string& file : files) {
    struct stat st {};
    if (stat(file.c_str(), &st) == 0) sum += static_cast<std::uint64_t>(st.st_size);
  }
  return sum;
}

}  // namespace

// --- models: found, opened, shown, closed

void Program::find(const std::string& path) {
  path_ = path;
  show_message("Opening", escape(path), false);
  opener_.find(path);
}

void Program::take_opened(Opener::Outcome outcome) {
  changed_ = true;
  if (outcome.error) {
    log(LogLine::Kind::kError, describe(*outcome.error));
    show_message("This cannot be opened", describe(*outcome.error), true);
  } else if (outcome.catalog) {
    choose(*outcome.catalog);
  } else {
    start_model(std::move(outcome.screen));
  }
}

void Program::choose(const Catalog& catalog) {
  candidates_ = catalog.models;
  candidates_.insert(candidates_.end(), catalog.others.begin(), catalog.others.end());
  note_ = catalog.notes.empty() ? "" : catalog.notes.front();
  for (const std::string& note : catalog.notes) log(LogLine::Kind::kNote, note);
  if (candidates_.size() > 1) {
    std::vector<PickerEntry> entries;
    for (const Candidate& one : candidates_) {
      std::string kind(container_name(one.container));
      if (one.kind != ModelKind::kModel) kind += fmt::format(" {}", kind_name(one.kind));
      if (one.files.size() > 1) kind += fmt::format(", {} files", one.files.size());
      entries.push_back({one.name, kind, one.path, bytes_on_disk(one.files)});
    }
    if (model_ != nullptr) close_model();
    stack_.clear();
    push(std::make_unique<PickerScreen>(path_, std::move(entries)));
  }
  if (catalog.models.size() == 1) {
    open(catalog.models.front());
  } else if (candidates_.size() <= 1) {
    show_message("There is nothing to open", escape(note_), true);
  }
}

void Program::open(const Candidate& candidate) {
  show_message("Opening", escape(candidate.path), false);
  const bool has_picker = find_screen<PickerScreen>() != nullptr;
  const auto make_screen = [analyze = options_.analyze,
                            has_picker](std::shared_ptr<const Model> model) {
    const AnalysisPlan plan = !analyze                                  ? AnalysisPlan::kNone
                              : model->size_bytes() <= kAnalyseAllBytes ? AnalysisPlan::kAll
                                                                        : AnalysisPlan::kVisible;
    return std::make_unique<ModelScreen>(std::move(model), plan, has_picker);
  };
  opener_.open(candidate, {.prototype_dtype = options_.prototype_dtype}, options_.tensors,
               make_screen);
}

void Program::start_model(std::unique_ptr<ModelScreen> screen) {
  drop_message();
  if (model_ != nullptr) close_model();
  if (candidates_.size() == 1) stack_.clear();  // a list of other models
  const std::shared_ptr<const Model> model = screen->table().shared_model();
  plan_ = screen->plan();
  model_ = screen.get();
  if (std::string problem; !column_memory_.columns().empty() &&
                           !model_->set_columns(column_memory_.columns(), problem)) {
    log(LogLine::Kind::kWarning, fmt::format("the columns chosen do not hold: {}", problem));
  }
  push(std::move(screen));
  for (const Warning& warning : model->warnings) log(LogLine::Kind::kWarning, describe(warning));
  for (const std::string& note : model->notes) log(LogLine::Kind::kNote, note);
  if (!model->warnings.empty()) note_ = describe(model->warnings.front());
  // A bad line of the config file is shown where nothing about the model is.
  if (note_.empty() && !options_.warnings.empty()) note_ = describe(options_.warnings.front());
  model_->set_warning(note_);
  analysis_ = std::make_unique<BackgroundAnalysis>(model, queue_);
  for (std::uint32_t i = 0; i < model->weights.size(); ++i) {
    if (model->weights[i].undecodable.empty()) continue;
    analysis_->skip(i);
    model_->set_failure(i, model->weights[i].undecodable);
  }
  details_ = std::make_unique<BackgroundWeight>(model, queue_, wake_);
  looked_up_ = false;
  library_ = std::make_unique<Library>(model, database_path(), wake_);
}

void Program::close_model() {
  close_jobs();
  library_.reset();
  analysis_.reset();
  tokenizer_.reset();
  details_.reset();
  while (&top() != model_) pop();
  model_ = nullptr;
  pop();
  unsettled_ = false;
}
void Program::show_metadata() {
  const std::shared_ptr<const Model> model = model_->table().shared_model();
  if (tokenizer_ == nullptr) tokenizer_ = std::make_unique<TokenizerReader>(model, queue_);
  push(std::make_unique<MetadataScreen>(model));
  take_tokenizer();
}

void Program::take_tokenizer() {
  auto* screen = find_screen<MetadataScreen>();
  if (screen == nullptr || screen->has_tokenizer()) return;
  if (auto facts = tokenizer_->facts()) {
    screen->set_tokenizer(std::move(*facts));
    changed_ = true;
  }
}

}  // namespace qi
