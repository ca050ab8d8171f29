#include "app/ui/background_store.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "app/modes/computed_levels.h"
#include "app/modes/modes.h"
#include "app/ui/asked_work.h"
#include "engine/format/open.h"
#include "engine/format/qstore_decode.h"
#include "engine/format/qstore_writer.h"
#include "engine/io/atomic_folder.h"
#include "engine/text/numbers.h"
#include "views/widgets.h"

namespace qi {
namespace {

struct Words {
  std::string first;
  std::vector<std::pair<std::string, std::string>> options;  // without the dashes, and its value
};

// A path may hold spaces: only " --" ends it.
Words words_of(std::string_view argument) {
  const auto trimmed = [](std::string_view text) {
    const std::size_t begin = std::min(text.find_first_not_of(' '), text.size());
    const std::size_t end = text.find_last_not_of(' ');
    return std::string(end == std::string_view::npos ? "" : text.substr(begin, end + 1 - begin));
  };
  Words out;
  std::size_t end = argument.find(" --");
  out.first = trimmed(argument.substr(0, end));
  while (end != std::string_view::npos) {
    const std::string_view rest = argument.substr(end + 3);
    const std::size_t next = rest.find(" --");
    const std::string option = trimmed(rest.substr(0, next));
    const std::size_t space = std::min(option.find(' '), option.size());
    out.options.emplace_back(option.substr(0, space), trimmed(option.substr(space)));
    end = next == std::string_view::npos ? next : end + 3 + next;
  }
  return out;
}

[[noreturn]] void bad_option(const std::string& name, const std::string& value,
                             std::string expected) {
  throw Error(ErrorCode::kUsage, fmt::format("--{} {}", name, value), std::move(expected));
}

// What the open model was opened from: a folder may hold several.
Candidate source_of(const std::string& path, std::optional<Container> container) {
  const Catalog catalog = find_models(path);
  std::vector<Candidate> all = catalog.models;
  all.insert(all.end(), catalog.others.begin(), catalog.others.end());
  if (container) {
    std::erase_if(all, [&](const Candidate& one) { return one.container != *container; });
    const auto same = std::find_if(all.begin(), all.end(),
                                   [&](const Candidate& one) { return one.path == path; });
    if (same != all.end()) return *same;
  } else if (catalog.models.size() == 1) {
    return catalog.models.front();
  }
  if (all.size() != 1) {
    throw Error(ErrorCode::kUsage, fmt::format("{} models are here", all.size()),
                "the path of one of them", path);
  }
  return all.front();
}

std::uint64_t stored_bytes(const Model& model) {
  std::uint64_t sum = 0;
  for (const Weight& weight : model.weights) sum += weight.size_bytes;
  return sum;
}

OutputOptions output_of(const Model& model, bool overwrite) {
  OutputOptions options;
  options.overwrite = overwrite;
  for (const auto& file : model.files) options.inputs.push_back(file->identity());
  return options;
}

double share_of(std::uint64_t done, std::uint64_t total) {
  return total == 0 ? 0 : static_cast<double>(done) / static_cast<double>(total);
}

/// The job's progress: `bytes` for each level that is computed, then for the container.
BackgroundStore::Result encode_now(const std::shared_ptr<const Model>& model,
                                   const EncodeOrder& order, EncodeOptions options,
                                   UnitContext& context, std::uint64_t bytes) {
  BackgroundStore::Result out;
  StepProgress progress(context, bytes);
  Options calibration;
  calibration.calibration = order.calibration;
  ComputedLevels computed([&] { return model; },
                          [&](const Model& of) { return calibration_text(calibration, of); },
                          order.output);
  EncodeLevel high;
  high.path = model->path;
  high.source = source_of(model->path, model->container);
  options.levels.push_back(std::move(high));
  for (const std::string& low : order.low) {
    EncodeLevel level;
    level.path = low;
    level.int8_of_first = low == kInt8Level;
    if (ComputedLevels::names(low)) {
      QuantizeEvents events;
      events.on_note = [&](const std::string& text) { out.notes.push_back(text); };
      events.on_progress = [&](const QuantizeProgress& now) {
        progress.follow(low, now.stage == "verify" ? 1 : now.done);
      };
      level.path = computed.compute(low, {context.threads(), context.cancel()}, events);
      if (level.path.empty()) return out;
    }
    if (!level.int8_of_first) level.source = source_of(level.path, {});
    options.levels.push_back(std::move(level));
  }
  options.effort = order.effort;
  options.threads = context.threads();
  options.cancel = context.cancel();
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.follow("encode", share_of(done, total));
  };
  EncodeResult result = encode_container(order.output, options);
  if (result.cancelled) return out;
  out.text = fmt::format("{} written: {} of {}, {:.1f} %", order.output,
                         human_bytes(result.container_bytes), human_bytes(result.source_bytes),
                         100 * static_cast<double>(result.container_bytes) /
                             static_cast<double>(std::max<std::uint64_t>(1, result.source_bytes)));
  out.notes.insert(out.notes.end(), result.notes.begin(), result.notes.end());
  out.warnings = std::move(result.warnings);
  return out;
}

BackgroundStore::Result decode_now(const QstoreContainer& container,
                                   const std::vector<std::uint32_t>& levels, bool all,
                                   const std::string& folder, UnitContext& context,
                                   std::uint64_t bytes) {
  BackgroundStore::Result out;
  DecodeOptions options;
  options.threads = context.threads();
  options.cancel = context.cancel();
  StepProgress progress(context, bytes);
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.follow("decode", share_of(done, total));
  };
  const DecodeResult result = decode_levels(container, levels, all, folder, options);
  if (result.cancelled) return out;
  out.text = fmt::format("{} written: {}, {}", folder, counted(result.files, "file"),
                         human_bytes(result.bytes));
  return out;
}

}  // namespace

EncodeOrder parse_encode(std::string_view argument) {
  Words words = words_of(argument);
  EncodeOrder order;
  order.output = std::move(words.first);
  if (!order.output.ends_with(".qstore")) {
    throw Error(ErrorCode::kUsage, "encode " + order.output, "a name that ends in .qstore");
  }
  for (auto& [name, value] : words.options) {
    if (name == "low" && !value.empty()) {
      order.low.push_back(std::move(value));
    } else if (name == "calibration" && !value.empty()) {
      order.calibration = std::move(value);
    } else if (name == "effort" && (value == "ratio" || value == "fast")) {
      order.effort = value == "ratio" ? PlaneEffort::kRatio : PlaneEffort::kFast;
    } else {
      bad_option(name, value,
                 "--low int8, --low gptq:4:128, --low PATH, --calibration FILE, --effort ratio");
    }
  }
  for (const std::string& low : order.low) {
    if (ComputedLevels::names(low)) ComputedLevels::check(low, order.calibration);
  }
  return order;
}

DecodeOrder parse_decode(std::string_view argument) {
  Words words = words_of(argument);
  DecodeOrder order;
  order.folder = std::move(words.first);
  for (auto& [name, value] : words.options) {
    if (name != "level" || value.empty()) bad_option(name, value, "--level NAME");
    order.level = std::move(value);
  }
  return order;
}

template <typename Work>
void BackgroundStore::submit(std::string name, std::string label, std::uint64_t bytes, Work work) {
  Unit unit;
  unit.label = std::move(label);
  unit.bytes = bytes;
  unit.priority = kAskedPriority;
  unit.run = [state = state_, work = std::move(work)](UnitContext& context) {
    lower_own_priority();
    Result result;
    try {
      result = work(context);
    } catch (...) {
      result.error = caught_error();
    }
    if (context.cancelled() && result.text.empty()) return;
    const std::optional<Error> error = result.error;
    {
      const std::lock_guard lock(state->mutex);
      state->results.push_back(std::move(result));
    }
    if (error) throw Error(*error);  // the queue lists it among the job's errors
  };
  jobs_.push_back(queue_.submit(std::move(name), {std::move(unit)}));
}

void BackgroundStore::encode(const std::shared_ptr<const Model>& model, EncodeOrder order,
                             std::optional<DType> prototype_dtype) {
  EncodeOptions options;
  options.output = output_of(*model, order.overwrite);
  options.open.prototype_dtype = prototype_dtype;
  check_output(order.output, options.output);
  const std::uint64_t bytes = stored_bytes(*model);
  const auto computed = static_cast<std::uint64_t>(
      std::count_if(order.low.begin(), order.low.end(), ComputedLevels::names));
  submit("encode " + model->name, order.output, bytes * (1 + computed),
         [model, order, options = std::move(options), bytes](UnitContext& context) {
           return encode_now(model, order, options, context, bytes);
         });
}

void BackgroundStore::decode(const std::shared_ptr<const Model>& model, DecodeOrder order) {
  if (model->container != Container::kQstore) {
    throw Error(ErrorCode::kUsage, "the open model is no container",
                "encode FILE.qstore makes one of it");
  }
  check_output_folder(order.folder);
  const auto container = QstoreContainer::open(File::open(model->path));
  const bool all = order.level == "all";
  std::vector<std::uint32_t> levels;
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < container->index().levels.size(); ++i) {
    if (!all && i != find_level(*container, order.level)) continue;
    levels.push_back(i);
    for (const QstoreFile& file : container->index().levels[i].files) bytes += file.size_bytes;
  }
  submit("decode " + model->name, order.folder, bytes,
         [container, levels, all, folder = order.folder, bytes](UnitContext& context) {
           return decode_now(*container, levels, all, folder, context, bytes);
         });
}

std::vector<BackgroundStore::Result> BackgroundStore::take() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->results, {});
}

std::optional<JobSnapshot> BackgroundStore::running() const {
  for (auto job = jobs_.rbegin(); job != jobs_.rend(); ++job) {
    const auto snapshot = queue_.snapshot(*job);
    if (snapshot && snapshot->state == JobState::kActive) return snapshot;
  }
  return {};
}

}  // namespace qi
