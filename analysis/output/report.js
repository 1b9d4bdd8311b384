"use strict";
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const RIGHT = D.graded ? " score" : " right", ANSWERS = D.graded ? "Mean score" : "Right answers"; // what accuracy is called
  // Without any outcome there is no decision: the chart then shows what the estimates say.
  const decision = D.decision || { steps: [], categories: [], doubts: [], valued_on: "", n_queries: D.n }, steps = decision.steps;
  const $ = (id) => document.getElementById(id);
  const truth = decision.valued_on !== "anchors"; // what people read is measured on queries, at least in part

  // ---- words and numbers
  // Control characters and marks that turn the direction of the text are told by their number.
  const clean = (s) => s.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  // A name of the file: cleaned, cut, and kept from turning the direction of the text around it.
  const isolate = (s, most) => {
    const c = Array.from(clean(s));
    return "\u2068" + (c.length > most ? c.slice(0, most - 1).join("") + "…" : c.join("")) + "\u2069";
  };
  const tail = (id) => id.slice(id.lastIndexOf("/") + 1) || id;
  const tails = D.models.map((m) => tail(m.id));
  const short = (k, most) => isolate(tails.indexOf(tails[k]) === tails.lastIndexOf(tails[k]) ? tails[k] : D.models[k].id, most || 32);
  const full = (s) => isolate(s, 200), tidy = (s) => isolate(tail(s), 32);
  // A sentence of the program: names that are long, or not in Latin letters, are cut and isolated in it.
  const names = D.models.map((m) => m.id).concat(tails, decision.categories.map((c) => c.name))
    .filter((s) => s.length > 2 && (s.length > 48 || /[^\u0020-\u024f]/.test(s))).sort((a, b) => b.length - a.length);
  function said(s) {
    let parts = [s];
    names.forEach((n) => { parts = parts.flatMap((p) => typeof p === "string" ? p.split(n).flatMap((t, i) => i ? [[n], t] : [t]) : [p]); });
    return parts.map((p) => typeof p === "string" ? clean(p) : isolate(p[0], 48)).join("").replace(/(\d) %/g, "$1\u00a0%");
  }
  const none = (x) => x === null || x === undefined;
  const minus = (x) => x < 0 ? "−" : "";
  // As printf rounds, so that the page and the terminal say the same: of two equally near, the even one.
  function fixed(x, d) {
    const exact = x.toFixed(d + 40), cut = exact.slice(0, -40).replace(/\.$/, "");
    return /^50*$/.test(exact.slice(-40)) && "02468".includes(cut.slice(-1)) ? cut : x.toFixed(d);
  }
  const pct = (x, d) => none(x) ? "–" : minus(x) + fixed(Math.abs(100 * x), none(d) ? 1 : d) + "\u00a0%";
  // More digits where a difference would read as zero and is none.
  function pts(x) {
    if (none(x)) return "–";
    const y = Math.abs(100 * x), d = [1, 2, 3, 4].find((n) => +fixed(y, n) > 0);
    return (x < 0 && d ? "−" : "+") + fixed(y, d || 1);
  }
  function usd(x) {
    if (none(x)) return "–";
    if (x === 0) return "$0";
    const d = Math.max(0, Math.min(12, 2 - Math.floor(Math.log10(Math.abs(x)))));
    return minus(x) + "$" + Math.abs(x).toLocaleString("en", { minimumFractionDigits: d, maximumFractionDigits: d });
  }
  const range = (v, f) => none(v) || none(v[1]) ? "" : f(v[1]) + " to " + f(v[2]);
  const num = (x, d) => none(x) ? "–" : fixed(x, d);
  const plural = (n, one, many) => n.toLocaleString("en") + " " + (n === 1 ? one : many);
  const capital = (s) => s.charAt(0).toUpperCase() + s.slice(1);

  function fill(e, attrs, text) {
    for (const k in attrs || {}) e.setAttribute(k, attrs[k]);
    if (text !== undefined) e.textContent = text;
    return e;
  }
  const el = (tag, attrs, text) => fill(document.createElement(tag), attrs, text);
  const svg = (tag, attrs, text) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attrs, text);
  const add = (to, ...nodes) => { nodes.forEach((n) => to.appendChild(n)); return to; };

  // ---- tables. A heading that begins with "*" is a column of text; a cell [a, b] is a with b small beneath.
  function table(id, head, rows, classes) {
    const node = $(id), body = el("tbody"), line = el("tr");
    const kind = head.map((h) => h.charAt(0) === "*" ? { "class": "text" } : h.length > 16 ? { "class": "long" } : {});
    head.forEach((h, j) => add(line, el("th", { scope: "col", ...kind[j] }, h.replace(/^\*/, ""))));
    rows.forEach((r, i) => {
      const row = el("tr", classes && classes[i] ? { "class": classes[i] } : {});
      r.forEach((c, j) => {
        const cell = j ? el("td", kind[j]) : el("th", { scope: "row" });
        String(Array.isArray(c) ? c[0] : c).split(/(?<=\/)/).forEach((part, n) => { if (n) add(cell, el("wbr")); add(cell, document.createTextNode(part)); });
        if (Array.isArray(c) && c[1]) add(cell, el("small", {}, c[1]));
        add(row, cell);
      });
      add(body, row);
    });
    node.textContent = "";
    add(node, add(el("thead"), line), body);
    const title = node.closest("section").querySelector("h2");
    fill(node.parentNode, { tabindex: 0, role: "region", "aria-label": title ? title.textContent : id });
  }
  // the columns of a table of the data that people are shown, behind a column of names
  function list(name, heading, rows, nameOf, classes) {
    const f = { percent: pct, points: pts, usd: usd, number: num }, columns = D.shown[name];
    table(name, [heading].concat(columns.map((c) => capital(c.heading))), rows.map((r) => [nameOf(r)].concat(columns.map((c) => {
      const v = r[c.key], show = (x) => f[c.style](x, c.digits);
      return !Array.isArray(v) ? show(v) : c.interval ? [show(v[0]), range(v, show)] : show(v[0]);
    }))), classes);
  }
  const hide = (id, when) => { $(id).hidden = when; };

  // ---- the chart. It is drawn at the size it has on the screen, so that its text is as large as it says.
  const first = (m, a, b) => [m[a], m[b]].map((v) => v && v[0]).find((v) => !none(v));
  const modelY = (m) => first(m, "accuracy", "predicted_accuracy"), value = (v) => Array.isArray(v) ? v[0] : v;
  // where a single model lies: as the decision values it, else as measured, else as estimated
  const singles = D.models.map((m, k) => [m, k, (decision.singles || [])[k]])
    .map(([m, k, v]) => ({ k: k, x: v ? value(v.cost) : first(m, "cost", "predicted_cost"), y: v ? value(v.accuracy) : modelY(m) })).filter((p) => !none(p.x) && !none(p.y));
  const priced = steps.filter((s) => !none(s.accuracy[0]) && !none(s.cost[0]));
  const most = D.models.map((m, k) => Math.max(0, ...steps.map((s) => (s.shares.find((p) => p[0] === k) || [k, 0])[1])));
  const caps = new Map(decision.caps || []), cap = (k) => pct(caps.get(k), Number.isInteger(100 * caps.get(k)) ? 0 : 1);
  const force = decision.incumbent, forceX = force ? value(force.cost) : null, forceY = force ? value(force.accuracy) : null;
  const MORE = { realised: "realised: policies of the estimates, fitted on one half, scored on the other", predicted: "predicted: by the estimates themselves",
    posterior: "what the estimates are worth given the votes", oracle: "oracle: knows the answers", anchor_mean: "anchor mean", knn: "k nearest anchors", two_stage: "SCOPE two-stage router" };
  const shown = steps.length ? {} : { posterior: true, predicted: true }; // the curves that are switched on
  let now = decision.default || 0, frame = null; // the slider's step; what the chart was last drawn with

  // The best mix of single models at each cost: their concave hull, from the cheapest to the most accurate.
  function hull() {
    const h = [];
    singles.slice().sort((a, b) => a.x - b.x || b.y - a.y).forEach((p) => {
      if (h.length && p.y <= h[h.length - 1].y) return;
      while (h.length > 1 && (h[h.length - 1].y - h[h.length - 2].y) * (p.x - h[h.length - 1].x) <= (p.y - h[h.length - 1].y) * (h[h.length - 1].x - h[h.length - 2].x)) h.pop();
      h.push(p);
    });
    return h;
  }
  function curvePoints(name) {
    const c = D.curves[name];
    return D.grid.map((x, g) => [none(c.cost[g]) ? x : c.cost[g], c.accuracy[g]]).filter((p) => !none(p[1])).sort((a, b) => a[0] - b[0]);
  }
  // The advised policy as steps of [cost, accuracy, low, high]. Where the advice changes from one thing to another, the
  // new one is bought only once it can be paid: the line goes right, then up.
  function advisedPath() {
    const path = [], smooth = (a, b) => a.kind === b.kind && a.kind !== "one model" && a.kind !== "table";
    priced.slice().sort((a, b) => a.cost[0] - b.cost[0]).forEach((s, i, all) => {
      if (i && !smooth(all[i - 1], s)) path.push([s.cost[0]].concat(all[i - 1].accuracy));
      path.push([s.cost[0]].concat(s.accuracy));
    });
    if (path.length) path.push([Math.max(path[path.length - 1][0], steps[steps.length - 1].budget)].concat(path[path.length - 1].slice(1)));
    return path;
  }
  const visible = () => Object.keys(MORE).filter((n) => D.curves && D.curves[n] && shown[n]);

  function scales(w, h) {
    const L = 34, R = 12, T = 40, B = 42, extra = visible().flatMap(curvePoints);
    const xs = singles.map((p) => p.x).concat(priced.flatMap((s) => s.cost), steps.map((s) => s.budget), extra.map((p) => p[0]), [forceX]).filter((x) => !none(x));
    const ys = singles.map((p) => p.y).concat(priced.flatMap((s) => s.accuracy), extra.map((p) => p[1]), [forceY]).filter((y) => !none(y));
    const log = xs.every((x) => x > 0);
    let x0 = Math.min(...xs), x1 = Math.max(...xs);
    if (log) { x0 /= 1.25; x1 *= 1.25; } else { x0 = Math.min(0, x0); x1 = x1 * 1.04 || 1; }
    const y0 = Math.max(0, Math.floor(Math.min(...ys) * 20 - 0.4) / 20), y1 = Math.min(1, Math.ceil(Math.max(...ys) * 20 + 0.4) / 20);
    return { w: w, h: h, L: L, R: R, T: T, B: B, log: log, x0: x0, x1: x1, y0: y0, y1: y1,
      x: (x) => L + (log ? Math.log(x / x0) / Math.log(x1 / x0) : (x - x0) / (x1 - x0)) * (w - L - R),
      y: (y) => h - B - (y - y0) / (y1 - y0 || 1) * (h - T - B) };
  }
  const d = (points, s) => points.length ? "M" + points.map((p) => s.x(p[0]).toFixed(1) + "," + s.y(p[1]).toFixed(1)).join("L") : "";

  function axes(chart, s) {
    const step = s.y1 - s.y0 > 0.5 ? 0.2 : s.y1 - s.y0 > 0.25 ? 0.1 : 0.05, bottom = s.h - s.B, right = s.w - s.R;
    for (let t = Math.ceil(s.y0 / step - 1e-9) * step; t < s.y1 + 1e-9; t += step)
      add(chart, svg("line", { "class": "grid", x1: s.L, x2: right, y1: s.y(t), y2: s.y(t) }),
        svg("text", { "class": "tick", x: s.L - 6, y: s.y(t) + 4, "text-anchor": "end" }, (100 * t).toFixed(0)));
    add(chart, svg("line", { "class": "axis", x1: s.L, x2: right, y1: bottom, y2: bottom }));
    const all = [];
    if (s.log) {
      const decades = Math.log10(s.x1 / s.x0);
      for (let e = Math.floor(Math.log10(s.x0)); e <= Math.log10(s.x1); e++)
        [1, 2, 5].forEach((f) => { if (f === 1 || decades < 3.5) all.push(Number(f + "e" + e)); });
    } else {
      const unit = Math.pow(10, Math.floor(Math.log10(s.x1)));
      for (let t = 0; t <= s.x1 * 1.0001; t += s.x1 / unit > 4 ? unit : unit / 2) all.push(Number(t.toPrecision(6)));
    }
    let end = -1e9;
    all.filter((t) => t >= s.x0 && t <= s.x1).forEach((t) => {
      const text = svg("text", { "class": "tick", x: s.x(t), y: bottom + 17, "text-anchor": "middle" }, "$" + t.toLocaleString("en", { maximumFractionDigits: 12 }));
      add(chart, text);
      const box = text.getBBox();
      if (box.x < end + 8 || box.x + box.width > s.w) text.remove();
      else {
        end = box.x + box.width;
        chart.insertBefore(svg("line", { "class": "grid", x1: s.x(t), x2: s.x(t), y1: s.T, y2: bottom + 4 }), text);
      }
    });
    add(chart, svg("text", { "class": "tick", x: (s.L + right) / 2, y: s.h - 5, "text-anchor": "middle" }, "mean cost of a query, USD" + (s.log ? ", log scale" : "")),
      svg("text", { "class": "tick", x: 0, y: 12 }, ANSWERS.toLowerCase() + ", %"));
  }

  // ---- labels: of the places around a point the best that covers no other text and no point
  const overlap = (a, b) => a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1];
  function place(f, text, px, py, far) {
    const box = text.getBBox(), w = box.width, h = box.height, rise = Number(text.getAttribute("y")) - box.y, s = f.s;
    let best = null;
    const fits = (r) => r[0] > s.L + 2 && r[2] < s.w - 2 && r[1] > s.T && r[3] < s.h - s.B - 2 && !f.taken.some((t) => overlap(r, t));
    const consider = (x, y, away) => {
      const r = [x, y, x + w, y + h];
      if (!fits(r)) return;
      const cost = away + f.soft.reduce((c, p) => c + (p[0] > r[0] - 2 && p[0] < r[2] + 2 && p[1] > r[1] - 1 && p[1] < r[3] + 1 ? p[2] : 0), 0);
      // a name that lies as near to another point as to its own could be read as the other's
      const near = f.points.reduce((c, p) => c + (p[0] > r[0] - 14 && p[0] < r[2] + 14 && p[1] > r[1] - 10 && p[1] < r[3] + 10 && (p[0] !== px || p[1] !== py) ? 14 : 0), 0);
      if ((best && cost + near >= best.cost) || (!far && cost + near > 50)) return;
      const edge = [Math.max(r[0], Math.min(px, r[2])), Math.max(r[1], Math.min(py, r[3]))], gap = Math.hypot(edge[0] - px, edge[1] - py);
      const leader = [];
      if (gap > 14) for (let t = 8; t < gap; t += 4) leader.push([px + (edge[0] - px) * t / gap, py + (edge[1] - py) * t / gap]);
      if (leader.some((p) => f.taken.some((t) => overlap([p[0] - 1, p[1] - 1, p[0] + 1, p[1] + 1], t)))) return;
      best = { cost: cost + near, box: r, edge: edge, gap: gap, leader: leader };
    };
    (far ? [8, 14, 22, 32, 46, 64, 90] : [8, 13]).forEach((r) => {
      for (let a = 0; a < 16; a++) {
        const t = Math.PI * a / 8, c = Math.cos(t), q = Math.sin(t);
        consider(px + c * (r + w / 2) - w / 2, py + q * (r + h / 2) - h / 2, r * 0.8 + (a === 0 || a === 8 ? 0 : 1) + (c < 0 ? 1 : 0));
      }
    });
    if (far && !best) for (let y = s.T + 1; y < s.h - s.B; y += 9) for (let x = s.L + 3; x < s.w - w; x += 12) consider(x, y, Math.hypot(x + w / 2 - px, y - py));
    if (!best) return null;
    fill(text, { x: best.box[0], y: best.box[1] + rise });
    f.taken.push(best.box);
    best.leader.forEach((p) => f.soft.push([p[0], p[1], 12]));
    return best.gap > 14 ? svg("line", { "class": "leader", x1: px, y1: py, x2: best.edge[0], y2: best.edge[1] }) : svg("g", {});
  }
  // points along a line, which labels rather do not cover
  function along(points, s, cost, soft) {
    points.forEach((p, i) => {
      const b = [s.x(p[0]), s.y(p[1])], a = i ? [s.x(points[i - 1][0]), s.y(points[i - 1][1])] : b, n = Math.ceil(Math.hypot(b[0] - a[0], b[1] - a[1]) / 5) || 1;
      for (let t = 1; t <= n; t++) soft.push([a[0] + (b[0] - a[0]) * t / n, a[1] + (b[1] - a[1]) * t / n, cost]);
    });
  }

  function draw(w, h) {
    const chart = $("chart"), s = scales(w, h), f = { s: s, taken: [], soft: [], points: [], labels: [], marks: [] };
    chart.textContent = "";
    fill(chart, { viewBox: "0 0 " + w + " " + h });
    axes(chart, s);
    const path = advisedPath(), low = path.filter((p) => !none(p[2])).map((p) => [p[0], p[2]]), high = path.filter((p) => !none(p[3])).map((p) => [p[0], p[3]]);
    if (low.length > 1) add(chart, svg("path", { "class": "band", d: d(high.concat(low.slice().reverse()), s) + "Z" }),
      svg("path", { "class": "edge", d: d(low, s) }), svg("path", { "class": "edge", d: d(high, s) }));
    visible().forEach((n) => add(chart, svg("path", { "class": "curve " + n, d: d(curvePoints(n), s) })));
    const held = priced.filter((s) => (s.reached || []).length); // dots: a line of no length with round ends
    if (held.length) add(chart, svg("path", { "class": "curve capped", d: held.map((q) => "M" + s.x(q.cost[0]).toFixed(1) + "," + s.y(q.accuracy[0]).toFixed(1) + "h0").join("") }));
    const line = [], corners = hull();
    corners.forEach((b, i) => {
      const a = corners[i - 1];
      for (let t = 1; a && t < 24; t++) line.push([a.x + (b.x - a.x) * t / 24, a.y + (b.y - a.y) * t / 24]);
      line.push([b.x, b.y]);
    });
    if (line.length) line.push([s.x1, line[line.length - 1][1]]); // more money buys no more
    const over = svg("path", { "class": "curve mix", d: d(line, s) });
    chart.insertBefore(svg("path", { "class": "curve advised", d: d(path, s) }), held.length ? chart.lastChild : null);
    add(chart, over);
    along(path, s, 16, f.soft);
    along(line, s, 10, f.soft);
    const points = singles.map((p) => ({ p: p, x: s.x(p.x), y: s.y(p.y) }));
    points.forEach((q) => {
      const c = svg("circle", { "class": "model", cx: q.x, cy: q.y, r: 4.2 });
      add(c, svg("title", {}, full(D.models[q.p.k].id) + ": " + pct(q.p.y) + " at " + usd(q.p.x)));
      add(chart, c);
      f.marks.push([q.p.k, c]);
      f.taken.push([q.x - 6, q.y - 6, q.x + 6, q.y + 6]);
      f.points.push([q.x, q.y]);
    });
    f.under = svg("g", {}); // the marker: above the lines, below the names
    add(chart, f.under);
    if (!none(forceX) && !none(forceY)) {
      const x = s.x(forceX), y = s.y(forceY), t = svg("text", { "class": "label used", y: y }, "in force");
      add(chart, svg("rect", { "class": "force", x: x - 7, y: y - 7, width: 14, height: 14 }), t);
      f.taken.push([x - 8, y - 8, x + 8, y + 8]);
      const leader = place(f, t, x, y, true);
      if (leader) chart.insertBefore(leader, f.under); else t.remove();
    }
    const corner = new Set(corners.map((p) => p.k));
    points.sort((a, b) => (most[b.p.k] >= 0.1) - (most[a.p.k] >= 0.1) || corner.has(b.p.k) - corner.has(a.p.k) || most[b.p.k] - most[a.p.k] || b.p.y - a.p.y).forEach((q, i) => {
      const told = most[q.p.k] >= 0.1, t = svg("text", { "class": "label used", y: q.y }, short(q.p.k, w < 500 ? 22 : 32));
      if (!told && i >= 24) return; // the others tell their names under the pointer and in the table
      add(chart, t);
      const leader = place(f, t, q.x, q.y, told || corner.has(q.p.k));
      if (!leader) return t.remove();
      chart.insertBefore(leader, f.under);
      f.labels.push([q.p.k, t]);
    });
    frame = f;
    mark();
  }

  // The marker of the slider's step: the policy where it truly is, with its intervals, and the budget as a rule.
  function mark() {
    if (!steps.length) return;
    const step = steps[now], f = frame, s = f.s, g = f.under, x = s.x(step.budget), known = !none(step.accuracy[0]) && !none(step.cost[0]);
    g.textContent = "";
    const used = new Set(step.shares.filter((p) => p[1] >= 0.005).map((p) => p[0]));
    f.marks.concat(f.labels).forEach((m) => m[1].classList.toggle("used", used.has(m[0])));
    const rule = svg("text", { "class": "ruled", id: "rule-text", x: x, y: 30, "text-anchor": "middle" }, "budget " + usd(step.budget));
    add(g, svg("line", { "class": "rule", x1: x, x2: x, y1: s.T - 4, y2: s.h - s.B }), rule);
    const box = rule.getBBox();
    fill(rule, { x: x + Math.max(0, -box.x) - Math.max(0, box.x + box.width - s.w) });
    if (!known) return;
    const cx = s.x(step.cost[0]), cy = s.y(step.accuracy[0]), over = step.over_budget ? " over" : "";
    const bar = (a, b, c, e) => add(g, svg("line", { "class": "whisker" + over, x1: a, y1: b, x2: c, y2: e }));
    if (!none(step.accuracy[1])) bar(cx, s.y(step.accuracy[1]), cx, s.y(step.accuracy[2]));
    if (!none(step.cost[1])) bar(s.x(Math.max(step.cost[1], s.x0)), cy, s.x(step.cost[2]), cy);
    add(g, svg("circle", { "class": "marker" + over, id: "marker", cx: cx, cy: cy, r: 6.5 }));
    if (!step.over_budget) return;
    const t = svg("text", { "class": "told", id: "over", y: cy }, "over budget: pays " + usd(step.cost[0])), soft = f.soft.length;
    add(g, t);
    f.taken.push([cx - 8, cy - 8, cx + 8, cy + 8]);
    let leader = place(f, t, cx, cy, true);
    if (!leader) { t.textContent = "over budget"; leader = place(f, t, cx, cy, true); }
    if (leader) { g.insertBefore(leader, t); f.taken.pop(); } else fill(t, { x: s.w - 2, y: 12, "text-anchor": "end" }); // no room: above the chart
    f.taken.pop();
    f.soft.length = soft;
  }

  function legends() {
    const swatch = (...nodes) => add(svg("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" }), ...nodes);
    const stroke = (c) => svg("line", { "class": "curve " + c, x1: 0, x2: 26, y1: 6, y2: 6 });
    const entry = (icon, text) => add($("legend"), add(el("span"), icon, document.createTextNode(text)));
    if (steps.length) entry(swatch(svg("rect", { "class": "swatch", width: 26, height: 12 }), stroke("advised")), "what is advised, with 95 %");
    entry(swatch(stroke("mix")), "the line to beat: mix of single models" + (caps.size ? ", no limits" : ""));
    if (steps.some((s) => (s.reached || []).length)) entry(swatch(svg("path", { "class": "curve capped", d: "M7,6h0M19,6h0" })), "a limit is reached");
    entry(swatch(svg("circle", { "class": "model used", cx: 6, cy: 6, r: 4.2 }), svg("circle", { "class": "model", cx: 19, cy: 6, r: 4.2 })), steps.length ? "single models; filled: used at this budget" : "single models");
    const more = Object.keys(MORE).filter((n) => D.curves && D.curves[n]);
    more.forEach((n) => {
      const box = el("input", { type: "checkbox" });
      box.checked = shown[n];
      box.addEventListener("change", () => { shown[n] = box.checked; redraw(); });
      add($("curves"), add(el("label"), box, swatch(stroke(n)), document.createTextNode(MORE[n])));
    });
    hide("more", !more.length);
    $("more").open = !steps.length;
  }

  // ---- the slider and the panel
  const zero = (v) => none(v) || none(v[0]) || (v[0] === 0 && !v[1] && !v[2]);
  const alone = (s) => s.kind === "one model" && s.shares.length === 1 ? s.shares[0][0] : -1;
  const KIND = { mix: "A mix of two models, drawn by lot", table: "A table: one model for each category", routing: "Routing: a model for each query, by its estimates",
    "one model": "One model for everything", none: "No model fits this budget" };
  function kindWords(s) {
    if (s.kind === "one model" && alone(s) >= 0) return short(alone(s)) + " for everything";
    return KIND[s.kind];
  }
  function valueText(i) {
    const s = steps[i], k = s.single;
    if (none(s.accuracy[0])) return usd(s.budget) + " a query: nothing fits this budget";
    const than = k < 0 || none(s.gain[0]) ? "" : k === alone(s) ? ", " + tail(D.models[k].id) + " alone" : ", " + pts(s.gain[0]) + " points against " + tail(D.models[k].id);
    return clean(usd(s.budget) + " a query: " + pct(s.accuracy[0]) + RIGHT + than + (s.over_budget ? ", pays " + usd(s.cost[0]) + ", over the budget" : ""));
  }
  const verdict = (v) => none(v[1]) ? "" : v[1] > 0 ? ": more than noise" : v[2] < 0 ? ": worse by more than noise" : ": may be noise";
  function stat(term, value, small, warn) {
    const row = add(el("div"), el("dt", {}, term), el("dd", {}, value));
    if (small) add(row, el("small", {}, small));
    if (warn) add(row, el("small", { "class": "warn-text" }, warn));
    add($("readout"), row);
  }
  // With as many digits as tell nearly all of a bill from all of it.
  const dearer = (saving) => (saving > 0 ? "−" : "+") + fixed(Math.abs(100 * saving), saving < 1 && [0, 1, 2, 3, 4, 5].find((d) => +fixed(100 * saving, d) < 100) || 0);
  const bill = (saving) => dearer(saving[0]) + "\u00a0%" + (none(saving[1]) ? "" : " (" + dearer(saving[2]) + " to " + dearer(saving[1]) + ")");
  function readout(s) {
    $("readout").textContent = "";
    if (none(s.accuracy[0])) return;
    stat(ANSWERS, pct(s.accuracy[0]), range(s.accuracy, pct));
    const month = (x) => usd(x * decision.volume).replace(/(\d{3}|,\d+)\.\d+$/, "$1");
    stat("Bill a query", usd(s.cost[0]), range(s.cost, usd), s.over_budget ? "Over the budget of " + usd(s.budget) + " by more than its interval" : "");
    if (decision.volume) stat("Bill for " + decision.volume.toLocaleString("en") + " queries", month(s.cost[0]), range(s.cost, month));
    if (s.single >= 0 && s.single === alone(s)) stat("The best single model at this budget", "itself");
    else if (s.single >= 0 && !none(s.gain[0])) {
      const saves = zero(s.saving) ? "" : "; its bill " + bill(s.saving);
      stat("Against " + short(s.single) + " alone, points", pts(s.gain[0]), range(s.gain, pts) + verdict(s.gain) + saves);
    }
    if (!none(s.mix_accuracy) && !zero(s.over_mix)) stat("Against the mix at equal cost, points", pts(s.over_mix[0]), range(s.over_mix, pts) + verdict(s.over_mix) + "; the mix: " + pct(s.mix_accuracy));
    if (force && alone(s) >= 0 && D.models[alone(s)].id === force.name) stat("The model in force", "itself");
    else if (force) {
      const saves = none(s.saved_of_incumbent) || none(s.saved_of_incumbent[0]) ? "" : "; its bill " + bill(s.saved_of_incumbent);
      const than = none(s.vs_incumbent) || none(s.vs_incumbent[0]) ? ["", ""] : [pts(s.vs_incumbent[0]), range(s.vs_incumbent, pts) + verdict(s.vs_incumbent) + saves + "; "];
      stat("Against " + isolate(tail(force.name), 32) + " in force, points", than[0], than[1] + (force.predicted ? "in force, predicted without correction: " : "in force: ") + pct(forceY) + " at " + usd(forceX));
    }
  }
  function who(s) {
    const idle = (s.kept || []).filter((k) => s.kind !== "none" && !s.shares.some((p) => p[0] === k)).map((k) => [k, 0]);
    const box = $("shares"), by = $("by"), all = s.shares.slice().sort((a, b) => b[1] - a[1]).concat(idle), room = s.table.length ? 4 : 7;
    $("who-title").textContent = "Who answers" + (s.kept ? ", of " + plural(s.kept.length, "model", "models") + " to keep" : "");
    const cut = all.length > room ? room - 1 : all.length, few = s.table.length > 5 ? 4 : s.table.length;
    box.textContent = "";
    by.textContent = "";
    all.slice(0, cut).forEach((p) => {
      const bar = el("i"), id = full(D.models[p[0]].id);
      bar.style.width = p[1] ? Math.max(1, 100 * p[1]) + "%" : 0;
      add(box, add(el("div", { "class": "share" }), el("span", { title: id }, short(p[0])), el("span", {}, pct(p[1], p[1] && p[1] < 0.01 ? 1 : 0) + (caps.has(p[0]) ? " of at most " + cap(p[0]) : "")), bar));
    });
    if (cut < all.length) add(box, add(el("div", { "class": "share" }), el("span", {}, all.length - cut + " others"), el("span", {}, pct(all.slice(cut).reduce((t, p) => t + p[1], 0), 0))));
    s.table.slice(0, few).forEach((c) => add(by, el("dt", { title: full(c[0]) }, full(c[0])), el("dd", { title: full(D.models[c[1]].id) }, short(c[1]))));
    if (few < s.table.length) add(by, el("dd", { "class": "rest" }, "and " + (s.table.length - few) + " more categories: in the table below"));
    hide("who", !all.length);
  }
  function categories(s) {
    if (!decision.categories.length) return;
    const by = new Map(s.table);
    table("categories", ["Category", "Queries", "Anchors", "Likeness of queries", "Likeness of anchors", "*Who answers", "*Doubt"], decision.categories.map((c) =>
      [full(c.name), c.n_queries.toLocaleString("en"), c.n_anchors.toLocaleString("en"), num(c.similarity_queries, 2), num(c.similarity_anchors, 2),
        by.has(c.name) ? short(by.get(c.name)) : alone(s) >= 0 ? short(alone(s)) : s.kind === "none" ? "–" : "by query", said(c.doubt)]));
  }
  // ---- limits: shares, the portfolio, what may be lost against the model in force
  function limits() {
    const say = (t) => add($("within"), el("li", {}, t)), sizes = D.sizes || [];
    caps.forEach((x, k) => say(full(D.models[k].id) + " answers at most " + cap(k) + " of the queries, at every budget."));
    if (force && !none(force.margin)) {
      const s = steps[force.as_good], most = "at most " + num(100 * force.margin, 1) + " points below " + full(force.name) + " with 95\u00a0%";
      say(s ? "To be " + most + ", from " + usd(s.budget) + " a query: " + said(s.sentence) : "Nothing is shown to be " + most + ".");
    }
    hide("within-section", !caps.size && !(force && !none(force.margin)) && !sizes.length);
    hide("sizes-part", !sizes.length);
    if (sizes.length) table("sizes", ["Asked", "Models", ANSWERS, "Against all models, points", "Bill a query", "*To keep"], sizes.slice().sort((a, b) => sizes.findIndex((x) => x.ask === a.ask) - sizes.findIndex((x) => x.ask === b.ask) || b.size - a.size).map((x) =>
      [asked(x.ask), x.size === D.models.length ? "all " + x.size : x.size, [pct(x.accuracy[0]), range(x.accuracy, pct)], x.size === D.models.length ? "" : pts(x.difference), [usd(x.cost[0]), range(x.cost, usd)],
        x.models ? x.models.split(", ").map(tidy).join(", ") : none(x.accuracy[0]) ? "nothing fits this budget" : "all"]));
  }
  // What is said at a step: where a target was asked for, at its step what that is.
  function answer(s) {
    const t = decision.target, what = (D.graded ? "a score" : "an accuracy") + " of " + +(100 * t).toFixed(4) + "\u00a0%";
    if (none(t) || s !== steps[decision.default] || none(s.accuracy[0])) return said(s.sentence);
    return "For " + what + (s.accuracy[0] >= t ? ": " : ", ") + (s.accuracy[0] >= t ? "" : "which nothing that is advised is told to give, the most: ") + said(s.sentence);
  }
  function show(i) {
    const s = steps[i];
    if (!s) return;
    now = i;
    $("advice").textContent = answer(s);
    $("budget-out").textContent = usd(s.budget);
    $("budget").setAttribute("aria-valuetext", valueText(i));
    $("panel-title").textContent = "At " + usd(s.budget) + " a query";
    $("kind").textContent = kindWords(s);
    readout(s);
    who(s);
    categories(s);
    document.querySelectorAll("#asked button").forEach((b) => b.setAttribute("aria-pressed", Number(b.value) === i));
    document.querySelectorAll("#steps tbody tr").forEach((r, k) => r.classList.toggle("now", k === i));
    if (frame) mark();
  }
  // The longest sentence's height, so that the slider stays where the finger is.
  function steady() {
    const p = $("advice");
    if (!steps.length) return;
    let most = 0;
    p.style.minHeight = "";
    new Set(steps.map(answer)).forEach((t) => { p.textContent = t; most = Math.max(most, Math.ceil(p.getBoundingClientRect().height)); });
    p.style.minHeight = most + "px";
    p.textContent = answer(steps[now]);
  }
  const asked = (s) => s.split(" ").map((a) => {
    const m = /^(budget|target)=([0-9.e+-]+)$/.exec(a);
    return !m ? a : m[1] === "budget" ? usd(Number(m[2])) : pct(Number(m[2])) + RIGHT;
  }).join(" ");
  function slider() {
    if (!steps.length) return;
    const bar = $("budget");
    fill(bar, { max: steps.length - 1 });
    bar.value = now;
    bar.addEventListener("input", () => show(Number(bar.value)));
    steps.forEach((s, i) => {
      if (!s.asked) return;
      const b = el("button", { type: "button", value: i }, clean(asked(s.asked)));
      b.addEventListener("click", () => { bar.value = i; show(i); });
      add($("asked"), b);
    });
    const line = (v, f) => [f(v[0]), range(v, f)];
    table("steps", ["Budget", "*What to do", ANSWERS, "Bill a query", "Against the single model, points", "Against the mix, points"], steps.map((s) =>
      [usd(s.budget), [kindWords(s), said(s.sentence)], line(s.accuracy, pct), [usd(s.cost[0]), range(s.cost, usd) + (s.over_budget ? " over budget" : "")], line(s.gain, pts), none(s.mix_accuracy) ? "–" : line(s.over_mix, pts)]));
  }

  // ---- how the estimates hold
  const ESTIMATOR = { scope: "SCOPE", anchored: "Anchored", combined: "Combined", anchor_mean: "Anchor mean", knn: "k nearest anchors", base_rate: "Base rate" };
  function reliability() {
    const s = $("reliability"), S = Math.min(344, s.clientWidth || 344), P = 38, k = (x) => P + x * (S - P - 10), q = (y) => S - P - y * (S - P - 10);
    s.textContent = "";
    fill(s, { viewBox: "0 0 " + S + " " + S, height: S });
    [0, 0.25, 0.5, 0.75, 1].forEach((t) => add(s, svg("line", { "class": "grid", x1: k(0), x2: k(1), y1: q(t), y2: q(t) }),
      svg("text", { x: k(0) - 7, y: q(t) + 4, "text-anchor": "end" }, 100 * t), svg("text", { x: k(t), y: S - P + 17, "text-anchor": "middle" }, 100 * t)));
    add(s, svg("line", { "class": "axis", x1: k(0), y1: q(0), x2: k(1), y2: q(1) }), svg("text", { x: k(0.5), y: S - 4, "text-anchor": "middle" }, D.graded ? "estimated score, %" : "estimated chance of a right answer, %"),
      svg("text", { transform: "translate(11," + q(0.5) + ") rotate(-90)", "text-anchor": "middle" }, D.graded ? "true score, %" : "truly right, %"));
    ["anchor_mean", "knn", "scope"].forEach((name) => {
      const b = D.bins.filter((x) => x.estimator === name), main = name === "scope";
      add(s, svg("path", { "class": "curve " + (main ? "advised" : name), d: b.length ? "M" + b.map((x) => k(x.mean_p).toFixed(1) + "," + q(x.mean_correct).toFixed(1)).join("L") : "" }));
      if (main) b.forEach((x) => {
        const h = 1.96 * Math.sqrt(Math.max(x.mean_correct * (1 - x.mean_correct), 0.25 / x.pairs) / x.pairs);
        add(s, svg("line", { "class": "whisker", x1: k(x.mean_p), x2: k(x.mean_p), y1: q(Math.max(0, x.mean_correct - h)), y2: q(Math.min(1, x.mean_correct + h)) }),
          add(svg("circle", { "class": "marker", cx: k(x.mean_p), cy: q(x.mean_correct), r: 4 }), svg("title", {}, "estimated " + pct(x.mean_p) + ", true " + pct(x.mean_correct) + ", " + x.pairs + " cells")));
      });
    });
  }
  function quality() {
    const scope = (D.quality || []).find((q) => q.estimator === "scope"), bins = (D.bins || []).length > 0;
    hide("quality-section", !scope);
    if (!scope) return;
    $("quality-note").textContent = "Over " + plural(scope.pairs, "pair", "pairs") + " of query and model whose truth is known. On the diagonal, estimates mean what they say: blue, SCOPE, with 95 % bars; beside it the baselines, which see the same anchors and cost no tokens.";
    if (bins) reliability(); else $("reliability").remove();
    list("quality", "Estimator", D.quality, (q) => ESTIMATOR[q.estimator] || q.estimator);
    hide("noise-section", !(D.noise || []).length);
    if ((D.noise || []).length) list("noise", "Samples", D.noise, (s) => s.samples);
  }
  function compare() {
    hide("compare-section", !D.compare);
    if (!D.compare) return;
    const at = [1, 2, 3];
    $("compare-note").textContent = "On the " + D.compare.n.toLocaleString("en") + " queries and " + D.compare.m + " models all files have; differences to the first, paired, 95 %.";
    table("compare", ["File", "Tokens a cell", "Brier", "Difference × 100", "AUC"].concat(at.map((j) => "At " + usd(D.compared[0]["budget_" + j]))), D.compared.map((f, i) => {
      const v = f.brier_difference;
      return [[full(f.file), clean(f.settings)], num(f.tokens_per_cell, 0), num(f.brier, 4), i && !none(v[0]) ? [num(100 * v[0], 2), num(100 * v[1], 2) + " to " + num(100 * v[2], 2)] : "", num(f.auc, 3)]
        .concat(at.map((j) => { const x = f["accuracy_" + j + "_difference"]; return [pct(f["accuracy_" + j]), i ? pts(x[0]) + " (" + range(x, pts) + ")" : ""]; }));
    }));
    const later = D.compared.slice(1), change = (x) => none(x) ? "–" : (x > 0 ? "+" : "") + usd(x), several = later.length > 1;
    $("nights-note").textContent = later.map((f) => [["new models", f.new_models], ["gone models", f.gone_models], ["new queries", f.new_queries], ["gone queries", f.gone_queries]]
      .filter((x) => x[1]).map((x) => x[0] + ": " + said(String(x[1]))).join("; ")).map((s, i) => s ? (several ? full(later[i].file) + ": " : "") + s + ". " : "").join("") +
      "Each file’s advice for the same budget or target, for all its queries and models. The bill is that of the policies query by query, as estimated; its change is the sum of prices, lengths, other models" +
      (D.nights.some((n) => n.bill_queries) ? " and other queries." : ".");
    const parts = ["prices", "lengths", "routing"].concat(D.nights.some((n) => n.bill_queries) ? ["queries"] : []);
    hide("nights-part", !D.nights.length);
    const whose = (n) => [asked(n.ask), several ? full(n.file) : ""];
    const told = (n, when) => {
      const right = n["accuracy_" + when], cost = n["cost_" + when];
      return none(right[0]) ? said(n["advice_" + when]) : [pct(right[0]) + RIGHT + " for " + usd(cost[0]), (none(right[1]) ? "" : "(" + range(right, pct) + "; " + range(cost, usd) + ") ") + said(n["advice_" + when])];
    };
    table("nights", ["Asked", "*Then", "*Now", "Difference, points", "*Another model answers"], D.nights.map((n) => {
      const moved = D.moves.filter((m) => m.file === n.file && m.ask === n.ask);
      return [whose(n), told(n, "before"), told(n, "after"), [pts(n.accuracy_difference[0]), range(n.accuracy_difference, pts)], none(n.bill_prices) ? "–" : [n.rerouted.toLocaleString("en") + " of " + plural(n.common, "query", "queries"),
        moved.slice(0, 3).map((m) => m.queries.toLocaleString("en") + ": " + tidy(m.before) + " → " + tidy(m.after)).join("; ") + (moved.length > 3 ? "; and others" : "")]];
    }));
    table("bill", ["Asked", "Bill, then", "Bill, now"].concat(parts.map((k) => ({ routing: "Other models", queries: "Other queries" })[k] || capital(k))), D.nights.filter((n) => !none(n.bill_prices)).map((n) =>
      [whose(n), usd(n.bill_before), usd(n.bill_after)].concat(parts.map((k) => change(n["bill_" + k])))));
    hide("repriced-title", !D.repriced.length);
    if (D.repriced.length) table("repriced", ["Model", "Price", "File", "Before", "After", "Change"], D.repriced.map((m) =>
      [full(m.model), m.quantity, full(m.file), num(m.before, m.quantity === "price of a call" ? 6 : 3), num(m.after, m.quantity === "price of a call" ? 6 : 3), m.before ? pct(m.after / m.before - 1) : "–"]));
    $("drift-title").textContent = D.drift.length ? "Moved beyond noise" : "No model moved beyond noise";
    if (D.drift.length) table("drift", ["Model", "Quantity", "File", "Before", "After", "Change", "p (Holm)"], D.drift.map((m) => {
      const digits = m.quantity === "length" ? 1 : 6;
      return [full(m.model), m.quantity, full(m.file), num(m.before, digits), num(m.after, digits), pct(m.after / m.before - 1), m.p_holm < 1e-4 ? "< 0.0001" : num(m.p_holm, 4)];
    }));
  }
  function metrics() { // one row a metric, one column a curve; then those that belong to no single curve
    hide("metrics-section", !(D.metrics || []).length);
    if (!(D.metrics || []).length) return;
    const columns = ["realised", "anchor_mean", "knn", "two_stage", "oracle"].filter((k) => D.curves[k]), rows = [], at = {};
    const cell = (v) => [num(v[0], 3), none(v[1]) ? "" : num(v[1], 3) + " to " + num(v[2], 3)];
    D.metrics.forEach((m) => {
      const c = m.curve ? columns.indexOf(m.curve) : -1;
      if (m.curve && c < 0) return;
      if (!m.curve || !at[m.name] || m.name === "regret") {
        const r = [[m.name, m.source]].concat(columns.map(() => ""), [clean(m.formula + "; " + m.detail)]);
        if (m.curve) at[m.name] = r;
        rows.push(r);
        r[1 + Math.max(c, 0)] = cell(m.value);
      } else at[m.name][1 + c] = cell(m.value);
    });
    const title = { anchor_mean: "anchor mean", two_stage: "two-stage", knn: "k nearest" };
    table("metrics", ["Metric"].concat(columns.map((k) => title[k] || k), ["*Formula, bounds, models"]), rows);
  }

  // ---- put together
  const what = truth ? ["labelled query", "labelled queries"] : ["labelled anchor", "labelled anchors"], labelled = steps.length && plural(decision.n_labelled, ...what);
  document.title = clean(D.name || "Results") + ": cost and accuracy";
  $("title").textContent = D.name ? full(D.name) : "Cost and accuracy";
  $("meta").textContent = plural(decision.n_queries, "query", "queries") + " × " + plural(D.models.length, "model", "models") +
    ({ truth: ", valued on " + labelled, anchors: ", no truth known: valued on " + labelled, both: ", valued on " + (decision.n_labelled || 0).toLocaleString("en") + " labelled queries and anchors" }[decision.valued_on] || "") +
    (D.own_prices ? ", at prices given for this report" : "") + (D.finished ? ". Estimated " + D.finished.slice(0, 10) : "");
  $("decision-note").textContent = steps.length ? "The line is what is advised at each budget, valued on " + { truth: "questions that did not choose it, with their truth", anchors: "the anchors, whose outcomes are known, and corrected for what the queries ask", both: "the queries whose truth is known and on the anchors, corrected for the rest" }[decision.valued_on] +
    "; shaded: 95\u00a0%. The budget is what is asked; the marker lies at what the policy costs. Estimates used: " + said(decision.estimate) + (decision.estimate_why ? ": " + said(decision.estimate_why) : "") + "."
    : "Every number here is what the estimator believes; the best of many estimates is optimistic about itself. Outcomes of the anchors, or of some queries, are what an advice needs.";
  if (!steps.length) $("advice").textContent = "Nothing is advised: the file holds no outcome, neither of an anchor nor of a query, that could value a policy.";
  document.querySelectorAll(".control, .panel, #steps-section").forEach((e) => { e.hidden = !steps.length; });
  legends();
  slider();
  limits();
  decision.doubts.forEach((t) => add($("doubts"), el("li", {}, said(t))));
  hide("doubts-section", !decision.doubts.length);
  hide("doubts-link", !decision.doubts.length);
  $("doubts-link").textContent = plural(decision.doubts.length, "doubt", "doubts") + " about this advice";
  hide("categories-section", !decision.categories.length);
  const order = (a, b) => (modelY(b) || 0) - (modelY(a) || 0);
  show(now);

  const unmet = (D.unmet || []).map((t) => " " + pct(t.asked) + RIGHT + " is out of reach: the best policy is estimated to give " + pct(t.best) + ".").join("");
  hide("policies-section", !(D.policies || []).length && !unmet);
  $("policies-title").textContent = "What was asked";
  $("policies-note").textContent = unmet;
  if ((D.policies || []).length) {
    if (D.policies[0].ours) $("policies-title").textContent = "Policies at parts of the best single model’s cost";
    $("policies-note").textContent = (steps.length ? "What is advised there, query by query (policies.csv), as estimated and by the truth; fitted: what the frontier of the estimates makes of the same budget." : "Policies of the estimates at exactly this estimated cost.") + " Gain and saving are against " + full(D.models[D.best].id) + ", paired over the queries." + unmet;
    list("policies", "Asked", D.policies, (a) => a.is_target ? (D.graded ? "score " : "accuracy ") + pct(a.asked) : "budget " + usd(a.asked));
  }
  $("models-note").textContent = "Each model used for every query." + (none(D.value_lambda) ? "" : " Value: what the model adds to the pool (Shapley value, in points of accuracy" +
    (D.value_lambda > 0 ? ", at " + usd(1 / D.value_lambda / 100) + " for a point of accuracy on one query" : ", money no object") + ").");
  const sorted = D.models.slice().sort(order);
  list("models", "Model", sorted, (m) => full(m.id), sorted.map((m) => m === D.models[D.best] ? "best" : m === D.models[D.cheapest] ? "cheap" : ""));
  quality();
  compare();
  metrics();
  const limit = (s) => add($("limits"), el("li", {}, s));
  if (D.n_missing) limit(plural(D.n_missing, "cell has", "cells have") + " no estimate. Such a cell is no candidate for its query: policies.csv gives the query to another model, also where one model is to answer everything. It counts neither as wrong nor as free.");
  if (D.n_empty) limit(plural(D.n_empty, "query has", "queries have") + " no valid cell at all and " + (D.n_empty === 1 ? "is" : "are") + " left out of everything.");
  if (D.n_filtered) limit(plural(D.n_filtered, "query was", "queries were") + " left out by the filters of this report.");
  if (D.n_counted) limit("The prompt tokens of " + plural(D.n_counted, "cell", "cells") + " were counted with the estimator’s tokenizer, not as the model’s provider bills them.");
  if (truth) limit("This holds for queries like these, at these prices, with one answer a query. The intervals cover the luck of the sample of queries, not a change of the traffic, the prices or the models.");
  else {
    const luck = Math.max(...steps.map((s) => s.kind === "one model" ? 0 : s.gain_luck || 0), 0);
    if (steps.length) limit("Accuracies and bills are those that these queries will show. Points over one model or over the mix are what is expected on queries like these" +
      (luck > 0 ? "; on " + (D.n === 1 ? "one query" : "these " + D.n.toLocaleString("en")) + " alone luck moves them by up to " + fixed(Math.min(100, 100 * luck), 1) + " more." : "."));
    limit("No outcome of these queries is known. " + (steps.length ? "The intervals hold as far as the queries are like the anchors; they do not cover a change of the traffic, the prices or the models." : "Nothing here tests the estimator."));
  }
  limit("A model is judged by the answers it gave once. A model that answers differently each time carries more noise than is shown.");
  limit((steps.length ? "What is advised, and what it is compared with, is valued on outcomes that did not choose it. " : "") + "Of the curves, the mix of single models and the best single model are chosen in hindsight on the same outcomes, which favours them slightly.");
  $("footer").textContent = clean(D.file) + " · digest " + D.digest + " · " + clean(D.version) + " · seed " + D.seed + ", " + D.reps + " bootstrap replicates";

  let size = "";
  const redraw = () => draw($("chart").clientWidth, $("chart").clientHeight);
  function resized() {
    const chart = $("chart"), is = chart.clientWidth + "x" + chart.clientHeight;
    if (is === size || !chart.clientWidth) return;
    steady();
    size = chart.clientWidth + "x" + chart.clientHeight;
    redraw();
    if ($("reliability") && !$("quality-section").hidden) reliability();
  }
  resized();
  new ResizeObserver(resized).observe($("chart"));
  let folded = []; // paper has its own width, and unfolds nothing
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("section details:not(.more):not([open])")];
    folded.forEach((x) => { x.open = true; });
    draw(690, 330);
  });
  addEventListener("afterprint", () => {
    folded.forEach((x) => { x.open = false; });
    redraw();
  });
})();
