#!/usr/bin/env python3
"""W1 (w1.sh) by another program, on random weights of Qwen3-0.6B's shape.

w1_peer.py model DIR      writes DIR/w1.gguf (bf16, 1.2 GB) and DIR/w1-f16.gguf; needs the packages gguf and numpy
w1_peer.py openvino DIR   runs W1 by OpenVINO GenAI as it comes; needs the package openvino-genai
w1_peer.py openvino-float32 DIR   the same with float32 products and a float32 KV cache
w1_peer.py llama DIR      runs W1 by llama.cpp's llama-batched-bench, found in PATH

The last word printed is the seconds of the work, without loading. OpenVINO does the work once before, so that no memory is
new to it; llama.cpp's program warms up by itself. Each program shares a prompt among its 8 samples:
OpenVINO by num_return_sequences, llama.cpp by -pps, one prompt of the four after the other.
"""
import os
import subprocess
import sys
import time

PROMPTS, SAMPLES, PROMPT_TOKENS, NEW_TOKENS = 4, 8, 800, 64
VOCAB, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN = 151936, 1024, 28, 16, 8, 128, 3072


def tokenizer(w):
    """Bytes and made-up merges: W1 gives token ids, but both readers want a tokenizer."""
    byte = [chr(b) if 33 <= b < 127 else chr(256 + b) for b in range(256)]
    tokens = byte + [f"t{i}" for i in range(256, VOCAB - 2)] + ["<|endoftext|>", "<|im_end|>"]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types([1] * (VOCAB - 2) + [3, 3])
    w.add_token_merges([f"{byte[65]} {byte[66]}"])
    w.add_eos_token_id(VOCAB - 1)
    w.add_pad_token_id(VOCAB - 2)
    w.add_add_bos_token(False)
    w.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")


def model(folder):
    import gguf
    import numpy as np

    rng = np.random.default_rng(1)
    for name, kind, file_type in (("w1.gguf", gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
                                  ("w1-f16.gguf", gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16)):
        w = gguf.GGUFWriter(os.path.join(folder, name), "qwen3")
        w.add_name("w1")
        w.add_context_length(40960)
        w.add_embedding_length(HIDDEN)
        w.add_block_count(LAYERS)
        w.add_feed_forward_length(FFN)
        w.add_head_count(HEADS)
        w.add_head_count_kv(KV_HEADS)
        w.add_key_length(HEAD_DIM)
        w.add_value_length(HEAD_DIM)
        w.add_rope_freq_base(1e6)
        w.add_layer_norm_rms_eps(1e-6)
        w.add_vocab_size(VOCAB)
        w.add_file_type(file_type)
        tokenizer(w)

        def put(tensor, *shape):
            x = np.ones(shape, np.float32) if len(shape) == 1 else rng.standard_normal(shape, np.float32) * .02
            if len(shape) == 1:
                w.add_tensor(tensor, x)
            else:
                w.add_tensor(tensor, gguf.quants.quantize(x, kind), raw_dtype=kind)

        put("token_embd.weight", VOCAB, HIDDEN)
        put("output_norm.weight", HIDDEN)
        for i in range(LAYERS):
            b = f"blk.{i}."
            put(b + "attn_norm.weight", HIDDEN)
            put(b + "ffn_norm.weight", HIDDEN)
            put(b + "attn_q_norm.weight", HEAD_DIM)
            put(b + "attn_k_norm.weight", HEAD_DIM)
            put(b + "attn_q.weight", HEADS * HEAD_DIM, HIDDEN)
            put(b + "attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN)
            put(b + "attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN)
            put(b + "attn_output.weight", HIDDEN, HEADS * HEAD_DIM)
            put(b + "ffn_gate.weight", FFN, HIDDEN)
            put(b + "ffn_up.weight", FFN, HIDDEN)
            put(b + "ffn_down.weight", HIDDEN, FFN)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()


def openvino(folder, float32):
    import numpy as np
    import openvino as ov
    import openvino_genai as genai

    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 4
    scheduler.enable_prefix_caching = False
    scheduler.max_num_batched_tokens = 4096
    how = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"} if float32 else {}
    pipe = genai.LLMPipeline(os.path.join(folder, "w1-f16.gguf"), "CPU", scheduler_config=scheduler, **how)
    config = genai.GenerationConfig(max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, ignore_eos=True, do_sample=True,
                                    temperature=.7, top_k=20, top_p=.95, num_return_sequences=SAMPLES)
    ids = np.random.default_rng(2).integers(0, 150000, (PROMPTS, PROMPT_TOKENS))

    def work(prompts, tokens):
        config.max_new_tokens = config.min_new_tokens = tokens
        x = ov.Tensor(ids[:prompts])
        return pipe.generate(genai.TokenizedInputs(x, ov.Tensor(np.ones_like(ids[:prompts]))), config)

    work(PROMPTS, NEW_TOKENS)  # the same work: its memory is taken, its kernels are made
    began = time.monotonic()
    out = work(PROMPTS, NEW_TOKENS)
    seconds = time.monotonic() - began
    drawn = sum(len(t) for t in out.tokens)
    if drawn != PROMPTS * SAMPLES * NEW_TOKENS:
        sys.exit(f"OpenVINO drew {drawn} tokens; expected {PROMPTS * SAMPLES * NEW_TOKENS}")
    print(f"{seconds:.2f}")


def llama(folder):
    cores = os.cpu_count()
    run = subprocess.run(["llama-batched-bench", "-m", os.path.join(folder, "w1.gguf"), "-c", "4096", "-b", "2048", "-ub", "512",
                          "-t", str(cores), "-tb", str(cores), "-npp", str(PROMPT_TOKENS), "-ntg", str(NEW_TOKENS), "-npl",
                          str(SAMPLES), "-pps", "--output-format", "jsonl"], capture_output=True, text=True, check=True)
    import json
    rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    print(f"{PROMPTS * rows[-1]['t']:.2f}")


def main():
    ways = {"model": model, "openvino": lambda d: openvino(d, False), "openvino-float32": lambda d: openvino(d, True),
            "llama": llama}
    if len(sys.argv) != 3 or sys.argv[1] not in ways:
        sys.exit(__doc__)
    ways[sys.argv[1]](sys.argv[2])


main()
