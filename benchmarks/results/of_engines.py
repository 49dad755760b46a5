"""Charts of what was measured of engines."""

from collections.abc import Callable
from dataclasses import dataclass

from engines.contenders import Kind
from engines.figures import Figures, Table
from results.charts import Chart, Panel


@dataclass(frozen=True)
class Measure:
    """What is drawn of an engine's figures."""

    name: str
    unit: str
    of: Callable[[Figures], float]
    less_is_better: bool = False


PER_CPU_SECOND = Measure("tokens", "tokens per CPU-second", lambda each: each.per_cpu_second)
FIRST_CPU = Measure("first", "ms of CPU time until the last first token", lambda each: each.first_cpu * 1000, True)
PER_SECOND = Measure("tokens", "tokens per second", lambda each: each.per_second)
FIRST = Measure("first", "ms until the last first token", lambda each: each.first * 1000, True)


def charts(model: str, table: Table, kinds: dict[str, Kind], *measures: Measure) -> list[Chart]:
    """A chart for each length of prompts, precision and measure where one of ours is beside others."""
    lengths = dict.fromkeys(length for length, _ in table)
    precisions = dict.fromkeys(kind.precision for kind in kinds.values())
    cases = [(length, precision, measure) for length in lengths for precision in precisions for measure in measures]
    return [chart for case in cases if (chart := _chart(model, table, kinds, *case))]


def _chart(
    model: str, table: Table, kinds: dict[str, Kind], length: int, precision: str, measure: Measure
) -> Chart | None:
    alike = {name: kind for name, kind in kinds.items() if kind.precision == precision}
    rows = {size: _row(figures, alike, measure) for (of, size), figures in table.items() if of == length}
    ours = _last_of_ours(alike, rows)
    if not ours or max(map(len, rows.values())) < 2:
        return None
    others = [kind.name for kind in alike.values() if not kind.ours]
    panels = [_panel(size, row, ours, others, measure) for size, row in rows.items() if row]
    title = f"{model} in {precision}, {length} tokens in"
    name = f"engine-{precision}-{length}-{measure.name}"
    return Chart(name, title, measure.unit, ours, panels, measure.less_is_better)


def _row(figures: dict[str, Figures], kinds: dict[str, Kind], measure: Measure) -> dict[str, float]:
    return {kind.name: measure.of(figures[name]) for name, kind in kinds.items() if name in figures}


def _last_of_ours(kinds: dict[str, Kind], rows: dict[int, dict[str, float]]) -> str | None:
    """The executor that is named last is the one that others are compared with."""
    ours = [kind.name for kind in kinds.values() if kind.ours and any(kind.name in row for row in rows.values())]
    return ours[-1] if ours else None


def _panel(size: int, row: dict[str, float], ours: str, others: list[str], measure: Measure) -> Panel:
    """With the ratio to the best of the others."""
    found = [name for name in others if name in row]
    ratios = {}
    if ours in row and found:
        best = (min if measure.less_is_better else max)(found, key=row.__getitem__)
        ratios[best] = row[ours] / row[best]
    return Panel(f"{size} {'sequence' if size == 1 else 'sequences'}", row, ratios)
