#!/usr/bin/env python3
"""report.html in headless Chromium: no script error, the slider moves what it should, figures are drawn, nothing is
wider than the page. Exit 77 where there is no Chromium.

usage: report_browser.py SCOPE_FRONTIER MAKE_FAKE_RESULTS [SCREENSHOT.png]
"""
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
PROBE = """<script>
(function () {
  var out = {errors: window.probeErrors, steps: []}, s = document.getElementById("budget");
  function state() {
    return {budget: document.getElementById("budget-out").textContent, readout: document.getElementById("readout").textContent,
            shares: document.getElementById("shares").textContent, marker: document.getElementById("marker").getAttribute("cx")};
  }
  [0, 20, 60, 100].forEach(function (g) { s.value = g; s.dispatchEvent(new Event("input")); out.steps.push(state()); });
  out.curves = document.querySelectorAll("#frontier path").length;
  out.dots = document.querySelectorAll("#frontier circle").length;
  out.text = document.body.innerText;
  out.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  out.bad = /NaN|undefined|null|Infinity/.test(document.body.innerText.replace(/no script/g, "")) ||
            /NaN|undefined/.test(document.getElementById("frontier").outerHTML);
  var pre = document.createElement("pre");
  pre.id = "probe";
  pre.textContent = JSON.stringify(out);
  document.body.appendChild(pre);
})();
</script>"""


def chromium(page, done, *args, width=1180):
    """Chromium's output. On a loaded machine it now and then ends, or hangs, before it has begun: until done(output) it is
    started again, three times in all. Its helpers may outlive it a little, and write to its folder."""
    out = ""
    for _ in range(3):
        profile = tempfile.mkdtemp()
        try:
            out = subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                                  "--hide-scrollbars", f"--user-data-dir={profile}", f"--window-size={width},1400",
                                  "--virtual-time-budget=3000", *args, "file://" + page],
                                 capture_output=True, text=True, timeout=200).stdout
        except subprocess.TimeoutExpired:
            continue
        finally:
            shutil.rmtree(profile, ignore_errors=True)
        if done(out):
            break
    return out


def probed(dom):
    return re.search(r'<pre id="probe">(.*?)</pre>', dom, re.S)


def check(folder, truth):
    page = f"{folder}/report.html"
    with open(page) as f:
        text = f.read()
    probe = f"{folder}/probe.html"
    with open(probe, "w") as f:
        f.write(text.replace("<head>", "<head><script>window.probeErrors=[];window.onerror=function(m){probeErrors.push(m)}</script>")
                .replace("</body>", PROBE + "</body>"))
    for width in (1180, 420):
        dom = chromium(probe, probed, "--dump-dom", width=width)
        found = probed(dom)
        assert found, "the page's script did not run: " + dom[:300]
        out = json.loads(html.unescape(found.group(1)))
        assert out["errors"] == [], out["errors"]
        assert not out["bad"], re.findall(r".{40}(?:NaN|undefined|null|Infinity).{40}", out["text"])
        assert out["wide"] <= 1, ("wider than the page at", width, out["wide"])
        steps = out["steps"]
        assert len({s["budget"] for s in steps}) == 4, "the slider shows its budget"
        assert steps[1]["readout"] != steps[3]["readout"] and steps[1]["marker"] != steps[3]["marker"]
        assert steps[1]["shares"] != steps[3]["shares"] and "%" in steps[3]["shares"]
        assert out["curves"] >= (6 if truth else 3) and out["dots"] >= 5
        assert "What these numbers cannot say" in out["text"]


def main():
    program, fake = map(os.path.abspath, sys.argv[1:3])
    if not CHROMIUM:
        print("SKIP: no Chromium")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as tmp:
        for truth in (1, 0):
            folder = f"{tmp}/{truth}"
            os.mkdir(folder)
            subprocess.run([fake, f"{folder}/r.h5", "120", "6", "4", "1", str(truth), "0.5", "0.03", "3"], check=True)
            subprocess.run([program, f"{folder}/r.h5", "--bootstrap", "200", "--no-plots"], check=True, capture_output=True)
            check(folder, truth)
        shot = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else f"{tmp}/shot.png"
        chromium(f"{tmp}/1/report.html", lambda _: os.path.exists(shot), f"--screenshot={shot}")
        assert os.path.getsize(shot) > 30000


main()
