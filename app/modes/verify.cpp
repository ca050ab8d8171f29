#include "eval/check/verify.h"

#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "app/weight_rows.h"
#include "engine/format/qstore_verify.h"

namespace qi {
namespace {

void print(const std::string& model, const Fault& fault, Table& table) {
  const auto number = [](const std::optional<std::uint64_t>& value) {
    return value ? Field(*value) : Field();
  };
  const auto text = [](std::string_view value) { return field_if(!value.empty(), value); };
  table.row({Field(model), text(file_name(fault.file)), text(fault.tensor),
             Field(class_word(fault.code)), text(fault.part), number(fault.block),
             number(fault.offset), number(fault.length), text(fault.message)});
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
  if (const std::string_view remark = unchecked_remark(model.container); !remark.empty()) {
    messages.warning({model.path, std::string(remark)});
  }
  const std::vector<const Weight*> weights = session.selected(model);
  std::vector<std::vector<Fault>> faults(weights.size());
  WeightWork work;
  work.title = "verify";
  work.work = [&](std::size_t i, UnitContext& context) {
    auto found = verify_weight(model, *weights[i], context.cancel(),
                               [&](std::uint64_t bytes) { context.add_progress(bytes); });
    if (!found) throw Interrupted{};
    faults[i] = std::move(*found);
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
