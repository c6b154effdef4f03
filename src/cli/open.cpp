#include "cli/open.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <future>
#include <sstream>

#include "cli/dynamic_precision.h"
#include "cli/kernel_tunings.h"
#include "cli/machine_settings.h"
#include "cli/model_store.h"
#include "cli/profile.h"
#include "cli/version.h"
#include "engine/ngram_index.h"
#include "engine/prefix_cache.h"
#include "engine/speculation.h"
#include "model/families/family.h"
#include "model/identity.h"
#include "model/memory_plan.h"
#include "store/places.h"
#include "text/utf8.h"

namespace autoglm {
namespace {

constexpr size_t kMostText = size_t{256} << 20;
constexpr int64_t kPromptScores = 16;  // rows of a step whose logits a server can give beside those of answers

std::string read_descriptor(int descriptor, const std::string& what) {
  std::string text;
  std::vector<char> buffer(1 << 16);
  while (true) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got == 0) return text;
    if (got < 0) {
      if (errno == EINTR) fail(Code::interrupted, "interrupted");
      fail(Code::bad_file, fmt::format("cannot read {}: {}", what, std::strerror(errno)));
    }
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.size() > kMostText) {
      fail(Code::limit_exceeded, fmt::format("{} is longer than 256 MiB", what), "give a smaller file");
    }
  }
}

void print_plan(const Context& context, const MemoryPlan& plan) {
  context.note(fmt::format("memory: {} planned (weights {}, KV cache {} for {} tokens, activations {}, the rest {}){}",
                           format_bytes(plan.total_bytes), format_bytes(plan.weights_bytes),
                           format_bytes(plan.kv_bytes), plan.context, format_bytes(plan.activations_bytes),
                           format_bytes(plan.rest_bytes()),
                           plan.limit_bytes > 0 ? " of " + format_bytes(plan.limit_bytes) : ""));
  if (!plan.context_reason.empty()) {
    context.note(fmt::format("context: {} tokens ({})", plan.context, plan.context_reason));
  }
}

// Whether prefixes are to be kept on disk, and where.
std::optional<std::filesystem::path> prefix_folder(const Context& context) {
  const Settings& settings = context.settings();
  if (!takes(context.command().name, *find_setting("kv_cache.persist"))) return std::nullopt;
  const bool wanted =
      settings.is_set("kv_cache.persist") ? settings.boolean("kv_cache.persist") : context.command().name == "serve";
  if (!wanted || !settings.boolean("kv_cache.prefix_cache") || !settings.boolean("cache.enabled")) return std::nullopt;
  const auto cache = cache_folder(context);
  if (!cache) return std::nullopt;
  return *cache / "prefixes";
}

int64_t prefix_max_bytes(const Settings& settings, const std::filesystem::path& folder) {
  const auto given = settings.bytes_if("cache.prefix_max_bytes");
  return given ? *given : PrefixStore::automatic_max_bytes(folder);
}

// Kernels of another build may add in another order. A build that is not exactly a commit is told by its file.
std::string program_identity() {
  std::string text = fmt::format("{} {}", program_version(), program_commit());
  if (program_commit() == "unknown" || program_commit().ends_with("-dirty")) {
    const auto stamp = stamp_of(std::filesystem::path("/proc/self/exe"));
    if (stamp) text += fmt::format(" {} {} {}", stamp->inode, stamp->size, stamp->modified_ns);
  }
  return text;
}

double since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

struct Speech {
  std::unique_ptr<Tokenizer> tokenizer;
  ChatModel chat;
};

}  // namespace

std::filesystem::path model_path(Context& context) { return model_path(context, context.argument("MODEL")); }

std::filesystem::path model_path(Context& context, const std::string& name) {
  if (name.empty()) {
    fail(Code::bad_flag, "no model was named",
         "give a GGUF file, a Hugging Face folder or a name such as smollm2:135m");
  }
  return locate_model(context, name);
}

std::shared_ptr<const ModelSource> open_source(Context& context, bool need_weights) {
  return open_model(model_path(context), need_weights);
}

Runtime open_runtime(const Context& context, std::optional<int64_t> memory_limit) {
  const Settings& settings = context.settings();
  RuntimeOptions options;
  options.threads = static_cast<int>(settings.integer_if("runtime.threads").value_or(0));
  options.memory_limit = memory_limit.value_or(settings.bytes_if("runtime.memory_limit").value_or(0));
  options.isa = settings.text_if("runtime.isa").value_or("auto");
  options.cpus = affinity_cpus(settings, context.machine());
  options.pin = !options.cpus.empty();
  Runtime runtime = make_runtime(options);
  runtime.backend->set_tuning(remembered_tuning(context, runtime));
  return runtime;
}

KvType kv_type_of(const Settings& settings) {
  const bool exact = settings.text("precision.strategy") == "f32";
  if (exact && !settings.given("kv_cache.type")) return KvType::f32;
  const std::string& type = settings.text("kv_cache.type");
  return type == "auto" ? KvType::q8 : kv_type(type);
}

std::string settle_precision(const Context& context, const ModelSource& source, const Runtime& runtime,
                             LoadOptions& options) {
  const Language language = context.language();
  const bool zh = language == Language::zh;
  const std::string activations = activation_words(source, options.precision, runtime.backend->name(), language);
  std::string reason;
  const Settings& settings = context.settings();
  const bool open =
      options.kv_type == kv_type_of(settings);  // else the command has decided: compare's reference is f32
  if (open && settings.text("kv_cache.type") == "auto") {
    const ArchSpec spec = read_spec(source);
    const KvQuestion question{
        .wanted = options.context > 0 ? options.context : std::min(spec.train_context, options.most_context),
        .kv_max_bytes = options.kv_max_bytes,
        .held = [&](KvType type) { return max_kv_tokens(spec, *runtime.backend, type, options.kv_max_bytes); },
        .plan =
            [&](KvType type) {
              LoadOptions with = options;
              with.kv_type = type;
              return Model::plan(source, runtime, with);
            }};
    const KvChoice choice = choose_kv_type(question, language);
    options.kv_type = choice.type;
    reason = fmt::format(fmt::runtime(zh ? "（auto：{}）" : " (auto: {})"), choice.reason);
  }
  return fmt::format(fmt::runtime(zh ? "精度：{}；键值 {}{}" : "precision: {}; keys and values {}{}"), activations,
                     name(options.kv_type), reason);
}

void add_engine(LoadOptions& options, const EngineShape& shape) {
  options.batch_sequences = shape.sequences;
  options.batch_rows = shape.chunk;
  options.logit_rows = shape.sequences + std::max(shape.serves ? kPromptScores : 0, shape.drafts ? kMostDraft : 0);
  options.kv_shared = shape.serves;
  options.logits_bytes = Sampler::bytes_for;
  options.sequence_bytes = [shape](int64_t tokens) {
    return (shape.drafts ? NgramIndex::bytes_for(tokens) : 0) +
           (shape.prefix_cache ? PrefixCache::bytes_for(tokens) : 0);
  };
}

EngineShape engine_shape(const Settings& settings, int64_t sequences) {
  return {.sequences = sequences,
          .chunk = settings.integer("batching.prefill_chunk"),
          .drafts = settings.text("speculation") != "off",
          .prefix_cache = settings.boolean("kv_cache.prefix_cache")};
}

namespace {

LoadOptions model_options(const Settings& settings, int64_t sequences) {
  LoadOptions options;
  options.batch_sequences = sequences;
  options.most_context = most_context(settings);
  options.precision = settings.text("precision.strategy") == "f32" ? Precision::f32 : Precision::automatic;
  options.kv_type = kv_type_of(settings);
  const bool own = settings.text_if("runtime.weights").value_or("shared") == "own";
  options.weights_memory = own ? WeightsMemory::own : WeightsMemory::shared;
  return options;
}

void add_server(LoadOptions& options, const Settings& settings) {
  EngineShape shape = engine_shape(settings, options.batch_sequences);
  shape.serves = true;
  add_engine(options, shape);
  options.kv_max_bytes = settings.bytes_if("kv_cache.max_bytes").value_or(0);
}

}  // namespace

LoadOptions workload_load_options(const Settings& settings) {
  LoadOptions options = model_options(settings, settings.integer("batching.max_batch_size"));
  add_server(options, settings);
  return options;
}

LoadOptions load_options(const Context& context, int64_t sequences) {
  const Settings& settings = context.settings();
  const std::string_view command = context.command().name;
  LoadOptions options = model_options(settings, sequences);
  if (takes(command, *find_setting("context"))) options.context = settings.integer_if("context").value_or(0);
  const bool workload = command == "bench" && settings.is_set("workload.name");
  // What inspect says is what run will plan.
  if (workload || command == "serve") {
    add_server(options, settings);
  } else if (command == "inspect" || (takes(command, *find_setting("speculation")) && command != "bench")) {
    add_engine(options, engine_shape(settings, sequences));
  }
  if (const auto folder = prefix_folder(context)) {
    options.cache_bytes = [most = prefix_max_bytes(settings, *folder)](int64_t block_bytes) {
      return PrefixStore::bytes_for(block_bytes, most);
    };
  }
  return options;
}

std::unique_ptr<PackStore> open_packs(const Context& context) {
  const Settings& settings = context.settings();
  if (!settings.boolean("cache.enabled")) return nullptr;
  const auto cache = cache_folder(context);
  if (!cache) {
    context.note("packed weights are not kept: neither HOME nor --cache-dir says where");
    return nullptr;
  }
  PackStoreOptions options;
  options.folder = *cache / "packs";
  options.max_bytes = settings.bytes_if("cache.max_bytes").value_or(0);
  options.say = [&context](const std::string& text) { context.note(text); };
  options.interrupted = [&context] { return context.interrupt().requested(); };
  return std::make_unique<PackStore>(std::move(options));
}

std::unique_ptr<PrefixStore> open_prefixes(const Context& context) {
  const auto folder = prefix_folder(context);
  if (!folder) return nullptr;
  PrefixStoreOptions options;
  options.folder = *folder;
  options.max_bytes = prefix_max_bytes(context.settings(), *folder);
  options.say = [&context](const std::string& text) { context.note(text); };
  return std::make_unique<PrefixStore>(std::move(options));
}

void keep_prefixes(const OpenedModel& opened, EngineOptions& options) {
  if (!opened.prefixes) return;
  const std::string weights = weights_identity(*opened.source, *opened.runtime.backend, opened.model->precision());
  if (weights.empty()) return;
  options.model_identity = weights + program_identity();
  options.model_name = opened.source->path().filename().string();
  options.disk = opened.prefixes.get();
}

std::unique_ptr<Tokenizer> open_tokenizer(const ModelSource& source) {
  std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(source);
  if (!tokenizer) {
    fail(Code::bad_model_file, fmt::format("{} has no tokenizer", source.path().string()),
         "put the model's tokenizer.json (or tokenizer.model) into the folder; logits and bench work without one");
  }
  return tokenizer;
}

std::unique_ptr<Model> load_model(Context& context, const std::shared_ptr<const ModelSource>& source, PackStore* packs,
                                  Runtime& runtime, LoadOptions options, int64_t tokens) {
  if (tokens > 0) {
    const int64_t own = read_spec(*source).train_context;
    if (tokens > own) {
      fail(Code::context_exceeded, fmt::format("{} tokens are needed and the model's context holds {}", tokens, own),
           "use fewer tokens");
    }
    if (options.context > 0 && tokens > options.context) {
      fail(Code::context_exceeded, fmt::format("{} tokens are needed and --ctx is {}", tokens, options.context),
           "use fewer tokens or a larger --ctx");
    }
    if (options.context == 0) options.context = tokens;
  }
  const std::string precision = settle_precision(context, *source, runtime, options);
  print_plan(context, Model::plan(*source, runtime, options));
  context.note(precision);
  context.interrupt().check();
  Progress progress = context.progress("loading", 0, true);
  options.progress = [&](int64_t done, int64_t total) {
    progress.set_total(total);
    progress.update(done);
    context.interrupt().check();
  };
  options.cache = packs;
  return Model::load(source, runtime, options);
}

void load_into(Context& context, OpenedModel& opened, LoadOptions options, int64_t tokens) {
  const auto begin = std::chrono::steady_clock::now();
  opened.model = load_model(context, opened.source, opened.packs.get(), opened.runtime, std::move(options), tokens);
  opened.load_ms += since(begin);
}

std::unique_ptr<OpenedModel> open_unloaded(Context& context) {
  const auto begin = std::chrono::steady_clock::now();
  auto opened = std::make_unique<OpenedModel>();
  opened->source = open_source(context);
  opened->runtime = open_runtime(context);
  opened->load_ms = since(begin);
  return opened;
}

void load_opened(Context& context, OpenedModel& opened, const LoadOptions& options, bool with_tokenizer,
                 int64_t tokens) {
  LoadOptions with = options;
  with.tokenizer = with_tokenizer;
  const auto begin = std::chrono::steady_clock::now();
  const double before = opened.load_ms;
  // A large vocabulary takes as long as reading the weights does: both at once. Before the pool runs anything, which
  // pins this thread and all that it starts.
  std::future<Speech> speech;
  if (with_tokenizer) {
    speech = std::async(std::launch::async, [&source = *opened.source] {
      Speech made;
      made.tokenizer = open_tokenizer(source);
      made.chat = load_chat_model(source, *made.tokenizer);
      return made;
    });
  }
  opened.packs = open_packs(context);
  opened.prefixes = open_prefixes(context);
  if (opened.prefixes) opened.prefixes->book_in(*opened.runtime.ledger);
  context.interrupt().check();
  load_into(context, opened, with, tokens);
  if (with_tokenizer) {
    Speech made = speech.get();
    opened.tokenizer = std::move(made.tokenizer);
    opened.chat = std::move(made.chat);
  }
  opened.load_ms = before + since(begin);
}

std::unique_ptr<OpenedModel> open_and_load(Context& context, const LoadOptions& options, bool with_tokenizer,
                                           int64_t tokens) {
  std::unique_ptr<OpenedModel> opened = open_unloaded(context);
  load_opened(context, *opened, options, with_tokenizer, tokens);
  return opened;
}

std::string read_text(const std::filesystem::path& path) {
  if (path == "-") return read_stdin();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    fail(Code::bad_file, fmt::format("{} is a folder", path.string()), "give a file");
  }
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    fail(Code::bad_file, fmt::format("cannot read {}: {}", path.string(), std::strerror(errno)),
         "check the path and its permissions");
  }
  struct Closer {
    int descriptor;
    ~Closer() { ::close(descriptor); }
  } closer{descriptor};
  return read_descriptor(descriptor, path.string());
}

std::string read_stdin() { return read_descriptor(STDIN_FILENO, "standard input"); }

void check_utf8(std::string_view text, std::string_view what) {
  if (utf8::valid(text)) return;
  size_t at = 0;
  for (utf8::Scan scan = utf8::scan(text, at); scan.valid; scan = utf8::scan(text, at)) at += scan.length;
  fail(Code::bad_request, fmt::format("{} is not UTF-8 (byte {})", what, at), "convert it, for example with iconv");
}

std::string history_path(const Context& context) {
  const std::filesystem::path folder = user_places(context).results;
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  return (folder / "chat_history").string();
}

double since_process_start_ms() {
  // Field 22 of /proc/self/stat: clock ticks between boot and this process's start. The name in field 2 may hold
  // spaces.
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const size_t end_of_name = line.rfind(')');
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  if (end_of_name == std::string::npos) return 0;
  std::istringstream fields(line.substr(end_of_name + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  const double started = std::strtod(field.c_str(), nullptr) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double uptime = static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
  return std::max(0.0, (uptime - started) * 1e3);
}

}  // namespace autoglm
