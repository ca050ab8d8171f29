#include <algorithm>

#include "app/analysis.h"
#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/weight_rows.h"
#include "engine/format/prototype.h"
#include "engine/format/qstore_decode.h"
#include "engine/quant/check.h"

namespace qi {
namespace {

constexpr std::uint64_t kTileElements = 1 << 18;
constexpr std::size_t kReadBytes = 1 << 20;

// A row before it is known which one it is: found on a pool thread, printed on the caller's.
struct Fault {
  std::string file;  // path
  std::string tensor;
  ErrorCode code = ErrorCode::kCorrupt;
  std::string part;
  std::optional<std::uint64_t> block;
  std::optional<std::uint64_t> offset;
  std::optional<std::uint64_t> length;
  std::string message;
  bool odd_only = false;  // a warning, not a fault
};

Fault fault_of(const Error& error, const std::string& tensor, std::string part) {
  std::string message = error.message;
  if (!error.expected.empty()) message += ": " + error.expected;
  return {error.file, tensor, error.code, std::move(part), {}, error.offset, {}, message, false};
}

void print(const std::string& model, const Fault& fault, Table& table) {
  const auto number = [](const std::optional<std::uint64_t>& value) {
    return value ? Field(*value) : Field();
  };
  const auto text = [](std::string_view value) { return field_if(!value.empty(), value); };
  table.row({Field(model), text(file_name(fault.file)), text(fault.tensor),
             Field(class_word(fault.code)), text(fault.part), number(fault.block),
             number(fault.offset), number(fault.length), text(fault.message)});
}

// Faults of the file, not of this run: those of the run end the row with an error alone.
bool is_fault(ErrorCode code) {
  return exit_status(code) == 2;
}

void stop_if(const std::atomic<bool>* cancel) {
  if (cancel->load(std::memory_order_relaxed)) throw Interrupted{};
}

// Bytes of tensors whose values nobody can decode: that they can be read is all there is to check.
void read_raw(const Model& model, const Weight& weight, const std::atomic<bool>* cancel) {
  Buffer scratch;
  for (const Part& part : weight.parts) {
    const Tensor& tensor = model.tensor(part);
    const File& file = model.file(tensor);
    for (std::uint64_t done = 0; done < tensor.size_bytes; done += kReadBytes) {
      stop_if(cancel);
      const auto length =
          static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, tensor.size_bytes - done));
      if (scratch.size() < length) scratch.resize(length);
      file.read_at(tensor.offset + done, {scratch.data(), length});
    }
  }
}

// Every payload byte goes through the decoder that --stats and --convert use.
void read_values(const Model& model, const Weight& weight, const std::atomic<bool>* cancel) {
  const auto reader = open_reader(model, weight);
  const TileWalk walk(weight.rows(), weight.cols(), kTileElements);
  std::vector<float> values;
  for (std::uint64_t i = 0; i < walk.size(); ++i) {
    stop_if(cancel);
    const Tile tile = walk[i];
    values.resize(tile.rows * tile.cols);
    reader->values(tile, values.data());
  }
  reader->check();
}

std::vector<Fault> check(const Model& model, const Weight& weight, UnitContext& context) {
  std::vector<Fault> faults;
  if (model.container == Container::kPrototype) {
    const auto report = [&](const PrototypeFault& found) {
      faults.push_back({found.file, found.tensor, found.code, found.part, found.block, found.offset,
                        found.length, found.message});
    };
    verify_prototype(model, weight, report, context.cancel());
    stop_if(context.cancel());
  } else {
    try {
      for (const WeightFault& found : check_weight(model, weight)) {
        faults.push_back({found.file,
                          weight.name,
                          found.code,
                          found.part,
                          {},
                          found.offset,
                          found.length,
                          found.message,
                          found.severity == WeightFault::Severity::kNote});
      }
      if (weight.undecodable.empty()) {
        read_values(model, weight, context.cancel());
      } else {
        read_raw(model, weight, context.cancel());
      }
    } catch (const Error& error) {
      if (!is_fault(error.code)) throw;
      // What the scheme's own check has named already is not said twice.
      const bool known = std::any_of(faults.begin(), faults.end(), [&](const Fault& fault) {
        return fault.code == error.code && fault.offset == error.offset;
      });
      if (!known) faults.push_back(fault_of(error, weight.name, "payload"));
    }
  }
  check_files_unchanged(model, weight);
  return faults;
}

// Header and index, then every block. What is wrong with the first two ends it: nothing behind them
// can be found.
void verify_qstore(Session& session, const Candidate& candidate, Table& table) {
  const Options& options = session.options();
  Messages& messages = session.messages();
  const auto file = File::open(candidate.path);
  try {
    read_qstore_header(*file);
  } catch (const Error& error) {
    if (!is_fault(error.code)) throw;
    messages.error(error);
    return print(candidate.name, fault_of(error, "", "header"), table);
  }
  std::shared_ptr<const QstoreContainer> container;
  try {
    container = QstoreContainer::open(file, options.base);
  } catch (const Error& error) {
    if (!is_fault(error.code)) throw;
    messages.error(error);
    return print(candidate.name, fault_of(error, "", "index"), table);
  }
  Progress progress("verify", options.quiet, options.ascii);
  VerifyOptions verify;
  verify.threads = options.threads;
  verify.checksums_only = options.checksums_only;
  verify.cancel = &cancel_requested();
  verify.progress = [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); };
  if (!session.filter().empty()) {
    verify.selection = [&](std::string_view name) { return session.filter().matches(name); };
  }
  const auto report = [&](const ContainerFault& found) {
    progress.clear();
    messages.error(Error(found.code, found.message, {}, file->path(), found.offset));
    print(candidate.name,
          {file->path(), found.tensor, found.code, found.part, found.block, found.offset,
           found.length, found.message},
          table);
  };
  if (!verify_container(*container, verify, report)) throw Interrupted{};
}

void verify_model(Session& session, const Candidate& candidate, Table& table) {
  if (candidate.container == Container::kQstore) return verify_qstore(session, candidate, table);
  const Model model = session.open(candidate);
  Messages& messages = session.messages();
  if (model.container == Container::kPrototype) {
    messages.warning({model.path, "the format has no checksums: values are unchecked"});
  }
  const std::vector<const Weight*> weights = session.selected(model);
  std::vector<std::vector<Fault>> faults(weights.size());
  WeightWork work;
  work.title = "verify";
  work.work = [&](std::size_t i, UnitContext& context) {
    faults[i] = check(model, *weights[i], context);
  };
  work.done = [&](std::size_t i, const Error* error) {
    if (error != nullptr) messages.error(*error);
    for (const Fault& fault : faults[i]) {
      if (fault.odd_only) {
        messages.warning({fault.file, fault.tensor + ": " + fault.message});
        continue;
      }
      messages.error(
          Error(fault.code, fault.tensor + ": " + fault.message, {}, fault.file, fault.offset));
      print(model.name, fault, table);
    }
    if (!weights[i]->undecodable.empty()) {
      messages.note(weights[i]->name + ": values not checked: " + weights[i]->undecodable);
    }
    faults[i].clear();
  };
  work.pause = [&] { table.flush(); };
  for_each_weight(weights, session.options(), work);
}

}  // namespace

void run_verify(Session& session) {
  const Options& options = session.options();
  const std::string& path = options.paths.front();
  Catalog catalog;
  std::optional<Error> unreadable;
  try {
    catalog = session.find(path);
  } catch (const Error& error) {
    if (!is_fault(error.code)) throw;
    unreadable = error;
  }
  Table table(options, verify_columns(), input_paths(path, catalog));
  if (unreadable) {
    session.messages().error(*unreadable);
    print(std::string(file_name(path)), fault_of(*unreadable, "", "file"), table);
  }
  try {
    for (const Candidate& candidate : catalog.models) {
      try {
        verify_model(session, candidate, table);
      } catch (const Error& error) {
        session.messages().error(error);
        if (is_fault(error.code)) print(candidate.name, fault_of(error, "", "header"), table);
      }
    }
  } catch (const Interrupted&) {
    table.abandon();
    throw;
  }
  table.finish();
}

}  // namespace qi
