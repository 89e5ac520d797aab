"""Small multiples of lines on logarithmic axes, written as SVG by hand."""

import math
from xml.sax.saxutils import escape

SERIES = {'ours': ('Lanyard', '#1b6ca8'), 'spire': ('spire-agent', '#c8553d'), 'limit': ('limit', '#7a7a7a')}
WIDTH, HEIGHT = 270, 230  # of one panel
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 34, 40
COLUMNS = 3
HEAD = 34


def ticks(low, high):
    """Marks from one at or below `low` to one at or above `high`: powers of ten, and 2 and 5 between them where there are few."""
    decades = range(math.floor(math.log10(low) - 1e-9), math.ceil(math.log10(high) + 1e-9) + 1)
    steps = (1, 2, 5) if math.log10(high / low) < 1.5 else (1,)
    marks = [step * 10 ** decade for decade in decades for step in steps]
    first = max(index for index, mark in enumerate(marks) if mark <= low * 1.0001)
    last = min(index for index, mark in enumerate(marks) if mark >= high * 0.9999)
    if last == first:
        last += 1
    return marks[first:last + 1]


def label(value):
    return f'{value:,.0f}' if value >= 1 else f'{value:g}'


class Panel:
    def __init__(self, at, title, x_title, series):
        self.x, self.y = at
        self.title, self.x_title, self.series = title, x_title, series
        points = [point for line in series.values() for point in line]
        self.x_marks = ticks(min(x for x, _ in points), max(x for x, _ in points))
        self.y_marks = ticks(min(y for _, y in points), max(y for _, y in points))

    def place(self, x, y):
        def share(value, marks):
            return math.log(value / marks[0]) / math.log(marks[-1] / marks[0])
        return (self.x + LEFT + share(x, self.x_marks) * (WIDTH - LEFT - RIGHT),
                self.y + HEIGHT - BOTTOM - share(y, self.y_marks) * (HEIGHT - TOP - BOTTOM))

    def svg(self):
        yield f'<text x="{self.x + 8}" y="{self.y + 20}" class="title">{escape(self.title)}</text>'
        left, bottom = self.place(self.x_marks[0], self.y_marks[0])
        right, top = self.place(self.x_marks[-1], self.y_marks[-1])
        for mark in self.y_marks:
            _, y = self.place(self.x_marks[0], mark)
            yield f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" class="grid"/>'
            yield f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" class="y">{label(mark)}</text>'
        for mark in self.x_marks:
            x, _ = self.place(mark, self.y_marks[0])
            yield f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" class="grid"/>'
            yield f'<text x="{x:.1f}" y="{bottom + 15:.1f}" class="x">{label(mark)}</text>'
        yield f'<text x="{(left + right) / 2:.1f}" y="{bottom + 31:.1f}" class="x">{escape(self.x_title)}</text>'
        for name in reversed([name for name in SERIES if name in self.series]):  # ours on top
            colour = SERIES[name][1]
            places = [self.place(x, y) for x, y in sorted(self.series[name])]
            yield f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" fill="none" stroke="{colour}" stroke-width="2"/>'
            yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)


def chart(panels):
    """`panels`: (title, title of the x axis, {series: [[x, y]…]}) each."""
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = COLUMNS * WIDTH, HEAD + rows * HEIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#222">',
        '<style>.title{font-size:12px;font-weight:600}.y{text-anchor:end}.x{text-anchor:middle}.grid{stroke:#ddd;fill:none}</style>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>']
    x = 12
    for name, colour in SERIES.values():
        lines.append(f'<path d="M{x} 20H{x + 22}" stroke="{colour}" stroke-width="3"/>'
                     f'<text x="{x + 28}" y="24" font-size="12">{name}</text>')
        x += 48 + 8 * len(name)
    for index, (title, x_title, series) in enumerate(panels):
        at = (index % COLUMNS * WIDTH, HEAD + index // COLUMNS * HEIGHT)
        lines.extend(Panel(at, title, x_title, series).svg())
    return '\n'.join([*lines, '</svg>', ''])
