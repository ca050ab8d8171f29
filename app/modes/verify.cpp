#include "eval/verify.h"

#include "app/modes/modes.h"
#include "app/weight_rows.h"

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

void verify_model(Session& session, const Candidate& candidate, Table& table) {
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
