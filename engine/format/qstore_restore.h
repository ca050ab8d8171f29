// Files whose bytes are streams of a container, written by several threads: each keeps to a file of
// its own while there are enough, since a file system may take the writes to one file one by one,
// and joins another's when there are not. Internal to decoding. Refuses a container that does not
// hold what its digests say. One thread calls; progress is told by any, one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/format/qstore_container.h"
#include "engine/format/qstore_decode.h"

namespace qi {

/// Bytes of a stream from `offset` on.
struct StreamPart {
  std::uint32_t stream = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

struct RestoredFile {
  std::string path;
  std::string name;               // in messages
  std::string header = {};        // what comes before the parts
  std::vector<StreamPart> parts;  // one after the other
  /// Of all parts. Without one they are whole streams, and each stream's own digest is checked.
  std::optional<QstoreDigest> digest;

  std::uint64_t part_bytes() const;
};

/// Writes the files into folders that are there. However many threads there are, they throw what
/// one would that takes file after file: kCorrupt, kInconsistent, kIo, kSpace, kChanged.
DecodeResult restore_files(const QstoreContainer& container, const std::vector<RestoredFile>& files,
                           const DecodeOptions& options);

}  // namespace qi
