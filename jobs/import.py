#!/usr/bin/env python3
"""Makes the four inputs of a job, and a first job.json, from files that other tools wrote.

    jobs/import.py -o DIR SOURCE...          a SOURCE is FORMAT:PATH; a PATH may be a folder

Outcomes and questions:
  eee:PATH              Every Eval Ever: *.jsonl of instances (its converters read HELM, Inspect, lm-eval)
  llmrouterbench:PATH   results/bench: DATASET/SPLIT/MODEL/*.json
  lm-eval:PATH          samples_TASK_DATE.jsonl, beside their results_DATE.json
  batch:ASKED,ANSWERED  requests and results of an OpenAI or vLLM batch; needs scores
  scores:PATH           a grader's JSON lines: {"custom_id", "score", "model"?, "category"?}
  routerbench:PATH      the wide table as .pkl (needs pandas; a pickle can run code, so trust its source) or .jsonl
  job:PATH              the outcomes and questions of an earlier job.json of this program, to go on from
  queries:PATH          questions to be estimated, in this program's format: no imported question is held out
Prices:
  litellm:PATH          model_prices_and_context_window.json
  openrouter:PATH       the answer of /api/v1/models
  portfolio:PATH        a portfolio of this program: USD per million tokens

Prints what it took, dropped and aggregated, and why; DIR/import.txt keeps it. DIR must not exist; it appears whole
or not at all. Exit code 3: an input cannot be mapped; the line names its file and record.
"""
import argparse
import ast
import collections
import datetime
import decimal
import difflib
import hashlib
import json
import math
import os
import pathlib
import re
import shutil
import sys
import tempfile

KEY = "scope-grid import 1"  # orders the questions that are held out; outcomes have no say in it
STAMP = r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?|\d{8}_\d{6})"


class Refusal(Exception):
    pass


class Report:
    """What happened to records, with a count and the first place of each kind."""

    def __init__(self):
        self.lines = collections.OrderedDict()

    def add(self, kind, what, where="", n=1):
        count, first = self.lines.get((kind, what), (0, where))
        self.lines[kind, what] = (count + n, first)

    def text(self):
        order = ["took", "dropped", "aggregated", "note", "price"]
        rows = sorted(self.lines.items(), key=lambda item: order.index(item[0][0]))
        return "".join(f"{kind:<11}{f'{n} ' if kind in order[:3] else ''}{what}"
                       + (f" (first: {first})" if first else "") + "\n" for (kind, what), (n, first) in rows)


# ---- reading ----

def parse(text, where):
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as e:
        raise Refusal(f"{where}: is not JSON ({e})") from None


def read_text(path):
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise Refusal(f"{path}: byte {e.start} is not UTF-8") from None
    except OSError as e:
        raise Refusal(f"{path}: {e.strerror}") from None


def json_lines(path):
    """(object, place) of each line, or of each element of a JSON array."""
    text = read_text(path)
    if text.lstrip()[:1] == "[":
        places = ((record, f"{path} record {i}") for i, record in enumerate(parse(text, path), 1))
    else:
        places = ((parse(line, f"{path}:{i}"), f"{path}:{i}") for i, line in enumerate(text.split("\n"), 1) if line.strip())
    for record, where in places:
        if not isinstance(record, dict):
            raise Refusal(f"{where}: expected an object")
        yield record, where


def files_of(path, pattern):
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob(pattern) if p.is_file())
    if not found:
        raise Refusal(f"{path}: holds no {pattern}")
    return found


def need(record, key, where, kind=str):
    """record["a"]["b"] for the key "a.b"; refuses another type."""
    value = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, kind) or value == "":
        found = "is missing" if value is None or value == "" else f"is {json.dumps(value)[:60]}"
        raise Refusal(f"{where}: {key} {found}; this is not what the format says")
    return value


def is_text(s):
    """Not so: half a surrogate pair, which no file can hold."""
    return not any("\ud800" <= c <= "\udfff" for c in s)


def is_question(s):
    return bool(s.strip()) and "\0" not in s and is_text(s)


def place_of(error):
    """Where the innermost reader was when a record of another shape than it expects broke it."""
    place, frame = None, error.__traceback__
    while frame:
        place, frame = frame.tb_frame.f_locals.get("where", place), frame.tb_next
    return place


def count_of(value, where, key):
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**31:
        raise Refusal(f"{where}: {key} is {value!r}; expected a number of tokens")
    return value


def newest(paths, report, read):
    """(file, read(file)) of the newest of the files that differ in the time stamp of their names alone; read gives None
    for a file that does not count."""
    runs = collections.defaultdict(list)
    for p in paths:
        stamp = re.findall(STAMP, p.name)
        runs[p.parent, re.sub(STAMP, "", p.name)].append((stamp[-1] if stamp else "", p))
    for _, run in sorted(runs.items()):
        taken = False
        for _, p in sorted(run, reverse=True):
            content = None if taken else read(p)
            if taken:
                report.add("dropped", "files: a later run of the same lies beside them", p)
            elif content is not None:
                taken = True
                yield p, content


def user_text(messages, where, report):
    """The question in chat messages; None (and told) when there is none of text alone in a single turn."""
    if isinstance(messages, str):
        return messages
    roles = [m.get("role") if isinstance(m, dict) else None for m in messages] if isinstance(messages, list) else []
    if roles.count("user") != 1 or "assistant" in roles:
        report.add("dropped", "records: not a single question and answer", where)
        return None
    if len(roles) > 1:
        report.add("note", "system messages are no part of the question: SCOPE does not see them", where)
    content = messages[roles.index("user")].get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    if any(p.get("type") not in ("text", "input_text") or not isinstance(p.get("text"), str) for p in parts):
        report.add("dropped", "records: the question is not text alone", where)
        return None
    return "\n".join(p["text"] for p in parts)


# Each reader yields {id, prompt, model, score, where} and, where known, category, tokens, prompt_tokens, answer (text),
# cost, and same: what must be equal in two records of one question (without it, the prompt).

def read_eee(path, options, report):
    for file in files_of(path, "*.jsonl"):
        for r, where in json_lines(file):
            if r.get("interaction_type") != "single_turn":
                report.add("dropped", "records: not a single question and answer", where)
                continue
            if r.get("error"):
                report.add("dropped", "records: the call failed", where)
                continue
            name, metric = need(r, "evaluation_name", where), r.get("evaluation_result_id")  # HELM: a row for each metric
            if options.metric and metric and metric != options.metric:
                report.add("dropped", f"records: of another metric than {options.metric}", where)
                continue
            usage = r.get("token_usage") or {}
            tokens, asked = (count_of(usage.get(k), where, k) for k in ("output_tokens", "input_tokens"))
            thought = count_of(usage.get("reasoning_tokens"), where, "reasoning_tokens")
            if thought and tokens is not None and usage.get("total_tokens") == (asked or 0) + tokens + thought:
                report.add("aggregated", "records: reasoning tokens added to output tokens, as their total says", where)
                tokens += thought
            answer = (r.get("output") or {}).get("raw")
            yield {"id": f"{name}/{need(r, 'sample_id', where, (str, int))}", "prompt": need(r, "input.raw", where),
                   "model": need(r, "model_id", where), "category": name, "where": where, "tokens": tokens,
                   "score": need(r, "evaluation", where, dict).get("score"), "prompt_tokens": asked, "metric": metric,
                   "answer": answer if isinstance(answer, list) else [answer]}


def read_llmrouterbench(path, options, report):
    def read(file):
        run = parse(read_text(file), file)
        if not isinstance(run, dict) or not isinstance(run.get("records"), list):
            raise Refusal(f"{file}: has no list of records; this is not a result of LLMRouterBench")
        if run.get("demo"):
            report.add("dropped", "files: of a demo run", file)
        return None if run.get("demo") else run

    for file, run in newest(files_of(path, "*.json"), report, read):
        dataset, split, model = (run.get(k) or p.name for k, p in zip(
            ("dataset_name", "split", "model_name"), (file.parents[2], file.parents[1], file.parents[0])))
        for i, r in enumerate(run["records"], 1):
            where = f"{file} record {i}"
            if not isinstance(r, dict):
                raise Refusal(f"{where}: expected an object")
            prompt = r.get("prompt") or need(r, "origin_query", where)
            if not isinstance(prompt, str):
                prompt = user_text(prompt, where, report)
            if prompt:
                yield {"id": f"{dataset}/{split}/{need(r, 'index', where, (int, str))}", "prompt": prompt, "model": model,
                       "same": r.get("origin_query"), "category": dataset, "score": r.get("score"), "where": where,
                       "tokens": count_of(r.get("completion_tokens"), where, "completion_tokens"), "cost": r.get("cost"),
                       "prompt_tokens": count_of(r.get("prompt_tokens"), where, "prompt_tokens"),
                       "answer": [r.get("raw_output")]}


def lm_eval_model(file, stamp, report):
    results = sorted(file.parent.glob("results_*.json"))
    own = [p for p in results if stamp and stamp in p.name] or results[-1:]
    if own:
        return need(parse(read_text(own[0]), own[0]), "model_name", own[0])
    report.add("note", "no results_*.json beside the samples: the model's name is that of the folder", file)
    return file.parent.name.replace("__", "/")


def read_lm_eval(path, options, report):
    for file, records in newest(files_of(path, "samples_*.jsonl"), report, json_lines):
        name = re.fullmatch(rf"samples_(.+?)(?:_{STAMP})?\.jsonl", file.name)
        if not name:
            raise Refusal(f"{file}: its name is not samples_TASK_DATE.jsonl, which says the task")
        task, model = name[1], lm_eval_model(file, name[2], report)
        for r, where in records:
            if options.filter is None and r.get("filter", "none") != "none":
                options.filters[task].add(r["filter"])
                if len(options.filters[task]) > 1:
                    raise Refusal(f"{where}: task {task} has the filters {', '.join(sorted(options.filters[task]))}, a row "
                                  "for each; choose one with --filter NAME")
            if options.filter is not None and r.get("filter", "none") not in (options.filter, "none"):
                report.add("dropped", f"records: of another filter than {options.filter}", where)
                continue
            answers = [a for group in r.get("resps") or [] for a in (group if isinstance(group, list) else [group])]
            if not all(isinstance(a, str) for a in answers):
                report.add("dropped", "records: choices scored by log-likelihood; no answer was generated", where)
                continue
            metrics = r.get("metrics") or [k for k in ("exact_match", "acc", "acc_norm", "pass@1", "f1") if k in r]
            chosen = [m for m in metrics if options.metric in (None, m)]
            if len(chosen) != 1 or chosen[0] not in r:
                raise Refusal(f"{where}: has the metrics {', '.join(metrics) or '(none)'}; choose one with --metric NAME")
            args = r.get("arguments")
            args = args.get("gen_args_0", {}).get("arg_0") if isinstance(args, dict) else args[0][0] if args else None
            if isinstance(args, list):  # a chat, as JSON text in a list
                args = args[0] if len(args) == 1 else args
            if isinstance(args, str) and args.startswith('[{"role"'):
                args = parse(args, where)
            prompt = need(r, f"doc.{options.doc_key}", where) if options.doc_key else user_text(args, where, report)
            if prompt is not None:
                yield {"id": f"{task}/{need(r, 'doc_id', where, (int, str))}", "prompt": prompt, "model": model,
                       "same": r.get("doc_hash"), "category": task, "score": r[chosen[0]], "where": where,
                       "answer": answers}


def read_batch(path, options, report):
    asked_path, comma, answered_path = str(path).partition(",")
    if not comma:
        raise Refusal(f"batch:{path}: expected batch:REQUESTS,RESULTS")
    asked = {}
    for r, where in json_lines(pathlib.Path(asked_path)):
        key = need(r, "custom_id", where)
        if key in asked:
            raise Refusal(f"{where}: custom_id \"{key}\" stands here a second time; first at {asked[key][1]}")
        asked[key] = (need(r, "body", where, dict), where)
    seen = set()
    for r, where in json_lines(pathlib.Path(answered_path)):
        key = need(r, "custom_id", where)
        if key not in asked:
            raise Refusal(f"{where}: custom_id \"{key}\" is of no request in {asked_path}")
        if key in seen:
            raise Refusal(f"{where}: custom_id \"{key}\" is answered a second time")
        seen.add(key)
        body, place = asked[key]
        answer = (r.get("response") or {}).get("body") or {}
        if r.get("error") or (r.get("response") or {}).get("status_code") != 200:
            report.add("dropped", "records: the call failed", where)
            continue
        model = need(body, "model", place)
        if answer.get("model", model) != model:
            report.add("note", f"asked for {model}, answered by {answer['model']}: is its price the same?", where)
        grade = options.scores.get((key, model)) or options.scores.get((key, None))
        if grade is None:
            report.add("dropped", "records: the grader has no score of them", where)
            continue
        grade["used"] = True
        text = body.get("messages") or body.get("input") or body.get("prompt")
        prompt = user_text(text, place, report)
        usage, choices = answer.get("usage") or {}, answer.get("choices") or [{}]
        tokens = count_of(usage.get("completion_tokens", usage.get("output_tokens")), where, "completion_tokens")
        if prompt:
            yield {"id": key, "prompt": prompt, "model": model, "category": grade.get("category"), "where": where,
                   "score": grade["score"], "tokens": tokens and tokens / len(choices),  # usage is of all choices
                   "prompt_tokens": count_of(usage.get("prompt_tokens", usage.get("input_tokens")), where, "prompt_tokens"),
                   "answer": [(c.get("message") or c).get("content", c.get("text")) for c in choices]}
    if len(seen) < len(asked):
        report.add("dropped", f"requests: not answered in {answered_path}", n=len(asked) - len(seen))


def read_routerbench(path, options, report):
    if path.suffix in (".pkl", ".pickle"):
        try:
            import pandas
        except ImportError:
            raise Refusal(f"{path}: reading a pickle needs pandas (apt install python3-pandas); or save the table there "
                          "with to_json(orient=\"records\", lines=True) as .jsonl") from None
        rows = ((r, f"{path} row {i}") for i, r in enumerate(pandas.read_pickle(path).to_dict("records"), 1))
    else:
        rows = json_lines(path)
    for r, where in rows:
        prompt = need(r, "prompt", where)
        try:  # a list of texts, written as Python writes it
            prompt = "\n".join(ast.literal_eval(prompt)) if prompt.startswith("[") else prompt
        except (ValueError, SyntaxError, TypeError):
            pass
        models = [k[:-len("|model_response")] for k in r if k.endswith("|model_response")]
        if not models:
            raise Refusal(f"{where}: no column MODEL|model_response; this is not RouterBench's wide table")
        for model in models:
            yield {"id": need(r, "sample_id", where), "prompt": prompt, "category": need(r, "eval_name", where),
                   "model": model, "score": r.get(model), "where": where, "answer": [r[f"{model}|model_response"]]}


def read_job(path, options, report):
    job = parse(read_text(path), path)
    questions = {}
    for key in ("anchors", "queries", "outcomes"):
        file = path.parent / need(job if isinstance(job, dict) else {}, key, path)
        for r, where in json_lines(file):
            name = need(r, "id", where)
            if key != "outcomes":
                questions.setdefault(name, (r.get("prompt") or need(r, "question", where), r.get("category")))
            elif name not in questions:
                report.add("dropped", "records: on questions that the job does not have", where)
            else:
                yield {"id": name, "prompt": questions[name][0], "category": questions[name][1], "where": where,
                       "model": need(r, "model_name", where), "score": r.get("score", r.get("is_correct")),
                       "tokens": count_of(r.get("usage_completion_tokens"), where, "usage_completion_tokens"),
                       "prompt_tokens": count_of(r.get("usage_prompt_tokens"), where, "usage_prompt_tokens")}


def read_scores(path, options):
    for r, where in json_lines(path):
        key = (need(r, "custom_id", where), r.get("model"))
        if key in options.scores:
            raise Refusal(f"{where}: a second score of custom_id \"{key[0]}\"; first at {options.scores[key]['where']}")
        if "score" not in r:
            raise Refusal(f"{where}: score is missing")
        options.scores[key] = {**r, "where": where}


# ---- prices: readers give entries {id, names, input, output, batch_input?, batch_output?, request?} ----

def usd(value, key, where, a_million=True):
    """A price, as number or text; of a token, it becomes that of a million. None: not given, or not fixed (negative:
    OpenRouter's own routers)."""
    try:
        price = decimal.Decimal(str(value)) if value is not None else decimal.Decimal(-1)
        if price < 0:
            return None
    except decimal.InvalidOperation:
        raise Refusal(f"{where}: {key} is {value!r}; expected USD") from None
    if not price.is_finite() or a_million and price > decimal.Decimal("0.002"):
        raise Refusal(f"{where}: {key} is {value} USD a token; a list per million tokens goes into portfolio:PATH")
    return float(price * 1000000 if a_million else price)


def prices_litellm(path, report):
    for name, e in need({"all": parse(read_text(path), path)}, "all", path, dict).items():
        where = f"{path}: {name}"
        if name == "sample_spec" or not isinstance(e, dict) or e.get("mode") != "chat":
            continue
        keys = {"input": "input_cost_per_token", "output": "output_cost_per_token",
                "batch_input": "input_cost_per_token_batches", "batch_output": "output_cost_per_token_batches"}
        price = {k: usd(e.get(key), key, where) for k, key in keys.items()}
        if price["input"] is not None and price["output"] is not None:
            yield {"id": name, "names": [name], "where": where, **price,
                   "cached": e.get("cache_read_input_token_cost") is not None, "tiers": any("_above_" in k for k in e)}


def prices_openrouter(path, report):
    listed = parse(read_text(path), path)
    for e in need(listed if isinstance(listed, dict) else {}, "data", path, list):
        name = need(e, "id", f"{path}: a model")
        where, p = f"{path}: {name}", need(e, "pricing", f"{path}: {name}", dict)
        price = {"input": usd(p.get("prompt"), "pricing.prompt", where),
                 "output": usd(p.get("completion"), "pricing.completion", where)}
        if None in price.values():
            report.add("note", "models without a price of their own in the list are passed over", where)
        else:
            yield {"id": name, "where": where, **price,  # a variant (:free) has the slug of the model itself
                   "names": [name] + ([need(e, "canonical_slug", where)] if e.get("canonical_slug") and ":" not in name else []),
                   "request": usd(p.get("request", 0), "pricing.request", where, False) or None,
                   "cached": p.get("input_cache_read") is not None}


def prices_portfolio(path, report):
    for e, where in json_lines(path):
        name, price = need(e, "id", where), {k: need(e, k, where, (int, float)) for k in ("input", "output")}
        for k in ("input", "output", "request", "batch_input", "batch_output"):
            if isinstance(e.get(k), bool) or e.get(k) is not None and not 0 <= need(e, k, where, (int, float)) < math.inf:
                raise Refusal(f"{where}: {k} is {json.dumps(e[k])}; expected USD, not below 0")
        for k in ("name", "provider_id", "as_of"):
            if e.get(k) is not None:
                need(e, k, where)
        if not isinstance(e.get("aliases", []), list) or not all(isinstance(a, str) for a in e.get("aliases", [])):
            raise Refusal(f"{where}: aliases is {json.dumps(e['aliases'])[:60]}; expected a list of names")
        if any(0 < v < 1e-4 for v in price.values()):
            raise Refusal(f"{where}: model {name} costs {price}; a portfolio has USD per million tokens, this looks like USD "
                          "a token")
        yield {**e, "names": [name, *([e["name"]] if e.get("name") else []), *e.get("aliases", [])], "where": where, "own": True}


def other_names(path, options):
    """Outcomes that say a model as its provider does are of the portfolio's entry."""
    entries = [e for e, _ in json_lines(path)]
    said = collections.Counter(n for e in entries for n in {e.get("id"), e.get("provider_id"), *e.get("aliases", [])})
    for e in entries:
        for name in [e.get("provider_id"), *e.get("aliases", [])]:
            if name and name != e.get("id") and said[name] == 1:
                options.rename.setdefault(name, need(e, "id", path))


def find_price(name, prices):
    """The entries that a name means: by the whole name, then in any case, then without what stands before a slash.
    Never by likeness."""
    def last(text):
        return text.lower().rsplit("/", 1)[-1]
    for same in (lambda a, b: a == b, lambda a, b: a.lower() == b.lower(), lambda a, b: last(a) == last(b)):
        found = [p for p in prices if any(same(name, n) for n in p["names"])]
        if found:
            return found
    return []


def portfolio_of(models, prices, options, report):
    out, lacking = [], []
    for model in models:
        wanted = options.map.get(model)
        found = [p for p in prices if wanted in p["names"]] if wanted else find_price(model, prices)
        found = [p for p in found if p.get("own")] or found
        if wanted and not found:
            raise Refusal(f"--map {model}={wanted}: no price list has {wanted}")
        if len({(p["input"], p["output"]) for p in found}) > 1:
            raise Refusal(f"model {model}: several prices ({', '.join(p['where'] for p in found[:6])}); choose one with "
                          f"--map \"{model}=ID\"")
        if not found:
            lacking.append(model)
            continue
        p = found[0]
        entry = {"id": model, "input": p["input"], "output": p["output"], "provider_id": p.get("provider_id") or p["id"]}
        entry["as_of"] = p.get("as_of") or options.as_of or options.dates[p["where"]]
        entry.update({k: p[k] for k in ("name", "batch_input", "batch_output", "request") if p.get(k) is not None})
        aliases = [a for a in (*options.renamed[model], *p.get("aliases", [])) if a not in (model, entry["provider_id"])]
        if aliases:
            entry["aliases"] = list(dict.fromkeys(aliases))
        out.append(entry)
        report.add("price", f"{model}: {p['input']:g} in, {p['output']:g} out, from {p['where']} as of {entry['as_of']}"
                   + (", free" if p["input"] == p["output"] == 0 else "")
                   + (f", {p['request']:g} a call" if p.get("request") else "")
                   + (", cached input is cheaper: not counted" if p.get("cached") else "")
                   + (", dearer for long prompts: not counted" if p.get("tiers") else ""))
    known = sorted({n for p in prices for n in p["names"]})
    for model in lacking:
        near = difflib.get_close_matches(model, known, 3, 0.6)
        hint = f"; near: {', '.join(near)}" if near else ""
        if not options.drop_unpriced:
            raise Refusal(f"model {model}: no price list names it{hint}; say which entry with --map \"{model}=ID\", add a "
                          "portfolio:PATH, or leave such models out with --drop-unpriced")
        report.add("dropped", f"model {model}: no price list names it{hint}")
    return out


# ---- what was read, made into a job ----

class Table:
    """Questions, and the attempts of models on them."""

    def __init__(self, options, report):
        self.options, self.report = options, report
        self.questions, self.attempts, self.metrics = {}, collections.defaultdict(list), {}
        self.graded = False

    def take(self, r):
        o, report, where = self.options, self.report, r["where"]
        text, key = r["prompt"], r["id"]
        for name in ("id", "prompt", "model", "category"):
            if not isinstance(r.get(name) or "", str) or name == "model" and not r[name]:
                raise Refusal(f"{where}: its {name} is {json.dumps(r[name])[:60]}; expected text")
        if not is_question(text) or not is_text(key):
            report.add("dropped", "records: the question is empty, or no valid text", where)
            return
        score = r["score"]
        if score is None or isinstance(score, float) and math.isnan(score):
            report.add("dropped", "records: not scored", where)
            return
        if not isinstance(score, (bool, int, float)) or not 0 <= score / o.score_max <= 1:
            raise Refusal(f"{where}: score is {score!r}, not within 0 and {o.score_max:g}; --score-max says the best score")
        tokens = r.get("tokens")
        if tokens is None:
            answers = [a for a in r.get("answer") or [] if isinstance(a, str)]
            if not o.chars_per_token or not answers:
                report.add("dropped", "records: tokens of the answer not given"
                           + (", nor its text" if o.chars_per_token else "; --chars-per-token 4 estimates them"), where)
                return
            tokens = sum(map(len, answers)) / len(answers) / o.chars_per_token
            report.add("aggregated", f"records: completion tokens estimated, {o.chars_per_token:g} characters each", where)
        same = r.get("same") or text
        if o.by_text:
            key = f"{key}#{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            same = text
        old = self.questions.setdefault(key, (text, r.get("category") or "", same, where))
        if old[2] != same:
            raise Refusal(f"{where}: question \"{key}\" has another text at {old[3]}; --by-text makes two questions of them")
        if old[0] != text:
            report.add("note", "a question's prompt differs between models (template, few-shots): the first is kept", where)
        model = o.rename.get(r["model"], r["model"])
        if self.metrics.setdefault((key, model), r.get("metric")) != r.get("metric"):
            raise Refusal(f"{where}: question \"{key}\" has a row for each metric ({self.metrics[key, model]}, "
                          f"{r['metric']}, ...); choose one with --metric NAME")
        if model != r["model"]:
            o.renamed[model][r["model"]] = True
        score = score / o.score_max
        self.graded |= score not in (0, 1)
        self.attempts[key, model].append((score, tokens, r.get("prompt_tokens"), r.get("cost")))

    def outcome(self, key, model):
        tries = self.attempts[key, model]
        mean = [sum(t[i] for t in tries) / len(tries) if all(t[i] is not None for t in tries) else None for i in (0, 1, 2)]
        score = round(mean[0], 9)
        out = {"id": key, "model_name": model, "is_correct": score >= self.options.correct_at}  # as scope-grid reads it
        if self.graded or 0 < score < 1:
            out["score"] = score
        out["usage_completion_tokens"] = math.floor(mean[1] + 0.5)
        if mean[2] is not None:
            out["usage_prompt_tokens"] = math.floor(mean[2] + 0.5)
        return out


def check_costs(table, portfolio, report):
    """Where records say what a call cost, it should be what the price list makes of their tokens."""
    for entry in portfolio:
        said = counted = 0.0
        for (_, model), tries in table.attempts.items():
            for _, completion, prompt, cost in tries if model == entry["id"] else ():
                if isinstance(cost, (int, float)) and cost > 0 and prompt is not None:
                    said += cost
                    counted += (prompt * entry["input"] + completion * entry["output"]) / 1e6 + entry.get("request", 0)
        if said and not 0.8 < counted / said < 1.25:
            report.add("note", f"{entry['id']}: its records say {said:.4g} USD, the price list makes {counted:.4g} USD of "
                       "their tokens; is it this model's price?")


def hold_out(questions, n):
    """n questions to be estimated, from all categories in their shares, in the order of a keyed hash."""
    by = collections.defaultdict(list)
    for key, q in questions.items():
        by[q[1]].append(key)
    place = {}
    for keys in by.values():
        keys.sort(key=lambda k: hashlib.sha256(f"{KEY}:{k}".encode()).digest())
        place.update({k: (i + 0.5) / len(keys) for i, k in enumerate(keys)})
    return set(sorted(place, key=lambda k: (place[k], k))[:n])


def make(options, report):
    """The files of the job, as {name: text}."""
    table, prices, queries, n_read = Table(options, report), [], [], 0
    readers = {"eee": read_eee, "llmrouterbench": read_llmrouterbench, "lm-eval": read_lm_eval, "batch": read_batch,
               "routerbench": read_routerbench, "job": read_job}
    lists = {"litellm": prices_litellm, "openrouter": prices_openrouter, "portfolio": prices_portfolio}
    sources = [s.partition(":") for s in options.source]
    def read(kind, path):
        nonlocal n_read
        if kind in readers:
            before = n_read
            for record in readers[kind](path, options, report):
                n_read += 1
                table.take(record)
            report.add("took", f"records of {kind}:{path} read", n=n_read - before)
        elif kind in lists:
            for entry in lists[kind](path, report):
                prices.append(entry)
                options.dates[entry["where"]] = datetime.datetime.fromtimestamp(
                    path.stat().st_mtime, datetime.timezone.utc).date().isoformat()
        elif kind == "queries":
            for r, where in json_lines(path):
                text = need(r, "prompt" if r.get("prompt") else "question", where)
                if not is_question(text):
                    raise Refusal(f"{where}: its question is empty, or no valid text")
                queries.append({"id": need(r, "id", where), "prompt": text,
                                "category": need(r, "category", where) if r.get("category") else ""})

    for kind, _, path in sources:
        if not path or kind not in (*readers, *lists, "scores", "queries"):
            raise Refusal(f"{kind}:{path}: expected FORMAT:PATH; --help lists the formats")
    early = {"scores": read_scores, "portfolio": other_names}  # what is needed while the others are read
    steps = [(kind, path, lambda k, p: early[k](p, options)) for kind, _, path in sources if kind in early]
    for kind, path, step in steps + [(kind, path, read) for kind, _, path in sources]:
        try:
            step(kind, pathlib.Path(path))
        except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError) as e:
            raise Refusal(f"{place_of(e) or path}: a value is not of the kind that {kind}: expects ({e})") from e
    unused = [s for s in options.scores.values() if not s.get("used")]
    if unused:
        report.add("dropped", "scores: of no answer", unused[0]["where"], len(unused))
    if not table.attempts:
        raise Refusal("no outcome is left of these sources: " + (report.text().replace("\n", "; ") or "no source has any"))
    models = list(dict.fromkeys(m for _, m in table.attempts))
    if options.models:
        for m in options.models:
            if m not in models:
                near = difflib.get_close_matches(m, models, 3, 0.6)
                raise Refusal(f"--models {m}: no outcome is of it" + (f"; near: {', '.join(near)}" if near else ""))
        for m in models:
            if m not in options.models:
                report.add("dropped", f"model {m}: not among --models")
        models = [m for m in models if m in options.models]
    portfolio = portfolio_of(models, prices, options, report)
    models = [p["id"] for p in portfolio]
    have = {m: {k for k, name in table.attempts if name == m} for m in models}
    whole = set.intersection(*have.values()) if have else set()
    if options.keep_incomplete:
        whole = set.union(*have.values()) if have else set()
    questions = {k: q for k, q in table.questions.items() if k in whole}
    if len(questions) < (1 if queries else 2):
        raise Refusal(f"{len(questions)} questions have an outcome of every model ("
                      + ", ".join(f"{m}: {len(have[m])} of {len(table.questions)}" for m in models)
                      + "); choose --models, or --keep-incomplete")
    if len(questions) < len(table.questions):
        lost = next(k for k in table.questions if k not in questions)
        report.add("dropped", "questions: a model has no outcome on them; --keep-incomplete keeps them",
                   f"{lost} at {table.questions[lost][3]}", len(table.questions) - len(questions))
    check_costs(table, portfolio, report)
    held = set()
    if not queries:
        held = hold_out(questions, options.queries or min(max(len(questions) // 5, 1), 1000))
        if len(held) == len(questions):
            raise Refusal(f"--queries {options.queries}: no question of {len(questions)} is left as an anchor")
        queries = [{"id": k, "prompt": questions[k][0], "category": questions[k][1]} for k in questions if k in held]
    anchors = [{"id": k, "prompt": q[0], "category": q[1]} for k, q in questions.items() if k not in held]
    outcomes = [table.outcome(k, m) for k in questions for m in models if (k, m) in table.attempts]
    several = sum(len(table.attempts[o["id"], o["model_name"]]) > 1 for o in outcomes)
    if several:
        report.add("aggregated", "outcomes: several attempts each; mean score and tokens", n=several)
    graded = sum(0 < o.get("score", 0) < 1 for o in outcomes)
    if graded:
        report.add("note", f"{graded} scores are graded: results are about scores; a prompt shows correct: yes from "
                   f"{options.correct_at:g} on (--correct-at, prompt.correct_at)")
    report.add("took", f"outcomes of {len(models)} models: {len(queries)} queries, {len(anchors)} anchors", n=len(outcomes))
    model = os.path.abspath(options.model) if options.model else "../models/SCOPE"
    job = {"name": pathlib.Path(options.out).name[:100], "model": {"path": model}, "queries": "queries.jsonl",
           "anchors": "anchors.jsonl", "outcomes": "outcomes.jsonl", "portfolio": "portfolio.json",
           "prompt": {"anchors": min(5, len(anchors)), "missing": "next" if options.keep_incomplete else "error",
                      "correct_at": options.correct_at},
           "sampling": {"samples": 8, "temperature": 0.6, "max_new_tokens": 1536, "seed": 1}, "output": {"dir": "run"}}

    def lines(records):
        return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
    rows = ",\n".join(" " + json.dumps(p, ensure_ascii=False) for p in portfolio)
    return {"queries.jsonl": lines(queries), "anchors.jsonl": lines(anchors), "outcomes.jsonl": lines(outcomes),
            "portfolio.json": f"[\n{rows}\n]\n", "job.json": json.dumps(job, indent=2, ensure_ascii=False) + "\n"}


def write(out, files):
    """All files, or none: into a folder beside the target, which then takes its name."""
    out = pathlib.Path(os.path.abspath(out))
    if out.exists() or out.is_symlink():
        raise Refusal(f"{out}: exists; give the name of a new folder")
    data = {}
    for name, text in files.items():
        try:
            data[name] = text.encode()
        except UnicodeEncodeError as e:
            line = text.count("\n", 0, e.start)
            raise Refusal(f"{name}, line {line + 1} of what would be written, holds half of a surrogate pair: "
                          f"{json.dumps(text.split(chr(10))[line])[:100]}; mend it where it comes from") from None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        made = pathlib.Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as e:
        raise Refusal(f"{out}: {e.strerror}") from None
    try:
        mask = os.umask(0)
        os.umask(mask)
        made.chmod(0o777 & ~mask)
        for name, text in data.items():
            with open(made / name, "wb") as f:
                f.write(text)
                f.flush()
                os.fsync(f.fileno())
        made.rename(out)
    except OSError as e:
        raise Refusal(f"{out}: {e.strerror}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def main(argv):
    def pair(text):
        left, equal, right = text.partition("=")
        if not left or not right:
            raise argparse.ArgumentTypeError("expected NAME=NAME")
        return left, right

    def positive(text):
        value = float(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError("expected a number above 0")
        return value

    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", nargs="+", metavar="SOURCE", help="FORMAT:PATH, see above")
    p.add_argument("-o", "--out", required=True, metavar="DIR", help="the folder to make")
    p.add_argument("--model", metavar="DIR", help="the estimator's checkpoint (default: ../models/SCOPE beside DIR)")
    p.add_argument("--models", type=lambda s: s.split(","), metavar="A,B", help="take these models only")
    p.add_argument("--queries", type=int, metavar="N", help="questions to estimate (default: a fifth, at most 1000)")
    p.add_argument("--correct-at", type=float, default=0.5, metavar="S", help="least score that is correct (default: 0.5)")
    p.add_argument("--score-max", type=positive, default=1.0, metavar="S", help="the best score (default: 1)")
    p.add_argument("--chars-per-token", type=positive, metavar="X", help="estimates tokens where usage is missing")
    p.add_argument("--metric", metavar="NAME", help="eee, lm-eval: the metric that is the score")
    p.add_argument("--filter", metavar="NAME", help="lm-eval: the filter whose rows count")
    p.add_argument("--doc-key", metavar="KEY", help="lm-eval: the question is doc.KEY, not the prompt with few-shots")
    p.add_argument("--by-text", action="store_true", help="two texts under one id are two questions")
    p.add_argument("--keep-incomplete", action="store_true", help="keep questions that some models have no outcome on")
    p.add_argument("--rename", type=pair, action="append", default=[], metavar="OLD=NEW", help="a model's name in outcomes")
    p.add_argument("--map", type=pair, action="append", default=[], metavar="MODEL=ID", help="whose price a model has")
    p.add_argument("--drop-unpriced", action="store_true", help="leave out models without a price")
    p.add_argument("--as-of", metavar="DATE", help="date of the prices (default: that of the list's file)")
    options = p.parse_intermixed_args(argv)
    if not 0 < options.correct_at <= 1:
        p.error("--correct-at: expected a number above 0, at most 1")
    if options.queries is not None and options.queries < 1:
        p.error("--queries: expected a number from 1")
    options.map, options.rename = dict(options.map), dict(options.rename)
    options.scores, options.dates = {}, {}
    options.filters, options.renamed = collections.defaultdict(set), collections.defaultdict(dict)
    report = Report()
    try:
        files = make(options, report)
        files["import.txt"] = " ".join(["import.py", *argv]) + "\n" + report.text()
        write(options.out, files)
    except Refusal as e:
        print(f"import.py: {e}", file=sys.stderr)
        return 3
    print(report.text() + f"wrote      {options.out}: next, scope-grid plan {os.path.join(options.out, 'job.json')}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
