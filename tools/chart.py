#!/usr/bin/env python3
"""Draws `colrow bench scaling --output-json F` as an SVG: decode speed-up over ranks, one line a batch, beside the ideal.

usage: tools/chart.py F.json OUT.svg
"""
import json
import sys

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 400, 60, 50, 30
COLOURS = ["#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed"]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        points = json.load(file)["points"]
    ranks = sorted({p["tensor_parallel_size"] for p in points})
    top = max(max(p["speed_up"] for p in points), ranks[-1] / ranks[0]) * 1.05

    def x(tp):
        return LEFT + (WIDTH - LEFT - 120) * (ranks.index(tp) / max(len(ranks) - 1, 1))

    def y(speed_up):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * speed_up / top

    def line(values, colour, label, dash=""):
        path = " ".join(f"{x(tp):.1f},{y(v):.1f}" for tp, v in values)
        dots = "".join(f'<circle cx="{x(tp):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"/>' for tp, v in values)
        end = values[-1]
        return (f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>{dots}'
                f'<text x="{x(end[0]) + 8:.1f}" y="{y(end[1]) + 4:.1f}" fill="{colour}">{label}</text>')

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             f'<text x="{LEFT}" y="18" font-weight="bold">decode speed-up over ranks</text>']
    for tp in ranks:
        parts.append(f'<text x="{x(tp):.1f}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{tp}</text>')
    for tick in range(0, int(top) + 1):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 110}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#e5e7eb"/>'
                     f'<text x="{LEFT - 10}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - 120) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">tensor-parallel size</text>')
    parts.append(line([(tp, tp / ranks[0]) for tp in ranks], "#9ca3af", "ideal", "4 4"))
    for i, batch in enumerate(sorted({p["batch"] for p in points})):
        values = sorted((p["tensor_parallel_size"], p["speed_up"]) for p in points if p["batch"] == batch)
        parts.append(line(values, COLOURS[i % len(COLOURS)], f"batch {batch}"))
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write("\n".join(parts) + "\n</svg>\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main()
