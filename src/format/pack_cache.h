// Where packed weights are kept between runs, as the loader of weights sees it. `store` knows folders and disks.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "format/pack_file.h"

namespace autoglm {

/// Nothing here throws for what a disk or a file in the cache does: a pack that cannot be used or written is a miss,
/// and the user is told. Called by one thread.
class PackCache {
 public:
  virtual ~PackCache() = default;
  /// The pack of these weights, or null. Its header is whole; its data is checked by who reads it.
  virtual std::unique_ptr<PackFile> find(const PackHeader& wanted) = 0;
  /// A piece of what find() gave was not what had been written: the pack goes away.
  virtual void reject(const PackHeader& wanted) = 0;
  /// Keeps packed weights. Returns at once and writes in the background; `data` must not change from now on, and
  /// `owner` holds it until it is written.
  virtual void keep(const PackHeader& header, std::span<const std::byte> data, std::shared_ptr<const void> owner) = 0;
};

}  // namespace autoglm
