#!/usr/bin/env python3
"""Draws what scope-frontier wrote: frontier.png/.pdf and reliability.png/.pdf in DIR.

usage: plot.py DIR     (DIR holds frontier.h5; exit status 3: matplotlib or h5py is missing)
"""
import os
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

# curve, label, colour, line style, band
CURVES = [
    ("oracle", "oracle (knows the answers)", "#8a8a8a", ":", True),
    ("predicted", "predicted (by the estimates)", "#9ab7d3", "--", False),
    ("blind_mix", "mix of single models", "#b5a27a", "-.", False),
    ("knn", "k-nearest anchors", "#5a9a68", "-", False),
    ("anchor_mean", "anchor mean", "#c98a2b", "-", False),
    ("two_stage", "SCOPE two-stage", "#8d5a97", "-", False),
    ("posterior", "worth given the votes", "#1f5a96", "-", True),
    ("realised", "realised (cross-fitted)", "#1f5a96", "-", True),
]


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
    """PNG and PDF, each renamed when whole."""
    for kind in ("png", "pdf"):
        path = os.path.join(folder, f"{name}.{kind}")
        fig.savefig(path + ".tmp", format=kind, dpi=200, bbox_inches="tight")
        os.replace(path + ".tmp", path)


def name_points(fig, ax, points):
    """Writes each name beside its point where neither another name nor another point lies; one that finds no room
    in eight places stays away. points: (x, y, name), those that matter most first."""
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    frame = ax.get_window_extent(renderer)
    at = [ax.transData.transform((x, y)) for x, y, _ in points]
    taken = [matplotlib.transforms.Bbox.from_bounds(x - 7, y - 7, 14, 14) for x, y in at]
    halo = [matplotlib.patheffects.withStroke(linewidth=2, foreground="white")]
    for k, (x, y, name) in enumerate(points):
        for dx, dy, side in ((5, -8, "left"), (5, 3, "left"), (-5, -8, "right"), (-5, 3, "right"), (0, -12, "center"),
                             (0, 7, "center"), (5, -16, "left"), (5, 11, "left")):
            text = ax.annotate(name, (x, y), xytext=(dx, dy), textcoords="offset points", fontsize=6.5, ha=side,
                               color="#222222", zorder=7, path_effects=halo)
            box = text.get_window_extent(renderer)
            inside = box.x0 >= frame.x0 and box.x1 <= frame.x1
            if inside and not any(box.overlaps(t) for i, t in enumerate(taken) if i != k):
                taken.append(box)
                break
            text.remove()


def frontier(f, folder):
    curve = strings(f["curve"])
    cost, acc = f["cost"][()], f["accuracy"][()] * 100
    low, high = f["accuracy_low"][()] * 100, f["accuracy_high"][()] * 100
    fig, ax = plt.subplots(figsize=(6.6, 4.4))
    truth = (f["model_accuracy"][()] == f["model_accuracy"][()]).any()
    for name, label, colour, style, band in CURVES:
        i = curve.index(name)
        known = acc[i] == acc[i]
        if not known.any():
            continue
        main = name in ("realised", "posterior")
        x = cost[i]
        order = x[known].argsort(kind="stable")
        if band and (low[i] == low[i]).any():
            ax.fill_between(x[known][order], low[i][known][order], high[i][known][order], color=colour, alpha=0.16, lw=0)
        one = (x[known] == x[known][0]).all() and (acc[i][known] == acc[i][known][0]).all()  # a point: no line to see
        ax.plot(x[known][order], acc[i][known][order], style, color=colour, lw=2.2 if main else 1.2, label=label,
                zorder=5 if name == "realised" else 3, marker="D" if one else None, ms=7 if main else 5, fillstyle="none")
    x = f["model_cost" if truth else "model_predicted_cost"][()]
    y = f["model_accuracy" if truth else "model_predicted_accuracy"][()] * 100
    ax.plot(x, y, "o", color="#333333", ms=4, zorder=6, label="single models")
    if f["budget"][0] > 0 and (x[x == x] > 0).all():
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.set_xlim(left=0, right=None if (x > 0).any() or f["budget"][-1] > 0 else 1)
    ax.xaxis.set_major_formatter(FuncFormatter(dollars))
    ax.tick_params(labelsize=8)
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right")
    ax.set_xlabel("mean cost of a query (USD)")
    ax.set_ylabel("accuracy (%)" if truth else "estimated accuracy (%)")
    ax.grid(alpha=0.25, lw=0.5)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    names, hull = strings(f["model"]), f["model_on_hull"][()]
    shown = [k for k in sorted(range(len(names)), key=lambda k: (-hull[k], -y[k] if y[k] == y[k] else 0)) if y[k] == y[k]]
    if len(names) > 16:  # all would be too many to read: those that no mixture of others beats
        shown = [k for k in shown if hull[k]]
    name_points(fig, ax, [(x[k], y[k], short(names[k])) for k in shown])
    save(fig, folder, "frontier")


def reliability(f, folder):
    if "bin_mean_p" not in f or not (f["bin_mean_p"][:, 0] >= 0).any():
        return False
    fig, ax = plt.subplots(figsize=(4.2, 4.2))
    ax.plot([0, 1], [0, 1], color="#aaaaaa", lw=0.8)
    for e, (name, colour) in enumerate([("SCOPE", "#1f5a96"), ("k-nearest anchors", "#5a9a68"), ("anchor mean", "#c98a2b")]):
        p, y = f["bin_mean_p"][e, 0], f["bin_mean_correct"][e, 0]
        known = p == p
        if known.any():
            ax.plot(p[known], y[known], "o-", color=colour, ms=3.5, lw=1.6 if e == 0 else 0.9,
                    label=f"{name} (Brier {f['brier'][e, 0]:.3f}, ECE {f['ece'][e, 0]:.3f})")
    ax.set_xlabel("estimated probability of a correct answer")
    ax.set_ylabel("share that was correct")
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
