#include "base/mapped_names.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace autoglm {
namespace {

struct Mapping {
  std::atomic<const std::byte*> begin{nullptr};  // null: free. Published last
  std::atomic<size_t> size{0};
  std::atomic<char*> name{nullptr};
};
static_assert(std::atomic<const std::byte*>::is_always_lock_free && std::atomic<size_t>::is_always_lock_free &&
              std::atomic<char*>::is_always_lock_free);

struct Table {
  std::mutex mutex;  // of who writes; who reads takes no lock
  std::array<Mapping, 1024> mappings;
};

// Like the flag that Ctrl-C sets: a signal handler is given no context.
constinit Table table;

}  // namespace

void name_mapping(std::span<const std::byte> bytes, const std::string& name) {
  const std::scoped_lock lock(table.mutex);
  for (Mapping& mapping : table.mappings) {
    if (mapping.begin.load(std::memory_order_relaxed) != nullptr) continue;
    mapping.name.store(::strdup(name.c_str()), std::memory_order_relaxed);
    mapping.size.store(bytes.size(), std::memory_order_relaxed);
    mapping.begin.store(bytes.data(), std::memory_order_release);
    return;
  }
}

void forget_mapping(const std::byte* begin) noexcept {
  if (begin == nullptr) return;
  const std::scoped_lock lock(table.mutex);
  for (Mapping& mapping : table.mappings) {
    if (mapping.begin.load(std::memory_order_relaxed) != begin) continue;
    mapping.begin.store(nullptr, std::memory_order_relaxed);
    std::free(mapping.name.exchange(nullptr, std::memory_order_relaxed));
    return;
  }
}

const char* mapping_at(const void* address) noexcept {
  const auto* const at = static_cast<const std::byte*>(address);
  for (const Mapping& mapping : table.mappings) {
    const std::byte* begin = mapping.begin.load(std::memory_order_acquire);
    if (begin == nullptr || at < begin) continue;
    if (static_cast<size_t>(at - begin) < mapping.size.load(std::memory_order_relaxed)) {
      return mapping.name.load(std::memory_order_relaxed);
    }
  }
  return nullptr;
}

}  // namespace autoglm
