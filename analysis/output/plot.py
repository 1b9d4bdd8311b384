#!/usr/bin/env python3
"""Draws what scope-frontier wrote: frontier.png/.pdf and reliability.png/.pdf in DIR.

usage: plot.py DIR     (DIR holds frontier.h5; exit status 3: matplotlib or h5py is missing)
"""
import os
import secrets
import signal
import sys
import warnings

signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `scope-frontier ... | head` is no error

try:
    import h5py
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.patheffects
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
except ImportError:
    sys.exit(3)

warnings.filterwarnings("ignore", message="Glyph .* missing")  # names in scripts that the font lacks: boxes

# curve, label, colour, line style
CURVES = [
    ("oracle", "oracle (knows the answers)", "#7c848c", ":"),
    ("predicted", "predicted (by the estimates)", "#7c848c", "--"),
    ("knn", "k-nearest anchors", "#3f7a4d", "-"),
    ("anchor_mean", "anchor mean", "#a8402f", (0, (4, 3))),
    ("two_stage", "SCOPE two-stage", "#84528f", "-"),
    ("posterior", "worth given the votes", "#84528f", "-"),
    ("realised", "realised (cross-fitted)", "#946012", "-"),
    ("blind_mix", "mix of single models", "#1c2127", (0, (4, 2))),
]
MAIN, EDGE = "#1f5a96", "#7391b2"

def strings(dataset):
    return [s.decode() if isinstance(s, bytes) else s for s in dataset[()]]


def short(model):
    """What follows the last slash of an id, cut, with nothing that matplotlib would read as mathematics."""
    name = model.rsplit("/", 1)[-1] or model
    name = "".join(c if c.isprintable() else "?" for c in name)
    return (name if len(name) <= 32 else name[:29] + "...").replace("$", r"\$")


def dollars(x, _=None):
    return f"${x:.10f}".rstrip("0").rstrip(".") if x else "$0"


def save(fig, folder, name):
    """PNG and PDF, each renamed when whole. The names until then are as sg_temp_open's (src/base/file.h): where others can
    write, nobody can guess them and put a link there; scope-frontier removes what a killed call leaves."""
    for kind in ("png", "pdf"):
        path = os.path.join(folder, f"{name}.{kind}")
        temp = f"{path}.tmp.{secrets.randbits(64):020d}"
        with open(temp, "xb") as f:
            fig.savefig(f, format=kind, dpi=200, bbox_inches="tight")
        os.replace(temp, path)


def name_points(fig, ax, points, lines):
    """Writes each name beside its point where neither another name nor another point lies, and over as little of the
    lines as can be; one that finds no room stays away. points: (x, y, name), those that matter most first."""
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    frame = ax.get_window_extent(renderer)
    unit = fig.dpi / 72
    at = [ax.transData.transform((x, y)) for x, y, _ in points]
    taken = [matplotlib.transforms.Bbox.from_bounds(x - 3.5 * unit, y - 3.5 * unit, 7 * unit, 7 * unit) for x, y in at]
    path = [p for line in lines for p in dense(ax.transData.transform(line.get_xydata()), 3 * unit)]
    halo = [matplotlib.patheffects.withStroke(linewidth=2, foreground="white")]
    for k, (x, y, name) in enumerate(points):
        text = ax.annotate(name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=7.5, color="#222222",
                           zorder=7, path_effects=halo, va="bottom")
        box = text.get_window_extent(renderer)
        places = []
        for far in (5, 9, 14):
            for dx, dy in ((1, 0), (-1, 0), (1, -1), (-1, -1), (1, 1), (-1, 1), (0, -1), (0, 1), (0.5, -1), (0.5, 1), (-0.5, -1), (-0.5, 1)):
                left = dx * far * unit + (dx - 1) / 2 * box.width
                low = dy * far * unit + (dy - 1) / 2 * box.height
                b = matplotlib.transforms.Bbox.from_bounds(at[k][0] + left, at[k][1] + low, box.width, box.height)
                inside = b.x0 >= frame.x0 and b.x1 <= frame.x1 and b.y0 >= frame.y0 and b.y1 <= frame.y1
                if inside and not any(b.overlaps(t) for i, t in enumerate(taken) if i != k):
                    crossed = sum(b.x0 < px < b.x1 and b.y0 < py < b.y1 for px, py in path)
                    places.append((crossed + far / 3, left / unit, low / unit, b))
        if not places:
            text.remove()
            continue
        _, dx, dy, b = min(places, key=lambda p: p[0])
        text.xyann = (dx, dy)
        taken.append(b)


def dense(points, gap):
    """Points no more than gap apart along a line."""
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        n = int(max(abs(x1 - x0), abs(y1 - y0)) / gap) + 1
        yield from ((x0 + (x1 - x0) * i / n, y0 + (y1 - y0) * i / n) for i in range(n))


def banded(ax, x, y, low, high, label, step):
    """The line that counts, with its intervals; step: what is bought stays until something better can be paid."""
    known = (low == low) & (high == high)
    ax.fill_between(x[known], low[known], high[known], color=MAIN, alpha=0.14, lw=0, step=step)
    style = {"drawstyle": "steps-" + step} if step else {}
    for edge in (low, high):
        ax.plot(x[known], edge[known], color=EDGE, lw=0.7, zorder=2, **style)
    return ax.plot(x, y, color=MAIN, lw=2.4, label=label, zorder=5, marker="D" if len(set(zip(x, y))) == 1 else None, ms=7,
                   fillstyle="none", **style)[0]


def advised(f, ax):
    """What the decision advises at each budget, where the file has it and something was advised."""
    if "decision_accuracy" not in f:
        return []
    x, y, low, high = (f["decision_" + name][()] for name in ("step", "accuracy", "accuracy_low", "accuracy_high"))
    order = [i for i in x.argsort(kind="stable") if y[i] == y[i]]
    if not order:
        return []
    order.append(order[-1])  # more money buys nothing better: the last step goes on a little
    x, y, low, high = x[order], 100 * y[order], 100 * low[order], 100 * high[order]
    x[-1] *= 1.5
    return [banded(ax, x, y, low, high, "advised at this budget, with 95 %", "post")]


def graded(f):
    return f.attrs.get("measure") in ("score", b"score")


def frontier(f, folder):
    curve = strings(f["curve"])
    cost, acc = f["cost"][()], f["accuracy"][()] * 100
    low, high = f["accuracy_low"][()] * 100, f["accuracy_high"][()] * 100
    fig, ax = plt.subplots(figsize=(7, 4.6))
    truth = (f["model_accuracy"][()] == f["model_accuracy"][()]).any()
    present = [name for name, *_ in CURVES if (acc[curve.index(name)] == acc[curve.index(name)]).any()]
    lines = advised(f, ax)
    main = None if lines else "realised" if "realised" in present else "posterior"
    for name, label, colour, style in CURVES:
        i = curve.index(name)
        known = acc[i] == acc[i]
        if not known.any():
            continue
        order = cost[i][known].argsort(kind="stable")
        x, y = cost[i][known][order], acc[i][known][order]
        if name == main:
            lines.append(banded(ax, x, y, low[i][known][order], high[i][known][order], label, None))
            continue
        one = (x == x[0]).all() and (y == y[0]).all()  # a point: no line to see
        lines += ax.plot(x, y, linestyle=style, color=colour, lw=1.7 if name == "blind_mix" else 1.1, label=label,
                         zorder=4 if name == "blind_mix" else 3, marker="D" if one else None, ms=5, fillstyle="none")
    x = f["model_cost" if truth else "model_predicted_cost"][()]
    y = f["model_accuracy" if truth else "model_predicted_accuracy"][()] * 100
    ax.plot(x, y, "o", color="#1c2127", markerfacecolor="white", ms=4.5, zorder=6, label="single models")
    if f["budget"][0] > 0 and (x[x == x] > 0).all():
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.minorticks_off()
    else:
        ax.set_xlim(left=0, right=None if (x > 0).any() or f["budget"][-1] > 0 else 1)
    ax.xaxis.set_major_formatter(FuncFormatter(dollars))
    ax.tick_params(labelsize=8, colors="#4f5963")
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right")
    ax.set_xlabel("mean cost of a query (USD)", fontsize=9)
    ax.set_ylabel(("mean score (%)" if graded(f) else "right answers (%)") if truth else
                  ("mean score as estimated (%)" if graded(f) else "right answers as estimated (%)"), fontsize=9)
    ax.grid(alpha=0.25, lw=0.5)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(fontsize=7.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=3)
    names, hull = strings(f["model"]), f["model_on_hull"][()]
    shown = [k for k in sorted(range(len(names)), key=lambda k: (-hull[k], -y[k] if y[k] == y[k] else 0)) if y[k] == y[k]]
    if len(names) > 16:  # all would be too many to read: those that no mixture of others beats
        shown = [k for k in shown if hull[k]]
    name_points(fig, ax, [(x[k], y[k], short(names[k])) for k in shown], lines + 3 * lines[:1])
    save(fig, folder, "frontier")


def reliability(f, folder):
    if "bin_mean_p" not in f or not (f["bin_mean_p"][:, 0] >= 0).any():
        return False
    fig, ax = plt.subplots(figsize=(4.2, 4.2))
    ax.plot([0, 1], [0, 1], color="#7c848c", lw=0.8)
    for e, (name, colour) in enumerate([("SCOPE", MAIN), ("k-nearest anchors", "#3f7a4d"), ("anchor mean", "#a8402f")]):
        p, y = f["bin_mean_p"][e, 0], f["bin_mean_correct"][e, 0]
        known = p == p
        if known.any():
            ax.plot(p[known], y[known], "o-", color=colour, ms=3.5, lw=1.6 if e == 0 else 0.9,
                    label=f"{name} (Brier {f['brier'][e, 0]:.3f}, ECE {f['ece'][e, 0]:.3f})")
    ax.set_xlabel("estimated score" if graded(f) else "estimated probability of a correct answer")
    ax.set_ylabel("mean score" if graded(f) else "share that was correct")
    ax.set_aspect("equal")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    save(fig, folder, "reliability")
    return True


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    with h5py.File(os.path.join(folder, "frontier.h5"), "r") as f:
        frontier(f, folder)
        drawn = "frontier"
        if reliability(f, folder):
            drawn += " and reliability"
    print(f"Drawn in {folder}: {drawn}, as PNG and PDF")


if __name__ == "__main__":
    main()
