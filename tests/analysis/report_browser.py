#!/usr/bin/env python3
"""report.html in headless Chromium: the slider, moved by key and by drag, shows the numbers of the data; the decision
stands on the first screen; no label covers another, a tick or a point; text and lines can be read, in light and in
dark; names run no script; it prints. Every check is then shown a fault planted for it. Exit 77 without Chromium.

usage: report_browser.py SCOPE_FRONTIER MAKE_FAKE_RESULTS [FOLDER]     (FOLDER: where screenshots go)
"""
import base64
import json
import math
import os
import re
import shutil
import sys
import tempfile

import page_data
from program import fake, run

try:
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError:
    webdriver = None

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
SIZES = ((1280, 900), (390, 844))

# What a check needs to know of the page as it stands, and of the page with the slider at each of some places: asked for
# all of them at once, and as text, since each question and each value of a list costs the driver time.
PROBE = """
const probe = () => {
const all = (q) => [...document.querySelectorAll(q)], box = (e) => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
const visible = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== "hidden";
const at = document.getElementById("chart").getBoundingClientRect();
const ink = (e) => { const b = e.getBBox(); return [at.left + b.x, at.top + b.y, at.left + b.x + b.width, at.top + b.y + b.height]; }; // without the halo
const told = (q) => all(q).map((e) => [e.textContent.replace(/[\\u2068\\u2069]/g, ""), ink(e)]);
const owns = all("body *").filter((e) => visible(e) && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()));
const scale = (e) => { const m = e.ownerSVGElement && e.getScreenCTM(); return m ? Math.hypot(m.a, m.b) : 1; };
return {
  labels: told("#chart .label, #chart .told"), ticks: told("#chart .tick, #chart .ruled"), points: all("#chart .model").map(ink),
  chart: box(document.getElementById("chart")),
  font: owns.map((e) => [parseFloat(getComputedStyle(e).fontSize) * scale(e), e.tagName + " " + e.textContent.slice(0, 40)]).reduce((a, b) => b[0] < a[0] ? b : a),
  wide: document.documentElement.scrollWidth - innerWidth,
  outside: all("body *").filter((e) => visible(e) && !e.closest(".scroll table, .asked") && (box(e)[0] < -0.5 || box(e)[2] > innerWidth + 0.5)).map((e) => e.tagName + " " + e.textContent.slice(0, 40)),
  scrolled: all(".scroll").filter(visible).map((e) => { e.scrollLeft = 1e6; const c = e.querySelector("tbody tr > :first-child"), moved = e.scrollLeft;
    const left = c ? box(c)[0] - box(e)[0] : 0; e.scrollLeft = 0; return [moved, left]; }),
  places: Object.fromEntries(["advice", "budget", "chart", "who", "kind"].map((i) => [i, box(document.getElementById(i))])),
  screen: [innerWidth, innerHeight],
  hurt: String(window.hurt), text: document.body.innerText, over: all("#over").length, warned: all("#readout .warn-text").length,
  value: document.getElementById("budget").value, said: document.getElementById("budget").getAttribute("aria-valuetext"),
  out: document.getElementById("budget-out").textContent, advice: document.getElementById("advice").textContent,
  readout: document.getElementById("readout").innerText, who: document.getElementById("who").innerText,
  marker: all("#marker").map((e) => [Number(e.getAttribute("cx")), Number(e.getAttribute("cy"))]),
  capped: all("#chart .capped").flatMap((e) => e.getAttribute("d").split("h0").slice(0, -1).map((t) => t.slice(1).split(",").map(Number))),
  axis: all("#chart .tick").map((e) => [e.textContent, Number(e.getAttribute("x")), Number(e.getAttribute("y"))]),
  circles: all("#chart .model").map((e) => [e.querySelector("title").textContent, Number(e.getAttribute("cx")), Number(e.getAttribute("cy"))]),
};
};
const move = (i) => { const b = document.getElementById("budget"); b.value = i; b.dispatchEvent(new Event("input")); };
"""

# [what, contrast] of every text and of every line that carries a number, on what lies behind it.
CONTRAST = """
const rgb = (s) => (s.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number), over = (c, b) => { const a = c.length > 3 ? c[3] : 1; return [0, 1, 2].map((i) => c[i] * a + b[i] * (1 - a)); };
const light = (c) => { const v = c.slice(0, 3).map((x) => { x /= 255; return x <= 0.03928 ? x / 12.92 : Math.pow((x + 0.055) / 1.055, 2.4); }); return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
const ratio = (a, b) => { const x = light(a), y = light(b); return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
const behind = (e) => { let c = []; for (; e; e = e.parentElement) { const b = rgb(getComputedStyle(e).backgroundColor); if (b.length < 4 || b[3] > 0) { c.push(b); if (b.length < 4 || b[3] === 1) break; } } return c.reverse().reduce((b, t) => over(t, b), [255, 255, 255]); };
const visible = (e) => e.getClientRects().length > 0, text = [], lines = [];
const band = document.querySelector(".band"), shade = band ? rgb(getComputedStyle(band).fill) : null;
document.querySelectorAll("body *").forEach((e) => {
  if (!visible(e)) return;
  const s = getComputedStyle(e), paper = behind(e), in_svg = e instanceof SVGElement;
  const backs = in_svg && shade && e.closest("#chart") ? [paper, over(shade, paper)] : [paper];
  if ([...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) && e.tagName !== "title")
    backs.forEach((b) => text.push([e.tagName + " " + e.textContent.slice(0, 40), ratio(over(rgb(in_svg ? s.fill : s.color), b), b)]));
  if (in_svg && e.matches(".curve, .edge, .axis, .model, .whisker, .rule, .marker, .leader, .force"))
    lines.push([e.getAttribute("class"), ratio(over(rgb(e.matches(".marker") ? s.fill : s.stroke), paper), paper)]);
  if (e.matches(".share i")) lines.push(["share", ratio(behind(e), behind(e.parentElement))]);
});
return { text: text, lines: lines, paper: light(behind(document.body)) };
"""


# ---- what the page should say, from the data alone
def clean(s):
    return re.sub("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]", lambda c: "\\u%04x" % ord(c.group()), s)


def minus(x):
    return "−" if x < 0 else ""


def pct(x, digits=1):
    return "–" if x is None else f"{minus(x)}{abs(100 * x):.{digits}f} %"


def pts(x):
    digits = next((d for d in (1, 2, 3, 4) if float(f"{100 * x:.{d}f}")), 1)  # more where it would read as zero
    return re.sub(r"-(?=0\.0$)", "+", f"{100 * x:+.{digits}f}").replace("-", "−")


def usd(x):
    if x == 0:
        return "$0"
    digits = max(0, min(12, 2 - math.floor(math.log10(abs(x)))))
    return f"${x:,.{digits}f}"


def tail(model):
    return model[model.rfind("/") + 1:] or model


def as_stored(data, path):
    """The data with the numbers of the decision as frontier.h5 has them."""
    import h5py

    with h5py.File(path, "r") as f:
        for i, step in enumerate(data["decision"]["steps"]):
            for key in ("accuracy", "cost", "gain", "saving", "over_mix"):
                stored = [float(f["decision_" + key + end][i]) for end in ("", "_low", "_high")]
                step[key] = [None if x != x else x for x in stored]
            step["shares"] = [[k, float(s)] for k, s in enumerate(f["decision_share"][i]) if s > 0]
    return data


# ---- the checks: each takes (p, data, kind, step), p of PROBE at that step
def numbers(p, data, kind, step):
    assert p["value"] == str(data["decision"]["steps"].index(step)), (p["value"], "the slider's place")
    assert p["out"] == usd(step["budget"]) and p["said"].startswith(usd(step["budget"]) + " a query: "), (p["out"], p["said"])
    if kind != "hostile":
        said, target = re.sub("[\u2068\u2069]", "", p["advice"]), data["decision"].get("target")
        if target and step is data["decision"]["steps"][data["decision"]["default"]]:
            start, most = f"For an accuracy of {100 * target:g} %", "which nothing that is advised is told to give, the most: "
            start += ": " if step["accuracy"][0] >= target else ", " + most
            assert said.startswith(start), (said, start)
            said = said[len(start):]
        assert said == step["sentence"], p["advice"]
    if step["accuracy"][0] is None:
        return
    for x, f in ((step["accuracy"], pct), (step["cost"], usd)):
        assert f(x[0]) in p["readout"], ("not in the panel", f(x[0]), p["readout"])
        assert x[1] is None or f"{f(x[1])} to {f(x[2])}" in p["readout"], ("its interval", x, p["readout"])
    assert pct(step["accuracy"][0]) + " right" in p["said"]
    k = step["single"]
    if step["gain"][0]:
        gain = pts(step["gain"][0])
        assert f"{gain} points against {clean(tail(data['models'][k]['id']))}" in p["said"], p["said"]
        assert gain in p["readout"] and f"{pts(step['gain'][1])} to {pts(step['gain'][2])}" in p["readout"], p["readout"]
    if step["over_mix"][0]:
        assert pts(step["over_mix"][0]) in p["readout"] and "the mix: " + pct(step["mix_accuracy"]) in p["readout"]
    for _, s in sorted(step["shares"], key=lambda x: -x[1])[:3]:
        assert pct(s, 1 if s < 0.01 else 0) in p["who"], (s, p["who"])
    for k, most in data["decision"].get("caps", []):
        if k in dict(step["shares"]):
            assert f"of at most {pct(most, 0)}" in p["who"], (most, p["who"])
        assert (k in step["reached"]) == (f"{data['models'][k]['id']} {100 * most:.3g} %" in p["advice"].partition("Limits reached")[2]), p["advice"]
    if step.get("kept"):
        assert f"of {len(step['kept'])} model{'s' * (len(step['kept']) > 1)} to keep" in p["who"], p["who"]
        assert all(tail(data["models"][k]["id"]) in p["who"] for k in step["kept"]), p["who"]
    assert p["over"] == p["warned"] == step["over_budget"], ("told that it is over the budget", p["over"], p["warned"])
    in_force = data["decision"]["incumbent"] and data["decision"]["incumbent"]["name"]
    if in_force and step["kind"] == "one model" and data["models"][step["shares"][0][0]]["id"] == in_force:
        assert "The model in force" in p["readout"]
    elif in_force:
        assert pts(step["vs_incumbent"][0]) in p["readout"] and f"{pts(step['vs_incumbent'][1])} to {pts(step['vs_incumbent'][2])}" in p["readout"]
    if data["decision"]["volume"]:
        paid = step["cost"][0] * data["decision"]["volume"]
        assert (usd(paid) if paid < 100 else f"${paid:,.0f}") in p["readout"], (paid, p["readout"])


def places(p, data, kind, step):
    """The marker and the models lie where the ticks say."""
    xs = [(float(t[1:].replace(",", "")), x) for t, x, _ in p["axis"] if t.startswith("$")]
    ys = [(float(t) / 100, y - 4) for t, _, y in p["axis"] if t.isdigit()]
    (c0, x0), (c1, x1) = xs[0], xs[-1]
    (a0, y0), (a1, y1) = ys[0], ys[-1]

    def at(cost, right):
        part = (cost - c0) / (c1 - c0) if kind == "free" else math.log(cost / c0) / math.log(c1 / c0)
        return x0 + part * (x1 - x0), y0 + (right - a0) / (a1 - a0) * (y1 - y0)

    if step["accuracy"][0] is not None:
        x, y = at(step["cost"][0], step["accuracy"][0])
        assert math.hypot(p["marker"][0][0] - x, p["marker"][0][1] - y) < 1, ("the marker", p["marker"], x, y)
    held = [s for s in data["decision"]["steps"] if s.get("reached") and s["cost"][0] is not None]
    assert len(p["capped"]) == len(held)
    assert not step.get("reached") or any(math.dist(q, p["marker"][0]) < 1 for q in p["capped"]), ("a limit's dot", p["capped"])
    singles = [(s["cost"], s["accuracy"][0]) for s in data["decision"].get("singles", [])] or \
        [(page_data.first(m, "cost", "predicted_cost"), page_data.first(m, "accuracy", "predicted_accuracy")) for m in data["models"]]
    assert len(p["circles"]) == len(singles)
    for k, (single, (_, cx, cy)) in enumerate(zip(singles, p["circles"])):
        x, y = at(*single)
        assert math.hypot(cx - x, cy - y) < 1, ("a model's point", k, cx, cy, x, y)


def overlap(a, b, room=0.0):
    return a[0] < b[2] - room and a[2] > b[0] + room and a[1] < b[3] - room and a[3] > b[1] + room


def labels(p, data, kind, step):
    named = [t for t, _ in p["labels"]]
    for i, (text, box) in enumerate(p["labels"]):
        for other, place in p["labels"][:i]:
            assert not overlap(box, place, 0.5), ("one label on another", text, other)
        for tick, place in p["ticks"]:
            assert not overlap(box, place, 0.5), ("a label on a tick", text, tick)
        for place in p["points"]:
            assert not overlap(box, place, 0.5), ("a label on a point", text, place)
    ticks = p["ticks"]
    for i, (text, box) in enumerate(ticks):
        assert not any(overlap(box, b) for _, b in ticks[:i]), ("one tick on another", text)
    for text, box in p["labels"] + p["ticks"]:
        assert box[0] >= p["chart"][0] - 0.5 and box[2] <= p["chart"][2] + 0.5, ("text beyond the chart", text)
    for k, share in step["shares"]:
        if share >= 0.1:
            model = data["models"][k]["id"]
            assert any(any(clean(name).startswith(t.rstrip("…")) for name in (tail(model), model)) for t in named), ("not named", model, named)


def layout(p, data, kind, step):
    assert p["wide"] <= 0 and not p["outside"], ("beyond the screen", p["wide"], p["outside"][:3])
    size, text = p["font"]
    assert size >= 11.99, ("small text", size, text)
    width, height = p["screen"]
    at = p["places"]
    for name in ("advice", "budget", "chart") + (("who",) if width > 1000 else ("kind",)):
        assert at[name][3] - at[name][1] >= 0 and at[name][1] >= 0 and at[name][3] <= height, ("not on the first screen", name, at[name])
    assert at["chart"][3] - at["chart"][1] >= (300 if width > 1000 else 230), "the chart is too flat to read"
    for moved, left in p["scrolled"]:
        assert not moved or abs(left) < 1, ("the first column left with the rest", moved, left)
    assert width > 1000 or any(moved for moved, _ in p["scrolled"]), "at this width a table scrolls"


def unhurt(p, data, kind, step):
    assert p["hurt"] == "undefined", "a name ran as a script"
    bad = re.search(r"NaN|undefined|Infinity|\bnull\b", p["text"])
    assert not bad, p["text"][max(0, bad.start() - 40):bad.end() + 40]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", p["text"]), "a control character is shown as it is"


def readable(c):
    what, ratio = min(c["text"], key=lambda x: x[1])[0:2]
    assert ratio >= 4.5, ("text's contrast", what, ratio)
    what, ratio = min(c["lines"], key=lambda x: x[1])[0:2]
    assert ratio >= 3, ("a line's contrast", what, ratio)
    assert {"curve mix", "axis", "model"} <= {x[0] for x in c["lines"]}


STEP_CHECKS = (numbers, places, labels, layout, unhurt)


# ---- the browser
class Browser:
    def __init__(self, folder):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for a in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}"):
            options.add_argument(a)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for left in (2, 1, 0):  # on a loaded machine it now and then ends before it has begun
            try:
                self.d = webdriver.Chrome(service=Service(DRIVER), options=options)
                break
            except WebDriverException:
                if not left:
                    raise

    def open(self, page, size, dark=False, media=""):
        self.media(dark, media)
        self.d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500})
        self.d.get("file://" + page)
        return self

    def media(self, dark, media=""):
        self.d.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def probes(self, places=None):
        """Of the page as it stands, or with the slider at each of these places."""
        seen = json.loads(self.d.execute_script(PROBE + "return JSON.stringify(arguments[0] ? arguments[0].map((i) => { move(i); return probe(); }) : [probe()]);", places))
        return [dict(p, **{k: (p[k] or "").replace("\xa0", " ") for k in ("text", "said", "advice", "readout", "who")}) for p in seen]  # no break before a "%"

    def probe(self):
        return self.probes()[0]

    def move(self, i):
        self.d.execute_script(PROBE + "move(arguments[0]);", i)

    def told(self):
        return [e["message"] for e in self.d.get_log("browser")]


def walk(b, data, kind, stride=1):
    """Every step of the slider."""
    heights = set()
    steps = [*enumerate(data["decision"]["steps"])][::stride]
    for (i, step), p in zip(steps, b.probes([i for i, _ in steps])):
        for check in STEP_CHECKS:
            try:
                check(p, data, kind, step)
            except AssertionError as e:
                raise AssertionError(f"{kind}, step {i}, {p['screen']}: {e}") from None
        heights.add(p["places"]["budget"][1])
    assert len(heights) == 1, ("the slider moves under the finger", kind, heights)


def hands(b, data, kind):
    """The slider by keys and by the mouse."""
    steps, bar = data["decision"]["steps"], b.d.find_element(By.ID, "budget")
    b.move(data["decision"]["default"])
    bar.send_keys(Keys.HOME)
    for keys, expected in ((Keys.ARROW_RIGHT, 1), (Keys.ARROW_RIGHT * 4, 5), (Keys.ARROW_LEFT, 4), (Keys.END, len(steps) - 1), (Keys.HOME, 0)):
        bar.send_keys(keys)
        p = b.probe()
        assert p["value"] == str(expected), (p["value"], expected)
        numbers(p, data, kind, steps[expected])
    seen = [0]
    for part in (0.35, 0.8, 0.55):
        thumb = int(b.probe()["value"]) / (len(steps) - 1)
        width = bar.size["width"] - 16
        ActionChains(b.d, 50).move_to_element_with_offset(bar, round((thumb - 0.5) * width), 0).click_and_hold().move_by_offset(
            round((part - thumb) * width), 0).release().perform()
        p = b.probe()
        seen.append(int(p["value"]))
        assert abs(seen[-1] - part * (len(steps) - 1)) <= 1.5, ("dragged to", part, seen)
        numbers(p, data, kind, steps[seen[-1]])
        places(p, data, kind, steps[seen[-1]])
    assert len(set(seen)) == 4, seen
    for button in b.d.find_elements(By.CSS_SELECTOR, "#asked button"):
        button.click()
        i = int(button.get_attribute("value"))
        numbers(b.probe(), data, kind, steps[i])
        assert button.get_attribute("aria-pressed") == "true" and steps[i]["asked"]


def bare(b, data, kind):
    """A file without any outcome: nothing is advised, and the page says so."""
    p = b.probe()
    assert "Nothing is advised" in p["text"] and not p["marker"] and "Budget a query" not in p["text"], p["text"][:300]
    labels(p, data, kind, {"shares": []})
    unhurt(p, data, kind, None)
    assert p["wide"] <= 0 and not p["outside"] and p["font"][0] >= 11.99
    assert p["places"]["chart"][3] <= p["screen"][1]


def unfold(b):
    b.d.execute_script("document.querySelectorAll('details').forEach((d) => d.open = true);")


def closed_in(b):
    """Of what could run or load, nothing does."""
    b.told()
    b.d.execute_script("""const s = document.createElement("script"); s.textContent = "window.hurt = 9"; document.body.appendChild(s);
        const i = document.createElement("img"); i.src = "https://example.invalid/x.png"; document.body.appendChild(i);
        const a = document.createElement("p"); a.setAttribute("onclick", "window.hurt = 8"); document.body.appendChild(a); a.click();""")
    assert b.d.execute_script("return String(window.hurt)") == "undefined", "an added script runs"
    refused = [m for m in b.told() if "Content Security Policy" in m]
    assert len(refused) >= 3, refused


def printed(b):
    b.d.execute_script("window.unfolded = -1; addEventListener('beforeprint', () => { window.unfolded = document.querySelectorAll('section details:not(.more):not([open])').length; });")
    pdf = base64.b64decode(b.d.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 20000
    pages = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", pdf)
    assert len(pages) >= 2 and all(abs(float(w) - 595) < 2 and abs(float(h) - 842) < 2 for w, h in pages), pages
    assert b.d.execute_script("return window.unfolded") == 0, "something is folded on paper"
    return pdf


def on_paper(b):
    """The page as A4 shows it, from a dark screen: light, nothing beyond the edge. To be called at A4's width."""
    unfold(b)
    paper = b.d.execute_script(CONTRAST)["paper"]
    assert paper > 0.9, ("dark on paper", paper)
    wide = b.d.execute_script("""return [...document.querySelectorAll("main *")].filter((e) => e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1)
        .map((e) => [e.tagName, e.textContent.slice(0, 30), e.getBoundingClientRect().right]);""")
    assert not wide, ("beyond the paper", wide[:3])


# ---- each check must see the fault planted for it
SVG_TEXT = """const c = document.getElementById("chart"), t = c.querySelector(".label"), to = c.querySelector("%s"), a = t.getBBox(), b = to.getBBox();
t.setAttribute("x", Number(t.getAttribute("x")) + b.x - a.x); t.setAttribute("y", Number(t.getAttribute("y")) + b.y - a.y);"""
FAULTS = (
    (numbers, "document.getElementById('budget-out').textContent = '$1.00';"),
    (numbers, "document.getElementById('budget').setAttribute('aria-valuetext', '40');"),
    (numbers, "document.getElementById('readout').firstChild.remove();"),
    (numbers, "document.querySelector('#shares').firstChild.remove();"),
    (numbers, "document.getElementById('advice').textContent += '!';"),
    (numbers, "document.getElementById('chart').appendChild(document.getElementById('rule-text').cloneNode()).id = 'over';"),
    (places, "const m = document.getElementById('marker'); m.setAttribute('cx', Number(m.getAttribute('cx')) + 2);"),
    (places, "const m = document.querySelector('.model'); m.setAttribute('cy', Number(m.getAttribute('cy')) - 2);"),
    (labels, SVG_TEXT % ".label ~ .label"),
    (labels, SVG_TEXT % ".tick"),
    (labels, SVG_TEXT % ".model"),
    (labels, "document.querySelectorAll('.label').forEach((t) => t.remove());"),
    (labels, "document.querySelector('.label').setAttribute('x', -20);"),
    (layout, "document.querySelector('footer').style.fontSize = '11px';"),
    (layout, "document.querySelector('#chart .tick').style.fontSize = '11px';"),
    (layout, "document.querySelector('.panel').style.width = '1500px';"),
    (layout, "document.querySelector('header').style.paddingTop = '420px';"),
    (layout, "document.getElementById('chart').style.height = '120px';"),
    (layout, "document.querySelectorAll('tr > :first-child').forEach((e) => { e.style.position = 'static'; });document.querySelectorAll('.scroll').forEach((e) => { e.style.width = '300px'; });"),
    (unhurt, "window.hurt = 1;"),
    (unhurt, "document.querySelector('footer').textContent = 'NaN';"),
    (unhurt, "document.querySelector('footer').textContent = 'a\\u202eb';"),
)
GREY = ("document.querySelector('footer').style.color = '#999';", "document.querySelector('.mix').style.stroke = '#b5a27a';", "document.querySelector('.edge').style.stroke = '#bbb';")


def fails(check, what):
    try:
        check()
    except AssertionError:
        return
    raise SystemExit(f"a planted fault went unseen: {what}")


def faults(b, page, data, tmp):
    i = next(k for k, s in enumerate(data["decision"]["steps"]) if s["kind"] == "routing" and not s["over_budget"])
    for check, plant in FAULTS:
        b.open(page, SIZES[0]).move(i)
        check(b.probe(), data, "normal", data["decision"]["steps"][i])
        b.d.execute_script(plant)
        fails(lambda: check(b.probe(), data, "normal", data["decision"]["steps"][i]), plant)
    for plant in GREY:
        b.open(page, SIZES[0])
        b.d.execute_script(plant)
        fails(lambda: readable(b.d.execute_script(CONTRAST)), plant)
    loose = f"{tmp}/loose.html"  # without its policy
    with open(page) as f, open(loose, "w") as g:
        g.write(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", f.read()))
    b.open(loose, SIZES[0])
    fails(lambda: closed_in(b), "no Content-Security-Policy")
    b.open(page, (700, 990), True)  # a screen in the dark is no paper
    fails(lambda: on_paper(b), "dark on paper")
    return len(FAULTS) + len(GREY) + 2


def nights(b, tmp):
    """A second file with other prices and without a model: what is advised then and now, prices by themselves, the bill as
    the sum of its parts."""
    folder = f"{tmp}/nights"
    os.mkdir(folder)
    files = [fake(f"{folder}/{name}.h5", 60, models, missing=0.03) for name, models in (("a", 5), ("b", 4))]
    run(*files, "--bootstrap", 50, "-o", folder)
    data = page_data.read(f"{folder}/report.html")
    assert data["repriced"] and data["compared"][1]["gone_models"] == "maker/model-04" and len(data["nights"]) == 5
    rows = "return [...document.querySelectorAll('#%s tbody tr')].map(r => [...r.children].map(c => c.textContent.replaceAll('\u00a0', ' ')))"
    for size in SIZES:
        b.open(f"{folder}/report.html", size)
        p = b.probe()
        assert "gone models: " in p["text"] and "model-04" in p["text"] and "Prices that changed" in p["text"]
        for x, row in zip(data["nights"], b.d.execute_script(rows % "nights")):
            for when, cell in (("before", row[1]), ("after", row[2])):
                right = x["accuracy_" + when]
                assert right[0] is None or f"{pct(right[0])} right" in cell and f"{pct(right[1])} to {pct(right[2])}" in cell, cell
                assert x["advice_" + when] in re.sub("[\u2068\u2069]", "", cell), cell
            if x["bill_prices"] is not None:
                assert pts(x["accuracy_difference"][0]) in row[3] and row[4].startswith(f"{x['rerouted']} of {x['common']} queries"), row
        bills = b.d.execute_script(rows % "bill")
        assert len(bills) == sum(x["bill_prices"] is not None for x in data["nights"]) >= 2
        for row in bills:
            money = [float(re.sub("[$+]", "", t).replace("−", "-")) for t in row[1:]]
            assert abs(money[0] + sum(money[2:]) - money[1]) <= 0.02 * max(map(abs, money)), money
        assert p["wide"] <= 0 and p["font"][0] >= 11.99 and not b.told()


def limits(b, tmp):
    """Caps, a portfolio and what may be lost against the model in force, as the program writes them."""
    folder = f"{tmp}/limits"
    os.mkdir(folder)
    text = run(fake(f"{folder}/r.h5", 120, 6, noise=0.2, missing=0.03), "--bootstrap", 50, "--portfolio-size", 3, "--at-most", "maker/model-04=30%",
               "--at-most", "maker/model-02=50%", "--incumbent", "maker/model-04", "--margin", 4).stdout
    data = page_data.read(f"{folder}/report.html")
    steps, sizes = data["decision"]["steps"], data["sizes"]
    asked = [s for s in steps if s["asked"]]
    assert [(x["ask"], x["size"]) for x in sizes] == [(s["asked"], n) for n in (6, 3, 2, 1) for s in asked]
    for step, x in zip(asked, sizes[len(asked):]):  # of the portfolio asked for
        assert x["accuracy"] == step["accuracy"] and (step["kind"] == "none" or x["models"] == ", ".join(data["models"][k]["id"] for k in step["kept"]))
    held = next(i for i, s in enumerate(steps) if s["reached"])
    faults = ("document.querySelector('.capped').remove();", "document.querySelectorAll('#shares span').forEach((e) => { e.textContent = e.textContent.replace(/ of at.*/, ''); });",
              "document.getElementById('who-title').textContent = 'Who answers';", "document.getElementById('advice').textContent = document.getElementById('advice').textContent.replace('Limits reached', '');")
    for size in SIZES:
        b.open(f"{folder}/report.html", size)
        walk(b, data, "own", 5)
        p = b.probe()
        told = re.sub("[\u2068\u2069]", "", p["text"])
        assert "model-04 answers at most 30 % of the queries" in told and "at most 4.0 points below maker/model-04 with 95 %" in told
        rows = b.d.execute_script("return [...document.querySelectorAll('#sizes tbody tr')].map(r => [...r.children].map(c => c.textContent.replaceAll('\u00a0', ' ')))")
        for row, x in zip(rows, (x for s in asked for x in sizes if x["ask"] == s["asked"])):
            assert row[1] == ("all 6" if x["size"] == 6 else str(x["size"])) and row[2].startswith(pct(x["accuracy"][0])), row
            assert x["size"] == 6 or x["difference"] is None or row[3] == pts(x["difference"]), row
            assert all(tail(m) in row[5] for m in x["models"].split(", ")), row
            assert x["difference"] is None or x["size"] == 6 or f"{100 * x['difference']:+.1f} points" in text.replace("-0.0", "+0.0"), x
        assert len(rows) == len(sizes) and p["wide"] <= 0 and p["font"][0] >= 11.99 and not b.told()
        readable(b.d.execute_script(CONTRAST))
    for plant in faults:
        b.open(f"{folder}/report.html", SIZES[0]).move(held)
        check_all = lambda: [c(b.probe(), data, "own", steps[held]) for c in (numbers, places)]
        check_all()
        b.d.execute_script(plant)
        fails(check_all, plant)
    return len(faults)


def main():
    if not (CHROMIUM and DRIVER and webdriver):
        print("SKIP: no Chromium, or no driver for it (apt: chromium chromium-driver python3-selenium)")
        sys.exit(77)
    shots = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        b = Browser(f"{tmp}/profile")
        try:
            pages = []
            for truth in (1, 0):
                folder = f"{tmp}/{truth}"
                os.mkdir(folder)
                run(fake(f"{folder}/r.h5", 120, 8, truth=truth, missing=0.03), "--bootstrap", 200)
                for kind in [k for k in page_data.KINDS if k != "none"] if truth else ("unlabelled", "none"):
                    data = page_data.read(f"{folder}/report.html")
                    if data.get("decision") and kind in ("normal", "unlabelled"):  # as the program wrote it
                        pages.append(("own", f"{folder}/report.html", as_stored(data, f"{folder}/frontier.h5")))
                    data = page_data.decide(page_data.read(f"{folder}/report.html"), kind)
                    pages.append((kind, f"{folder}/{kind}.html", data))
                    page_data.write(pages[-1][1], data, f"{folder}/report.html")
            for k, (kind, page, data) in enumerate(pages):
                for size in SIZES:
                    b.open(page, size)
                    if not data["decision"]:
                        bare(b, data, kind)
                    else:
                        walk(b, data, kind)
                        if size is SIZES[k % 2]:  # every size is in some hand, and every page
                            hands(b, data, kind)
                    assert not b.told(), "the console is silent"
                    unfold(b)
                    layout_open = b.probe()
                    unhurt(layout_open, data, kind, None)
                    assert layout_open["wide"] <= 0 and layout_open["font"][0] >= 11.99
                    for dark in (False, True):
                        b.media(dark)
                        c = b.d.execute_script(CONTRAST)
                        readable(c)
                        assert (c["paper"] < 0.1) == dark
                        if shots:
                            b.open(page, size, dark)
                            with open(f"{shots}/{os.path.basename(os.path.dirname(page))}-{kind}-{size[0]}-{'dark' if dark else 'light'}.png", "wb") as f:
                                f.write(b.d.get_screenshot_as_png())
                    closed_in(b)
                pdf = printed(b.open(page, SIZES[0], True))
                on_paper(b.open(page, (696, 990), True, "print"))
                if shots:
                    with open(f"{shots}/{kind}.pdf", "wb") as f:
                        f.write(pdf)
            nights(b, tmp)
            planted = limits(b, tmp) + faults(b, pages[0][1], pages[0][2], tmp)
            steps = sum(len(d["decision"]["steps"]) for _, _, d in pages if d["decision"])
            print(f"{len(pages)} pages at {len(SIZES)} sizes, {len(SIZES) * steps} steps of the slider, {planted} planted faults seen")
        finally:
            b.d.quit()


if __name__ == "__main__":
    main()
