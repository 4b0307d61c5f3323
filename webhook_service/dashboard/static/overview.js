"use strict";

// The chart: messages as bars, deliveries that made none as dots. Dragging zooms, a click leads to the messages.
const holder = document.getElementById("chart");
const reading = document.getElementById("reading");
const HEIGHT = 220; // pixels
const DAY = 86400; // seconds
const HOURS_SHOWN = 4 * DAY; // a zoomed range up to this is shown by the hour

if (holder && window.uPlot) {
  const data = JSON.parse(holder.dataset.chart);
  const names = [...document.querySelectorAll(".legend [data-series]")]
    .map((entry) => entry.dataset.series)
    .filter((name) => name === "messages" || data[name].some(Boolean));
  holder.hidden = reading.hidden = false;
  let chart = draw(data, names);
  const redraw = () => { chart.destroy(); chart = draw(data, names); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(() => chart.setSize({ width: holder.clientWidth, height: HEIGHT })).observe(holder);
}

function draw(data, names) {
  const style = getComputedStyle(holder);
  const axis = { stroke: style.color, font: "12px system-ui, sans-serif", grid: { stroke: style.borderTopColor, width: 1 }, ticks: { show: false } };
  const options = {
    width: holder.clientWidth,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: 4 } },
    scales: { x: { range: [data.starts[0] - data.length / 2, data.starts.at(-1) + data.length / 2] }, y: { range: (_chart, _least, most) => [0, Math.max(most, 4) * 1.05] } },
    axes: [{ ...axis, size: 32, values: (_chart, marks) => marks.map((mark) => label(mark, data.length)) }, { ...axis, size: 48, values: (_chart, marks) => marks.map((mark) => (Number.isInteger(mark) ? mark.toLocaleString("en") : "")) }],
    series: [{}, ...names.map((name) => series(name))],
    hooks: { setSelect: [(chart) => zoom(chart, data)], setCursor: [(chart) => read(chart, data, names)] },
  };
  const chart = new uPlot(options, [data.starts, ...names.map((name) => (name === "messages" ? data[name] : data[name].map((count) => count || null)))], holder);
  chart.over.addEventListener("click", () => {
    const { idx } = chart.cursor;
    if (idx !== null && !chart.select.width) lead(holder.dataset.messages, data.starts[idx], data.starts[idx] + data.length);
  });
  return chart;
}

// Writes a place on the axis of time: a day, or an hour that is not a day's first.
function label(seconds, length) {
  if (length < DAY && seconds % DAY) return moment(seconds).slice(11);
  return new Date(seconds * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
}

function series(name) {
  const color = getComputedStyle(document.querySelector(`.legend [data-series="${name}"] i`)).color;
  if (name === "messages") return { label: name, fill: color, stroke: color, width: 0, paths: uPlot.paths.bars({ size: [0.8, 64] }), points: { show: false } };
  return { label: name, stroke: color, paths: () => null, points: { show: true, size: 9, width: 1.5, fill: color, stroke: getComputedStyle(document.body).backgroundColor } };
}

function zoom(chart, data) {
  if (chart.select.width < 4) return;
  const first = chart.posToIdx(chart.select.left);
  const last = chart.posToIdx(chart.select.left + chart.select.width);
  const [since, until] = [data.starts[first], data.starts[last] + data.length];
  lead(holder.dataset.overview, since, until, until - since <= HOURS_SHOWN ? "hour" : "day");
}

// Leads to a page with a range of time for its filter.
function lead(path, since, until, interval) {
  const url = new URL(path, location.href);
  url.searchParams.set("since", moment(since));
  url.searchParams.set("until", moment(until));
  if (interval) url.searchParams.set("interval", interval);
  location.assign(url);
}

function moment(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 16); // without a zone: pages read it as UTC
}

function read(chart, data, names) {
  const { idx } = chart.cursor;
  if (idx === null || idx === undefined) return;
  const counts = names.map((name) => `${data[name][idx].toLocaleString("en")} ${name}`);
  const start = moment(data.starts[idx]).replace("T", " ");
  reading.textContent = `${data.length < DAY ? start : start.slice(0, 10)} · ${counts.join(" · ")}`;
}
