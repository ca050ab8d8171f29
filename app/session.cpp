#include "app/session.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "app/signals.h"

namespace qi {
namespace {

// A model may have as many odd tensors as tensors: the first ones say what is wrong.
constexpr std::size_t kWarningsShown = 20;

bool inside(const std::filesystem::path& path, const std::filesystem::path& folder) {
  auto at = path.begin();
  for (const auto& part : folder) {
    if (at == path.end() || *at != part) return false;
    ++at;
  }
  return true;
}

// A link out of the folder is how the Hugging Face cache works; --verbose tells.
void tell_links(const Candidate& candidate, Messages& messages) {
  std::error_code failed;
  const auto folder = std::filesystem::canonical(
      std::filesystem::is_directory(candidate.path, failed)
          ? std::filesystem::path(candidate.path)
          : std::filesystem::absolute(candidate.path, failed).parent_path(),
      failed);
  if (failed) return;
  for (const std::string& file : candidate.files) {
    const auto target = std::filesystem::canonical(file, failed);
    if (!failed && !inside(target, folder)) {
      messages.detail(fmt::format("{} is a link to {}", file, target.string()));
    }
  }
}

}  // namespace

Session::Session(const Options& options, Messages& messages)
    : options_(options), messages_(messages), filter_(options.tensors) {}

Catalog Session::find(const std::string& path) {
  Catalog catalog = find_models(path);
  for (const std::string& note : catalog.notes) messages_.note(note);
  return catalog;
}

void Session::warn(const std::vector<Warning>& warnings, const std::string& path) {
  const std::size_t shown =
      options_.verbose ? warnings.size() : std::min(warnings.size(), kWarningsShown);
  for (std::size_t i = 0; i < shown; ++i) messages_.warning(warnings[i]);
  if (shown < warnings.size()) {
    messages_.warning(
        {path, fmt::format("{} more warnings (--verbose shows all)", warnings.size() - shown)});
  }
}

Model Session::open(const Candidate& candidate, bool first_level_only) {
  poll();
  OpenOptions open_options;
  open_options.prototype_dtype = options_.prototype_dtype;
  open_options.first_level_only = first_level_only;
  if (options_.mode != Mode::kEval) open_options.base = options_.base;  // there it is kld's
  Model model = open_model(candidate, open_options);
  warn(model.warnings, model.path);
  for (const std::string& note : model.notes) messages_.note(note);
  if (options_.verbose) tell_links(candidate, messages_);
  return model;
}

const Candidate& Session::only_one(const std::string& path, const Catalog& catalog) {
  if (catalog.models.size() != 1) {
    std::string names;
    for (const Candidate& candidate : catalog.models) {
      if (!names.empty()) names += ", ";
      names += candidate.path;
    }
    throw Error(ErrorCode::kUsage, fmt::format("{} models", catalog.models.size()),
                "one of " + names, path);
  }
  return catalog.models.front();
}

Model Session::open_only(const std::string& path, const Catalog& catalog) {
  return open(only_one(path, catalog), true);
}

std::vector<const Weight*> Session::selected(const Model& model) const {
  std::vector<const Weight*> weights;
  weights.reserve(model.weights.size());
  for (const Weight& weight : model.weights) {
    if (filter_.empty() || filter_.matches(weight.name)) weights.push_back(&weight);
  }
  return weights;
}

void Session::poll() const {
  if (cancel_requested()) throw Interrupted{};
}

OutputOptions output_options(const Options& options, const std::vector<std::string>& paths) {
  OutputOptions result;
  result.overwrite = options.force;
  for (const std::string& path : paths) {
    struct stat st {};
    if (stat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) continue;
    FileIdentity identity;
    identity.device = st.st_dev;
    identity.inode = st.st_ino;
    identity.size_bytes = static_cast<std::uint64_t>(st.st_size);
    identity.mtime_ns =
        static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec;
    result.inputs.push_back(identity);
  }
  return result;
}

std::vector<std::string> input_paths(const std::string& path, const Catalog& catalog) {
  std::vector<std::string> paths = {path};
  for (const auto* candidates : {&catalog.models, &catalog.others}) {
    for (const Candidate& candidate : *candidates) {
      paths.insert(paths.end(), candidate.files.begin(), candidate.files.end());
      if (!candidate.index.empty()) paths.push_back(candidate.index);
      for (const char* name : {"config.json", "adapter_config.json", "tensor_index.tsv"}) {
        paths.push_back(candidate.path + "/" + name);
      }
    }
  }
  return paths;
}

WriterStyle writer_style(const Options& options) {
  WriterStyle style;
  style.format = options.csv ? Format::kCsv : options.json ? Format::kJson : Format::kTable;
  style.ascii = options.ascii;
  style.terminal = options.output.empty() && isatty(STDOUT_FILENO) == 1;
  if (style.terminal) {
    struct winsize size {};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) style.width = size.ws_col;
  }
  const char* no_color = std::getenv("NO_COLOR");
  const bool wanted = style.terminal && (no_color == nullptr || *no_color == '\0');
  style.color =
      options.color == ColorMode::kAlways || (options.color == ColorMode::kAuto && wanted);
  return style;
}

Table::Table(const Options& options, std::span<const Column> columns,
             const std::vector<std::string>& inputs)
    : to_file_(!options.output.empty()),
      style_(writer_style(options)),
      output_(to_file_ ? file_output(options.output, output_options(options, inputs))
                       : stdout_output()),
      writer_(make_writer(style_, columns, *output_)) {}

void Table::next(std::span<const Column> columns) {
  writer_->finish();
  output_->write("\n");
  writer_ = make_writer(style_, columns, *output_);
}

void Table::finish() {
  writer_->finish();
  output_->finish();
}

void Table::abandon() {
  if (!to_file_) writer_->finish();
}

}  // namespace qi
