#include "engine/format/qstore_writer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <numeric>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>

#include "engine/format/hf_directory.h"
#include "engine/format/ordered_work.h"
#include "engine/format/qstore_choice.h"
#include "engine/format/qstore_container.h"
#include "engine/format/qstore_dedup.h"
#include "engine/format/qstore_digest.h"
#include "engine/format/qstore_plan.h"
#include "engine/format/qstore_pool.h"

namespace qi {
namespace {

struct Cancelled {};

// How often a cancel is looked for while the last digest is made.
constexpr std::chrono::milliseconds kPollTime{20};

/// A block among all of them, in the order of the file.
struct BlockPlace {
  std::uint32_t stream;
  std::uint32_t block;
};

// "-2", "-3" … behind names that are taken, also but for their case: a level becomes a folder.
std::string distinct_name(const std::string& wanted, const std::vector<PlanLevel>& taken) {
  std::string name = wanted;
  for (int n = 2;; ++n) {
    const std::string folded = folded_name(name);
    const bool used = std::any_of(taken.begin(), taken.end(), [&](const PlanLevel& level) {
      return folded_name(level.name) == folded;
    });
    if (!used) return name;
    name = fmt::format("{}-{}", wanted, n);
  }
}

class Writer {
 public:
  Writer(const std::string& path, const EncodeOptions& options)
      : path_(path), options_(options), threads_(thread_count(options.threads)) {}

  EncodeResult run() {
    open_sources();
    check_output(path_, output_options());
    plan_ = plan_container(levels_, options_.block_weights);
    result_.notes.insert(result_.notes.end(), plan_.notes.begin(), plan_.notes.end());
    result_.source_bytes = plan_.source_bytes;
    find_base();
    choose();
    name_base();
    AtomicFile out(path_, output_options());
    out.reserve(predicted_);
    write(out);
    out.finish();
    verify(out.temporary_path());
    for (const auto& file : plan_.files) file->check_unchanged();
    if (base_ != nullptr) base_->file().check_unchanged();
    out.commit();
    result_.container_bytes = out.size();
    return std::move(result_);
  }

 private:
  void poll() const {
    if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) {
      throw Cancelled{};
    }
  }

  OutputOptions output_options() const {
    OutputOptions output = options_.output;
    for (const Model& model : models_) {
      for (const auto& file : model.files) output.inputs.push_back(file->identity());
    }
    for (const auto& file : plan_.files) output.inputs.push_back(file->identity());
    if (base_ != nullptr) output.inputs.push_back(base_->file().identity());
    return output;
  }

  void open_sources() {
    models_.reserve(options_.levels.size());  // sources refer to them
    for (const EncodeLevel& level : options_.levels) {
      PlanLevel planned;
      planned.path = level.path;
      if (level.int8_of_first) {
        planned.made = int8_of(models_.front());
        add_level("int8", std::move(planned));
        continue;
      }
      if (level.source.container == Container::kQstore) {
        throw Error(ErrorCode::kUsage, "a container as the source of a container",
                    "a model folder or file", level.path);
      }
      models_.push_back(open_model(level.source, options_.open));
      const Model& model = models_.back();
      result_.warnings.insert(result_.warnings.end(), model.warnings.begin(), model.warnings.end());
      planned.source = &level.source;
      planned.model = &model;
      if (model.container != Container::kPrototype) {
        add_level(level_name(level), std::move(planned));
        continue;
      }
      PrototypeLevels made = prototype_levels(model);
      planned.made = std::move(made.high);
      add_level(level_name(level), std::move(planned));
      planned = {};
      planned.path = level.path;
      planned.made = std::move(made.low);
      add_level("int8", std::move(planned));
      result_.notes.push_back(
          "a prototype directory is encoded anew: its levels come back as safetensors");
    }
  }

  void add_level(const std::string& name, PlanLevel level) {
    level.name = distinct_name(name, levels_);
    result_.levels.push_back(level.name);
    levels_.push_back(std::move(level));
  }

  static std::string level_name(const EncodeLevel& level) {
    std::string name = level.source.name;
    // A model found deep in a folder is named by its way there.
    std::replace(name.begin(), name.end(), '/', '-');
    if (name.size() > kQstoreMaxName - 8) name.resize(kQstoreMaxName - 8);
    return is_safe_file_name(name) ? name : std::string("model");
  }

  // ---- base ----

  void find_base() {
    differences_.resize(plan_.streams.size());
    if (options_.base.empty()) return;
    base_ = QstoreContainer::open(File::open(options_.base));
    for (const QstoreLevel& level : plan_.index.levels) {
      std::unordered_map<std::string_view, std::uint32_t> known;
      for (const QstoreFile& file : base_level(level.name).files) {
        for (const QstoreSegment& segment : file.segments) known[segment.name] = segment.stream;
      }
      for (const QstoreFile& file : level.files) {
        for (const QstoreSegment& segment : file.segments) {
          const auto found = known.find(segment.name);
          if (found != known.end()) set_base(segment.stream, found->second);
        }
      }
    }
  }

  // That of the same name, else the first.
  const QstoreLevel& base_level(std::string_view name) const {
    const auto& levels = base_->index().levels;
    const auto same = std::find_if(levels.begin(), levels.end(),
                                   [&](const QstoreLevel& level) { return level.name == name; });
    return same != levels.end() ? *same : levels.front();
  }

  void set_base(std::uint32_t number, std::uint32_t there) {
    if (base_->index().streams[there].size_bytes != plan_.index.streams[number].size_bytes) return;
    const auto read = [base = base_, there](std::uint64_t offset, std::span<std::byte> out) {
      base->read(there, offset, out);
    };
    differences_[number] = {there, source_of_difference(plan_.streams[number].source, read)};
  }

  void name_base() {
    const auto& streams = plan_.index.streams;
    const bool needed = std::any_of(streams.begin(), streams.end(), [](const QstoreStream& stream) {
      return stream.base.has_value();
    });
    if (!needed) return;
    std::string name = own_name(options_.base);
    if (!is_safe_file_name(name)) {
      throw Error(ErrorCode::kPath, fmt::format("base name \"{}\"", name),
                  "a single name of at most 255 bytes", options_.base);
    }
    plan_.index.base = {plan_.keep(std::move(name)), base_->digest()};
  }

  // ---- methods ----

  void choose() {
    const std::size_t count = plan_.streams.size();
    std::vector<std::unique_ptr<StreamChooser>> choosers(std::max(1u, threads_));
    std::vector<QstoreStream> chosen(ordered_slots(threads_));
    std::vector<std::uint64_t> estimates(chosen.size());
    std::vector<QstoreStream> all(count);
    OrderedWork work;
    work.produce = [&](unsigned worker, std::size_t item, std::size_t slot) {
      auto& chooser = choosers[worker];
      if (chooser == nullptr) {
        chooser = std::make_unique<StreamChooser>(plan_, differences_, options_.effort);
      }
      chosen[slot] = chooser->choose(static_cast<std::uint32_t>(item), estimates[slot]);
    };
    std::vector<std::uint64_t> bytes(count);
    work.consume = [&](std::size_t item, std::size_t slot) {
      poll();
      all[item] = std::move(chosen[slot]);
      bytes[item] = estimates[slot];
    };
    run_ordered(count, threads_, work);
    if (options_.effort == PlaneEffort::kRatio) share_tables(all, bytes);
    predicted_ = std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{kQstoreHeaderBytes});
    plan_.index.streams = std::move(all);
    for (std::uint32_t i = 0; i < count; ++i) {
      QstoreStream& stream = plan_.index.streams[i];
      const std::uint64_t blocks = block_count(stream.size_bytes, stream.unit_bytes);
      stream.blocks.resize(static_cast<std::size_t>(blocks));
      for (std::uint32_t k = 0; k < blocks; ++k) blocks_.push_back({i, k});
      total_bytes_ += stream.size_bytes;
      if (stream.size_bytes != 0) block_limit_ = std::max(block_limit_, stream.unit_bytes);
    }
    total_bytes_ *= 2;  // encoded, then verified
  }

  // Small tensors by tables that several of them have.
  void share_tables(std::vector<QstoreStream>& streams, std::vector<std::uint64_t>& bytes) {
    StreamPools pools(plan_);
    std::vector<std::optional<PlanePool::Counted>> counted(ordered_slots(threads_));
    OrderedWork work;
    work.produce = [&](unsigned, std::size_t item, std::size_t slot) {
      counted[slot] = pools.count(static_cast<std::uint32_t>(item), streams[item],
                                  static_cast<double>(bytes[item]));
    };
    work.consume = [&](std::size_t item, std::size_t slot) {
      poll();
      if (!counted[slot]) return;
      pools.add(static_cast<std::uint32_t>(item), streams[item], std::move(*counted[slot]));
    };
    run_ordered(streams.size(), threads_, work);
    pools.settle();
    std::vector<std::unique_ptr<PlaneEncoder>> encoders(std::max(1u, threads_));
    work.produce = [&](unsigned worker, std::size_t item, std::size_t) {
      auto& encoder = encoders[worker];
      if (encoder == nullptr) encoder = std::make_unique<PlaneEncoder>();
      pools.share(static_cast<std::uint32_t>(item), streams[item], bytes[item], *encoder);
    };
    work.consume = [&](std::size_t, std::size_t) { poll(); };
    run_ordered(streams.size(), threads_, work);
  }

  // ---- encoding ----

  struct Given {
    explicit Given(const QstorePlan& plan) : whole(plan) {}
    Buffer codes;
    Buffer scales;
    PlannedBytes whole;
  };

  BlockGiven given_for(const QstoreStream& stream, std::uint64_t block, Given& scratch) const {
    const std::uint64_t first = block * stream.unit_bytes;
    if (stream.method == QstoreMethod::kChain) {
      return {{}, {}, chain_bytes(stream.chain, first, scratch.whole)};
    }
    if (stream.method != QstoreMethod::kPair) return {};
    const std::uint64_t bytes = stream.block_bytes(block);
    const std::uint64_t row_bytes = 2 * stream.pairing.cols;
    return {plan_.streams[stream.pairing.codes].source->bytes(
                first / 2, static_cast<std::size_t>(bytes / 2), scratch.codes),
            plan_.streams[stream.pairing.scales].source->bytes(
                4 * (first / row_bytes), static_cast<std::size_t>(4 * (bytes / row_bytes)),
                scratch.scales),
            {}};
  }

  std::span<const std::byte> source_block(BlockPlace place, Buffer& scratch) const {
    const QstoreStream& stream = plan_.index.streams[place.stream];
    return plan_.streams[place.stream].source->bytes(
        place.block * stream.unit_bytes, static_cast<std::size_t>(stream.block_bytes(place.block)),
        scratch);
  }

  // What is encoded: the source, or its difference to the base.
  std::span<const std::byte> coded_block(BlockPlace place, Buffer& scratch) const {
    const QstoreStream& stream = plan_.index.streams[place.stream];
    if (!stream.base) return source_block(place, scratch);
    return differences_[place.stream].difference->bytes(
        place.block * stream.unit_bytes, static_cast<std::size_t>(stream.block_bytes(place.block)),
        scratch);
  }

  void check_sources(const QstoreStream& stream, std::uint32_t number) const {
    plan_.streams[number].source->check();
    for_each_reference(stream, [&](std::uint32_t below) { plan_.streams[below].source->check(); });
  }

  void encode_blocks(AtomicFile& out) {
    struct Worker {
      explicit Worker(const QstorePlan& plan) : given(plan) {}
      BlockEncoder encoder;
      Buffer scratch;
      Given given;
    };
    std::vector<std::unique_ptr<Worker>> workers(std::max(1u, threads_));
    std::vector<Buffer> slots(ordered_slots(threads_));
    OrderedWork work;
    work.produce = [&](unsigned number, std::size_t item, std::size_t slot) {
      auto& worker = workers[number];
      if (worker == nullptr) worker = std::make_unique<Worker>(plan_);
      const BlockPlace place = blocks_[item];
      const QstoreStream& stream = plan_.index.streams[place.stream];
      const BlockGiven given = given_for(stream, place.block, worker->given);
      const auto coded =
          worker->encoder.encode(stream, place.stream, coded_block(place, worker->scratch), given);
      check_sources(stream, place.stream);
      slots[slot].assign(coded.begin(), coded.end());
    };
    DigestState digest;
    Buffer scratch;
    work.consume = [&](std::size_t item, std::size_t slot) {
      poll();
      const BlockPlace place = blocks_[item];
      QstoreStream& stream = plan_.index.streams[place.stream];
      QstoreBlock& block = stream.blocks[place.block];
      block.offset = out.size();
      block.stored_bytes = slots[slot].size();
      block.checksum = block_checksum(slots[slot], stream.level, place.stream, place.block);
      out.write(slots[slot]);
      const auto bytes = source_block(place, scratch);
      digest.add(bytes);
      advance(bytes.size());
      if (place.block + 1 != stream.blocks.size()) return;
      check_sources(stream, place.stream);
      stream.digest = digest.value();
      digest.reset();
    };
    run_ordered(blocks_.size(), threads_, work);
  }

  void advance(std::uint64_t bytes) {
    done_bytes_ += bytes;
    if (options_.progress) options_.progress(done_bytes_, total_bytes_);
  }

  void digest_files(unsigned threads, const std::atomic<bool>* cancel) {
    for (std::size_t i = 0; i < plan_.index.levels.size(); ++i) {
      QstoreLevel& level = plan_.index.levels[i];
      OrderedWork work;
      std::vector<QstoreDigest> slots(ordered_slots(threads));
      work.produce = [&](unsigned, std::size_t item, std::size_t slot) {
        slots[slot] = digest_of(*plan_.file_sources[i][item], cancel);
      };
      work.consume = [&](std::size_t item, std::size_t slot) {
        poll();
        level.files[item].digest = slots[slot];
      };
      run_ordered(level.files.size(), threads, work);
    }
  }

  // With several threads the files' digests are made beside the blocks.
  void encode_and_digest(AtomicFile& out) {
    if (threads_ <= 1) {
      encode_blocks(out);
      digest_files(1, options_.cancel);
    } else {
      std::atomic<bool> stop = false;
      auto digests = std::async(std::launch::async, [&] { digest_files(1, &stop); });
      try {
        encode_blocks(out);
      } catch (...) {
        stop = true;
        throw;
      }
      while (digests.wait_for(kPollTime) != std::future_status::ready) {
        stop = options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed);
      }
      digests.get();
    }
    for (QstoreStream& stream : plan_.index.streams) {
      if (stream.size_bytes == 0) stream.digest = DigestState().value();
    }
  }

  void write(AtomicFile& out) {
    out.write(std::vector<std::byte>(kQstoreHeaderBytes));
    encode_and_digest(out);
    index_text_ = qstore_index_text(plan_.index);
    const std::vector<std::byte> packed = pack_qstore_index(index_text_);
    QstoreHeader header;
    const auto& streams = plan_.index.streams;
    const bool has_chains = std::any_of(streams.begin(), streams.end(), [](const auto& stream) {
      return stream.method == QstoreMethod::kChain;
    });
    header.version = has_chains ? kQstoreVersion : kQstoreVersionWithoutChains;
    header.index_offset = out.size();
    header.index_bytes = packed.size();
    header.total_bytes = out.size() + packed.size();
    header.index_checksum = plain_checksum(packed);
    header.block_limit = block_limit_;
    out.write(packed);
    out.patch(0, qstore_header(header));
  }

  // ---- verification: what was written, read back, decodes to what the sources hold ----

  void verify(const std::string& written) {
    const auto container = QstoreContainer::open(File::open(written), options_.base);
    const auto differs = [&](const std::string& what) {
      throw Error(ErrorCode::kIo, "what was written reads back differently: " + what, {}, path_);
    };
    if (qstore_index_text(container->index()) != index_text_) differs("index");
    struct Worker {
      explicit Worker(const QstoreContainer& of) : reader(of) {}
      QstoreReader reader;
      Buffer decoded;
      Buffer scratch;
    };
    std::vector<std::unique_ptr<Worker>> workers(std::max(1u, threads_));
    OrderedWork work;
    work.produce = [&](unsigned number, std::size_t item, std::size_t) {
      auto& worker = workers[number];
      if (worker == nullptr) worker = std::make_unique<Worker>(*container);
      const BlockPlace place = blocks_[item];
      const auto bytes = source_block(place, worker->scratch);
      if (worker->decoded.size() < bytes.size()) worker->decoded.resize(bytes.size());
      worker->reader.read_block(place.stream, place.block,
                                std::span(worker->decoded).first(bytes.size()));
      const bool same = std::memcmp(worker->decoded.data(), bytes.data(), bytes.size()) == 0;
      check_sources(plan_.index.streams[place.stream], place.stream);
      if (!same) {
        differs(
            fmt::format("block {} of {}", place.block, container->subject(place.stream).text()));
      }
    };
    work.consume = [&](std::size_t item, std::size_t) {
      poll();
      const BlockPlace place = blocks_[item];
      advance(plan_.index.streams[place.stream].block_bytes(place.block));
    };
    run_ordered(blocks_.size(), threads_, work);
  }

  const std::string& path_;
  const EncodeOptions& options_;
  const unsigned threads_;
  EncodeResult result_;
  std::vector<Model> models_;
  std::vector<PlanLevel> levels_;
  QstorePlan plan_;
  std::shared_ptr<const QstoreContainer> base_;
  std::vector<BaseStream> differences_;  // beside the plan's streams
  std::vector<BlockPlace> blocks_;
  std::vector<std::byte> index_text_;
  std::uint64_t predicted_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t block_limit_ = 0;
};

}  // namespace

EncodeResult encode_container(const std::string& path, const EncodeOptions& options) {
  try {
    return Writer(path, options).run();
  } catch (const Cancelled&) {
    EncodeResult result;
    result.cancelled = true;
    return result;
  }
}

}  // namespace qi
