// Any bytes as a container, in two ways: as they are, and (first byte odd) as blocks and the text
// of an index around which header and checksums are put right, so that parser and decoders are
// reached; the second bit says whether the text is of version 2. Refused with qi::Error, or opened;
// then every block decodes or is refused, with checksums on and off, the levels open as models or
// are refused, and --verify agrees with reading.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/format/qstore.h"
#include "engine/format/qstore_verify.h"
#include "tests/support/memory_file.h"

namespace {

// More than this can stand in a few kilobytes, and takes long to decode.
constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 22;

void check(bool holds) {
  if (!holds) std::abort();
}

// Two bytes say how many of the rest are blocks; what follows is the text of the index.
std::string wrapped(std::string_view bytes, std::uint32_t version) {
  if (bytes.size() < 2) return {};
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const std::size_t blocks = std::min<std::size_t>(byte(0) | byte(1) << 8, bytes.size() - 2);
  const std::string_view text = bytes.substr(2 + blocks);
  const std::vector<std::byte> packed =
      qi::pack_qstore_index(std::as_bytes(std::span(text.data(), text.size())));
  qi::QstoreHeader header;
  header.version = version;
  header.index_offset = qi::kQstoreHeaderBytes + blocks;
  header.index_bytes = packed.size();
  header.total_bytes = header.index_offset + packed.size();
  header.index_checksum = qi::plain_checksum(packed);
  header.block_limit = std::uint64_t{1} << 20;
  const std::vector<std::byte> head = qi::qstore_header(header);
  std::string file(reinterpret_cast<const char*>(head.data()), head.size());
  file += bytes.substr(2, blocks);
  return file.append(reinterpret_cast<const char*>(packed.data()), packed.size());
}

// Whether every block decodes.
bool reads(const qi::QstoreContainer& container, bool checked) {
  qi::QstoreReader reader(container, checked);
  bool sound = true;
  for (std::uint32_t i = 0; i < container.index().streams.size(); ++i) {
    const qi::QstoreStream& stream = container.index().streams[i];
    for (std::uint64_t k = 0; k < stream.blocks.size(); ++k) {
      qi::Buffer out(stream.block_bytes(k));
      try {
        reader.read_block(i, k, out);
      } catch (const qi::Error& error) {
        check(qi::exit_status(error.code) == 2);
        sound = false;
      }
    }
  }
  return sound;
}

void open_levels(const std::shared_ptr<const qi::QstoreContainer>& container) {
  for (std::uint32_t i = 0; i < container->index().levels.size(); ++i) {
    try {
      const qi::Model model = qi::open_qstore_level(container, i);
      check(model.weights.size() <= model.tensors.size());
    } catch (const qi::Error& error) {
      check(qi::exit_status(error.code) == 2 || error.code == qi::ErrorCode::kIo);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static qi::test::MemoryFile file;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string path =
      (data[0] & 1) != 0 ? file.set(wrapped(bytes, 1 + (data[0] >> 1) % 3)) : file.set(bytes);
  try {
    const auto container = qi::QstoreContainer::open(qi::File::open(path));
    std::uint64_t total = 0;
    for (const qi::QstoreStream& stream : container->index().streams) {
      total += stream.size_bytes;
      if (stream.size_bytes > kMaxBytes || total > kMaxBytes) return 0;
    }
    const bool sound = reads(*container, true);
    reads(*container, false);
    open_levels(container);
    bool found = false;
    qi::VerifyOptions options;
    options.threads = 1;
    qi::verify_container(*container, options, [&](const qi::ContainerFault& fault) {
      check(qi::exit_status(fault.code) == 2);
      found = true;
    });
    check(sound || found);
  } catch (const qi::Error& error) {
    check(qi::exit_status(error.code) == 2);
  }
  return 0;
}
