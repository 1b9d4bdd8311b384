#!/usr/bin/env python3
"""Makes tokenizer-cases.jsonl.gz: what HuggingFace's tokenizers (pip install tokenizers, 0.23.3 made the
committed file) gives for texts that are hard for a tokenizer. Not run by the tests.

    tests/data/text/make_cases.py jobs/demo/model/tokenizer.json tests/data/text/tokenizer-cases.jsonl.gz

A line {"name", "tokenizer"} begins a group (tokenizer: the JSON text, or null for the file given above); lines
{"text", "ids", "plain", "decoded"} follow: ids with added tokens parsed, plain with none in the file."""
import copy
import gzip
import json
import random
import sys

from tokenizers import Tokenizer

rng = random.Random(20261124)
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_chars():
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in keep]
    return {**{b: chr(b) for b in keep}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def split(regex, **more):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False, **more}


def small(splits, added=(), strings=False, letters=range(256), model=None, normalizer=None, post=None):
    chars = byte_chars()
    word = lambda s: "".join(chars[b] for b in s.encode())
    vocab = {chars[b]: i for i, b in enumerate(letters)}
    merges = [("h", "e"), ("t", "he"), (word(" "), "the"), ("e", "s"), ("y", "es"), (word(" "), "yes"), ("n", "o"),
              ("a", "a"), ("aa", "aa"), ("1", "2"), ("12", "3"), (word("é")[0], word("é")[1]), (word(" "), word(" "))]
    for a, b in merges:
        vocab.setdefault(a + b, len(vocab))
    vocab.setdefault("word", len(vocab))
    ids = len(vocab)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": ids + i, **flags, **a} for i, a in enumerate(added)],
        "normalizer": normalizer or {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, byte_level]} if splits else
                         {**byte_level, "use_regex": True},
        "post_processor": post, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": [" ".join(m) if strings else list(m) for m in merges], **(model or {})},
    }


CONTROL = [{"content": "<|im_start|>"}, {"content": "<|im_end|>"}, {"content": "<think>", "special": False}]
TRICKY = CONTROL + [
    {"content": "<a>", "lstrip": True}, {"content": "<b>", "rstrip": True}, {"content": "<c>", "single_word": True},
    {"content": "<ab", "lstrip": True, "rstrip": True}, {"content": "<abc>"},
    {"content": "é!", "normalized": True, "special": False}, {"content": "é?", "normalized": True},
    {"content": "wörd", "single_word": True, "normalized": True}, {"content": "zz#"}, {"content": "zz##"}]
CASED = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{CASED[0]}*{CASED[1]}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         rf"|[^\r\n\p{{L}}\p{{N}}]?{CASED[0]}+{CASED[1]}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GROUPS = {
    "demo": None,
    "qwen-like": small([split(QWEN)], CONTROL),
    "merges as strings, no normaliser": small([split(QWEN)], CONTROL, strings=True,
                                              normalizer={"type": "Sequence", "normalizers": []}),
    "gpt2": small(None, CONTROL),
    "llama3": small([split(QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|"))], CONTROL, model={"ignore_merges": True}),
    "tricky added tokens": small([split(QWEN)], TRICKY),
    "o200k": small([split(O200K)], CONTROL),
    "three splits": small([split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"),
                           split(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                                 r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")], CONTROL),
    "words, lines": small([split(r"\w+|[^\w\s]+|^\s+$|\s+")], CONTROL),
    "digits and a letter": small([{"type": "Digits", "individual_digits": True},
                                  {"type": "Split", "pattern": {"String": "e"}, "behavior": "Isolated", "invert": False}],
                                 CONTROL),
    "bytes missing": small([split(QWEN)], CONTROL, letters=[*range(97, 123), 32, 49, 50, 51, 0xC3, 0xA9]),
}
POOL = ["'s", "'S", "'ſ", "'LL", "'re", "'vE", "'", "'m", "  ", "\n", "\r\n", "\t", "\u3000", "\xa0", "\x85", "\u180e",
        "\u2028", "\u200b", "\u200d", "e\u0301", "\u0301", "가", "\u1100\u1161\u11a8", "각", "한국어", "\u0344", "\u0958",
        "\u2126", "\u212b", "\ufb1d", "①", "½", "Ⅷ", "٣", "१२३", "12345", "<a>", "<b>", "<c>", "<ab", "<abc>", "<abc",
        " word ", "word", "wörd", "wo\u0308rd", "zz###", "é!", "é?", "e\u0301!", "<|im_end|>", "<|im_start|>", "<think>",
        "<|endoftext|>", "👨‍👩‍👧", "🇩🇪", "❤️", "ก็", "நி", "\x00", "\x01", "_", "-", "...", "!!!\n\n", "  \n  ", "\r",
        "a" * 50, "ab" * 30, " " * 40, "\n" * 10, "\u0328\u0301\u0323", "ạ̈", "\u1ea1\u0308", "q\u0307\u0323",
        "\u0b47\u0b56", "\u09c7\u09be", "def f(x):\n    return x\n", "https://a.b/c?d=e", "日本語テキスト。", "Привет мир",
        "ﷺ", "ﬁ", "ς", "İ", "\U0001d400", " the yes no", "aaaaaa", "\u1ac0\u05a4", "\U00016d63\U00016d67", "\U0001611e"]


def text():
    kind = rng.random()
    if kind < .55:
        return "".join(rng.choice(POOL) if rng.random() < .7 else rng.choice(["a", "B", " ", "é", "x1", " the"])
                       for _ in range(rng.randrange(1, 20)))
    if kind < .75:
        cps = [rng.randrange(0x20, 0x33500) for _ in range(rng.randrange(1, 24))]
    elif kind < .85:
        cps = [rng.randrange(0x20, 0x3000) for _ in range(rng.randrange(1, 30))]
    elif kind < .92:
        cps = [rng.randrange(0x300, 0x370) if rng.random() < .6 else rng.randrange(0x41, 0x250)
               for _ in range(rng.randrange(1, 30))]
    else:
        return "".join(rng.choice(" \n\t\r\x0b\u2003x1.'") for _ in range(rng.randrange(1, 20)))
    return "".join(chr(c) for c in cps if not 0xD800 <= c <= 0xDFFF)


demo_path, out_path = sys.argv[1:3]
demo = json.load(open(demo_path, encoding="utf-8"))
lines = []
for name, spec in GROUPS.items():
    full = spec or demo
    bare = copy.deepcopy(full)
    bare["added_tokens"] = []
    parsed, plain = (Tokenizer.from_str(json.dumps(t)) for t in (full, bare))
    lines.append({"name": name, "tokenizer": spec and json.dumps(spec)})
    for t in ["", *POOL, *(text() for _ in range(700 if spec is None else 150))]:
        ids = parsed.encode(t, add_special_tokens=False).ids
        lines.append({"text": t, "ids": ids, "plain": plain.encode(t, add_special_tokens=False).ids,
                      "decoded": parsed.decode(ids, skip_special_tokens=False)})
with open(out_path, "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, filename="") as z:
    z.write("".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) + "\n" for x in lines).encode())
print(len(lines), "lines")
