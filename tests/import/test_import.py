"""jobs/import.py on the samples of this folder, which were written by hand in the formats of the tools it reads, and on
copies with one thing changed. BIN: the build folder, for scope-grid plan; without it that check is skipped."""
import collections
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
PROGRAM = SOURCE / "jobs" / "import.py"
LITELLM, OPENROUTER = "litellm:prices/litellm.json", "openrouter:prices/openrouter.json"
BATCH = ["batch:batch/small-0001.jsonl,batch/small-0001.out.jsonl", "batch:batch/large-0001.jsonl,batch/large-0001.out.jsonl",
         "scores:batch/scores.jsonl"]
LM_EVAL = ["lm-eval:lm-eval", "--filter", "strict-match", "--chars-per-token", "4", LITELLM, "--map",
           "lab/small=lab/small-7b", "--map", "lab/large=large-1"]


def read(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


class Import(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.dir)
        self.samples = self.dir / "samples"
        shutil.copytree(HERE, self.samples, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        self.out = self.dir / "job"

    def call(self, *args):
        return subprocess.run([sys.executable, "-B", PROGRAM, "-o", self.out, *args], cwd=self.samples, text=True,
                              capture_output=True)

    def take(self, *args):
        r = self.call(*args)
        self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
        self.said = r.stdout
        self.assertIn((self.out / "import.txt").read_text().split("\n", 1)[1], r.stdout)
        self.models = {p["id"]: p for p in read(self.out / "portfolio.json")}
        self.outcomes = {(o["id"], o["model_name"]): o for o in read(self.out / "outcomes.jsonl")}
        self.queries, self.anchors = (read(self.out / f"{f}.jsonl") for f in ("queries", "anchors"))
        self.texts = {q["id"]: q["prompt"] for q in self.queries + self.anchors}
        return self.outcomes

    def refuse(self, says, *args):
        r = self.call(*args)
        self.assertEqual((r.returncode, r.stdout), (3, ""), r.stderr)
        self.assertIn(says, r.stderr)
        self.assertEqual(r.stderr.count("\n"), 1, r.stderr)
        self.assertEqual(sorted(os.listdir(self.dir)), ["samples"])  # nothing half-written

    def change(self, file, old, new):
        path = self.samples / file
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def value(self, key, model):
        o = self.outcomes[key, model]
        return o["is_correct"], o.get("score"), o["usage_completion_tokens"], o.get("usage_prompt_tokens")

    # ---- Every Eval Ever ----

    def test_eee(self):
        self.take("eee:eee", LITELLM)
        large = "lab/large-1"
        self.assertEqual(self.value("arith/q0", large), (True, 1.0, 40, 12))  # reasoning beside output_tokens
        self.assertEqual(self.value("arith/q1", large), (True, 1.0, 50, 13))  # reasoning within them
        self.assertEqual(self.value("arith/q2", large), (True, 0.625, 26, 14))  # four epochs: C I C P
        self.assertEqual(self.value("arith/q3", large), (True, 1.0, 33, 15))  # the failed call does not count
        self.assertEqual(self.value("arith/q4", large), (True, 1.0, 36, 16))  # nor does what was not scored
        self.assertNotIn("arith/q5", self.texts)  # no usage
        self.assertEqual(self.texts["arith/q3"], "What is the capital of Peru?")
        for told in ("1 records: the call failed (first: eee/large_samples.jsonl:8)", "1 records: not scored",
                     "1 records: tokens of the answer not given", "1 records: not a single question",
                     "1 records: reasoning tokens added", "1 outcomes: several attempts", "arith/q5 at eee/small"):
            self.assertIn(told, self.said)

    def test_eee_usage_estimated(self):
        self.take("eee:eee", LITELLM, "--chars-per-token", "4")
        self.assertEqual(self.value("arith/q5", "lab/large-1"), (True, 1.0, 4, None))  # "The answer is 4."

    def test_correct_at(self):
        for at, correct in (("0.625", True), ("0.63", False)):
            with self.subTest(at):
                self.take("eee:eee", LITELLM, "--correct-at", at)
                self.assertEqual(self.value("arith/q2", "lab/large-1")[:2], (correct, 0.625))
                self.assertEqual(read(self.out / "job.json")["prompt"]["correct_at"], float(at))
                self.assertIn(f"scores are graded: results are about scores; a prompt shows correct: yes from {at} on", self.said)
                shutil.rmtree(self.out)

    def test_eee_two_texts_of_one_id(self):
        self.change("eee/large_samples.jsonl", "Name a prime above 10.", "Name a prime above 20.")
        self.refuse('eee/small_samples.jsonl:2: question "arith/q1" has another text at eee/large_samples.jsonl:2',
                    "eee:eee", LITELLM)
        self.take("eee:eee", LITELLM, "--by-text")
        self.assertEqual({o.split("#")[0] for o, _ in self.outcomes}, {"arith/q0", "arith/q2", "arith/q3", "arith/q4"})

    def test_eee_score_out_of_range(self):
        self.change("eee/small_samples.jsonl", '"score": 1.0', '"score": 87.5')
        self.refuse("eee/small_samples.jsonl:1: score is 87.5", "eee:eee", LITELLM)
        self.take("eee:eee", LITELLM, "--score-max", "100")
        self.assertEqual(self.value("arith/q0", "lab/small-7b")[:2], (True, 0.875))

    def test_eee_a_row_for_each_metric(self):
        for file, names in (("small", ("exact_match", "f1")), ("large", ("exact_match",))):
            path = self.samples / f"eee/{file}_samples.jsonl"
            rows = [{**r, "evaluation_result_id": n} for r in read(path) for n in names]
            path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        self.refuse('small_samples.jsonl:2: question "arith/q0" has a row for each metric (exact_match, f1, ...)',
                    "eee:eee", LITELLM)
        self.take("eee:eee", LITELLM, "--metric", "exact_match")
        self.assertIn("6 records: of another metric than exact_match", self.said)
        self.assertIn("1 outcomes: several attempts", self.said)  # the epochs, not the metrics

    def test_eee_what_cannot_be_mapped(self):
        for old, new, says in (
                ('"sample_id": "q0"', '"sample": "q0"', "eee/small_samples.jsonl:1: sample_id is missing"),
                ('"output_tokens": 20', '"output_tokens": -1', "eee/small_samples.jsonl:1: output_tokens is -1"),
                ('"raw": "What is 2 + 2?"', '"raw": 7', "eee/small_samples.jsonl:1: input.raw is 7"),
                ('{"schema_version"', '{"schema_version', "eee/small_samples.jsonl:1: is not JSON"),
                ('{"schema_version"', '7\n{"schema_version"', "eee/small_samples.jsonl:1: expected an object")):
            with self.subTest(new):
                before = (self.samples / "eee/small_samples.jsonl").read_text()
                self.change("eee/small_samples.jsonl", old, new)
                self.refuse(says, "eee:eee", LITELLM)
                (self.samples / "eee/small_samples.jsonl").write_text(before)
        (self.samples / "eee/small_samples.jsonl").write_bytes(b"{\xff}")
        self.refuse("eee/small_samples.jsonl: byte 1 is not UTF-8", "eee:eee", LITELLM)
        self.refuse("nowhere: No such file", "eee:nowhere", LITELLM)
        self.refuse("expected FORMAT:PATH", "every:eee", LITELLM)

    # ---- LLMRouterBench ----

    def test_llmrouterbench(self):
        self.take("llmrouterbench:llmrouterbench", LITELLM)
        self.assertEqual(self.value("aime/test/1", "small-7b"), (True, 1.0, 100, 20))  # the later run, not the earlier
        self.assertEqual(self.value("aime/test/1", "Large-1"), (True, 1.0, 200, 20))  # not the still later demo
        self.assertEqual(self.value("mbpp/test/1", "Large-1"), (True, 0.75, 160, 30))
        self.assertEqual(self.value("mbpp/test/2", "Large-1"), (True, 0.5, 166, 31))  # an index twice; true and false
        self.assertEqual(self.value("mbpp/test/2", "small-7b"), (True, 1.0, 61, 31))  # names from the path
        self.assertNotIn("aime/test/3", self.texts)  # score null
        for told in ("1 files: of a demo run", "1 files: a later run", "1 records: not scored", "prompt differs"):
            self.assertIn(told, self.said)
        self.assertNotIn("is it this model's price", self.said)

    def test_llmrouterbench_costs_that_the_prices_do_not_explain(self):
        self.change("prices/litellm.json", '"output_cost_per_token": 1e-05', '"output_cost_per_token": 3e-05')
        self.take("llmrouterbench:llmrouterbench", LITELLM, "--map", "Large-1=large-1")
        self.assertIn("Large-1: its records say 0.01019 USD, the price list makes 0.03003 USD", self.said)

    def test_llmrouterbench_not_a_result(self):
        (self.samples / "llmrouterbench/aime/test/small-7b/x.json").write_text('{"performance": 1}')
        self.refuse("x.json: has no list of records", "llmrouterbench:llmrouterbench", LITELLM)

    # ---- lm-eval ----

    def test_lm_eval(self):
        self.take(*LM_EVAL)
        self.assertEqual(self.value("gsm8k/1", "lab/small"), (False, None, 20, None))  # strict-match, 80 characters
        self.assertEqual({m for _, m in self.outcomes}, {"lab/small", "lab/large"})  # of results_*.json
        for told in ("8 records: of another filter", "1 records: choices scored by log-likelihood",
                     "8 records: completion tokens estimated", "prompt differs between models"):
            self.assertIn(told, self.said)
        shutil.rmtree(self.out)
        self.take(*LM_EVAL, "--doc-key", "question")
        self.assertEqual(self.texts["gsm8k/0"], "What is 2 + 2?")

    def test_lm_eval_choices(self):
        self.refuse("task gsm8k has the filters flexible-extract, strict-match", "lm-eval:lm-eval", LITELLM)
        file = "lm-eval/lab__small/samples_gsm8k_2026-01-02T03-04-05.123456.jsonl"
        self.change(file, '"metrics": ["exact_match"]', '"metrics": ["exact_match", "f1"]')
        self.refuse(f"{file}:1: has the metrics exact_match, f1; choose one", *LM_EVAL)
        self.change(file, '"doc_hash": "01', '"doc_hash": "ff')
        self.refuse('question "gsm8k/1" has another text', *LM_EVAL, "--metric", "exact_match")

    def test_lm_eval_without_usage_leaves_nothing(self):
        self.refuse("--chars-per-token 4 estimates them", "lm-eval:lm-eval", "--filter", "strict-match", LITELLM)

    # ---- batches ----

    def test_batch(self):
        self.take(*BATCH, OPENROUTER)
        self.assertEqual(self.value("q0", "small-7b"), (True, None, 30, 20))  # a result in another order than asked
        self.assertEqual(self.value("q4", "large-1"), (True, None, 400, 20))  # two choices share their usage
        self.assertEqual(self.texts["q1"], "Name a prime above 10.")  # without the system message
        self.assertEqual(self.texts["q2"], "How many days has a leap year?")  # content in parts
        self.assertEqual(set(self.texts), {"q0", "q1", "q2", "q4"})
        self.assertEqual([q["category"] for q in self.queries + self.anchors if q["id"] == "q0"], ["arith"])
        for told in ("1 records: the call failed (first: batch/large-0001.out.jsonl:4)", "1 requests: not answered",
                     "2 scores: of no answer", "asked for large-1, answered by large-1-2026-01-15"):
            self.assertIn(told, self.said)

    def test_batch_joins(self):
        self.refuse("no outcome is left", *BATCH[:2], OPENROUTER)
        self.change("batch/scores.jsonl", '"q1", "model": "small-7b"', '"q0", "model": "small-7b"')
        self.refuse('batch/scores.jsonl:2: a second score of custom_id "q0"', *BATCH, OPENROUTER)
        shutil.copy(HERE / "batch/scores.jsonl", self.samples / "batch")
        for file, says in (("small-0001.jsonl", "stands here a second time"), ("small-0001.out.jsonl", "a second time")):
            with self.subTest(file):
                path = self.samples / "batch" / file
                path.write_text(path.read_text() + path.read_text().split("\n")[0] + "\n")
                self.refuse(f"batch/{file}:7: custom_id", *BATCH, OPENROUTER)
                shutil.copy(HERE / "batch" / file, path)
        self.change("batch/small-0001.out.jsonl", '"custom_id": "q3"', '"custom_id": "q33"')
        self.refuse('small-0001.out.jsonl:1: custom_id "q33" is of no request', *BATCH, OPENROUTER)

    # ---- an earlier job ----

    def test_job(self):
        first = self.take(*BATCH, LITELLM, "--keep-incomplete")
        earlier = self.samples / "earlier"
        shutil.move(self.out, earlier)
        with open(earlier / "outcomes.jsonl", "a") as f:
            f.write('{"id": "q99", "model_name": "large-1", "is_correct": true, "usage_completion_tokens": 1}\n')
        job = ["job:earlier/job.json", "portfolio:earlier/portfolio.json", "--keep-incomplete"]
        self.assertEqual(self.take(*job), first)  # nothing is lost or made up
        self.assertIn("1 records: on questions that the job does not have (first: earlier/outcomes.jsonl:", self.said)
        shutil.rmtree(self.out)
        # answers under the provider's name are of the portfolio's entry; a question that both know has two attempts
        portfolio = read(earlier / "portfolio.json")
        next(p for p in portfolio if p["id"] == "small-7b")["provider_id"] = "vendor/s7"
        (earlier / "portfolio.json").write_text(json.dumps(portfolio))
        for file in ("small-0001.jsonl", "small-0001.out.jsonl", "scores.jsonl"):
            path = self.samples / "batch" / file
            path.write_text(path.read_text().replace("small-7b", "vendor/s7"))
        self.take(*job, BATCH[0], BATCH[2])
        self.assertEqual({m for _, m in self.outcomes}, {"small-7b", "large-1"})
        self.assertIn("6 outcomes: several attempts each", self.said)
        shutil.rmtree(self.out)
        portfolio.append({**portfolio[0], "id": "other", "provider_id": "vendor/s7"})  # a name of two says neither
        (earlier / "portfolio.json").write_text(json.dumps(portfolio))
        self.take(*job, BATCH[0], BATCH[2], "--map", "vendor/s7=small-7b")
        self.assertEqual({m for _, m in self.outcomes}, {"small-7b", "large-1", "vendor/s7"})

    def test_job_that_is_none(self):
        (self.samples / "job.json").write_text('{"anchors": "nowhere.jsonl"}')
        self.refuse("nowhere.jsonl: No such file", "job:job.json", LITELLM)
        (self.samples / "job.json").write_text("[]")
        self.refuse("job.json: anchors is missing", "job:job.json", LITELLM)

    # ---- RouterBench ----

    def check_routerbench(self, source):
        self.take(source, OPENROUTER, "--chars-per-token", "4")
        self.assertEqual(self.value("mtbench.0", "large-1"), (True, 0.9, 40, None))
        self.assertEqual(self.texts["mmlu-law.0"], "What is 2 + 2?")
        self.assertEqual(self.texts["mmlu-law.1"], "Spell 'rhythm' backwards.")
        self.assertNotIn("mtbench.1", self.texts)

    def test_routerbench(self):
        self.check_routerbench("routerbench:routerbench/wide.jsonl")

    def test_routerbench_pickle(self):
        pickle = self.samples / "wide.pkl"
        if importlib.util.find_spec("pandas"):
            import pandas
            pandas.DataFrame(read(self.samples / "routerbench/wide.jsonl")).to_pickle(pickle)
            self.check_routerbench("routerbench:wide.pkl")
        else:
            pickle.write_bytes(b"")
            self.refuse("reading a pickle needs pandas", "routerbench:wide.pkl", OPENROUTER)

    # ---- prices ----

    def test_prices(self):
        self.take(*BATCH, OPENROUTER, "--as-of", "2026-01-31")
        self.assertEqual(self.models["large-1"], {"id": "large-1", "input": 2.0, "output": 10.0, "request": 0.005,
                                                  "provider_id": "lab/large-1", "as_of": "2026-01-31"})
        self.assertEqual((self.models["small-7b"]["input"], self.models["small-7b"]["output"]), (0.15, 0.6))  # not :free
        shutil.rmtree(self.out)
        self.take(*BATCH, LITELLM)
        self.assertEqual(self.models["large-1"]["provider_id"], "large-1")  # not azure/large-1
        self.assertEqual((self.models["large-1"]["batch_input"], self.models["large-1"]["batch_output"]), (1.0, 5.0))
        self.assertIn("cached input is cheaper: not counted, dearer for long prompts", self.said)

    def test_free_model(self):
        self.take(*BATCH, OPENROUTER, "--map", "small-7b=lab/small-7b:free")
        self.assertEqual((self.models["small-7b"]["input"], self.models["small-7b"]["output"]), (0.0, 0.0))
        self.assertRegex(self.said, "small-7b: 0 in, 0 out.*, free")

    def test_unknown_model(self):
        args = [*BATCH, OPENROUTER, "--rename", "large-1=larje-1"]
        self.refuse('model larje-1: no price list names it; near: lab/large-1; say which entry with --map "larje-1=ID"', *args)
        self.take(*args, "--drop-unpriced")
        self.assertEqual(set(self.models), {"small-7b"})
        self.assertIn("model larje-1: no price list names it", self.said)
        shutil.rmtree(self.out)
        self.take(*args, "--map", "larje-1=lab/large-1")
        self.assertEqual(self.models["larje-1"]["aliases"], ["large-1"])
        shutil.rmtree(self.out)
        self.refuse("no price list has lab/huge", *args, "--map", "larje-1=lab/huge")

    def test_two_lists_of_two_prices(self):
        args = [*BATCH, LITELLM, OPENROUTER, "--rename", "large-1=vendor/Large-1"]
        self.take(*args)  # one price in both
        shutil.rmtree(self.out)
        self.change("prices/openrouter.json", '"0.000002"', '"0.000003"')
        self.refuse("model vendor/Large-1: several prices (prices/litellm.json: large-1, prices/litellm.json: azure/large-1, "
                    "prices/openrouter.json: lab/large-1); choose one with --map", *args)
        self.take(*args, "--map", "vendor/Large-1=lab/large-1")
        self.assertEqual(self.models["vendor/Large-1"]["input"], 3.0)

    def test_a_token_and_a_million(self):
        self.change("prices/litellm.json", '"output_cost_per_token": 1e-05', '"output_cost_per_token": 10.0')
        self.refuse("output_cost_per_token is 10.0 USD a token", *BATCH, LITELLM)
        own = self.samples / "own.json"
        own.write_text('[{"id": "small-7b", "input": 1.5e-07, "output": 6e-07}]')
        self.refuse("this looks like USD a token", *BATCH, OPENROUTER, "portfolio:own.json")
        own.write_text('[{"id": "small-7b", "input": 0.2, "output": 0.7, "as_of": "2025-12-01", "aliases": ["s7"]}]')
        self.take(*BATCH, OPENROUTER, "portfolio:own.json")  # one's own entry comes before the lists
        self.assertEqual(self.models["small-7b"], {"id": "small-7b", "input": 0.2, "output": 0.7, "as_of": "2025-12-01",
                                                   "provider_id": "small-7b", "aliases": ["s7"]})
        shutil.rmtree(self.out)
        self.change("prices/openrouter.json", '"0.00000015"', '"cheap"')
        self.refuse("lab/small-7b: pricing.prompt is 'cheap'", *BATCH, OPENROUTER)

    # ---- the folder ----

    def test_questions_are_shared_out(self):
        rows = [{"custom_id": f"{c}{i}", "body": {"model": "small-7b", "messages": [{"role": "user", "content": f"{c} {i}"}]}}
                for c in "ab" for i in range(30 if c == "a" else 10)]
        (self.samples / "r").write_text("\n".join(map(json.dumps, rows)))
        (self.samples / "a").write_text("\n".join(json.dumps({"custom_id": r["custom_id"], "response": {
            "status_code": 200, "body": {"usage": {"completion_tokens": 5}}}}) for r in rows))
        (self.samples / "s").write_text("\n".join(json.dumps({"custom_id": r["custom_id"], "score": 1, "category":
                                                               r["custom_id"][0]}) for r in rows))
        self.take("batch:r,a", "scores:s", OPENROUTER)
        self.assertEqual(collections.Counter(q["category"] for q in self.queries), {"a": 6, "b": 2})
        self.assertEqual(len(self.anchors), 32)
        first = {f: (self.out / f).read_bytes() for f in os.listdir(self.out)}
        shutil.rmtree(self.out)
        self.take("batch:r,a", "scores:s", OPENROUTER)
        self.assertEqual(first, {f: (self.out / f).read_bytes() for f in os.listdir(self.out)})  # the same again
        shutil.rmtree(self.out)
        (self.samples / "q").write_text('{"id": "new", "question": "What now?"}\n')
        self.take("batch:r,a", "scores:s", OPENROUTER, "queries:q")
        self.assertEqual(([q["id"] for q in self.queries], len(self.anchors)), (["new"], 40))
        shutil.rmtree(self.out)
        self.refuse("no question of 40 is left as an anchor", "batch:r,a", "scores:s", OPENROUTER, "--queries", "40")

    def test_incomplete_questions(self):
        self.take(*BATCH, OPENROUTER, "--keep-incomplete")
        self.assertEqual(set(self.texts), {f"q{i}" for i in range(6)})
        self.assertEqual(read(self.out / "job.json")["prompt"]["missing"], "next")
        shutil.rmtree(self.out)
        self.take(*BATCH, OPENROUTER, "--models", "small-7b")
        self.assertEqual((set(self.models), len(self.texts)), ({"small-7b"}, 6))
        shutil.rmtree(self.out)
        self.refuse("--models smal-7b: no outcome is of it; near: small-7b", *BATCH, OPENROUTER, "--models", "smal-7b")

    def test_folder_that_exists(self):
        self.out.mkdir()
        (self.out / "mine").write_text("")
        r = self.call(*BATCH, OPENROUTER)
        self.assertEqual((r.returncode, os.listdir(self.out)), (3, ["mine"]))
        self.assertIn("exists; give the name of a new folder", r.stderr)

    def grid(self):
        grid = pathlib.Path(os.environ.get("BIN", "")) / "scope-grid"
        if not grid.is_file():
            self.skipTest("BIN names no build with scope-grid")
        return grid

    def test_plan_tells_unknown_models(self):
        grid = self.grid()
        self.take(*BATCH, OPENROUTER, "--as-of", "2026-01-31", "--model", str(SOURCE / "jobs/demo/model"))
        with open(self.out / "outcomes.jsonl", "a") as f:
            for name in ("larje-1", "larje-1", "somebody else's"):
                f.write(json.dumps({"id": "q0", "model_name": name, "is_correct": True}) + "\n")
        plan = [grid, "plan", self.out / "job.json"]
        said = subprocess.run(plan, text=True, capture_output=True, check=True).stdout
        self.assertIn("  prices     as of 2026-01-31\n", said)
        self.assertIn('  unknown    3 outcomes are of models that no portfolio entry knows: 2 of "larje-1" (is that "large-1"? '
                      'then it is one of its aliases), 1 of "somebody else\'s"\n', said)
        told = json.loads(subprocess.run([*plan, "--json"], text=True, capture_output=True, check=True).stdout)
        self.assertEqual(told["unknown_models"], [{"name": "larje-1", "outcomes": 2, "near": "large-1"},
                                                  {"name": "somebody else's", "outcomes": 1, "near": None}])
        portfolio = read(self.out / "portfolio.json")
        portfolio[1]["aliases"] = ["larje-1"]
        (self.out / "portfolio.json").write_text(json.dumps(portfolio))
        r = subprocess.run(plan, text=True, capture_output=True)  # now it is known, and its record counts
        self.assertEqual(r.returncode, 3)
        self.assertIn("outcomes.jsonl:9: usage_completion_tokens is missing", r.stderr)

    def test_plan_takes_the_folder(self):
        grid = self.grid()
        for args in (["eee:eee", LITELLM], ["llmrouterbench:llmrouterbench", LITELLM], LM_EVAL, [*BATCH, OPENROUTER],
                     ["eee:eee", LITELLM, "--correct-at", "1"],
                     ["routerbench:routerbench/wide.jsonl", "--chars-per-token", "4", OPENROUTER],
                     [*BATCH, OPENROUTER, "--keep-incomplete", "--rename", "large-1=big", "--map", "big=lab/large-1"]):
            with self.subTest(args[0]):
                self.take(*args, "--model", str(SOURCE / "jobs/demo/model"))
                r = subprocess.run([grid, "plan", self.out / "job.json", "--json"], text=True, capture_output=True)
                self.assertEqual((r.returncode, r.stderr), (0, ""))
                plan = json.loads(r.stdout)
                self.assertEqual((plan["queries"], plan["anchors"], plan["models"]),
                                 (len(self.queries), len(self.anchors), len(self.models)))
                self.assertEqual(plan["run_dir"], str(self.out / "run"))
                shutil.rmtree(self.out)


    def test_half_of_a_pair(self):
        """JSON can name half of a surrogate pair, which no file can hold: one line that says where, in questions and in names."""
        for prompt in ("x\\ud800", "  ", "x\\u0000"):
            (self.samples / "ask.jsonl").write_text(f'{{"id": "b", "prompt": "y"}}\n{{"id": "a", "prompt": "{prompt}"}}\n')
            self.refuse("ask.jsonl:2: its question is empty, or no valid text", "eee:eee", LITELLM, "queries:ask.jsonl")
        (self.samples / "ask.jsonl").write_text('{"id": "a", "prompt": "b", "category": "c\\ud800"}\n')
        self.refuse("queries.jsonl, line 1 of what would be written, holds half of a surrogate pair", "eee:eee", LITELLM,
                    "queries:ask.jsonl")

    # ---- every value of the first records replaced by one of another kind ----

    def places(self, value, to=()):
        """The paths to all values below the first element of each list."""
        inner = value.items() if isinstance(value, dict) else [(0, value[0])] if isinstance(value, list) and value else ()
        for key, v in inner:
            yield (*to, key)
            yield from self.places(v, (*to, key))

    def test_values_of_another_kind(self):
        spec = importlib.util.spec_from_file_location("importer", PROGRAM)
        importer = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(importer)
        (self.samples / "own.jsonl").write_text('{"id": "large-1", "name": "n", "aliases": ["a"], "input": 1, "output": 2, '
                                                '"provider_id": "p", "as_of": "2026-01-01", "request": 1, "batch_input": 1}\n')
        (self.samples / "ask.jsonl").write_text('{"id": "a", "prompt": "b", "category": "c"}\n')
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.samples)
        runs = taken = 0
        for args, files in ((["eee:eee", LITELLM, "queries:ask.jsonl"], ["eee/*", "prices/litellm.json", "ask.jsonl"]),
                            (["llmrouterbench:llmrouterbench", LITELLM], ["llmrouterbench/**/*.json"]), (LM_EVAL, ["lm-eval/**/*.json*"]),
                            ([*BATCH, OPENROUTER], ["batch/*", "prices/openrouter.json"]),
                            ([*BATCH, "portfolio:own.jsonl", "--drop-unpriced"], ["own.jsonl"]),
                            (["routerbench:routerbench/wide.jsonl", "--chars-per-token", "4", OPENROUTER], ["routerbench/*"])):
            for file in sorted({f for pattern in files for f in self.samples.glob(pattern) if f.is_file()}):
                text = file.read_text(encoding="utf-8")
                whole = file.suffix == ".json"
                first, rest = (text, "") if whole else text.split("\n", 1)
                for place in self.places(json.loads(first)):
                    for value in (None, -1.5, [1], {"a": 1}, float("nan")):
                        record = target = json.loads(first)
                        for key in place[:-1]:
                            target = target[key]
                        target[place[-1]] = value
                        file.write_text(json.dumps(record) + ("" if whole else "\n" + rest), encoding="utf-8")
                        said, wrong = io.StringIO(), io.StringIO()
                        with self.subTest(f"{file.name} {place} {value}"):
                            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong), \
                                    mock.patch("os.fsync"):  # hundreds of runs: minutes on a busy disk
                                code = importer.main(["-o", str(self.out), *args])
                            self.assertIn(code, (0, 3))
                            self.assertEqual(wrong.getvalue().count("\n"), 1 if code else 0, wrong.getvalue())
                            taken += code == 0
                            if code == 0:
                                self.check_kinds()
                        shutil.rmtree(self.out, ignore_errors=True)
                        runs += 1
                file.write_text(text, encoding="utf-8")
        self.assertGreater(min(taken, runs - taken), 200)

    def check_kinds(self):
        for name in ("queries", "anchors"):
            for q in read(self.out / f"{name}.jsonl"):
                self.assertEqual([type(q[k]) for k in ("id", "prompt", "category")], [str] * 3)
        for o in read(self.out / "outcomes.jsonl"):
            self.assertEqual([type(o[k]) for k in ("id", "model_name", "is_correct", "usage_completion_tokens")],
                             [str, str, bool, int])
        for p in read(self.out / "portfolio.json"):
            for key, value in p.items():
                kinds = (int, float) if key in ("input", "output", "request", "batch_input", "batch_output") else str
                if key == "aliases":
                    self.assertTrue(isinstance(value, list) and all(type(a) is str for a in value), p)
                else:
                    self.assertTrue(isinstance(value, kinds) and type(value) is not bool and value == value and
                                    (kinds is str or value >= 0), p)


if __name__ == "__main__":
    unittest.main()
