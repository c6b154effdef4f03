// A model made ready for a command: the one way from the MODEL that a user names to something that computes.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cli/command.h"
#include "engine/engine.h"
#include "format/model_source.h"
#include "model/model.h"
#include "store/pack_store.h"
#include "store/prefix_store.h"
#include "text/chat_spec.h"
#include "text/tokenizer.h"

namespace autoglm {

/// What MODEL names, as a path that open_model() takes; fetched first if the user wants that (locate_model). Error
/// bad_flag if it was not given.
std::filesystem::path model_path(Context& context);

/// The same for what another argument names; Error bad_flag if it is empty.
std::filesystem::path model_path(Context& context, const std::string& name);

/// Opens MODEL. need_weights false accepts a folder with only a configuration or a tokenizer.
std::shared_ptr<const ModelSource> open_source(Context& context, bool need_weights = true);

/// Ledger, pool and backend as --threads, --memory-limit, --isa and --affinity say. `memory_limit` (bytes) goes before
/// --memory-limit, for a command whose flag means something else. The calling thread is pinned when the pool first
/// runs something.
Runtime open_runtime(const Context& context, std::optional<int64_t> memory_limit = std::nullopt);

/// --kv-type, and what --precision implies; q8 until settle_precision() knows better, where it is auto.
KvType kv_type_of(const Settings& settings);

/// Decides what --kv-type auto leaves open, in `options`, unless they have another type than kv_type_of() by now, and
/// says in a line which precision activations, keys and values have, and why. Errors: those of Model::plan().
std::string settle_precision(const Context& context, const ModelSource& source, const Runtime& runtime,
                             LoadOptions& options);

/// An engine, as far as memory is concerned.
struct EngineShape {
  int64_t sequences = 1;  // requests that are computed together
  int64_t chunk = 512;    // rows of a step
  bool drafts = true;
  bool prefix_cache = true;
  bool serves = false;  // for many clients: few of their requests are as long as the context
};
/// By --prefill-chunk, --speculation and --prefix-cache.
EngineShape engine_shape(const Settings& settings, int64_t sequences);
/// Has `options` plan for it.
void add_engine(LoadOptions& options, const EngineShape& shape);

/// --ctx, --kv-type, --precision and room for --speculation, where the command has them. `sequences`: requests that are
/// computed together, whose keys and values share --kv-max-bytes.
LoadOptions load_options(const Context& context, int64_t sequences = 1);

/// What load_options() of `bench --workload` are with these settings.
LoadOptions workload_load_options(const Settings& settings);

/// Packs on disk as --cache, --cache-dir and --cache-max-bytes say; null if the user wants none, or (with a note) if
/// there is no place for them. Its thread must start before a pool runs and pins this one.
std::unique_ptr<PackStore> open_packs(const Context& context);

/// The prefix cache on disk as --kv-persist, --prefix-cache-max-bytes and --cache-dir say; null where there is to be
/// none. Its threads, too, must start before a pool runs.
std::unique_ptr<PrefixStore> open_prefixes(const Context& context);

/// The tokenizer, or Error bad_model_file for a source without one.
std::unique_ptr<Tokenizer> open_tokenizer(const ModelSource& source);

/// Everything loaded. Stays where it was made: the model points into it.
struct OpenedModel {
  std::shared_ptr<const ModelSource> source;
  std::unique_ptr<PackStore> packs;       // null with --no-cache, and where weights are made up
  std::unique_ptr<PrefixStore> prefixes;  // null where nothing is kept between runs
  Runtime runtime;
  std::unique_ptr<Tokenizer> tokenizer;  // null unless it was asked for
  ChatModel chat;                        // with the tokenizer
  std::unique_ptr<Model> model;
  double load_ms = 0;
};

/// Prints the memory plan on stderr, then loads a model. `packs` may be null. Errors: as load_into().
std::unique_ptr<Model> load_model(Context& context, const std::shared_ptr<const ModelSource>& source, PackStore* packs,
                                  Runtime& runtime, LoadOptions options, int64_t tokens = 0);

/// Prints the memory plan on stderr, then loads opened.source. `options` come from load_options(), with what the
/// command needs. Errors: out_of_memory with what would fit; context_exceeded if `tokens` (0: not known) are more than
/// the model or --ctx holds.
void load_into(Context& context, OpenedModel& opened, LoadOptions options, int64_t tokens = 0);

/// Has an engine of this model keep its prefixes on disk, if opened.prefixes is there. One engine a model.
void keep_prefixes(const OpenedModel& opened, EngineOptions& options);

/// MODEL opened and its runtime made, for a command that has to plan before it knows what to load. Nothing may run on
/// the pool until threads that must not be pinned are started.
std::unique_ptr<OpenedModel> open_unloaded(Context& context);

/// Loads that, with packs, prefixes and, if wanted, the tokenizer. `options` and `tokens` as in load_into().
void load_opened(Context& context, OpenedModel& opened, const LoadOptions& options, bool with_tokenizer,
                 int64_t tokens = 0);

/// Opens MODEL and loads it.
std::unique_ptr<OpenedModel> open_and_load(Context& context, const LoadOptions& options, bool with_tokenizer,
                                           int64_t tokens = 0);

/// The whole of a file, or of stdin for "-". Error bad_file for what cannot be read, limit_exceeded beyond 256 MiB.
std::string read_text(const std::filesystem::path& path);
std::string read_stdin();

/// Text that a user gave must be UTF-8: Error bad_request naming `what` and the place of the first bad byte.
void check_utf8(std::string_view text, std::string_view what);

/// Where `chat` keeps what was typed, for the next time.
std::string history_path(const Context& context);

/// Milliseconds since the system started this process (to 10 ms).
double since_process_start_ms();

}  // namespace autoglm
