// A sparkline: the last values of one metric as a small SVG.

const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function spark(points, { label, show, width = 120, height = 28, floor = null, slots = 60 }) {
  const made = svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
  const values = (points ?? []).slice(-slots);
  const known = values.filter((value) => value !== null);
  if (known.length < 2) {
    made.setAttribute("aria-label", `${label}: no history yet`);
    made.append(svg("line", { x1: 0, y1: height - 1, x2: width, y2: height - 1, class: "base" }));
    return made;
  }
  const least = Math.min(...known);
  const most = Math.max(...known);
  made.setAttribute("aria-label", `${label}: now ${show(known.at(-1))}, between ${show(least)} and ${show(most)}`);
  // A flat line stays in the middle; small changes of a large number do not look like a storm.
  const low = floor ?? least - 0.05 * Math.abs(least) - 0.5;
  const high = Math.max(most + 0.05 * Math.abs(most), low + 1);
  const step = width / (slots - 1);
  const start = slots - values.length;
  const at = values.map((value, index) => value === null ? null : [
    (start + index) * step, height - 2 - ((value - low) / (high - low)) * (height - 4),
  ]).filter((point) => point !== null);
  const line = at.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  made.append(
    svg("polygon", { points: `${at[0][0].toFixed(1)},${height} ${line} ${at.at(-1)[0].toFixed(1)},${height}`, class: "area" }),
    svg("polyline", { points: line, class: "line", "vector-effect": "non-scaling-stroke" }),
  );
  return made;
}
