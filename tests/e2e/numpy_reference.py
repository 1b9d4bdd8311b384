#!/usr/bin/env python3
"""scope-grid score, generate and embed against an independent Qwen3 in NumPy (float64), on random
checkpoints of many shapes: dtypes, GQA ratios, head sizes, odd widths, tied and untied heads, one file and
shards, both config forms, with and without the `model.` prefix.

usage: numpy_reference.py PATH/TO/scope-grid [--device cpu] [--compute-type bf16] [--cases N] [--seed S]
With bf16 the model here rounds what the program rounds: inputs of products, keys, values, softmax weights. A value on the
edge between two numbers of bf16 may then go either way, and all that follows differs by some thousandths; without such a
value both agree to 1e-6, which at least a quarter of the prompts must show.
Formulas: transformers' modeling_qwen3 (RMSNorm, half-rotation RoPE, q/k norm, SwiGLU). Exit 77 without NumPy.
"""
import argparse, json, struct, subprocess, sys, tempfile

try:
    import numpy as np
except ImportError:
    print("skip: python3-numpy is not installed")
    sys.exit(77)


def to_dtype(x, dtype):
    """(bytes, the values these bytes stand for)"""
    x = x.astype(np.float32)
    if dtype == "F32":
        return x.tobytes(), x.astype(np.float64)
    if dtype == "F16":
        h = x.astype(np.float16)
        return h.tobytes(), h.astype(np.float64)
    u = x.view(np.uint32)
    b = ((u + 0x7FFF + ((u >> 16) & 1)) >> 16).astype(np.uint16)
    return b.tobytes(), (b.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def bf16(x):
    """Rounded to bf16, ties to even."""
    return to_dtype(x, "BF16")[1].reshape(x.shape)


def as_it_is(x):
    return x


def softmax_bf16(s):
    """Weights of each row of scores, and their sums. Keys go by blocks of 64, whose weights are rounded in units of the
    largest score so far."""
    p = np.zeros_like(s)
    top, most = s.max(-1, keepdims=True), np.full((len(s), 1), -np.inf)
    for block in range(0, s.shape[-1], 64):
        part = s[:, block : block + 64]
        most = np.maximum(most, part.max(-1, keepdims=True))
        p[:, block : block + 64] = bf16(np.exp(part - most)) * np.exp(most - top)
    return p, p.sum(-1, keepdims=True)


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e, e.sum(-1, keepdims=True)


def write_safetensors(path, tensors, dtype, pad):
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, (shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header).encode() + b" " * pad  # odd header sizes: tensors at unaligned addresses
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class Model:
    def __init__(self, rng, case):
        self.c = c = case
        H, D, I, V = c["hidden"], c["head_dim"], c["inter"], c["vocab"]
        hq, hk = c["q_heads"], c["kv_heads"]
        shapes = {"embed_tokens.weight": (V, H), "norm.weight": (H,)}
        for l in range(c["layers"]):
            p = f"layers.{l}."
            shapes |= {p + "input_layernorm.weight": (H,), p + "post_attention_layernorm.weight": (H,),
                       p + "self_attn.q_proj.weight": (hq * D, H), p + "self_attn.k_proj.weight": (hk * D, H),
                       p + "self_attn.v_proj.weight": (hk * D, H), p + "self_attn.o_proj.weight": (H, hq * D),
                       p + "self_attn.q_norm.weight": (D,), p + "self_attn.k_norm.weight": (D,),
                       p + "mlp.gate_proj.weight": (I, H), p + "mlp.up_proj.weight": (I, H),
                       p + "mlp.down_proj.weight": (H, I)}
        if not c["tied"]:
            shapes["lm_head.weight"] = (V, H)
        self.raw, self.w = {}, {}
        for name, shape in shapes.items():
            x = rng.standard_normal(shape)
            x = 1 + 0.3 * x if name.endswith("norm.weight") else x * 1.5 / np.sqrt(shape[-1])
            raw, val = to_dtype(x, c["dtype"])
            self.raw[name if name == "lm_head.weight" else c["prefix"] + name] = (shape, raw)
            self.w[name] = val

    def save(self, d, rng):
        c = self.c
        names = list(self.raw)
        rng.shuffle(names)
        if c["shards"] == 1:
            write_safetensors(f"{d}/model.safetensors", {n: self.raw[n] for n in names}, c["dtype"], c["pad"])
        else:
            index = {}
            for s in range(c["shards"]):
                part = names[s :: c["shards"]]
                file = f"model-{s + 1:05d}-of-{c['shards']:05d}.safetensors"
                write_safetensors(f"{d}/{file}", {n: self.raw[n] for n in part}, c["dtype"], c["pad"])
                index |= {n: file for n in part}
            json.dump({"metadata": {}, "weight_map": index}, open(f"{d}/model.safetensors.index.json", "w"))
        cfg = {"architectures": ["Qwen3ForCausalLM" if c["prefix"] else "Qwen3Model"], "model_type": "qwen3",
               "hidden_size": c["hidden"], "head_dim": c["head_dim"], "intermediate_size": c["inter"],
               "num_hidden_layers": c["layers"], "num_attention_heads": c["q_heads"],
               "num_key_value_heads": c["kv_heads"], "vocab_size": c["vocab"], "rms_norm_eps": c["eps"],
               "tie_word_embeddings": c["tied"], "hidden_act": "silu", "max_position_embeddings": 4096,
               "attention_bias": False, "sliding_window": None, "use_sliding_window": False, "eos_token_id": 2}
        if c["new_form"]:
            cfg["rope_parameters"] = {"rope_theta": c["theta"], "rope_type": "default"}
        else:
            cfg |= {"rope_theta": c["theta"], "rope_scaling": None}
        # neither key may change the arithmetic: rotary frequencies are float32
        cfg["torch_dtype"] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[c["dtype"]]
        json.dump({"_from_model_config": True}, open(f"{d}/generation_config.json", "w"))
        json.dump(cfg, open(f"{d}/config.json", "w"))

    def hidden(self, ids):
        c, w = self.c, self.w
        b, weights = (bf16, softmax_bf16) if c.get("bf16") else (as_it_is, softmax)
        D, hq, hk, T = c["head_dim"], c["q_heads"], c["kv_heads"], len(ids)
        norm = lambda x, g: x / np.sqrt((x * x).mean(-1, keepdims=True) + c["eps"]) * g
        inv = (1.0 / (np.float32(c["theta"]) ** (np.arange(0, D, 2, dtype=np.float32) / np.float32(D)))).astype(np.float32)
        ang = (np.arange(T, dtype=np.float32)[:, None] * inv[None]).astype(np.float64)
        cos, sin = np.cos(ang)[:, None, :], np.sin(ang)[:, None, :]

        def rope(x):
            a, b = x[..., : D // 2], x[..., D // 2 :]
            return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

        x = w["embed_tokens.weight"][ids]
        mask = np.triu(np.full((T, T), -np.inf), 1)
        for l in range(c["layers"]):
            p = f"layers.{l}."
            h = b(norm(x, w[p + "input_layernorm.weight"]))
            heads = lambda name, n: (h @ w[p + f"self_attn.{name}_proj.weight"].T).reshape(T, n, D)
            q = b(rope(norm(heads("q", hq), w[p + "self_attn.q_norm.weight"])))
            k = b(rope(norm(heads("k", hk), w[p + "self_attn.k_norm.weight"])))
            v = b(heads("v", hk))
            o = np.empty((T, hq, D))
            for g in range(hq):
                s = q[:, g] @ k[:, g * hk // hq].T / np.sqrt(D) + mask
                e, mass = weights(s)
                o[:, g] = e @ v[:, g * hk // hq] / mass
            x = x + b(o.reshape(T, hq * D)) @ w[p + "self_attn.o_proj.weight"].T
            h = b(norm(x, w[p + "post_attention_layernorm.weight"]))
            gate, up = h @ w[p + "mlp.gate_proj.weight"].T, h @ w[p + "mlp.up_proj.weight"].T
            x = x + b(gate / (1 + np.exp(-gate)) * up) @ w[p + "mlp.down_proj.weight"].T
        return norm(x, w["norm.weight"])

    def logits(self, ids):
        h = self.hidden(ids)
        return (bf16(h) if self.c.get("bf16") else h) @ self.w["embed_tokens.weight" if self.c["tied"] else "lm_head.weight"].T


def make_case(rng):
    pick = lambda *v: v[int(rng.integers(len(v)))]
    kv, ratio = pick(1, 2, 3), pick(1, 2, 3, 4, 5, 8)
    prefix = pick("model.", "model.", "")
    return dict(layers=pick(1, 2, 3), hidden=pick(48, 64, 104, 136, 256), head_dim=pick(32, 64, 96, 128), kv_heads=kv,
                q_heads=kv * ratio, inter=pick(56, 96, 200, 344), vocab=pick(97, 512, 1031), eps=pick(1e-6, 1e-5),
                theta=pick(1e4, 1e6, 5e6), dtype=pick("BF16", "BF16", "F16", "F32"), prefix=prefix,
                tied=True if not prefix else pick(True, False), shards=pick(1, 1, 2, 3), new_form=pick(True, False),
                pad=pick(0, 1, 3, 6))


def call(cmd, lines):
    p = subprocess.run(cmd, input="".join(json.dumps(l) + "\n" for l in lines), capture_output=True, text=True)
    if p.returncode:
        sys.exit(f"FAIL: {' '.join(cmd)} exited with {p.returncode}: {p.stderr.strip()}")
    return [json.loads(l) for l in p.stdout.splitlines()]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("binary")
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--compute-type", choices=("float32", "bf16"), default="float32")
    ap.add_argument("--cases", type=int, default=12)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    rng = np.random.default_rng(a.seed)
    worst, n_exact, n_long = 0.0, 0, 0
    loose = 20 if a.compute_type == "bf16" else 1
    for n in range(a.cases):
        case = make_case(rng) | {"bf16": a.compute_type == "bf16"}
        if case["bf16"]:
            case["dtype"] = "BF16"  # other weights would be rounded first
        m = Model(rng, case)
        with tempfile.TemporaryDirectory() as d:
            m.save(d, rng)
            prompts = [rng.integers(3, case["vocab"], int(t)).tolist() for t in (1, 2, 17, 150, 333)]
            tail = ["--model", d, "--device", a.device, "--compute-type", a.compute_type]
            for ids, got in zip(prompts, call([a.binary, "score", *tail], [{"ids": p} for p in prompts])):
                want = m.logits(ids)
                rel = np.abs(np.array(got["last_logits"]) - want[-1]).max() / np.abs(want[-1]).max()
                lp = want - want.max(-1, keepdims=True)
                lp = lp - np.log(np.exp(lp).sum(-1, keepdims=True))
                want_lp = [lp[t, ids[t + 1]] for t in range(len(ids) - 1)]
                assert len(got["logprobs"]) == len(want_lp), (case, len(got["logprobs"]))
                lp_err = max([abs(x - y) for x, y in zip(got["logprobs"], want_lp)], default=0.0)
                worst = max(worst, rel)
                n_long += len(ids) > 1
                n_exact += len(ids) > 1 and rel < 1e-6
                if not (rel < 1e-3 * loose and lp_err < 1e-2 * loose):
                    sys.exit(f"FAIL: case {n} {case}: {len(ids)} tokens: logits off by {rel:.2e}, logprobs by {lp_err:.2e}")
            for ids, got in zip(prompts, call([a.binary, "embed", *tail], [{"ids": p} for p in prompts])):
                h = m.hidden(ids)[-1]
                err = np.abs(np.array(got["embedding"]) - h / np.linalg.norm(h)).max()
                if not err < 1e-4 * loose**2:
                    sys.exit(f"FAIL: case {n} {case}: embedding off by {err:.2e}")
            short = prompts[:3]
            gen = [a.binary, "generate", *tail, "--temperature", "0", "--max-new-tokens", "8"]
            for ids, got in zip(short, call(gen, [{"ids": p} for p in short])):
                seq = list(ids)
                for t in got["samples"][0]["ids"]:
                    z = m.logits(seq)[-1]
                    if z[t] < z.max() - 1e-3 * loose * np.abs(z).max():  # a tie within tolerance may go either way
                        sys.exit(f"FAIL: case {n} {case}: greedy token {t} is not the largest logit at {len(seq)}")
                    seq.append(t)
    if a.compute_type == "bf16" and n_exact * 4 < n_long:
        sys.exit(f"FAIL: of {n_long} prompts only {n_exact} agree to 1e-6")
    print(f"{a.cases} random checkpoints agree on {a.device}, {n_exact} of {n_long} prompts to 1e-6; worst logit error {worst:.1e} of the largest logit")


if __name__ == "__main__":
    main()
