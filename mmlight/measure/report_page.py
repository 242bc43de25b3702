"""The page of :mod:`mmlight.measure.report`; what stands in comments of capitals is filled in."""

SCRIPT = r"""
// the smaller value first, numbers by value, words by letter, what is missing last
function compareCells(a, b) {
  const x = parseFloat(a), y = parseFloat(b);
  if (a === '-' || b === '-') return (a === '-') - (b === '-');
  return isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y;
}

// of [cost, accuracy, name]: those that no other one beats in both, the cheapest first
function pareto(points) {
  let best = -Infinity;
  return [...points].sort((a, b) => a[0] - b[0] || b[1] - a[1]).filter(p => p[1] > best && (best = p[1], true));
}

// of one task against one cost: a trace for each data set and a line along its best
function traces(entries, task, axis) {
  const groups = new Map();
  for (const e of entries) {
    if (e.task !== task || e.accuracy === null || e[axis] === null) continue;
    if (!groups.has(e.dataset)) groups.set(e.dataset, []);
    groups.get(e.dataset).push([e[axis], e.accuracy, e.name + (e.judged_at ? `, accuracy at ${e.judged_at}` : '')]);
  }
  const colours = ['#3366cc', '#dc3912', '#109618', '#990099', '#ff9900', '#0099c6'], found = [];
  let index = 0;
  for (const [dataset, points] of groups) {
    const colour = colours[index++ % colours.length], front = pareto(points);
    const column = (list, i) => list.map(p => p[i]);
    found.push({x: column(points, 0), y: column(points, 1), text: column(points, 2), name: dataset,
                mode: 'markers+text',
                textposition: 'top center', textfont: {size: 10}, cliponaxis: false, legendgroup: dataset,
                type: 'scatter', hovertemplate: '%{text}<br>%{x:.4g}, %{y}<extra></extra>',
                marker: {size: 10, color: colour}});
    found.push({x: column(front, 0), y: column(front, 1), mode: 'lines', type: 'scatter', hoverinfo: 'skip',
                showlegend: false, legendgroup: dataset, line: {shape: 'hv', width: 1, dash: 'dot', color: colour}});
  }
  return found;
}

// of one key: a plot for each data set, since values on different data do not compare; a single value is a dot
function curvePlots(curves) {
  const plots = new Map();
  for (const c of curves) {
    const title = c.dataset ? `${c.key} on ${c.dataset}` : c.key;
    if (!plots.has(title)) plots.set(title, {title, unit: c.unit, traces: []});
    plots.get(title).traces.push({x: c.steps, y: c.values, name: c.name, type: 'scatter',
                                  mode: c.steps.length > 50 ? 'lines' : 'lines+markers'});
  }
  return [...plots.values()];
}

function sortTable(column, descending) {
  const body = document.querySelector('#figures tbody'), text = row => row.children[column].textContent;
  const rows = [...body.rows].sort((a, b) => {
    const order = compareCells(text(a), text(b)), last = [text(a), text(b)].includes('-');
    return descending && !last ? -order : order;
  });
  rows.forEach(row => body.appendChild(row));
  document.querySelectorAll('#figures th').forEach((th, i) => {
    th.dataset.order = i === column ? (descending ? 'down' : 'up') : '';
  });
}

function start() {
  document.querySelectorAll('#figures th').forEach((th, i) => {
    th.addEventListener('click', () => sortTable(i, th.dataset.order === 'up'));
  });
  const linked = /sort=(-?)(\d+)/.exec(location.hash);
  if (linked) sortTable(Number(linked[2]), linked[1] === '-');
  const select = document.querySelector('#axis');
  for (const [key, title] of Object.entries(DATA.axes)) select.add(new Option(title, key));
  const plots = document.querySelector('#plots');
  const tasks = [...new Set(DATA.entries.map(e => e.task))];
  const draw = () => tasks.forEach(task => {
    const id = 'plot-' + task;
    let plot = document.getElementById(id);
    if (!plot) { plot = document.createElement('div'); plot.id = id; plot.className = 'plot'; plots.append(plot); }
    const shown = traces(DATA.entries, task, select.value);
    Plotly.react(plot, shown, {title: {text: task}, xaxis: {title: {text: DATA.axes[select.value]}, type: 'log'},
      yaxis: {title: {text: DATA.metrics[task]}}, hovermode: 'closest'}, {displaylogo: false, responsive: true});
  });
  select.addEventListener('change', draw);
  draw();
  const curves = document.querySelector('#curves');
  for (const one of curvePlots(DATA.curves)) {
    const plot = document.createElement('div');
    plot.className = 'plot';
    curves.append(plot);
    Plotly.newPlot(plot, one.traces, {title: {text: one.title}, xaxis: {title: {text: one.unit}}, showlegend: true},
      {displaylogo: false});
  }
  if (!DATA.curves.length) curves.textContent = 'No work dir was given.';
}

if (typeof document !== 'undefined') start();
"""

PAGE = (
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Comparison of networks</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { border: 1px solid #ddd; padding: .25em .6em; text-align: left; }
#figures th { cursor: pointer; background: #f4f4f4; }
#figures th[data-order=up]::after { content: ' \\2191'; }
#figures th[data-order=down]::after { content: ' \\2193'; }
#figures, .pictures { display: block; overflow-x: auto; }
.plot { height: 460px; margin: 1em 0; }
.setting { color: #666; font-size: 13px; }
</style>
<script><!--PLOTLY--></script>
</head>
<body>
<h1>Comparison of networks</h1>
<table id="figures"><thead><tr><!--HEAD--></tr></thead><tbody>
<!--BODY-->
</tbody></table>
<p class="setting">Milliseconds are medians, measured in one run, in turns. <!--SETTING--></p>
<h2>Accuracy against cost</h2>
<label>against <select id="axis"></select></label>
<div id="plots"></div>
<h2>Training</h2>
<div id="curves"></div>
<h2>Predictions</h2>
<!--PREDICTIONS-->
<script>const DATA = <!--DATA-->;
"""
    + SCRIPT
    + """</script>
</body>
</html>
"""
)
