#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "app/modes/modes.h"
#include "app/progress.h"
#include "app/signals.h"
#include "engine/format/qstore.h"
#include "engine/format/qstore_decode.h"
#include "engine/io/atomic_folder.h"

namespace qi {
namespace {

constexpr std::array kDecodeColumns = {
    Column{"model", "model", ColumnKind::kText, 90},
    Column{"file", "written", ColumnKind::kText, 100},
    Column{"level", "level", ColumnKind::kText, 85},
    Column{"files", "files", ColumnKind::kInteger, 70},
    Column{"bytes", "size", ColumnKind::kBytes, 80},
};

// The parts of the weights that --tensors selects.
std::vector<RestoredTensor> selected_tensors(const QstoreContainer& container, std::uint32_t number,
                                             const Model& level, const Session& session) {
  std::unordered_map<std::string_view, std::uint32_t> streams;
  for (const QstoreFile& file : container.index().levels[number].files) {
    if (file.role != QstoreFileRole::kWeights) continue;
    for (const QstoreSegment& segment : file.segments) streams[segment.name] = segment.stream;
  }
  std::vector<RestoredTensor> tensors;
  for (const Weight* weight : session.selected(level)) {
    for (const Part& part : weight->parts) {
      const Tensor& tensor = level.tensor(part);
      RestoredTensor restored;
      restored.name = tensor.name;
      restored.dtype = tensor.dtype;
      restored.dtype_text = dtype_name(tensor);
      restored.shape = tensor.shape;
      restored.size_bytes = tensor.size_bytes;
      if (const auto found = streams.find(tensor.name); found != streams.end()) {
        restored.stream = found->second;
      }
      tensors.push_back(std::move(restored));
    }
  }
  if (tensors.empty()) {
    throw Error(ErrorCode::kUsage, "no weight is selected", "one or more", container.file().path());
  }
  return tensors;
}

}  // namespace

void run_decode(Session& session) {
  const Options& options = session.options();
  const std::string& path = options.paths.front();
  const Catalog catalog = session.find(path);
  const Candidate& candidate = Session::only_one(path, catalog);
  if (candidate.container != Container::kQstore) {
    throw Error(ErrorCode::kUsage, "not a container", "a .qstore file", path);
  }
  const auto container = QstoreContainer::open(File::open(candidate.path), options.base);
  std::vector<std::uint32_t> levels;
  const bool all = options.level == "all";
  if (all) {
    for (std::uint32_t i = 0; i < container->index().levels.size(); ++i) levels.push_back(i);
  } else {
    levels.push_back(find_level(*container, options.level));
  }
  if (all && !session.filter().empty()) {
    throw Error(ErrorCode::kUsage, "--tensors with --level all", "one level");
  }
  check_output_folder(options.decode_output);
  Table table(options, kDecodeColumns, input_paths(path, catalog));
  Progress progress("decode", options.quiet, options.ascii);
  DecodeOptions decode;
  decode.threads = options.threads;
  decode.progress = [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); };
  decode.cancel = &cancel_requested();
  DecodeResult result;
  if (session.filter().empty()) {
    result = decode_levels(*container, levels, all, options.decode_output, decode);
  } else {
    const Model level = open_qstore_level(container, levels.front());
    result =
        decode_tensors(*container, selected_tensors(*container, levels.front(), level, session),
                       options.decode_output, decode);
  }
  progress.clear();
  if (result.cancelled) throw Interrupted{};
  table.row({Field(candidate.name), Field(options.decode_output), Field(options.level),
             Field(result.files), Field(result.bytes)});
  table.finish();
}

}  // namespace qi
