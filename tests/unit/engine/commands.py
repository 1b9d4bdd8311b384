#!/usr/bin/env python3
"""score, generate, embed and bench of the binary given: the order of lines, samples that depend on the seed and
the prompt alone, agreement between the commands, and one clear line with a nonzero status for every bad input.

usage: commands.py PATH/TO/scope-grid PATH/TO/make_random_model.py
Guards: what scripts rely on, whatever the engine does inside. Needs the repository's demo checkpoint and no packages.
"""
import json, math, os, shutil, subprocess, sys, tempfile

BINARY, MAKE = sys.argv[1:3]
failures = []


def check(ok, what):
    if not ok:
        failures.append(what)
        print("FAIL:", what)


def run(command, lines, *options, text=None):
    data = text if text is not None else "".join(json.dumps(l) + "\n" for l in lines)
    return subprocess.run([BINARY, command, *options], input=data, capture_output=True, text=True)


def good(command, lines, *options):
    p = run(command, lines, *options)
    check(p.returncode == 0, f"{command} {options}: exit {p.returncode}, {p.stderr.strip()}")
    return [json.loads(l) for l in p.stdout.splitlines()]


def bad(what, p, *pieces):
    """One line on stderr with all pieces, a nonzero status, no crash."""
    line = p.stderr.strip()
    check(p.returncode > 0, f"{what}: exit {p.returncode}")
    check(line.count("\n") == 0 and all(s in line for s in pieces), f"{what}: said '{line}', expected {pieces}")


def check_generate(model):
    prompts = [{"ids": [(7 * i + k) % 200 for k in range(1 + 13 * i)]} for i in range(9)]
    options = ["--model", model, "--samples", "3", "--temperature", "1", "--max-new-tokens", "12", "--seed", "5"]
    base = good("generate", prompts, *options)
    check(len(base) == 9 and all(len(r["samples"]) == 3 for r in base), "generate: one line a line, n samples each")
    check("text" not in base[0]["samples"][0], "generate: no text without a tokenizer")
    check(len({tuple(s["ids"]) for r in base for s in r["samples"]}) > 20, "generate: samples differ")
    for s in (s for r in base for s in r["samples"]):
        eos = s["ids"][-1] in (510, 511)
        check(s["finish"] == ("eos" if eos else "length") and (eos or len(s["ids"]) == 12), f"generate: finish of {s}")
    for more in (["--max-batch-tokens", "16"], ["--threads", "2"], ["--kv-cache-mib", "1", "--max-batch-tokens", "64"]):
        check(good("generate", prompts, *options, *more) == base, f"generate: the same with {more}")
    check(good("generate", prompts, *options, "--seed", "6") != base, "generate: another seed, other samples")
    check(good("generate", prompts[3:4], *options) == base[3:4], "generate: the same alone")
    check(good("generate", prompts[::-1], *options) == base[::-1], "generate: the same in another order")
    twice = good("generate", [prompts[3], prompts[1], prompts[3]], *options)
    check(twice[:2] == [base[3], base[1]] and twice[2] != twice[0], "generate: a repeated prompt draws anew")
    # greedy agrees with score: each token is the largest logit after those before it
    greedy = ["--model", model, "--temperature", "0", "--max-new-tokens", "5"]
    for line, out in zip(prompts[:4], good("generate", prompts[:4], *greedy)):
        ids, new = line["ids"], out["samples"][0]["ids"]
        scored = good("score", [{"ids": ids + new[:k]} for k in range(len(new))], "--model", model)
        for k, s in enumerate(scored):
            top = max(s["last_logits"])
            check(s["last_logits"][new[k]] == top, f"greedy token {k} of {new} is the largest logit")


def check_score_and_embed(model):
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    whole, part = good("score", [{"ids": ids}, {"ids": ids[:-1]}], "--model", model)
    check(len(whole["last_logits"]) == 512 and len(whole["logprobs"]) == 7, "score: sizes")
    total = math.log(sum(math.exp(x) for x in part["last_logits"]))
    check(abs(whole["logprobs"][-1] - (part["last_logits"][6] - total)) < 1e-4, "score: logprobs are of the logits")
    check(whole["logprobs"][:-1] == part["logprobs"], "score: what comes later changes nothing before")
    check(good("score", [{"ids": [7]}], "--model", model)[0]["logprobs"] == [], "score: one token")
    e = good("embed", [{"ids": ids}, {"ids": [5]}], "--model", model)
    check(len(e) == 2 and len(e[0]["embedding"]) == 64, "embed: sizes")
    check(abs(sum(x * x for x in e[0]["embedding"]) - 1) < 1e-5, "embed: length 1")
    for device in ("ref", "guard"):
        other = good("score", [{"ids": ids}], "--model", model, "--device", device)[0]
        off = max(abs(a - b) for a, b in zip(other["last_logits"], whole["last_logits"]))
        check(off < 1e-3 * max(map(abs, whole["last_logits"])), f"score: {device} agrees")


def check_bench(model):
    common = ["--model", model, "--cells", "3", "--samples", "2", "--prompt-tokens", "50", "--new-tokens", "9"]
    a = json.loads(run("bench", [], *common, "--json").stdout)
    b = json.loads(run("bench", [], *common, "--json", "--threads", "1", "--max-batch-tokens", "16").stdout)
    check(a["hash"] == b["hash"] and len(a["hash"]) == 32, "bench: equal hashes")
    check(a["output_tokens_per_s"] > 0 and a["peak_rss_bytes"] > 1 << 20 and a["machine_flops_per_s"] > 1e8, "bench: rates")
    check(set(a["operators"]) >= {"linear", "attn_decode", "sample"}, "bench: operators")
    check(a["step_us"] > a["host_us_per_step"] > 0 and a["replays"] == 0, "bench: where a step's time goes")
    p = run("bench", [], *common, "--operators")
    check(p.returncode == 0 and "tokens' hash    " + a["hash"] in p.stdout, "bench: table")


def check_random(model):
    """bench without a checkpoint: the weights are made on the device, so every device draws the same tokens"""
    shape = ["--cells", "2", "--samples", "2", "--prompt-tokens", "30", "--new-tokens", "7", "--json"]
    config = os.path.join(model, "config.json")

    def bench(*options):
        p = run("bench", [], *options, *shape)
        check(p.returncode == 0, f"bench {options}: exit {p.returncode}, {p.stderr.strip()}")
        return json.loads(p.stdout)

    with tempfile.TemporaryDirectory() as d:
        alone = os.path.join(d, "config.json")
        shutil.copy(config, alone)
        a = bench("--random", alone, "--device", "cpu")
        check(a["random_weights"] is True and a["model"] == alone, "random: said so")
        for more in (["--device", "ref"], ["--device", "guard"], ["--device", "cpu", "--threads", "1"]):
            check(bench("--random", d, *more)["hash"] == a["hash"], f"random: the same tokens with {more}")
        check(bench("--random", d, "--seed", "1")["hash"] != a["hash"], "random: another seed, other tokens")
        fp8 = [bench("--random", d, "--weight-type", "fp8", "--device", device)["hash"] for device in ("cpu", "ref")]
        check(fp8[0] == fp8[1] != a["hash"], "random: fp8 weights")
        stored = bench("--model", model)
        check(stored["random_weights"] is False and stored["hash"] != a["hash"], "random: not the checkpoint")
        check(stored["weight_bytes"] == a["weight_bytes"], "random: as large as the checkpoint")
        with open(alone, "w") as f:
            f.write('{"model_type": "llama"}')
        bad("random llama", run("bench", [], "--random", alone), alone, "llama", "qwen3")
        os.remove(alone)
        bad("random nothing", run("bench", [], "--random", d), "config.json")
    bad("random shape", run("bench", [], "--random", "qwen3-5b"), "qwen3-5b", "qwen3-4b", "config.json")
    bad("random and model", run("bench", [], "--random", model, "--model", model), "--random", "exclude")
    bad("bench nothing", run("bench", []), "--model", "--random")


def check_bad_lines(model):
    m = ["--model", model]
    for command in ("score", "generate", "embed"):
        for line, piece in (("{", "broken JSON"), ("[1]", "expected one JSON object"), ('{"ids": []}', ""),
                            ('{"ids": [512]}', "ids[0] is not a token id from 0 to 511"), ('{"ids": [1.5]}', "ids[0]"),
                            ('{"ids": "x"}', "ids must be an array"), ("{}", ""), ('{"ids": [-1]}', "ids[0]")):
            bad(f"{command} {line}", run(command, [], *m, text='{"ids": [1, 2]}\n\n' + line + "\n"), "stdin:3", piece)
        bad(f"{command} too long", run(command, [{"ids": [1] * 4097}], *m), "stdin:1", "4097", "4096")
        bad(f"{command} no model", run(command, []), "--model")
        bad(f"{command} wrong model", run(command, [], "--model", model + "x"), model + "x")
        bad(f"{command} device", run(command, [], *m, "--device", "gpux"), "gpux", "cpu")
        bad(f"{command} option", run(command, [], *m, "--thread", "2"), "--threads")
        check(run(command, [], "--help").stdout.startswith(f"scope-grid {command} "), f"{command} --help")
    bad("generate text", run("generate", [{"prompt": "hello"}], *m), "tokenizer.json")
    bad("embed text", run("embed", [{"text": "hello"}], *m), "tokenizer.json")
    bad("generate both", run("generate", [{"prompt": "a", "ids": [1]}], *m), "stdin:1", "one of")
    bad("generate small cache", run("generate", [{"ids": [1] * 4000}], *m, "--kv-cache-mib", "1", "--max-new-tokens", "9"),
        "stdin:1", "4000 tokens", "kv_cache_mib to at least")
    bad("generate long answer", run("generate", [{"ids": [1] * 4000}], *m, "--max-new-tokens", "97"), "stdin:1", "4096")
    bad("score small cache", run("score", [{"ids": [1] * 4000}], *m, "--kv-cache-mib", "1"), "stdin:1", "kv_cache_mib")
    bad("bench long", run("bench", [], *m, "--prompt-tokens", "4096", "--new-tokens", "1"), "4097", "4096")


def check_text(model, demo):
    """The trained demo checkpoint has a tokenizer; another one's ids may not exceed the embeddings."""
    out = good("generate", [{"prompt": "<|im_start|>user\nhello"}], "--model", demo, "--temperature", "0", "--max-new-tokens", "8")
    check(isinstance(out[0]["samples"][0].get("text"), str), "generate: text where there is a tokenizer")
    check("<|im_end|>" not in out[0]["samples"][0]["text"], "generate: text leaves special tokens out")
    # a text is plain and ends with <|endoftext|> (4093), a prompt's control tokens are parsed (4094)
    a, b = good("embed", [{"text": ""}, {"ids": [4093]}], "--model", demo)
    check(a == b, "embed: <|endoftext|> is appended to a text")
    p, q = (o["samples"][0]["ids"] for o in good("generate", [{"prompt": "<|im_start|>"}, {"ids": [4094]}],
                                                    "--model", demo, "--temperature", "0", "--max-new-tokens", "4"))
    check(p == q, "generate: a prompt's control tokens are parsed")
    shutil.copy(os.path.join(demo, "tokenizer.json"), model)
    bad("foreign tokenizer", run("generate", [{"ids": [1]}], "--model", model), "tokenizer.json", "ids up to 4095",
        "vocab_size", "512")
    os.remove(os.path.join(model, "tokenizer.json"))


def main():
    with tempfile.TemporaryDirectory() as d:
        model = os.path.join(d, "model")
        subprocess.run([sys.executable, MAKE, model, "--shape", "custom", "--shard-mib", "1"], check=True,
                       stdout=subprocess.DEVNULL)
        check(os.path.exists(os.path.join(model, "model.safetensors")), "the checkpoint is there")
        check_generate(model)
        check_score_and_embed(model)
        check_bench(model)
        check_random(model)
        check_bad_lines(model)
        check_text(model, os.path.join(os.path.dirname(MAKE), "..", "..", "jobs", "demo", "model"))
        with open(os.path.join(model, "generation_config.json"), "w") as f:
            f.write("{}")
        text = open(os.path.join(model, "config.json")).read().replace('"eos_token_id": 511', '"pad_token_id": 0')
        with open(os.path.join(model, "config.json"), "w") as f:
            f.write(text)
        bad("no EOS", run("generate", [{"ids": [1]}], "--model", model), "eos_token_id")
    print("commands:", f"{len(failures)} failures" if failures else "all as expected")
    sys.exit(1 if failures else 0)


main()
