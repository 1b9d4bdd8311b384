"""scope-grid check --model: a good checkpoint in its forms is accepted, and every way in which one is broken or of another
kind is refused with its reason, a cure and its exit code. BIN: the build folder; SRC: the source tree."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

PROGRAM = pathlib.Path(os.environ["BIN"]) / "scope-grid"
GOOD = pathlib.Path(os.environ["SRC"]) / "jobs/demo/model"
QWEN = ("{%- if tools %}{{- 'You are provided with function signatures' }}{%- endif %}"
        "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\nTHINK' }}{%- endif %}")


def read_tensors(path):
    raw = path.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    return {name: (t["dtype"], t["shape"], raw[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
            for name, t in json.loads(raw[8:8 + n]).items() if name != "__metadata__"}


def write_tensors(path, tensors):
    head, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t[2] for t in tensors.values()))


class CheckModel(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)
        self.model = self.dir / "rope quantised tokenizer.json"  # a name with words of errors: cures go by what follows it
        shutil.copytree(GOOD, self.model)
        self.weights = self.model / "model.safetensors"

    def check(self, *args):
        r = subprocess.run([PROGRAM, "check", "--model", self.model, "--device", "cpu", *args], text=True,
                           capture_output=True)
        self.assertLessEqual(r.stderr.count("\n"), 1)
        return r

    def accept(self, *says):
        r = self.check()
        self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
        self.assertNotIn("refused", r.stdout)
        for text in ("\nyes: this program computes it", *says):
            self.assertIn(text, r.stdout)
        told = json.loads(self.check("--json").stdout)
        self.assertEqual((told["verdict"], told["refusals"], told["kind"]), ("ok", [], "checkpoint"))
        self.assertGreater(told["memory"]["weights"], 0)
        return told

    def refuse(self, code, part, why, cure):
        r = self.check()
        self.assertEqual(r.returncode, code, r.stdout + r.stderr)
        self.assertRegex(r.stderr, "^scope-grid: .*: no: refused for ")
        self.assertNotIn("\nyes", r.stdout)
        told = json.loads(self.check("--json").stdout)
        first = told["refusals"][0]
        self.assertEqual((first["part"], told["verdict"]), (part, {3: "bad input", 4: "unsupported"}[code]))
        self.assertIn(why, first["why"])
        self.assertIn(cure, first["cure"])
        for refusal in told["refusals"]:
            self.assertIn(f"refused: {refusal['why']}\n", r.stdout)
            self.assertIn(f"cure: {refusal['cure']}\n", r.stdout)

    def config(self, file="config.json", **keys):
        path = self.model / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))

    def tensors(self, change):
        tensors = read_tensors(self.weights)
        change(tensors)
        write_tensors(self.weights, tensors)

    # ---- good ones ----

    def test_good(self):
        told = self.accept("4 layers of 256, 4 query and 1 key heads of 128", "46 tensors in bf16", "<|im_end|> 4095",
                           "no chat template in the folder")
        elements = sum(len(t[2]) // 2 for t in read_tensors(self.weights).values())
        self.assertEqual((told["parameters"], told["memory"]["kv_token"]), (elements, 2 * 4 * 128 * 4))

    def test_good_in_shards(self):
        tensors = list(read_tensors(self.weights).items())
        self.weights.unlink()
        for i, part in enumerate((tensors[:20], tensors[20:]), 1):
            write_tensors(self.model / f"model-0000{i}-of-00002.safetensors", dict(part))
        where = {name: f"model-0000{1 + (i >= 20)}-of-00002.safetensors" for i, (name, _) in enumerate(tensors)}
        (self.model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
        self.accept("2 safetensors")
        (self.model / "model-00002-of-00002.safetensors").unlink()
        self.refuse(3, "weights", "model-00002-of-00002.safetensors", "load the folder again")

    def test_good_with_templates(self):
        (self.model / "chat_template.jinja").write_text(QWEN.replace("THINK", ""))
        self.assertEqual(self.accept("template   a Qwen chat")["notes"], [])
        (self.model / "chat_template.jinja").write_text(QWEN.replace("THINK", "<think>\\n") + "{# You are Qwen #}")
        notes = self.accept()["notes"]
        self.assertIn("begins an answer with <think>", notes[0])
        self.assertIn("default system message", notes[1])
        (self.model / "chat_template.jinja").unlink()
        (self.model / "tokenizer_config.json").write_text(json.dumps({"chat_template": QWEN.replace("THINK", "")}))
        self.assertEqual(self.accept("template   a Qwen chat")["notes"], [])

    def test_good_embedding_model(self):
        self.config(architectures=["Qwen3Model"])
        self.accept("as an embedding model (prompt.similarity.model): it gives no answers")

    def test_notes(self):
        self.config("generation_config.json", eos_token_id=[4093])
        (self.model / "adapter_config.json").write_text("{}")
        (self.model / "chat_template.jinja").write_text(QWEN.replace("THINK", ""))
        notes = self.accept("1 tokens end an answer")["notes"]
        self.assertIn("an adapter lies beside the weights", notes[0])
        self.assertIn("eos_token_id does not hold <|im_end|> (4095)", notes[1])

    # ---- of another kind ----

    def test_other_kinds(self):
        for keys, why, cure in (
                ({"model_type": "llama"}, 'model_type "llama" is not supported', "dense Qwen3 alone"),
                ({"architectures": ["Qwen3MoeForCausalLM"]}, "architecture Qwen3MoeForCausalLM", "dense Qwen3 alone"),
                ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, 'rope_type "yarn"', "without RoPE scaling"),
                ({"quantization_config": {"quant_method": "awq"}}, 'quant_method "awq"', "dequantise it"),
                ({"attention_bias": True}, "attention_bias true", "has biases"),
                ({"use_sliding_window": True}, "use_sliding_window true", "full attention"),
                ({"layer_types": ["sliding_attention"] * 4}, "sliding_attention", "full attention")):
            with self.subTest(why):
                self.config(**keys)
                self.refuse(4, "config", why, cure)
                shutil.copy(GOOD / "config.json", self.model)

    def test_other_files(self):
        self.weights.unlink()
        self.refuse(3, "files", "no safetensors", "the weights are missing")
        (self.model / "pytorch_model.bin").write_bytes(b"PK")
        self.refuse(4, "files", "weights as pickles", "save_pretrained")
        (self.model / "model.gguf").write_bytes(b"GGUF")
        self.refuse(4, "files", "GGUF files", "the checkpoint that the GGUF was made from")
        (self.model / "adapter_model.safetensors").write_bytes(b"")
        self.refuse(4, "files", "a LoRA adapter", "merge_and_unload")

    def test_other_tensors(self):
        head = lambda t: t.update({"lm_head.weight": ("BF16", *t["model.embed_tokens.weight"][1:])})
        norm = "model.layers.2.self_attn.q_norm.weight"
        for change, code, why, cure in (
                (lambda t: t.update({"base_model.x.lora_A.weight": ("BF16", [1], b"\0\0")}), 4,
                 "tensor base_model.x.lora_A.weight belongs to no part of a Qwen3 model", "merge_and_unload"),
                (lambda t: t.update({norm: ("I8", [128], b"\1" * 128)}), 4, f"tensor {norm} is I8", "in bf16"),
                (lambda t: t.pop(norm), 3, f"tensor {norm} is missing", "load the folder again"),
                (lambda t: t.update({norm: ("BF16", [64], b"\0\1" * 64)}), 3, f"{norm} has shape [64]", "two checkpoints"),
                (lambda t: (head(t), t.update({"lm_head.weight": ("BF16", t["lm_head.weight"][1],
                                                                  b"\0\0" + t["lm_head.weight"][2][2:])})), 3,
                 "lm_head.weight differs from the embedding", "set tie_word_embeddings to false")):
            with self.subTest(why):
                self.tensors(change)
                self.refuse(code, "weights", why, cure)
                shutil.copy(GOOD / "model.safetensors", self.model)
        self.tensors(head)  # stored twice, and equal
        self.accept()

    # ---- damaged ----

    def test_damage(self):
        whole = self.weights.read_bytes()
        self.weights.write_bytes(whole[:len(whole) // 2])
        self.refuse(3, "weights", "(is it cut short?)", "load the file again")
        self.weights.write_bytes(whole[:7])
        self.refuse(3, "weights", "7 bytes are too few", "load the folder again")
        self.weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
        self.refuse(3, "files", "Git LFS pointers stand in place of files: model.safetensors", "git lfs pull")

    def test_values(self):
        up = "model.layers.1.mlp.up_proj.weight"
        for dtype, shape, bad, good in (("BF16", 2, b"\xc0\x7f", b"\x80\x3f"), ("F16", 2, b"\x00\xfc", b"\x00\x3c"),
                                        ("F32", 4, b"\x00\x00\x80\x7f", b"\x00\x00\x80\x3f")):
            with self.subTest(dtype):
                def change(value):
                    def do(t):
                        t[name] = (dtype, [128], value + good * 127)
                    return do
                name = "model.layers.0.self_attn.k_norm.weight"
                self.tensors(change(bad))
                self.refuse(3, "values", f"tensor {name} holds values that are no finite numbers", "another checkpoint")
                self.tensors(change(b"\0" * shape))
                self.accept()
        self.tensors(lambda t: t.update({up: (*t[up][:2], b"\0\x80" * (len(t[up][2]) // 2))}))  # -0 is 0 as well
        self.refuse(3, "values", f"tensor {up} is 0 everywhere", "load the file again")

    def test_tokenizer(self):
        path = self.model / "tokenizer.json"
        text = path.read_text()
        path.write_text(text.replace("<|im_start|>", "<|turn|>"))
        self.refuse(4, "special", "has no special token <|im_start|>", "fine-tuned from a Qwen3 chat model")
        path.write_text(text[:len(text) // 2])
        self.refuse(3, "tokenizer", "tokenizer.json:", "take tokenizer.json from")
        path.unlink()
        self.refuse(3, "tokenizer", "tokenizer.json", "take tokenizer.json from")

    def test_more_tokens_than_embeddings(self):
        tokenizer = json.loads((self.model / "tokenizer.json").read_text())
        tokenizer["added_tokens"].append({**tokenizer["added_tokens"][-1], "id": 4096, "content": "<|more|>"})
        (self.model / "tokenizer.json").write_text(json.dumps(tokenizer))
        self.refuse(3, "tokenizer", "token id 4096, but config.json says vocab_size 4096", "take tokenizer.json from")

    def test_template_of_another_chat(self):
        (self.model / "chat_template.jinja").write_text("[INST] {{ messages[0].content }} [/INST]")
        self.refuse(4, "template", "does not write <|im_start|>", "fine-tuned with that template")
        (self.model / "chat_template.jinja").unlink()
        (self.model / "tokenizer_config.json").write_text('{"chat_template": 7}')
        self.refuse(3, "template", "chat_template must be a string", "load the folder again")

    def test_several_reasons(self):
        self.config(model_type="llama")
        (self.model / "tokenizer.json").unlink()
        self.assertEqual(len(json.loads(self.check("--json").stdout)["refusals"]), 2)
        self.assertIn("refused for 2 reasons", self.check().stderr)

    def test_command_line(self):
        for args in (["check"], ["check", "--model", self.model, self.model]):
            r = subprocess.run([PROGRAM, *args], text=True, capture_output=True)
            self.assertEqual(r.returncode, 2)
            self.assertIn("expected RESULTS.h5, RUNDIR or --model DIR, one of them", r.stderr)
        shutil.rmtree(self.model)
        r = self.check()
        self.assertEqual((r.returncode, r.stdout), (3, ""))
        self.assertIn("no such model directory", r.stderr)


if __name__ == "__main__":
    unittest.main()
