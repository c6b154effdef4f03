#!/usr/bin/env python3
"""Trains small vocabularies with Hugging Face's tokenizers and SentencePiece and saves what they make of hard texts.

Writes tests/data/tokenizers/NAME/: the tokenizer's files as a model folder has them, for some also vocab.gguf with
the same vocabulary, and expected.json. Needs: tokenizers, sentencepiece, protobuf, gguf. Run from the repository root:
python3 tools/make_tokenizer_goldens.py
With "real" as its argument it writes real_*.json: what llama.cpp (llama_cpp) makes of the texts with the two models of
build/oracle, and for the first one what Hugging Face makes of its vocabulary and merges.
"""
import argparse, base64, inspect, io, json, pathlib, random, re, sys, tempfile, textwrap  # noqa: E401

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

OUT = pathlib.Path("tests/data/tokenizers")

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GLM4 = LLAMA3.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
          r"|\s+(?!\S)|\s+")
DEEPSEEK = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\s+$", r"\p{N}"]
# Corners of Oniguruma's syntax in which PCRE2 differs.
TORTURE = [r"\w{,3}\b", r"[^\S\r\n]+", r"[[:punct:]]+", r"(?m:x.y)", r"\d+(?=\D)", r"^\h+$", r"[\w\-]+", r"a{2}+b"]

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\n\n\n", "\t\n", " \n \n\n \n\n\n \t \t\t \t\n  \n",
    "Hello world", " Hello world", "Hello, World!", "Hello  World   !", "  leading and trailing  ",
    "I'm you're he's WE'LL they'd I'VE don'T 's ' s it'ſ", "this is 🦙.cpp", "3", "33", "333", "3333", "33333333",
    "1,234,567.89 0x1F 1e-9 ¹²³ ½ Ⅷ ٣٤٥ ४५ ㊿ 𝟘𝟙", "12ab34cd 5e6f",
    "世界，你好！今天天气怎么样？我们去公园吧。", "你好 世界　全角空格", "日本語のテキスト、カタカナ。ひらがな", "한국어 문장입니다. 각",
    "Привет, мир!", "Ελληνικά ΣΊΣΥΦΟΣ", "العربية من اليمين", "עִבְרִית", "ไทยภาษา", "नमस्ते दुनिया", "Tiếng Việt Cửa Ngõ",
    "nǐhǎo 你好 hello привет مرحبا mixed", "👨‍👩‍👧‍👦 family 🏳️‍🌈 flag 🇨🇳🇩🇪 👍🏽", "😀😃😄😁😆😅😂🤣", "❤️ ♥ ☺️ 1️⃣ ©®™",
    "e\u0301 é a\u0300\u0323 a\u0323\u0300 n\u0303 ﬁ ﬀ ſ K Å Å \u1e9b\u0323 ｆｕｌｌ ｗｉｄｔｈ ㌔ ﷺ",
    "\u0301\u0301\u0301 x\u0300\u0301\u0302\u0303", "각 \u1100\u1161\u11a8 \uac00\u11a8 क़ \u0958 \u2126 \U0001d15e",
    "\x00", "a\x00b", "\x01\x02\x03\x07\x08\x0b\x0c\x0e\x1b\x1f\x7f", "\x80\x85\x9f\xa0\xad",
    "zero\u200bwidth\u200cjoin\u200der\u2060x\ufeffbom", "\u180e \u2028 \u2029 \u3000 \u202f \u205f \u1680 x",
    "\ufffd \uffff \U0010ffff \ue000 \U000e0001", "if (x == 0) {\n    return y;\n\t}\n", "def f(a, b=1):\n    return a+b  # ok\n\n\n",
    "<html><body class=\"x\">&amp;</body></html>", "a_b-c.d/e\\f@g#h$i%j^k&l*m(n)o+p=q|r~s`t'u\"v;w:x?y!z,",
    "!!!!!!??? ... --- === ___ ***", "http://example.com/a?b=c&d=%20", "CamelCaseWord snake_case_word SCREAMING ABCdef",
    "<s>", "</s>", "<unk>", "<|endoftext|>", "<|user|>", "<|user|", "<|user |>", "< |user|>", "<<|user|>>",
    "<|user|><|assistant|>", "<|user|>\nHi<|assistant|>\n<think>hm</think>ok<|endoftext|>", "<|system|>  x  <|user|>  y  ",
    "<think>", "a<think>b", " <think> ", "<thinking>", "[gMASK]<sop>", "sop", "mask <mask> mask", "x <mask> y", "x<mask>y",
    "whole word whole-word wholeword the whole", "WHOLE Whole", "▁", "▁▁", "a▁b", " ▁ a", "▁hello", "<0x41>", "<0x0A>", "é<0xE9>",
    "\n<0x0A>", "Ġhello Ċ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ababababababababababab", "a" * 300, " " * 100, "\n" * 50,
    "哈" * 60, "e\u0301" * 40, "1" * 50, "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "x.y x\ny xyz x-y", "aab aaab aaaab", "deadBEEF\n0123\nxyz", "end with spaces   \n", "multi\nline\r\ntext\rhere",
    "ÀÈÌÒÙ àèìòù ÄÖÜ äöüß ẞ İ ı Ǆ ǅ", "𝓗𝓮𝓵𝓵𝓸 𝕳𝖊𝖑𝖑𝖔 Ⓗⓔⓛⓛⓞ", "①②③ ⅠⅡⅢ ㈠㈡ ％＆", "“quotes” ‘single’ «guillemets» … – —",
]
BROKEN = ["ff", "61ff62", "c3", "c328", "e4bd", "e4bda0e5", "f09f98", "f09f9880f0", "eda080", "f4908080", "c0af", "80808080",
          "61e4bd62", "e4bd20e5a5bd", "fffe41"]  # hexadecimal: not UTF-8

SPECIAL = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>", "[gMASK]", "<sop>"]


def corpus():
    sources = [inspect.getsource(m) for m in (argparse, json, re, textwrap, random, io, base64, pathlib)]
    english = [line for source in sources for line in source.splitlines()]
    return english + [t for t in TEXTS if t] * 3


def train_bpe(tokenizer, size=900, special=SPECIAL, alphabet=None):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet is None else alphabet,
                                  limit_alphabet=400)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def byte_level(*steps, normalizer=None, **model):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence(list(steps))
    t.decoder = decoders.ByteLevel()
    train_bpe(t)
    t.add_tokens([AddedToken("<think>", special=False, normalized=False), AddedToken("</think>", special=False, normalized=False)])
    if model:
        t = change(t, lambda j: j["model"].update(model))
    return t


def change(t, edit):
    j = json.loads(t.to_str())
    edit(j)
    return Tokenizer.from_str(json.dumps(j, ensure_ascii=False))


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def plain_bytes():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def char_bpe(normalizer, pre, decoder, fuse=True):
    """Llama 2's and Gemma's kind: characters, and bytes for those that the vocabulary lacks."""
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    train_bpe(t, 700, ["<unk>", "<s>", "</s>"], [])

    def edit(j):
        vocab = j["model"]["vocab"]
        ordered = sorted(vocab, key=vocab.get)
        ordered[3:3] = [f"<0x{b:02X}>" for b in range(256)]
        j["model"]["vocab"] = {text: i for i, text in enumerate(ordered)}
        j["model"].update(byte_fallback=True, fuse_unk=fuse)
        j["normalizer"], j["pre_tokenizer"], j["decoder"] = normalizer, pre, decoder
    return change(t, edit)


def template(t, before=(), after=()):
    names = list(before) + list(after)
    t.post_processor = processors.TemplateProcessing(
        single=" ".join(list(before) + ["$A"] + list(after)), special_tokens=[(n, t.token_to_id(n)) for n in names])
    return t


def unigram(normalizer, pre, decoder, byte_fallback=False, size=700):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.NFKC()
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
                                      show_progress=False)
    t.train_from_iterator([c for c in corpus() if len(c) < 200], trainer)

    def edit(j):
        j["normalizer"], j["pre_tokenizer"], j["decoder"] = normalizer, pre, decoder
        if byte_fallback:
            j["model"]["vocab"][3:3] = [[f"<0x{b:02X}>", 0.0] for b in range(256)]
            j["model"]["byte_fallback"] = True
    return change(t, edit)


def spm_train(**options):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "m"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([c.replace("\0", "") for c in corpus() if c.strip("\0 \n\t\r")]), model_prefix=str(path),
            minloglevel=2, hard_vocab_limit=False, num_threads=1, max_sentence_length=400, **options)
        return path.with_suffix(".model").read_bytes()


def charsmap():
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(spm_train(vocab_size=300, normalization_rule_name="nmt_nfkc", model_type="unigram"))
    return base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()


def texts():
    return [(t, {"text": t}) for t in TEXTS] + [(bytes.fromhex(h).decode("utf-8", "replace"), {"hex": h}) for h in BROKEN]


def random_ids(size, seed=7):
    rng = random.Random(seed)
    return [[rng.randrange(size) for _ in range(rng.randrange(1, 12))] for _ in range(60)]


def write(name, expected, files, to="expected.json"):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(c, ensure_ascii=True) for c in expected)
    (folder / to).write_text("[\n" + lines + "\n]\n")
    for file, content in files.items():
        (folder / file).write_bytes(content)


def save_json(name, t, config=None, vocab_gguf=None):
    expected = []
    # Versions differ in whether they show a normalized token as written or as normalized.
    unsure = {i for i, a in t.get_added_tokens_decoder().items() if a.normalized and not a.special}

    def decoded(ids):
        if unsure & set(ids):
            return {}
        return {"decoded": t.decode(ids), "decoded_special": t.decode(ids, skip_special_tokens=False)}

    for text, case in texts():
        t.encode_special_tokens = False
        ids = t.encode(text, add_special_tokens=False).ids
        case.update(special=ids, added=t.encode(text, add_special_tokens=True).ids, **decoded(ids))
        t.encode_special_tokens = True
        case["plain"] = t.encode(text, add_special_tokens=False).ids
        expected.append(case)
    for ids in random_ids(t.get_vocab_size()):
        expected.append({"ids": ids, **decoded(ids)})
    t.encode_special_tokens = False
    files = {"tokenizer.json": json.dumps(json.loads(t.to_str()), ensure_ascii=False, separators=(",", ":")).encode()}
    if config:
        files["tokenizer_config.json"] = json.dumps(config).encode()
    if vocab_gguf:
        files["vocab.gguf"] = vocab_gguf
    write(name, expected, files)
    if name in ("smollm", "gpt4o", "llama2", "t5"):
        t.encode_special_tokens = True
        save_long(name, lambda text: t.encode(text, add_special_tokens=False).ids)


def save_long(name, encode):
    """1 MB of one character: the number of ids and their hash (FNV-1a over 32-bit little-endian numbers)."""
    cases = []
    for unit in ["a", " ", "\n", "1", "\t", ".", "'", "<", "世", "\u0301", "👍", "\0", "▁", "\u0301\u0323", " a", "\r\n", "ﷺ", "Ġ"]:
        times = 1_000_000 // len(unit.encode())
        ids = encode(unit * times)
        fnv = 0xCBF29CE484222325
        for byte in b"".join(i.to_bytes(4, "little") for i in ids):
            fnv = (fnv ^ byte) * 0x100000001B3 % 2**64
        cases.append({"unit": unit, "times": times, "count": len(ids), "fnv1a": fnv})
    write(name, cases, {}, "long.json")


def make_gguf(model, tokens, types, scores=None, merges=None, **keys):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "v.gguf"
        w = gguf.GGUFWriter(str(path), "llama")
        w.add_tokenizer_model(model)
        w.add_token_list(tokens)
        w.add_token_types(types)
        if scores is not None:
            w.add_token_scores(scores)
        if merges is not None:
            w.add_token_merges(merges)
        for key, value in keys.items():
            if isinstance(value, bool):
                w.add_bool("tokenizer.ggml." + key, value)
            elif isinstance(value, int):
                w.add_uint32("tokenizer.ggml." + key, value)
            elif isinstance(value, bytes):
                w.add_array("tokenizer.ggml." + key, list(value))
            else:
                w.add_string("tokenizer.ggml." + key, value)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.close()
        return path.read_bytes()


def bpe_gguf(t, pre, **keys):
    j = json.loads(t.to_str())
    added = {a["content"]: a for a in j["added_tokens"]}
    ids = t.get_vocab(with_added_tokens=True)
    tokens = sorted(ids, key=ids.get)
    types = [1 if text not in added else 3 if added[text]["special"] else 4 for text in tokens]
    merges = [m if isinstance(m, str) else " ".join(m) for m in j["model"]["merges"]]
    return make_gguf("gpt2", tokens, types, merges=merges, pre=pre, **keys)


def spm_gguf(model, kind, **keys):
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    pieces = proto.pieces
    return make_gguf(kind, [p.piece for p in pieces], [p.type for p in pieces], [p.score for p in pieces], **keys)


def save_spm(name, model, config=None, vocab_gguf=None, edit=None):
    if edit:
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(model)
        edit(proto)
        model = proto.SerializeToString()
    sp = sentencepiece.SentencePieceProcessor(model_proto=model)
    expected = []
    for text, case in texts():
        ids = sp.encode(text)
        case.update(plain=ids, decoded=sp.decode(ids))
        expected.append(case)
    files = {"tokenizer.model": model}
    if config:
        files["tokenizer_config.json"] = json.dumps(config).encode()
    if vocab_gguf:
        files["vocab.gguf"] = vocab_gguf(model)
    write(name, expected, files)
    if name == "spm_llama":
        save_long(name, sp.encode)


def byte_level_cases():
    t = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    save_json("gpt2", t, vocab_gguf=bpe_gguf(t, "gpt-2"))
    t = byte_level(pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False))
    save_json("smollm", t, {"eos_token": "<|endoftext|>"}, bpe_gguf(t, "smollm", eos_token_id=0))
    t = byte_level(split(LLAMA3), plain_bytes(), ignore_merges=True)
    gguf_file = bpe_gguf(t, "llama-bpe", bos_token_id=t.token_to_id("<sop>"))
    save_json("llama3", template(t, ["<sop>"]), {"bos_token": "<sop>"}, gguf_file)
    t = byte_level(split(QWEN2), plain_bytes(), normalizer=normalizers.NFC())
    save_json("qwen2", t, vocab_gguf=bpe_gguf(t, "qwen2"))
    t = byte_level(split(GLM4), plain_bytes(), ignore_merges=True)
    save_json("glm4", template(t, ["[gMASK]", "<sop>"]), {"eos_token": {"content": "<|endoftext|>"}}, bpe_gguf(t, "glm4"))
    t = byte_level(split(r"[\p{P}\$\+<=>\^~\|]+"), split(GPT2), split(r"\p{N}+"), split("[0-9][0-9][0-9]"), plain_bytes())
    save_json("default", t, vocab_gguf=bpe_gguf(t, "default"))
    t = byte_level(pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
                   pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]"))
    save_json("falcon", t)
    save_json("gpt4o", byte_level(split(GPT4O), plain_bytes()))
    save_json("cl100k", byte_level(split(CL100K), plain_bytes()))
    save_json("deepseek", byte_level(*[split(p) for p in DEEPSEEK], plain_bytes()))
    save_json("torture", byte_level(*[split(p) for p in TORTURE], pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)))
    save_json("behaviors", byte_level(split(r"\p{P}+", "merged_with_previous"), split(" ", "merged_with_next"),
                                      split(r"\p{N}", "contiguous"), split(r"[a-z]+|\s+", "isolated", True),
                                      pre_tokenizers.Split("\n", "removed"), plain_bytes()))


def flags_case():
    t = byte_level(pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_next"), plain_bytes(),
                   normalizer=normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(),
                                                    normalizers.Strip(), normalizers.Replace(Regex(r"\d+"), "#")]))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, special=True, normalized=False)])
    t.add_tokens([AddedToken("Whole", single_word=True, normalized=True), AddedToken("the", lstrip=True, normalized=True),
                  AddedToken("世", rstrip=True, normalized=False)])
    save_json("flags", t)


def char_cases():
    sequence = lambda *d: {"type": "Sequence", "decoders": list(d)}  # noqa: E731
    replace = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    fallback, fuse = {"type": "ByteFallback"}, {"type": "Fuse"}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prepend = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, spaces]}
    save_json("llama2", template(char_bpe(prepend, None, sequence(replace, fallback, fuse, strip)), ["<s>"]))
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    save_json("llama2_first", template(char_bpe(None, metaspace, sequence(replace, fallback, fuse, strip)), ["<s>"], ["</s>"]))
    splits = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    t = char_bpe(spaces, splits, sequence(replace, fallback, fuse), fuse=False)
    t.add_tokens([AddedToken(c * n, special=False, normalized=False) for c in "\n▁" for n in (2, 3, 4)])
    save_json("gemma", template(t, ["<s>"]))

    table = {"type": "Precompiled", "precompiled_charsmap": charsmap()}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    whitespace = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]}
    save_json("t5", template(unigram(table, whitespace, metaspace), [], ["</s>"]))
    runs = {"type": "Sequence", "normalizers": [table, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}
    save_json("xlmr", unigram(runs, metaspace, metaspace))
    never = dict(metaspace, prepend_scheme="never")
    save_json("unigram_bytes", unigram({"type": "NFKC"}, never, sequence(fallback, never), byte_fallback=True))


def spm_cases():
    llama = dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                 split_digits=True, allow_whitespace_only_pieces=True)
    model = spm_train(vocab_size=900, **llama)
    save_spm("spm_llama", model, {"bos_token": "<s>", "eos_token": "</s>"},
             lambda m: spm_gguf(m, "llama", bos_token_id=1, eos_token_id=2, unknown_token_id=0))
    added = {str(900 + i): {"content": c, "special": True} for i, c in enumerate(["[gMASK]", "sop", "<|user|>", "<|assistant|>"])}
    save_spm("spm_glm3", model, {"added_tokens_decoder": added})
    save_spm("spm_bpe_symbols", spm_train(vocab_size=700, model_type="bpe", normalization_rule_name="nmt_nfkc",
                                          user_defined_symbols=["<think>", "wholeword", "世界"], control_symbols=["<|user|>"]))

    def unused(proto):
        for i, p in enumerate(proto.pieces):
            if p.type == 1 and len(p.piece) > 2 and i % 3 == 0:
                p.type = 5
    save_spm("spm_unused", spm_train(vocab_size=800, **llama), edit=unused)
    t5 = dict(model_type="unigram", normalization_rule_name="nmt_nfkc", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    model = spm_train(vocab_size=700, **t5)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    save_spm("spm_t5", model, None,
             lambda m: spm_gguf(m, "t5", eos_token_id=1, unknown_token_id=2, remove_extra_whitespaces=True,
                                precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap))
    save_spm("spm_unigram_bytes", spm_train(vocab_size=900, model_type="unigram", byte_fallback=True,
                                            normalization_rule_name="nfkc_cf", user_defined_symbols=["<think>", "whole"]))
    save_spm("spm_suffix", spm_train(vocab_size=700, model_type="unigram", normalization_rule_name="identity",
                                     add_dummy_prefix=False, remove_extra_whitespaces=False), edit=unused)


def real_cases():
    from llama_cpp import Llama
    for name, file in [("real_smollm2", "smollm2-135m-q4_1.gguf"), ("real_gemma3", "gemma3-270m-q4_k_m.gguf")]:
        model = Llama("build/oracle/" + file, vocab_only=True, verbose=False)
        cases = []
        for text in TEXTS + ["<|im_start|>user\nhi<|im_end|>\n", "<start_of_turn>user\nhi<end_of_turn>\n", "<bos><eos>"]:
            if not text or (name == "real_gemma3" and text == "</s>"):
                continue  # llama.cpp takes Gemma's HTML tag </s> for an end of text
            encode = lambda special: model.tokenize(text.encode(), add_bos=False, special=special)  # noqa: E731
            cases.append({"text": text, "plain": encode(False), "special": encode(True)})
        if name == "real_smollm2":
            check_smollm2(cases, "build/oracle/" + file)
        lines = ",\n".join(json.dumps(c, ensure_ascii=True) for c in cases)
        (OUT / (name + ".json")).write_text("[\n" + lines + "\n]\n")


def check_smollm2(cases, path):
    """Hugging Face's ids with the same vocabulary must be the same."""
    fields = gguf.GGUFReader(path).fields
    tokens, types, merges = (fields["tokenizer.ggml." + k].contents() for k in ("tokens", "token_type", "merges"))
    t = Tokenizer(models.BPE(vocab={x: i for i, x in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.add_special_tokens([AddedToken(x, special=True, normalized=False) for x, k in zip(tokens, types) if k == 3])
    for case in cases:
        for key in ("special", "plain"):
            t.encode_special_tokens = key == "plain"
            ids = t.encode(case["text"], add_special_tokens=False).ids
            if ids != case[key]:
                print("llama.cpp differs from Hugging Face, which is taken:", repr(case["text"])[:60])
                case[key] = ids


if __name__ == "__main__":
    if sys.argv[1:] == ["real"]:
        real_cases()
        sys.exit()
    byte_level_cases()
    flags_case()
    char_cases()
    spm_cases()
