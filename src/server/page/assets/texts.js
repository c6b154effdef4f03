// Every word of the page, in English and Chinese. tests/structure/page_texts_test.py keeps the table complete.

const kTexts = {
  "app.tabs": ["Views", "视图"],
  "app.chat": ["Chat", "对话"],
  "app.dashboard": ["Dashboard", "仪表盘"],
  "app.timeline": ["Timeline", "时间线"],
  "app.menu": ["Conversations", "对话列表"],
  "app.skip": ["Skip to the message box", "跳到输入框"],
  "app.language": ["切换到中文", "Switch to English"],
  "app.theme.auto": ["Colours: as the system", "配色：跟随系统"],
  "app.theme.light": ["Colours: light", "配色：浅色"],
  "app.theme.dark": ["Colours: dark", "配色：深色"],
  "app.forgetKey": ["Forget the API key", "忘记 API 密钥"],
  "app.offline": ["The server does not answer.", "服务器没有响应。"],
  "app.close": ["Close", "关闭"],

  "list.new": ["New chat", "新对话"],
  "list.empty": ["Conversations stay in this browser.", "对话只保存在此浏览器中。"],
  "list.delete": ["Delete “{title}”", "删除“{title}”"],
  "list.deleted": ["Deleted.", "已删除。"],
  "list.undo": ["Undo", "撤销"],
  "list.export": ["Export all as JSON", "全部导出为 JSON"],
  "list.exportOne": ["Export this chat as JSON", "导出此对话为 JSON"],
  "list.untitled": ["New chat", "新对话"],
  "list.full": ["The browser's storage is full: delete or export conversations.", "浏览器存储已满：请删除或导出对话。"],

  "chat.hello": ["What shall we talk about?", "想聊点什么？"],
  "chat.local": ["{model} runs on this server. Nothing leaves it.", "{model} 在本服务器上运行，数据不会离开。"],
  "chat.example1": ["Why is the sky blue?", "天空为什么是蓝色的？"],
  "chat.example2": ["Write a limerick about a patient computer", "写一首关于耐心计算机的打油诗"],
  "chat.example3": ["Explain recursion with an example in Python", "用 Python 示例解释递归"],
  "chat.log": ["Messages", "消息"],
  "chat.message": ["Message", "消息"],
  "chat.placeholder": ["Write a message…", "输入消息…"],
  "chat.hint": ["Enter sends · Shift+Enter new line · Esc stops", "Enter 发送 · Shift+Enter 换行 · Esc 停止"],
  "chat.send": ["Send", "发送"],
  "chat.stop": ["Stop", "停止"],
  "chat.you": ["You", "你"],
  "chat.thought": ["Thought", "思考过程"],
  "chat.thinking": ["Thinking…", "思考中…"],
  "chat.waiting": ["Waiting for the first token…", "等待第一个词元…"],
  "chat.edit": ["Edit", "编辑"],
  "chat.editSend": ["Send again", "重新发送"],
  "chat.cancel": ["Cancel", "取消"],
  "chat.retry": ["Answer again", "重新回答"],
  "chat.copy": ["Copy", "复制"],
  "chat.earlier": ["Earlier version", "上一个版本"],
  "chat.later": ["Later version", "下一个版本"],
  "chat.version": ["{n} of {of}", "{n} / {of}"],
  "chat.latest": ["To the latest", "回到最新"],
  "chat.done": ["Answer complete: {tokens} tokens", "回答完成：{tokens} 个词元"],
  "chat.stopped": ["stopped", "已停止"],
  "chat.cut": ["cut at the limit of tokens", "达到词元上限，已截断"],
  "chat.stats": ["{tokens} tokens · {rate} tokens/s · first after {first}", "{tokens} 个词元 · {rate} 词元/秒 · 首词元 {first}"],
  "chat.cached": ["{cached} of {prompt} prompt tokens reused", "提示 {prompt} 个词元中 {cached} 个来自缓存"],
  "chat.failed": ["This did not work: {why}", "出错了：{why}"],
  "chat.busy": ["The server is busy: {why}", "服务器繁忙：{why}"],

  "scores.show": ["Token probabilities", "词元概率"],
  "scores.off": [
    "This answer has none: switch “Token probabilities” on in the settings, then answer again.",
    "此回答没有概率：请在设置中打开“词元概率”，然后重新回答。",
  ],
  "scores.legend": ["how likely each token was", "每个词元的概率"],
  "scores.sure": ["sure", "确定"],
  "scores.unsure": ["unlikely", "不太可能"],
  "scores.token": ["{token}: {percent}", "{token}：{percent}"],
  "scores.others": ["The likeliest here", "此处最可能的词元"],

  "set.title": ["Settings", "设置"],
  "set.model": ["Model", "模型"],
  "set.system": ["System prompt", "系统提示"],
  "set.systemHint": ["How the model should behave", "希望模型如何表现"],
  "set.temperature": ["Temperature", "温度"],
  "set.temperatureHint": ["0: always the likeliest token", "0：始终选择最可能的词元"],
  "set.topP": ["Top-p", "Top-p"],
  "set.topPHint": ["Only the likeliest tokens that add up to this", "只从累计概率达到此值的词元中选择"],
  "set.maxTokens": ["Longest answer (tokens)", "最长回答（词元）"],
  "set.maxTokensHint": ["Empty: until the context of {context} is full", "留空：直到 {context} 个词元的上下文用完"],
  "set.seed": ["Seed", "随机种子"],
  "set.seedHint": ["Same seed, same answer. Empty: another each time", "相同种子得到相同回答。留空：每次不同"],
  "set.thinking": ["Thinking", "思考"],
  "set.thinkingAuto": ["As the model does", "由模型决定"],
  "set.thinkingOn": ["On", "开"],
  "set.thinkingOff": ["Off", "关"],
  "set.scores": ["Token probabilities", "词元概率"],
  "set.scoresHint": ["Ask for the five likeliest tokens at each place", "为每个位置请求五个最可能的词元"],
  "set.reset": ["Back to the model's own", "恢复模型默认值"],
  "set.default": ["model's own: {value}", "模型默认：{value}"],

  "dash.throughput": ["Tokens a second", "每秒词元"],
  "dash.generated": ["written", "生成"],
  "dash.read": ["read", "读入"],
  "dash.requests": ["Requests", "请求"],
  "dash.running": ["running", "运行"],
  "dash.waiting": ["waiting", "等待"],
  "dash.memory": ["KV memory and prefix cache", "KV 内存与前缀缓存"],
  "dash.kv": ["KV in use", "KV 占用"],
  "dash.hits": ["prompt tokens reused", "提示词元复用"],
  "dash.first": ["First token", "首词元"],
  "dash.gap": ["Between tokens", "词元间隔"],
  "dash.whole": ["Whole answer", "完整回答"],
  "dash.lastMinute": ["answers of the last minute", "最近一分钟的回答"],
  "dash.sinceStart": ["since the server started", "自服务器启动以来"],
  "dash.none": ["no answers yet", "还没有回答"],
  "dash.gapPlot": ["Gap between tokens", "词元间隔"],
  "dash.tokensUnit": ["tokens/s", "词元/秒"],
  "dash.total": ["{n} answers since the start · {refused} refused · {cancelled} hung up", "启动以来 {n} 个回答 · {refused} 个被拒绝 · {cancelled} 个被中断"],
  "dash.time": ["Where the time goes:", "时间花在哪里："],
  "dash.flames": ["flame graph of the next 5 seconds", "未来 5 秒的火焰图"],
  "dash.trace": ["trace of the last 5 seconds, for Perfetto", "最近 5 秒的追踪（用 Perfetto 查看）"],
  "dash.making": ["one moment…", "请稍候…"],
  "dash.now": ["now", "现在"],
  "dash.ago": ["−{n} s", "−{n} 秒"],

  "time.title": ["The last requests", "最近的请求"],
  "time.empty": ["No requests yet. Send a message in the chat.", "还没有请求。请在对话中发送一条消息。"],
  "time.align": ["Bars", "对齐方式"],
  "time.byStart": ["from each start", "按各自开始"],
  "time.byClock": ["by the clock", "按时刻"],
  "time.request": ["Request", "请求"],
  "time.stages": ["Stages", "阶段"],
  "time.tokens": ["Tokens", "词元"],
  "time.tokensOf": ["{prompt} in ({cached} reused), {out} out", "输入 {prompt}（复用 {cached}），输出 {out}"],
  "time.tokensOut": ["{out} out", "输出 {out}"],
  "time.end": ["End", "结束"],
  "time.whole": ["Whole", "总计"],
  "time.network": ["network", "网络"],
  "time.prepare": ["prepare", "准备"],
  "time.queue": ["queue", "排队"],
  "time.prefill": ["prefill", "预填充"],
  "time.decode": ["decode", "解码"],
  "time.serialization": ["serialization", "序列化"],
  "time.stop": ["stop", "完成"],
  "time.length": ["length", "长度上限"],
  "time.error": ["error", "错误"],
  "time.cancelled": ["hung up", "已中断"],
  "time.live": ["running", "进行中"],
};

let language = 0;

export const languages = ["en", "zh"];

export function currentLanguage() {
  return languages[language];
}

/** "en", "zh"; null: what the browser prefers. */
export function setLanguage(name) {
  const wanted = name ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
  language = Math.max(0, languages.indexOf(wanted));
  document.documentElement.lang = language === 1 ? "zh-CN" : "en";
}

/** t("chat.version", {n: 1, of: 2}) */
export function t(key, values = {}) {
  const text = kTexts[key][language];
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** 0.0123 -> "12 ms", 1.5 -> "1.50 s" */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const ms = seconds * 1e3;
  if (ms < 1) return `${ms.toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  return seconds < 60 ? `${seconds.toFixed(seconds < 10 ? 2 : 1)} s` : `${(seconds / 60).toFixed(1)} min`;
}
