// THE settings table. A new setting is a row here; everything else follows from it.
#include <algorithm>
#include <cctype>
#include <string>

#include "base/error.h"
#include "base/settings.h"

namespace autoglm {
namespace {

using enum SettingType;

constexpr double kKiB = 1024.0;
constexpr double kMiB = 1024.0 * kKiB;
constexpr double kTiB = 1024.0 * 1024.0 * kMiB;
constexpr double kDay = 86400e6;  // microseconds
constexpr double kMaxTokens = 16777216;

// Commands that name a model, load one, and sample from one.
constexpr std::string_view kNames =
    "run chat serve inspect config tokenize detokenize template logits perplexity bench tune doctor convert quantize "
    "optimize selftest rm";
constexpr std::string_view kLoads =
    "run chat serve inspect config logits perplexity compare bench tune doctor selftest";
constexpr std::string_view kPacks = "run chat serve config logits perplexity compare bench tune doctor selftest";
constexpr std::string_view kSamples = "run chat serve config";
constexpr std::string_view kServes = "serve config";
// Commands with an engine, and those whose engine serves many: `bench` runs workloads on one.
constexpr std::string_view kEngines = "run chat serve config bench tune";
constexpr std::string_view kBatches = "serve config bench tune";
constexpr std::string_view kWorkloads = "bench tune";
constexpr std::string_view kFinds =
    "run chat serve inspect config tokenize detokenize template logits perplexity compare bench tune doctor convert "
    "quantize optimize "
    "selftest";

// clang-format off: a row is read as a paragraph
constexpr Setting kTable[] = {
    // --- every command ---
    {.key = "profile", .flag = "--profile", .type = choice, .default_value = "balanced",
     .choices = "efficient|balanced|performance", .commands = "*",
     .help = {"a set of values to start from; anything said elsewhere goes before it",
              "一组起始值；其他地方给出的值优先"}},
    {.key = "config", .flag = "--config", .type = path, .commands = "*",
     .help = {"read settings from this YAML file", "从这个 YAML 文件读取设置"}},
    {.key = "lang", .flag = "--lang", .type = choice, .default_value = "auto", .choices = "en|zh",
     .commands = "*",
     .help = {"language of help, hints and reports; auto follows LANG", "帮助、提示和报告的语言；auto 跟随 LANG"}},
    {.key = "json", .flag = "--json", .type = boolean, .default_value = "false", .commands = "*",
     .help = {"print exactly one JSON object on stdout, errors included",
              "在标准输出上只打印一个 JSON 对象，错误也一样"}},
    {.key = "quiet", .flag = "--quiet", .short_flag = "-q", .type = boolean, .default_value = "false",
     .commands = "*",
     .help = {"no progress and no notes on stderr; errors remain", "标准错误上不显示进度和说明；错误仍会显示"}},
    {.key = "log_level", .flag = "--log-level", .type = choice, .default_value = "warn",
     .choices = "trace|debug|info|warn|error|off", .commands = "*",
     .help = {"how much is logged on stderr", "标准错误上的日志详细程度"}},
    {.key = "home", .flag = "--home", .type = path, .commands = "*",
     .help = {"keep models, caches and results below this folder instead of the XDG places",
              "把模型、缓存和结果放在这个文件夹下，而不是 XDG 目录"}},
    {.key = "cache.dir", .flag = "--cache-dir", .type = path, .commands = "*",
     .help = {"keep packs and the prefix cache here", "把权重包和前缀缓存放在这里"}},
    {.key = "cache.enabled", .flag = "--cache", .type = boolean, .default_value = "true", .commands = "*",
     .help = {"use caches on disk; --no-cache neither reads nor writes them", "使用磁盘缓存；--no-cache 既不读也不写"}},
    {.key = "cache.max_bytes", .flag = "--cache-max-bytes", .type = size, .default_value = "auto", .min = kMiB,
     .max = 1024 * kTiB, .commands = kPacks,
     .help = {"room for packed weights on disk; the least recently used go first; auto: a tenth of that disk",
              "磁盘上权重包可占用的空间，最久未用的先删除；auto：该磁盘的十分之一"}},

    {.key = "cache.prefix_max_bytes", .flag = "--prefix-cache-max-bytes", .type = size, .default_value = "auto",
     .min = kMiB, .max = 1024 * kTiB, .commands = kSamples,
     .help = {"room for the prefix cache on disk; the least recently used go first; auto: a twentieth of that disk, 16 GiB "
              "at most",
              "磁盘上前缀缓存可占用的空间，最久未用的先删除；auto：该磁盘的二十分之一，最多 16 GiB"}},

    // --- the machine ---
    {.key = "runtime.threads", .flag = "--threads", .short_flag = "-t", .type = integer,
     .default_value = "auto", .min = 1, .max = 1024, .unit = "threads", .commands = "*",
     .help = {"worker threads; auto: as many as affinity, CPU quota and physical cores allow",
              "工作线程数；auto：由亲和性、CPU 配额和物理核心数决定"}, .tune = "@threads"},
    {.key = "runtime.memory_limit", .flag = "--memory-limit", .type = size, .default_value = "auto",
     .min = 16 * kMiB, .max = 1024 * kTiB, .commands = "*",
     .help = {"memory that may be used; what does not fit is refused before loading",
              "可以使用的内存；放不下的内容在加载前就会被拒绝"}},
    {.key = "runtime.isa", .flag = "--isa", .type = choice, .default_value = "auto",
     .choices = "ref|generic|avx2|avxvnni|avx512|amx|neon", .commands = "*",
     .help = {"instruction set of the kernels; auto: the best this CPU has. ref is the slow oracle",
              "内核使用的指令集；auto：本机 CPU 支持的最好的一种。ref 是很慢的参考实现"}},
    {.key = "runtime.affinity", .flag = "--affinity", .type = text, .default_value = "auto", .commands = "*",
     .help = {"pin workers: auto, none, or CPU numbers such as 0,2-3", "线程绑核：auto、none 或 CPU 编号，例如 0,2-3"}, .tune = "auto|none"},
    {.key = "runtime.priority", .flag = "--priority", .type = choice, .default_value = "normal",
     .choices = "low|normal|high", .commands = "*",
     .help = {"priority of this process; high needs the permission to raise it",
              "进程优先级；high 需要提升优先级的权限"}},
    {.key = "runtime.weights", .flag = "--weights", .type = choice, .default_value = "shared",
     .choices = "shared|own", .commands = kPacks,
     .help = {"packed weights that are on disk: shared: mapped, quickest start and one copy for all processes; own: read "
              "into huge pages of this process, for a disk whose file system has none",
              "磁盘上已有的权重包；shared：直接映射，启动最快，所有进程共用一份；own：读入本进程的大页，"
              "用于文件系统不支持大页的磁盘"}, .tune = "shared|own"},

    // --- the model ---
    {.key = "model", .flag = "--model", .short_flag = "-m", .type = text, .commands = kNames,
     .help = {"the model, where it is not given as an argument: a path, a name, hf:OWNER/REPO, ms:OWNER/REPO, https://",
              "没有作为参数给出时使用的模型：路径、名称、hf:OWNER/REPO、ms:OWNER/REPO 或 https://"}},
    {.key = "store.pull", .flag = "--pull", .type = choice, .default_value = "ask",
     .choices = "ask|always|never", .commands = kFinds,
     .help = {"download a model that is not here; never asks without a terminal",
              "本地没有模型时是否下载；没有终端时不会询问"}},
    {.key = "store.accept_license", .flag = "--accept-license", .type = boolean, .default_value = "false",
     .commands = "pull run chat serve",
     .help = {"you have read and accept the licence of the model to download", "已阅读并接受所下载模型的许可证"}},
    {.key = "context", .flag = "--ctx", .short_flag = "-c", .type = integer, .default_value = "auto", .min = 16,
     .max = kMaxTokens, .unit = "tokens", .commands = "run chat serve inspect config logits bench tune doctor",
     .help = {"longest prompt and answer together; auto: the least of the model's own, 32768, and what memory allows",
              "提示与回答合计的最大长度；auto：取模型自身长度、32768 和内存允许值中最小的"}},
    {.key = "precision.strategy", .flag = "--precision", .type = choice, .default_value = "auto",
     .choices = "f32|dynamic=auto", .commands = kLoads,
     .help = {"precision of activations; auto: int8 against quantized weights, bf16 against BF16; f32: the exact path",
              "激活值的精度；auto：量化权重用 int8，BF16 权重用 bf16；f32：精确但慢的路径"}},
    {.key = "kv_cache.type", .flag = "--kv-type", .type = choice, .default_value = "q8",
     .choices = "f32|f16|bf16|q8|q4|auto", .commands = kLoads,
     .help = {"storage of keys and values; auto: q8, or q4 where only that holds the context in memory; "
              "--precision f32 implies f32 where nothing is asked for",
              "键值缓存的存储类型；auto：q8，只有 q4 能在内存中放下上下文时用 q4；"
              "没有指定时，--precision f32 意味着 f32"}, .tune = "q8|bf16"},
    {.key = "kv_cache.max_bytes", .flag = "--kv-max-bytes", .type = size, .default_value = "auto", .min = kMiB,
     .max = 1024 * kTiB, .commands = kBatches,
     .help = {"memory for keys and values of all requests", "所有请求的键值缓存可用内存"}},
    {.key = "kv_cache.prefix_cache", .flag = "--prefix-cache", .type = boolean, .default_value = "true",
     .commands = kEngines,
     .help = {"reuse the keys and values of prompts that begin alike; answers stay the same",
              "重用开头相同的提示的键值缓存；回答不变"}},
    {.key = "kv_cache.persist", .flag = "--kv-persist", .type = boolean, .default_value = "auto",
     .commands = kSamples,
     .help = {"keep the keys and values of prompts and answers on disk, readable for this user alone, so that a prompt that "
              "begins like an earlier one starts at once, after a restart too; auto: with serve",
              "把提示和回答的键值缓存保存在磁盘上（仅当前用户可读），重启后开头相同的提示也能立即开始；"
              "auto：serve 时启用"}},

    {.key = "speculation", .flag = "--speculation", .type = choice, .default_value = "auto", .choices = "off",
     .commands = kEngines,
     .help = {"compute tokens ahead where the text repeats itself; auto: while that is faster. Answers stay the same",
              "在文本重复处提前计算 token；auto：仅在更快时。回答不变"}, .tune = "auto|off"},

    // --- sampling ---
    {.key = "sampling.max_tokens", .flag = "--max-tokens", .short_flag = "-n", .type = integer,
     .default_value = "auto", .min = 1, .max = kMaxTokens, .unit = "tokens", .commands = kSamples,
     .help = {"end an answer after this many tokens; auto: when the context is full",
              "回答的最大 token 数；auto：直到上下文用完"}},
    {.key = "sampling.temperature", .flag = "--temp", .type = real, .default_value = "auto", .min = 0,
     .max = 100, .commands = kSamples,
     .help = {"0: always the likeliest token; auto: the model's own, else 0.7",
              "0：总是选最可能的 token；auto：模型自带的值，否则 0.7"}},
    {.key = "sampling.top_k", .flag = "--top-k", .type = integer, .default_value = "auto", .min = 0,
     .max = 10000000, .unit = "tokens", .commands = kSamples,
     .help = {"sample among the k likeliest; 0: all; auto: the model's own, else 0",
              "只在最可能的 k 个中采样；0：全部；auto：模型自带的值，否则 0"}},
    {.key = "sampling.top_p", .flag = "--top-p", .type = real, .default_value = "auto", .min = 1e-6, .max = 1,
     .commands = kSamples,
     .help = {"sample among the likeliest that together have this probability; auto: the model's own, else 0.95",
              "只在累计概率达到此值的最可能 token 中采样；auto：模型自带的值，否则 0.95"}},
    {.key = "sampling.min_p", .flag = "--min-p", .type = real, .default_value = "auto", .min = 0, .max = 1,
     .commands = kSamples,
     .help = {"leave out what is less likely than this share of the likeliest; auto: the model's own, else 0",
              "去掉概率低于最大概率乘以此值的 token；auto：模型自带的值，否则 0"}},
    {.key = "sampling.repetition_penalty", .flag = "--repeat-penalty", .type = real, .default_value = "auto",
     .min = 0.01, .max = 100, .commands = kSamples,
     .help = {"divides the logits of tokens that were there already; 1: off; auto: the model's own, else 1",
              "对已出现 token 的 logit 的惩罚因子；1：关闭；auto：模型自带的值，否则 1"}},
    {.key = "sampling.presence_penalty", .flag = "--presence-penalty", .type = real, .default_value = "0",
     .min = -2, .max = 2, .commands = kSamples,
     .help = {"subtracted once from the logit of each token of the answer",
              "从回答中出现过的每个 token 的 logit 中减去一次"}},
    {.key = "sampling.frequency_penalty", .flag = "--frequency-penalty", .type = real, .default_value = "0",
     .min = -2, .max = 2, .commands = kSamples,
     .help = {"subtracted from the logit of each token of the answer, times how often it was there",
              "按出现次数从回答中每个 token 的 logit 中减去"}},
    {.key = "sampling.logit_bias", .flag = "--logit-bias", .type = list, .unit = "ID=VALUE",
     .commands = kSamples,
     .help = {"add VALUE to the logit of token ID; may be repeated",
              "给编号为 ID 的 token 的 logit 加上 VALUE；可重复"}},
    {.key = "sampling.seed", .flag = "--seed", .short_flag = "-s", .type = integer, .default_value = "auto",
     .min = 0, .max = 9007199254740992.0, .commands = "run chat serve config bench tune",
     .help = {"seed of the random numbers; the same seed gives the same answer; auto: from the system, and reported",
              "随机数种子；相同的种子得到相同的回答；auto：由系统产生并报告"}},
    {.key = "sampling.stop", .flag = "--stop", .type = list, .unit = "TEXT", .commands = kSamples,
     .help = {"end the answer before this text; may be repeated", "在这段文字之前结束回答；可重复"}},
    {.key = "chat.system", .flag = "--system", .type = text, .commands = "run chat config",
     .help = {"system message", "系统消息"}},
    {.key = "chat.think", .flag = "--think", .type = choice, .default_value = "auto", .choices = "on|off",
     .commands = "run chat config",
     .help = {"let the model reason first, where its template can; auto: as the template does",
              "模板支持时，让模型先思考；auto：按模板默认"}},
    {.key = "run.raw", .flag = "--raw", .type = boolean, .default_value = "false", .commands = "run",
     .help = {"continue the prompt as it is, without a chat template", "直接续写提示，不使用聊天模板"}},
    {.key = "run.ignore_eos", .flag = "--ignore-eos", .type = boolean, .default_value = "false",
     .commands = "run",
     .help = {"do not stop where the model ends its answer", "模型结束回答时不停止"}},
    {.key = "run.trace", .flag = "--trace", .type = text, .unit = "FILE", .commands = "run",
     .help = {"write what the time went into, for ui.perfetto.dev", "写出时间都用在哪里，可用 ui.perfetto.dev 查看"}},

    {.key = "doctor.api_key", .flag = "--api-key", .type = text, .unit = "KEY", .commands = "doctor",
     .help = {"key of the server that is looked at", "所检查服务器的密钥"}},

    // --- the server ---
    {.key = "server.host", .flag = "--host", .type = text, .default_value = "127.0.0.1", .commands = kServes,
     .help = {"address to listen on", "监听地址"}},
    {.key = "server.port", .flag = "--port", .type = integer, .default_value = "8080", .min = 0, .max = 65535,
     .commands = kServes,
     .help = {"port; 0: any free one", "端口；0：任意空闲端口"}},
    {.key = "server.alias", .flag = "--alias", .type = list, .unit = "NAME", .commands = kServes,
     .help = {"another name of the model in the API; may be repeated", "模型在 API 中的别名；可重复"}},
    {.key = "server.api_key_file", .flag = "--api-key-file", .type = path, .commands = kServes,
     .help = {"file with one API key a line, and its limits (docs/SERVING.md); requests without one are refused",
              "每行一个 API 密钥及其限额（见 docs/SERVING.zh.md）的文件；没有密钥的请求会被拒绝"}},
    {.key = "server.cors_origin", .flag = "--cors-origin", .type = list, .unit = "URL", .commands = kServes,
     .help = {"origin whose web pages may call the API; may be repeated", "允许其网页调用 API 的来源；可重复"}},
    {.key = "server.tls_cert", .flag = "--tls-cert", .type = path, .commands = kServes,
     .help = {"certificate chain (PEM) for https", "https 使用的证书链（PEM）"}},
    {.key = "server.tls_key", .flag = "--tls-key", .type = path, .commands = kServes,
     .help = {"private key (PEM) of the certificate", "证书的私钥（PEM）"}},
    {.key = "server.timeout", .flag = "--timeout", .type = duration, .default_value = "30s", .min = 1e3,
     .max = kDay, .commands = kServes,
     .help = {"longest that a connection may stay idle", "连接允许的最长空闲时间"}},
    {.key = "server.drain_timeout", .flag = "--drain-timeout", .type = duration, .default_value = "30s",
     .min = 0, .max = kDay, .commands = kServes,
     .help = {"at shutdown, time for running requests to finish", "关闭时留给正在处理的请求的时间"}},
    {.key = "server.max_connections", .flag = "--max-connections", .type = integer, .default_value = "1024", .min = 1,
     .max = 100000, .unit = "connections", .commands = kServes,
     .help = {"open connections; more get 503", "同时打开的连接数；超出则返回 503"}},
    {.key = "server.max_body_bytes", .flag = "--max-body-bytes", .type = size, .default_value = "16MiB", .min = kKiB,
     .max = 1024 * kMiB, .commands = kServes,
     .help = {"longest body of a request; longer ones get 413", "请求体的最大长度；超出则返回 413"}},
    {.key = "server.max_unsent_bytes", .flag = "--max-unsent-bytes", .type = size, .default_value = "1MiB",
     .min = 64 * kKiB, .max = 1024 * kMiB, .commands = kServes,
     .help = {"of a stream that its client does not read; beyond it the request is cancelled",
              "客户端未读取的流式数据上限；超出则取消请求"}},
    {.key = "server.access_log", .flag = "--access-log", .type = path, .commands = kServes,
     .help = {"append a line of JSON for each request to this file; -: stderr",
              "为每个请求向此文件追加一行 JSON；-：标准错误"}},
    {.key = "server.otlp_endpoint", .flag = "--otlp-endpoint", .type = text, .unit = "URL", .commands = kServes,
     .help = {"send traces to this OpenTelemetry collector (OTLP over HTTP), such as http://127.0.0.1:4318; the standard "
              "variables OTEL_* say the rest, and where none is given also this",
              "把追踪发送到这个 OpenTelemetry 收集器（OTLP over HTTP），例如 http://127.0.0.1:4318；"
              "其余由标准的 OTEL_* 环境变量决定，未给出时地址也由它们决定"}},
    {.key = "server.max_queue", .flag = "--max-queue", .type = integer, .default_value = "256", .min = 0,
     .max = 1000000, .unit = "requests", .commands = kServes,
     .help = {"requests that may wait; more get 429", "允许排队的请求数；超出则返回 429"}},
    {.key = "server.grammar_max_bytes", .flag = "--grammar-max-bytes", .type = size, .default_value = "256MiB",
     .min = kMiB, .max = kTiB, .commands = kServes,
     .help = {"memory for grammars of structured answers", "结构化输出的语法可用的内存"}},
    {.key = "server.target_itl", .flag = "--target-itl", .type = duration, .default_value = "auto", .min = 100,
     .max = 60e6, .commands = kBatches,
     .help = {"longest gap between tokens of a stream while prompts of others are read; auto: three times the gap without "
              "them",
              "读取其他请求的提示时，流式 token 之间的最长间隔；auto：没有它们时间隔的三倍"}},
    {.key = "server.deadlines.queue", .flag = "--deadline-queue", .type = duration, .min = 1e3, .max = kDay,
     .commands = kServes,
     .help = {"longest wait in the queue", "在队列中的最长等待时间"}},
    {.key = "server.deadlines.prefill", .flag = "--deadline-prefill", .type = duration, .min = 1e3, .max = kDay,
     .commands = kServes,
     .help = {"longest time until the first token, the queue included", "到第一个 token 的最长时间，包括排队"}},
    {.key = "server.deadlines.decode", .flag = "--deadline-decode", .type = duration, .min = 1e3, .max = kDay,
     .commands = kServes,
     .help = {"longest time from the first token to the last", "从第一个到最后一个 token 的最长时间"}},
    {.key = "batching.mode", .flag = "--batching", .type = choice, .default_value = "continuous",
     .choices = "none|static|dynamic|continuous", .commands = kBatches,
     .help = {"continuous: a request begins as soon as there is room; dynamic: requests gather and begin together; static: "
              "a batch gathers and runs to its end before the next; none: one request at a time",
              "continuous：有空位就开始；dynamic：请求聚集后一起开始；static：凑齐一批，全部完成后再开始下一批；"
              "none：一次一个请求"}, .tune = "continuous|dynamic"},
    {.key = "batching.max_batch_size", .flag = "--max-batch-size", .type = integer, .default_value = "32",
     .min = 1, .max = 4096, .unit = "requests", .commands = kBatches,
     .help = {"requests that are computed together", "一起计算的请求数"}, .tune = "4|8|16|32|64"},
    {.key = "batching.timeout_microseconds", .flag = "--batch-timeout", .type = integer,
     .default_value = "1000", .min = 0, .max = 60e6, .unit = "us", .commands = kBatches,
     .help = {"static and dynamic: the first of a batch waits at most this long for others",
              "static 和 dynamic：一批中的第一个请求最多等待其他请求的时间"}},
    {.key = "batching.enable_padding", .flag = "--padding", .type = boolean, .default_value = "true",
     .commands = kServes,
     .help = {"accepted for configurations of other servers, without effect: no row is ever padding",
              "为兼容其他服务器的配置而接受，不起作用：从不使用填充行"}},

    {.key = "batching.prefill_chunk", .flag = "--prefill-chunk", .type = integer, .default_value = "512", .min = 32,
     .max = 8192, .unit = "tokens", .commands = kEngines,
     .help = {"most tokens of a step: longer prompts are read in so many at a time; more need more memory",
              "每个计算步的最多 token 数：更长的提示分段读入；数值越大需要的内存越多"}, .tune = "128|256|512|1024"},
    {.key = "tuned", .flag = "--tuned", .type = choice, .default_value = "auto",
     .choices = "none|chat|rag|code|batch|file", .commands = "run chat serve config bench",
     .help = {"use the settings that autoglm tune found here for this model and workload, where nothing else is said; "
              "auto: those found last",
              "未另行指定时，使用 autoglm tune 在本机为此模型和负载找到的设置；auto：最近一次找到的"}},
    {.key = "tuned_goal", .flag = "--tuned-goal", .type = choice, .default_value = "auto",
     .choices = "latency|throughput", .commands = "run chat serve config bench",
     .help = {"of those settings, the ones that were found with this --goal of autoglm tune; auto: those found last",
              "其中以 autoglm tune 的这个 --goal 找到的设置；auto：最近一次找到的"}},

    // --- the store ---
    {.key = "list.available", .flag = "--available", .type = boolean, .default_value = "false",
     .commands = "list",
     .help = {"show the catalogue instead of what is here", "显示目录，而不是本地已有的模型"}},
    {.key = "list.suggest", .flag = "--suggest", .type = boolean, .default_value = "false", .commands = "list",
     .help = {"show the three best models that would fit this machine, as commands",
              "以命令形式显示适合本机的三个最好的模型"}},
    {.key = "clean.dry_run", .flag = "--dry-run", .type = boolean, .default_value = "false",
     .commands = "clean",
     .help = {"only say what would be removed", "只说明会删除什么"}},

    // --- looking at models ---
    {.key = "inspect.batch", .flag = "--batch", .type = integer, .default_value = "1", .min = 1, .max = 4096,
     .unit = "requests", .commands = "inspect",
     .help = {"requests at once, for the memory estimate", "内存估计中同时处理的请求数"}},
    {.key = "inspect.fit", .flag = "--fit", .type = boolean, .default_value = "false", .commands = "inspect",
     .help = {"show the longest context that fits, for each KV type", "对每种 KV 类型显示放得下的最大上下文"}},
    {.key = "hw.probe", .flag = "--probe", .type = boolean, .default_value = "true", .commands = "hw bench",
     .help = {"measure the roofs (takes a few seconds)", "测量性能上限（需要几秒）"}},
    {.key = "docs", .flag = "--docs", .type = choice, .choices = "en|zh", .commands = "config",
     .help = {"print docs/CONFIG.md", "打印 docs/CONFIG.md"}, .hidden = true},

    // --- text ---
    {.key = "tokenize.file", .flag = "--file", .short_flag = "-f", .type = path, .commands = "tokenize",
     .help = {"take the text from this file", "从这个文件读取文本"}},
    {.key = "tokenize.special", .flag = "--special", .type = boolean, .default_value = "false",
     .commands = "tokenize",
     .help = {"recognize control tokens in the text; without it they are text",
              "识别文本中的控制 token；否则它们只是文本"}},
    {.key = "tokenize.bos", .flag = "--bos", .type = boolean, .default_value = "false", .commands = "tokenize",
     .help = {"put the begin token first, where the model has one", "模型有起始 token 时放在最前面"}},
    {.key = "template.messages", .flag = "--messages", .type = path, .commands = "template",
     .help = {"JSON file with the list of messages; - is stdin", "包含消息列表的 JSON 文件；- 表示标准输入"}},
    {.key = "template.tools", .flag = "--tools", .type = path, .commands = "template",
     .help = {"JSON file with the list of tools", "包含工具列表的 JSON 文件"}},
    {.key = "template.generation_prompt", .flag = "--generation-prompt", .type = boolean,
     .default_value = "true", .commands = "template",
     .help = {"end with what opens the model's answer", "以引出模型回答的内容结尾"}},
    {.key = "template.var", .flag = "--var", .type = list, .unit = "K=V", .commands = "template",
     .help = {"a variable for the template (V as JSON, else text); may be repeated",
              "模板变量（V 按 JSON 解析，否则为文本）；可重复"}},
    {.key = "template.tokenize", .flag = "--tokenize", .type = boolean, .default_value = "false",
     .commands = "template",
     .help = {"also give the token ids", "同时给出 token 编号"}},
    {.key = "template.file", .flag = "--template-file", .type = path, .commands = "template",
     .help = {"use this Jinja file; no model is needed then", "使用这个 Jinja 文件；此时不需要模型"}},

    // --- numbers ---
    {.key = "logits.tokens", .flag = "--tokens", .type = ids, .min = 0, .max = 2147483647, .commands = "logits",
     .help = {"token ids, separated by commas", "token 编号，用逗号分隔"}},
    {.key = "logits.last", .flag = "--last", .type = integer, .min = 1, .max = kMaxTokens, .unit = "positions",
     .commands = "logits",
     .help = {"only the last K positions", "只输出最后 K 个位置"}},
    {.key = "logits.out", .flag = "--out", .short_flag = "-o", .type = path, .commands = "logits",
     .help = {"write the logits here as .npy (f32 [positions, vocab]) instead of printing them",
              "把 logits 写成 .npy 文件（f32 [positions, vocab]），而不打印"}},
    {.key = "perplexity.window", .flag = "--ctx", .short_flag = "-c", .type = integer, .default_value = "512",
     .min = 8, .max = kMaxTokens, .unit = "tokens", .commands = "perplexity",
     .help = {"tokens in a window; its second half is scored", "窗口的 token 数；对后半部分计分"}},
    {.key = "compare.window", .flag = "--ctx", .short_flag = "-c", .type = integer, .default_value = "512",
     .min = 8, .max = kMaxTokens, .unit = "tokens", .commands = "compare",
     .help = {"tokens in a window; its second half is scored; tasks must fit in it",
              "窗口的 token 数；对后半部分计分；任务也必须放得下"}},
    {.key = "compare.windows", .flag = "--windows", .type = integer, .default_value = "auto", .min = 1,
     .max = kMaxTokens, .unit = "windows", .commands = "compare",
     .help = {"evaluate so many windows, spread over the texts; auto: all",
              "评估这么多个窗口，均匀分布在文本中；auto：全部"}},
    {.key = "compare.text", .flag = "--text", .type = list, .unit = "KIND=FILE", .commands = "compare",
     .help = {"another text, and what kind it is; figures are given by kind; may be repeated",
              "另一个文本及其种类；按种类给出指标；可重复"}},
    {.key = "compare.tasks", .flag = "--tasks", .type = path, .commands = "compare",
     .help = {"accuracy on this JSONL file too: prompt with choices and answer, or prompt with expected",
              "同时给出在这个 JSONL 文件上的准确率：prompt 加 choices 和 answer，或 prompt 加 expected"}},
    {.key = "compare.calibration", .flag = "--calib", .type = path, .commands = "compare",
     .help = {"the text that B was calibrated with: refused if the texts to judge by share more than 1 % with it",
              "B 的校准文本：若评估文本与其重合超过 1 %，则拒绝"}},
    {.key = "compare.report", .flag = "--report", .type = path, .commands = "compare",
     .help = {"write the report here: a name that ends in .json, .md or .html, or a folder for all three",
              "把报告写到这里：以 .json、.md 或 .html 结尾的文件名，或放置这三种报告的文件夹"}},
    {.key = "compare.reference", .flag = "--reference-precision", .type = choice, .default_value = "f32",
     .choices = "f32|dynamic", .commands = "compare",
     .help = {"precision of A's activations; --precision is B's", "A 的激活值精度；--precision 是 B 的"}},
    {.key = "compare.seed", .flag = "--seed", .short_flag = "-s", .type = integer, .default_value = "1", .min = 0,
     .max = 9007199254740992.0, .commands = "compare",
     .help = {"seed of the intervals' resampling", "区间重抽样的种子"}},
    {.key = "compare.speed", .flag = "--speed", .type = boolean, .default_value = "true", .commands = "compare",
     .help = {"decode a few tokens with both models and report their speed", "用两个模型各解码几个 token 并报告速度"}},
    {.key = "bench.prompt", .flag = "--prompt", .short_flag = "-p", .type = integer, .default_value = "512",
     .min = 0, .max = kMaxTokens, .unit = "tokens", .commands = "bench",
     .help = {"length of the prompt", "提示长度"}},
    {.key = "bench.gen", .flag = "--gen", .short_flag = "-n", .type = integer, .default_value = "64", .min = 0,
     .max = kMaxTokens, .unit = "tokens", .commands = "bench",
     .help = {"tokens to generate", "生成的 token 数"}},
    {.key = "bench.reps", .flag = "--reps", .short_flag = "-r", .type = integer, .default_value = "5", .min = 1,
     .max = 10000, .unit = "times", .commands = "bench",
     .help = {"repetitions after the warm-up; medians are reported", "预热之后的重复次数；报告中位数"}},
    {.key = "bench.depth", .flag = "--depth", .short_flag = "-d", .type = integer, .default_value = "0",
     .min = 0, .max = kMaxTokens, .unit = "tokens", .commands = "bench",
     .help = {"tokens that are in the KV cache before the measurement", "测量前 KV 缓存中已有的 token 数"}},
    {.key = "bench.batch", .flag = "--batch", .short_flag = "-b", .type = integer, .default_value = "1",
     .min = 1, .max = 4096, .unit = "sequences", .commands = "bench",
     .help = {"sequences that decode together", "同时解码的序列数"}},
    {.key = "bench.shape", .flag = "--shape", .type = text, .unit = "NAME", .commands = "bench",
     .help = {"random weights of a known shape instead of a model: glm4-9b, glm-edge-1.5b, llama-1.45b, smollm2-135m, ...",
              "使用已知形状的随机权重代替模型：glm4-9b、glm-edge-1.5b、llama-1.45b、smollm2-135m 等"}},
    {.key = "bench.type", .flag = "--type", .type = text, .unit = "TYPE", .commands = "bench",
     .help = {"with --shape: the recipe of weight types (Q4_0 unless given)", "配合 --shape：权重类型的配方（默认 Q4_0）"}},
    {.key = "bench.write", .flag = "--write", .type = text, .unit = "FILE", .commands = "bench",
     .help = {"with --shape: write the random model as this GGUF file, which llama.cpp loads, and measure nothing",
              "配合 --shape：把随机模型写成这个 GGUF 文件（llama.cpp 可加载），不做测量"}},
    {.key = "bench.peer", .flag = "--peer", .type = text, .unit = "PROGRAM", .commands = "bench",
     .help = {"also measure this llama-bench, alternating with ours", "同时与这个 llama-bench 程序交替测量"}},
    {.key = "bench.sweep", .flag = "--sweep", .type = text, .unit = "LIST", .commands = "bench",
     .help = {"measure over a range of batch, ctx or threads (several: batch,ctx,threads), each point in a process of its "
              "own",
              "在 batch、ctx 或 threads 的一系列取值上测量（可多个：batch,ctx,threads），每个点用独立进程"}},
    {.key = "bench.report", .flag = "--report", .type = path, .commands = "bench",
     .help = {"with --sweep: write it here: a name that ends in .html or .csv, or a folder for both",
              "配合 --sweep：写到这里：以 .html 或 .csv 结尾的文件名，或放置两者的文件夹"}},
    {.key = "workload.name", .flag = "--workload", .type = text, .unit = "NAME", .commands = kWorkloads,
     .help = {"requests as users make them, through the engine: chat, rag, code, batch, or a JSONL file (docs/TUNE.md)",
              "像用户那样通过引擎提出请求：chat、rag、code、batch，或 JSONL 文件（见 docs/TUNE.zh.md）"}},
    {.key = "workload.requests", .flag = "--requests", .type = integer, .default_value = "auto", .min = 1, .max = 100000,
     .unit = "requests", .commands = kWorkloads,
     .help = {"requests of the workload; auto: as many as it has by nature", "负载的请求数；auto：该负载的默认数量"}},
    {.key = "workload.users", .flag = "--users", .type = integer, .default_value = "auto", .min = 1, .max = 4096,
     .unit = "users", .commands = kWorkloads,
     .help = {"conversations at once (a closed loop)", "同时进行的对话数（闭环）"}},
    {.key = "workload.rate", .flag = "--rate", .type = real, .min = 1e-4, .max = 1e5, .unit = "conversations a second",
     .commands = kWorkloads,
     .help = {"let conversations arrive at random, so many a second on average, whether others have ended or not (an "
              "open loop)",
              "对话按此平均速率（每秒）随机到达，不管其他对话是否结束（开环）"}},
    {.key = "workload.scale", .flag = "--scale", .type = real, .default_value = "1", .min = 0.01, .max = 4,
     .commands = kWorkloads,
     .help = {"times the lengths that prompts and answers have by nature", "提示和回答长度相对默认值的倍数"}},
    {.key = "tune.goal", .flag = "--goal", .type = choice, .default_value = "latency", .choices = "latency|throughput",
     .commands = "tune",
     .help = {"what is to be better: the median time of a request, or tokens a second of all",
              "要改善的指标：请求耗时的中位数，或全部请求的每秒 token 数"}},
    {.key = "tune.time_budget", .flag = "--time-budget", .type = duration, .default_value = "10m", .min = 1e6,
     .max = kDay, .commands = "tune",
     .help = {"longest that measuring may take", "测量允许的最长时间"}},
    {.key = "tune.kernels", .flag = "--kernels", .type = boolean, .default_value = "true", .commands = "tune",
     .help = {"measure the kernels' own settings too", "同时测量内核设置"}},
    {.key = "tune.settings", .flag = "--settings", .type = boolean, .default_value = "true", .commands = "tune",
     .help = {"measure settings with a workload", "用负载测量各项设置"}},
    {.key = "tune.again", .flag = "--again", .type = boolean, .default_value = "false", .commands = "tune",
     .help = {"measure from the beginning, even where an earlier result still holds", "即使之前的结果仍然有效，也从头测量"}},
    {.key = "convert.type", .flag = "--type", .type = choice, .default_value = "auto",
     .choices = "f32|f16|bf16", .commands = "convert",
     .help = {"type of the matrices; auto: as in the source", "矩阵的类型；auto：与来源相同"}},

    // --- quantize ---
    {.key = "quantize.type", .flag = "--type", .type = text, .commands = "quantize",
     .help = {"type of the matrices, such as Q4_K, IQ4_NL, INT8 (by channel) or INT8_ASYM; embedding and head get at "
              "least 6 bits",
              "矩阵的类型，例如 Q4_K、IQ4_NL、INT8（按通道）或 INT8_ASYM；词嵌入和输出头至少 6 位"}},
    {.key = "quantize.recipe", .flag = "--recipe", .type = path, .commands = "quantize",
     .help = {"a type for each tensor, from this YAML file", "从这个 YAML 文件读取每个张量的类型"}},
    {.key = "quantize.bits", .flag = "--bits", .type = real, .min = 2, .max = 16, .unit = "bits a weight",
     .commands = "quantize",
     .help = {"a type for each tensor, found by measurement, so that the average is at most this",
              "通过测量为每个张量选择类型，平均位数不超过此值"}},
    {.key = "quantize.max_bytes", .flag = "--max-bytes", .type = size, .min = kMiB, .max = 1024 * kTiB,
     .commands = "quantize",
     .help = {"the same for the size of the file", "同上，但限制文件大小"}},
    {.key = "quantize.method", .flag = "--method", .type = choice, .default_value = "auto",
     .choices = "rtn|importance|gptq|awq", .commands = "quantize",
     .help = {"how weights are rounded: to the nearest; weighed by what reaches them; with errors made up for in later "
              "columns; or weighed with --scaling awq. auto: importance with --imatrix, else gptq",
              "权重如何取整：就近；按输入的重要性加权；在后续列中补偿误差；或加权并使用 --scaling awq。auto：有 --imatrix 时为 "
              "importance，否则为 gptq"}},
    {.key = "quantize.scaling", .flag = "--scaling", .type = choice, .default_value = "auto",
     .choices = "awq|none", .commands = "quantize",
     .help = {"awq: scales of channels, folded into the tensors before, wherever they make rounding cost less by "
              "measure; none: nowhere. auto: as --method and --recipe say, else none",
              "awq：在测量表明能减小舍入误差之处缩放通道（并入前一个张量）；none：不缩放。auto：按 --method 和 --recipe，"
              "否则为 none"}},
    {.key = "quantize.calibration", .flag = "--calib", .type = path, .commands = "quantize",
     .help = {"a text like what the model will read, to weigh errors with; chats if it ends in .jsonl. Without it the "
              "model writes one itself",
              "用于衡量误差的校准文本，应与模型将处理的文本相似；以 .jsonl 结尾时为对话。不给出时由模型自己生成"}},
    {.key = "quantize.costs", .flag = "--costs", .type = path, .commands = "quantize",
     .help = {"keep what --bits and --max-bytes measured in this file, and do not measure it again for another size",
              "把 --bits 和 --max-bytes 的测量结果保存在此文件，换一个大小时不再重新测量"}},
    {.key = "quantize.imatrix", .flag = "--imatrix", .type = path, .commands = "quantize",
     .help = {"weigh errors by this importance file of llama.cpp (GGUF) instead of a text",
              "用 llama.cpp 的重要性文件（GGUF）代替文本来衡量误差"}},
    {.key = "quantize.windows", .flag = "--windows", .type = integer, .default_value = "48", .min = 1, .max = 4096,
     .unit = "windows", .commands = "quantize",
     .help = {"windows of the calibration text that are used, spread over it", "使用的校准文本窗口数，在文本中均匀分布"}},
    {.key = "quantize.window", .flag = "--ctx", .short_flag = "-c", .type = integer, .default_value = "512", .min = 16,
     .max = 8192, .unit = "tokens", .commands = "quantize",
     .help = {"tokens of a window", "每个窗口的 token 数"}},
    {.key = "quantize.requantize", .flag = "--requantize", .type = boolean, .default_value = "false",
     .commands = "quantize",
     .help = {"take a model that is already quantized; both errors add up", "接受已量化的模型；两次误差会叠加"}},

    // --- optimize ---
    {.key = "optimize.out", .flag = "--out", .short_flag = "-o", .type = path, .commands = "optimize",
     .help = {"the folder to write: model.gguf, autoglm.yaml, report.html, report.md, report.json",
              "输出文件夹：model.gguf、autoglm.yaml、report.html、report.md、report.json"}},
    {.key = "optimize.goal", .flag = "--goal", .type = choice, .default_value = "balanced",
     .choices = "latency|memory|quality|balanced", .commands = "optimize",
     .help = {"what matters most, within the limits", "在限制之内最看重什么"}},
    {.key = "optimize.max_bytes", .flag = "--max-bytes", .type = size, .min = kMiB, .max = 1024 * kTiB,
     .commands = "optimize",
     .help = {"largest file", "文件的最大大小"}},
    {.key = "optimize.max_kld", .flag = "--max-kld", .type = real, .default_value = "0.02", .min = 1e-6, .max = 10,
     .unit = "nats a token", .commands = "optimize",
     .help = {"most that may be lost: mean KL divergence from the source's exact answers",
              "允许的最大损失：与来源精确结果的平均 KL 散度"}},
    {.key = "optimize.workload", .flag = "--workload", .type = text, .default_value = "chat", .unit = "NAME",
     .commands = "optimize",
     .help = {"what it is measured with: chat, rag, code, batch, or a JSONL file of requests",
              "用于测量的负载：chat、rag、code、batch，或包含请求的 JSONL 文件"}},
    {.key = "optimize.time_budget", .flag = "--time-budget", .type = duration, .default_value = "10m", .min = 1e6,
     .max = 7 * kDay, .commands = "optimize",
     .help = {"for all stages together; how thorough they are follows from it", "所有阶段的总时间；工作的细致程度由此决定"}},
    {.key = "optimize.calibration", .flag = "--calib", .type = path, .commands = "optimize",
     .help = {"a text like what the model will read, to weigh errors with; chats if it ends in .jsonl. Without it the "
              "model writes one itself",
              "用于衡量误差的校准文本，应与模型将处理的文本相似；以 .jsonl 结尾时为对话。不给出时由模型自己生成"}},
    {.key = "optimize.text", .flag = "--text", .type = path, .commands = "optimize",
     .help = {"a text to judge quality by, or JSONL with \"text\" and \"kind\"; without it the model writes one itself",
              "用于评估质量的文本，或含 \"text\" 和 \"kind\" 的 JSONL；不给出时由模型自己生成"}},
    {.key = "optimize.requantize", .flag = "--requantize", .type = boolean, .default_value = "false",
     .commands = "optimize",
     .help = {"change the weights of a model that is already quantized, too; both errors add up",
              "也改动已量化模型的权重；两次误差会叠加"}},
    {.key = "optimize.tune", .flag = "--tune", .type = boolean, .default_value = "true", .commands = "optimize",
     .help = {"search settings too; --no-tune changes nothing but the weights", "同时搜索设置；--no-tune 只改动权重"}},
    {.key = "optimize.dry_run", .flag = "--dry-run", .type = boolean, .default_value = "false",
     .commands = "optimize",
     .help = {"only say what each stage would take", "只说明每个阶段需要多少资源"}},

};
// clang-format on

constexpr ProfileValue kProfileValues[] = {
    {"efficient",
     "batching.max_batch_size",
     "8",
     {"fewer requests at once need less memory", "同时处理的请求少，内存就少"}},
    {"efficient", "batching.prefill_chunk", "128", {"fewer tokens a step need less memory", "每步 token 少，内存就少"}},
    {"efficient", "server.max_queue", "64", {"a short queue suits a small machine", "小机器适合短队列"}},
    {"efficient", "speculation", "off", {"a draft that is refused is work for nothing", "被拒绝的推测白费计算"}},
    {"efficient", "runtime.priority", "low", {"other programs go first", "其他程序优先"}},
    {"performance",
     "batching.max_batch_size",
     "64",
     {"more requests a step give more tokens per second", "每步请求越多，每秒 token 越多"}},
    {"performance", "server.max_queue", "1024", {"a long queue keeps the batch full", "长队列让批次保持满载"}},
};

bool contains_word(std::string_view words, std::string_view word) {
  for (size_t at = 0; at < words.size();) {
    const size_t end = std::min(words.find(' ', at), words.size());
    if (words.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

std::string upper(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '-' || c == '.' ? '_' : static_cast<char>(std::toupper(c));
  return out;
}

}  // namespace

std::span<const Setting> settings_table() { return kTable; }

std::span<const ProfileValue> profile_values() { return kProfileValues; }

const Setting* find_setting(std::string_view key) {
  for (const Setting& setting : kTable) {
    if (setting.key == key) return &setting;
  }
  return nullptr;
}

bool takes(std::string_view command, const Setting& setting) {
  return setting.commands == "*" || contains_word(setting.commands, command);
}

std::string environment_name(const Setting& setting) {
  for (const Setting& other : kTable) {
    if (&other == &setting) break;
    if (other.flag != setting.flag) continue;
    // An earlier key has the flag's name. This one's says its section, so that a value meant for one does not reach the
    // other: AUTOGLM_CTX is the context, AUTOGLM_PERPLEXITY_CTX perplexity's window.
    return "AUTOGLM_" + upper(setting.key.substr(0, setting.key.find('.'))) + "_" + upper(setting.flag.substr(2));
  }
  return "AUTOGLM_" + upper(setting.flag.substr(2));
}

std::string_view name(Origin origin) {
  switch (origin) {
    case Origin::flag:
      return "flag";
    case Origin::environment:
      return "environment";
    case Origin::file:
      return "file";
    case Origin::profile:
      return "profile";
    case Origin::machine:
      return "machine";
    case Origin::fallback:
      return "default";
  }
  return "default";
}

}  // namespace autoglm
