#!/usr/bin/env python3
"""A Qwen3 checkpoint with random weights, for speed and memory measurements: the shapes are real, the answers
are noise. Streams to disk; pure Python, no packages.

usage: make_random_model.py DIR [--shape qwen3-0.6b|qwen3-4b|custom] [--hidden N ...] [--shard-mib N] [--seed S]
Weights are bf16 with a standard deviation near 0.02 (norms 1), drawn from a block of random bytes that is reused
at changing offsets: fast, and good enough for arithmetic whose speed does not depend on the values.
"""
import argparse, json, os, random, struct

SHAPES = {
    # hidden, layers, q_heads, kv_heads, head_dim, intermediate, vocab, rope_theta, context
    "qwen3-0.6b": (1024, 28, 16, 8, 128, 3072, 151936, 1e6, 40960),
    "qwen3-4b": (2560, 36, 32, 8, 128, 9728, 151936, 5e6, 262144),
    "custom": (64, 2, 4, 2, 32, 128, 512, 1e6, 4096),
}
KEYS = ("hidden", "layers", "q_heads", "kv_heads", "head_dim", "intermediate", "vocab", "theta", "context")
BLOCK = 1 << 20  # weights in the block that is reused


def random_block(seed):
    """BLOCK bf16 numbers: a sign, an exponent of 2^-7 to 2^-5, a random mantissa."""
    rng = random.Random(seed)
    raw = bytearray(rng.randbytes(2 * BLOCK))
    high = bytes(0x3C | (b & 0x80) for b in range(256))  # exponents 120..121, by the mantissa's top bit below
    raw[1::2] = raw[1::2].translate(high)
    return bytes(raw)


def write_weights(f, n, block, rng):
    """n bf16 weights from the block, each run of at most a block beginning somewhere else."""
    while n:
        start = rng.randrange(BLOCK)
        take = min(n, BLOCK - start)
        f.write(block[2 * start : 2 * (start + take)])
        n -= take


def tensors(c):
    """name, shape of every tensor, in file order"""
    H, D, I = c["hidden"], c["head_dim"], c["intermediate"]
    q, kv = c["q_heads"] * D, c["kv_heads"] * D
    yield "model.embed_tokens.weight", (c["vocab"], H)
    for l in range(c["layers"]):
        p = f"model.layers.{l}."
        yield p + "input_layernorm.weight", (H,)
        yield p + "mlp.down_proj.weight", (H, I)
        yield p + "mlp.gate_proj.weight", (I, H)
        yield p + "mlp.up_proj.weight", (I, H)
        yield p + "post_attention_layernorm.weight", (H,)
        yield p + "self_attn.k_norm.weight", (D,)
        yield p + "self_attn.k_proj.weight", (kv, H)
        yield p + "self_attn.o_proj.weight", (H, q)
        yield p + "self_attn.q_norm.weight", (D,)
        yield p + "self_attn.q_proj.weight", (q, H)
        yield p + "self_attn.v_proj.weight", (kv, H)
    yield "model.norm.weight", (H,)
    if not c["tied"]:
        yield "lm_head.weight", (c["vocab"], H)


def count(shape):
    n = 1
    for d in shape:
        n *= d
    return n


def shards(c, limit):
    """lists of tensors, each at most `limit` bytes unless one tensor alone is larger"""
    out, size = [[]], 0
    for name, shape in tensors(c):
        if out[-1] and size + 2 * count(shape) > limit:
            out.append([])
            size = 0
        out[-1].append((name, shape))
        size += 2 * count(shape)
    return out


def write_file(path, part, block, rng):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in part:
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + 2 * count(shape)]}
        at += 2 * count(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, shape in part:
            if name.endswith("norm.weight"):
                f.write(b"\x80\x3f" * count(shape))  # 1.0
            else:
                write_weights(f, count(shape), block, rng)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir")
    ap.add_argument("--shape", choices=SHAPES, default="qwen3-0.6b")
    for key in KEYS:
        ap.add_argument("--" + key.replace("_", "-"), type=float if key == "theta" else int)
    ap.add_argument("--untied", action="store_true")
    ap.add_argument("--shard-mib", type=int, default=4000)
    ap.add_argument("--seed", type=int, default=0)
    a = ap.parse_args()
    c = dict(zip(KEYS, SHAPES[a.shape])) | {k: v for k, v in vars(a).items() if k in KEYS and v is not None}
    c["tied"] = not a.untied
    os.makedirs(a.dir, exist_ok=True)
    config = {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": c["hidden"],
        "num_hidden_layers": c["layers"], "num_attention_heads": c["q_heads"], "num_key_value_heads": c["kv_heads"],
        "head_dim": c["head_dim"], "intermediate_size": c["intermediate"], "vocab_size": c["vocab"],
        "max_position_embeddings": c["context"], "rms_norm_eps": 1e-6, "rope_theta": c["theta"], "rope_scaling": None,
        "hidden_act": "silu", "attention_bias": False, "use_sliding_window": False, "tie_word_embeddings": c["tied"],
        "torch_dtype": "bfloat16", "eos_token_id": c["vocab"] - 1,
    }
    with open(os.path.join(a.dir, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
    with open(os.path.join(a.dir, "generation_config.json"), "w") as f:
        json.dump({"eos_token_id": [c["vocab"] - 1, c["vocab"] - 2]}, f)
    block, rng = random_block(a.seed), random.Random(a.seed + 1)
    parts = shards(c, a.shard_mib << 20)
    total, index = 0, {}
    for i, part in enumerate(parts):
        name = "model.safetensors" if len(parts) == 1 else f"model-{i + 1:05d}-of-{len(parts):05d}.safetensors"
        write_file(os.path.join(a.dir, name), part, block, rng)
        index |= {tensor: name for tensor, _ in part}
        total += sum(count(shape) for _, shape in part)
    if len(parts) > 1:
        with open(os.path.join(a.dir, "model.safetensors.index.json"), "w") as f:
            json.dump({"metadata": {"total_size": 2 * total}, "weight_map": index}, f)
    print(f"{a.dir}: {total / 1e6:.1f} M parameters, {2 * total / 2**20:.0f} MiB in {len(parts)} file(s)")


main()
