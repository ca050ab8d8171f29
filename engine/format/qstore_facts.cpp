#include "engine/format/qstore_facts.h"

#include <algorithm>

#include "engine/format/qstore_blocks.h"

namespace qi {
namespace {

const QstoreSegment* find_segment(const QstoreLevel& level, std::string_view name) {
  for (const QstoreFile& file : level.files) {
    if (file.role != QstoreFileRole::kWeights) continue;
    for (const QstoreSegment& segment : file.segments) {
      if (segment.name == name) return &segment;
    }
  }
  return nullptr;
}

void look_at(const QstoreContainer& container, std::uint32_t number, StoredPart& part,
             const std::atomic<bool>* cancel) {
  const QstoreStream& stream = container.index().streams[number];
  Buffer scratch;
  for (std::uint64_t block = 0; block < stream.blocks.size(); ++block) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return;
    try {
      const BlockCost cost =
          block_cost(stream, stream.block_bytes(block), container.stored(number, block, scratch));
      part.raw_blocks += cost.is_raw ? 1 : 0;
      part.escapes += cost.escapes;
    } catch (const Error& error) {
      if (error.code != ErrorCode::kCorrupt) throw;
      if (part.damaged++ == 0) part.first_damaged = block;
    }
  }
  container.file().check();
}

}  // namespace

std::shared_ptr<const QstoreContainer> container_of(const Model& model) {
  if (model.container != Container::kQstore) return nullptr;
  return QstoreContainer::open(File::open(model.path));
}

std::vector<StoredPart> stored_parts(const QstoreContainer& container, const Model& model,
                                     const Weight& weight, const std::atomic<bool>* cancel) {
  std::vector<StoredPart> parts;
  if (weight.level >= container.index().levels.size()) return parts;
  const QstoreLevel& level = container.index().levels[weight.level];
  for (const Part& part : weight.parts) {
    const QstoreSegment* segment = find_segment(level, model.tensor(part).name);
    if (segment == nullptr) continue;
    const QstoreStream& stream = container.index().streams[segment->stream];
    StoredPart out;
    out.tensor = model.tensor(part).name;
    out.role = part.role;
    out.method = method_name(stream.method);
    out.on_base = stream.base.has_value();
    out.size_bytes = stream.size_bytes;
    out.stored_bytes = stream.stored_bytes();
    out.blocks = stream.blocks.size();
    look_at(container, segment->stream, out, cancel);
    parts.push_back(std::move(out));
  }
  return parts;
}

}  // namespace qi
