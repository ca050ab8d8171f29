#include "engine/format/qstore_decode.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "engine/format/ordered_work.h"
#include "engine/format/qstore_digest.h"
#include "engine/format/safetensors.h"
#include "engine/io/atomic_file.h"
#include "engine/io/atomic_folder.h"
#include "engine/io/checked.h"

namespace qi {
namespace {

struct Cancelled {};

/// A piece of a stream as it goes into a file: whole blocks, and cut ones of literals.
struct Piece {
  std::uint32_t stream;
  std::uint64_t offset;
  std::uint64_t bytes;
  bool last;             // of its stream, which this file takes whole
  std::uint64_t to = 0;  // among the pieces
};

// The bytes of a file in order, cut at the blocks of its streams.
std::vector<Piece> pieces_of(const QstoreIndex& index, const QstoreFile& file) {
  std::vector<Piece> pieces;
  const auto put = [&](std::uint32_t number, std::uint64_t offset, std::uint64_t bytes,
                       bool whole) {
    const QstoreStream& stream = index.streams[number];
    while (bytes != 0) {
      const std::uint64_t there = stream.unit_bytes - offset % stream.unit_bytes;
      const std::uint64_t count = std::min(bytes, there);
      pieces.push_back({number, offset, count, whole && count == bytes});
      offset += count;
      bytes -= count;
    }
  };
  std::uint64_t literal = 0;
  for (const QstoreSegment& segment : file.segments) {
    put(file.literals.value_or(0), literal, segment.literal_bytes, false);
    literal += segment.literal_bytes;
    put(segment.stream, 0, index.streams[segment.stream].size_bytes, true);
  }
  if (file.literals) {
    put(*file.literals, literal, index.streams[*file.literals].size_bytes - literal, false);
  }
  return pieces;
}

class Decoder {
 public:
  Decoder(const QstoreContainer& container, const DecodeOptions& options)
      : container_(container),
        options_(options),
        threads_(thread_count(options.threads)),
        readers_(threads_),
        slots_(ordered_slots(threads_)) {}

  void expect(std::uint64_t bytes) { total_ = checked_add(total_, bytes).value_or(UINT64_MAX); }
  std::uint64_t expected() const { return total_; }
  const DecodeResult& result() const { return result_; }

  void write_file(const QstoreFile& file, const std::string& folder) {
    AtomicFile out(folder + "/" + std::string(file.name), {});
    out.reserve(file.size_bytes);
    DigestState whole;
    std::vector<Piece> pieces = pieces_of(container_.index(), file);
    write_pieces(pieces, out, &whole);
    if (!(whole.value() == file.digest)) {
      throw Error(ErrorCode::kCorrupt, fmt::format("digest of file {} is wrong", file.name), {},
                  container_.file().path(), container_.header().index_offset);
    }
    finish(out);
  }

  void write_tensors(const std::vector<RestoredTensor>& tensors, const std::string& header,
                     const std::string& folder) {
    AtomicFile out(folder + "/model.safetensors", {});
    out.reserve(header.size() + total_);
    out.write(header);
    std::vector<Piece> pieces;
    for (const RestoredTensor& tensor : tensors) {
      if (tensor.size_bytes == 0) continue;
      QstoreFile alone;
      alone.segments.push_back({0, tensor.stream, {}});
      const std::vector<Piece> more = pieces_of(container_.index(), alone);
      pieces.insert(pieces.end(), more.begin(), more.end());
    }
    write_pieces(pieces, out, nullptr);
    finish(out);
  }

 private:
  // Who decodes a piece also writes it; hashed they are in order.
  void write_pieces(std::vector<Piece>& pieces, AtomicFile& out, DigestState* whole) {
    std::uint64_t all = 0;
    for (Piece& piece : pieces) {
      piece.to = all;
      all = checked_add(all, piece.bytes).value_or(UINT64_MAX);
    }
    const std::uint64_t start = out.claim(all);
    OrderedWork work;
    work.produce = [&](unsigned worker, std::size_t item, std::size_t slot) {
      auto& reader = readers_[worker];
      if (reader == nullptr) reader = std::make_unique<QstoreReader>(container_);
      const Piece& piece = pieces[item];
      slots_[slot].resize(static_cast<std::size_t>(piece.bytes));
      reader->read(piece.stream, piece.offset, slots_[slot]);
      out.put_at(start + piece.to, slots_[slot]);
    };
    DigestState digest;
    work.consume = [&](std::size_t item, std::size_t slot) {
      if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) {
        throw Cancelled{};
      }
      const Piece& piece = pieces[item];
      const Buffer& bytes = slots_[slot];
      if (whole != nullptr) {
        whole->add(bytes);  // the file's digest is its tensors', too
      } else {
        digest.add(bytes);
        if (piece.last) check_digest(piece.stream, digest.value());
        const bool goes_on =
            item + 1 < pieces.size() && pieces[item + 1].stream == piece.stream && !piece.last;
        if (!goes_on) digest.reset();
      }
      done_ += bytes.size();
      if (options_.progress) options_.progress(done_, total_);
    };
    run_ordered(pieces.size(), threads_, work);
  }

  void check_digest(std::uint32_t number, const QstoreDigest& digest) const {
    const QstoreStream& stream = container_.index().streams[number];
    if (digest == stream.digest) return;
    throw Error(ErrorCode::kCorrupt,
                fmt::format("digest of {} is wrong", container_.subject(number).text()), {},
                container_.file().path(), stream.blocks.empty() ? 0 : stream.blocks.front().offset);
  }

  void finish(AtomicFile& out) {
    container_.file().check_unchanged();
    result_.bytes += out.size();
    ++result_.files;
    out.commit();
  }

  const QstoreContainer& container_;
  const DecodeOptions& options_;
  const unsigned threads_;
  std::vector<std::unique_ptr<QstoreReader>> readers_;
  std::vector<Buffer> slots_;
  DecodeResult result_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

std::uint64_t level_bytes(const QstoreLevel& level) {
  std::uint64_t sum = 0;
  for (const QstoreFile& file : level.files) {
    sum = checked_add(sum, file.size_bytes).value_or(UINT64_MAX);
  }
  return sum;
}

}  // namespace

std::uint32_t find_level(const QstoreContainer& container, std::string_view name) {
  const auto& levels = container.index().levels;
  std::string names;
  for (std::uint32_t i = 0; i < levels.size(); ++i) {
    if (levels[i].name == name) return i;
    names += (names.empty() ? "" : ", ") + std::string(levels[i].name);
  }
  if (name == "high") return 0;
  if (name == "low") return static_cast<std::uint32_t>(levels.size() - 1);
  throw Error(ErrorCode::kUsage, fmt::format("no level named {}", name),
              fmt::format("high, low, all, or one of {}", names), container.file().path());
}

DecodeResult decode_levels(const QstoreContainer& container,
                           const std::vector<std::uint32_t>& levels, bool all,
                           const std::string& path, const DecodeOptions& options) {
  try {
    AtomicFolder folder(path);
    Decoder decoder(container, options);
    for (const std::uint32_t number : levels) {
      decoder.expect(level_bytes(container.index().levels[number]));
    }
    folder.need(decoder.expected());
    for (const std::uint32_t number : levels) {
      const QstoreLevel& level = container.index().levels[number];
      const std::string inside =
          all ? folder.add_folder(std::string(level.name)) : folder.temporary_path();
      for (const QstoreFile& file : level.files) decoder.write_file(file, inside);
    }
    folder.commit();
    return decoder.result();
  } catch (const Cancelled&) {
    return {.files = 0, .bytes = 0, .cancelled = true};
  }
}

DecodeResult decode_tensors(const QstoreContainer& container,
                            const std::vector<RestoredTensor>& tensors, const std::string& path,
                            const DecodeOptions& options) {
  std::vector<Tensor> listed;
  std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}};
  std::uint64_t bytes = 0;
  for (const RestoredTensor& restored : tensors) {
    Tensor tensor;
    tensor.name = restored.name;
    tensor.dtype = restored.dtype;
    tensor.shape = restored.shape;
    tensor.offset = bytes;
    tensor.size_bytes = restored.size_bytes;
    if (restored.dtype == DType::kUnknown || !info(restored.dtype).in_safetensors) {
      tensor.dtype = DType::kU8;
      tensor.shape = {restored.size_bytes};
      metadata.emplace_back("qinspect.dtype." + restored.name, restored.dtype_text);
      metadata.emplace_back("qinspect.shape." + restored.name, shape_text(restored.shape));
    }
    bytes = checked_add(bytes, tensor.size_bytes).value_or(UINT64_MAX);
    listed.push_back(std::move(tensor));
  }
  const std::string header = safetensors_header(listed, metadata);
  try {
    AtomicFolder folder(path);
    Decoder decoder(container, options);
    decoder.expect(bytes);
    folder.need(decoder.expected());
    decoder.write_tensors(tensors, header, folder.temporary_path());
    folder.commit();
    return decoder.result();
  } catch (const Cancelled&) {
    return {.files = 0, .bytes = 0, .cancelled = true};
  }
}

// ---- verification -------------------------------------------------------------------------------

namespace {

class Verifier {
 public:
  Verifier(const QstoreContainer& container, const VerifyOptions& options,
           const std::function<void(const ContainerFault&)>& report)
      : container_(container),
        options_(options),
        report_(report),
        threads_(thread_count(options.threads)) {}

  bool run() {
    const auto& streams = container_.index().streams;
    const std::vector<bool> wanted = selected();
    for (std::uint32_t i = 0; i < streams.size(); ++i) {
      if (!wanted[i]) continue;
      total_ += streams[i].size_bytes;
      for (std::uint32_t k = 0; k < streams[i].blocks.size(); ++k) items_.push_back({i, k});
    }
    try {
      check_blocks();
    } catch (const Cancelled&) {
      return false;
    }
    container_.file().check_unchanged();
    return true;
  }

 private:
  struct Item {
    std::uint32_t stream;
    std::uint32_t block;
  };
  struct Slot {
    std::optional<Error> error;
    Buffer bytes;
  };

  std::vector<bool> selected() const {
    std::vector<bool> wanted(container_.index().streams.size(), !options_.selection);
    if (!options_.selection) return wanted;
    for (const QstoreLevel& level : container_.index().levels) {
      for (const QstoreFile& file : level.files) {
        for (const QstoreSegment& segment : file.segments) {
          if (options_.selection(segment.name)) wanted[segment.stream] = true;
        }
      }
    }
    return wanted;
  }

  void check_blocks() {
    struct Worker {
      explicit Worker(const QstoreContainer& of) : reader(of) {}
      QstoreReader reader;
      Buffer scratch;
    };
    std::vector<std::unique_ptr<Worker>> workers(threads_);
    std::vector<Slot> slots(ordered_slots(threads_));
    OrderedWork work;
    work.produce = [&](unsigned number, std::size_t item, std::size_t slot) {
      auto& worker = workers[number];
      if (worker == nullptr) worker = std::make_unique<Worker>(container_);
      const Item at = items_[item];
      const QstoreStream& stream = container_.index().streams[at.stream];
      slots[slot].error.reset();
      try {
        container_.stored(at.stream, at.block, worker->scratch);
        if (options_.checksums_only) return;
        slots[slot].bytes.resize(static_cast<std::size_t>(stream.block_bytes(at.block)));
        worker->reader.read_block(at.stream, at.block, slots[slot].bytes);
      } catch (const Error& error) {
        if (exit_status(error.code) != 2) throw;
        slots[slot].error = error;
      }
    };
    DigestState digest;
    bool sound = true;  // the stream's blocks so far
    work.consume = [&](std::size_t item, std::size_t slot) {
      if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) {
        throw Cancelled{};
      }
      const Item at = items_[item];
      const QstoreStream& stream = container_.index().streams[at.stream];
      if (slots[slot].error) {
        sound = false;
        report_block(at, *slots[slot].error);
      } else if (!options_.checksums_only) {
        digest.add(slots[slot].bytes);
      }
      done_ += stream.block_bytes(at.block);
      if (options_.progress) options_.progress(done_, total_);
      if (at.block + 1 != stream.blocks.size()) return;
      if (sound && !options_.checksums_only && !(digest.value() == stream.digest)) {
        report_digest(at.stream);
      }
      digest.reset();
      sound = true;
    };
    run_ordered(items_.size(), threads_, work);
  }

  ContainerFault fault_of(std::uint32_t stream) const {
    const QstoreContainer::Subject& subject = container_.subject(stream);
    ContainerFault fault;
    fault.tensor = subject.tensor;
    fault.part = fmt::format("{}/{}", subject.level, subject.file);
    return fault;
  }

  void report_block(Item at, const Error& error) {
    const QstoreBlock& block = container_.index().streams[at.stream].blocks[at.block];
    ContainerFault fault = fault_of(at.stream);
    fault.code = error.code;
    fault.block = at.block;
    fault.offset = block.offset;
    fault.length = block.stored_bytes;
    // Codes and scales of a pair, or a base, are at fault elsewhere.
    const bool own = error.file == container_.file().path() && error.offset == block.offset;
    fault.message = own ? error.message : "stands on damage elsewhere: " + error.message;
    report_(fault);
  }

  void report_digest(std::uint32_t number) {
    const QstoreStream& stream = container_.index().streams[number];
    ContainerFault fault = fault_of(number);
    fault.offset = stream.blocks.front().offset;
    fault.length = stream.stored_bytes();
    fault.message = fmt::format("digest of {} is wrong", container_.subject(number).text());
    report_(fault);
  }

  const QstoreContainer& container_;
  const VerifyOptions& options_;
  const std::function<void(const ContainerFault&)>& report_;
  const unsigned threads_;
  std::vector<Item> items_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace

bool verify_container(const QstoreContainer& container, const VerifyOptions& options,
                      const std::function<void(const ContainerFault&)>& report) {
  return Verifier(container, options, report).run();
}

}  // namespace qi
