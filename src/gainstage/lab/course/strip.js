/* The network as a strip of layers: a box a layer, its colour the level of its signal; the layer that is hovered, here or
   in any figure over layers, tells all that is known of it. */
function strip(figure, spec) {
  const [X, Y] = [spec.columns[spec.x], spec.columns[spec.y]];
  const width = Math.max(280, Math.min(figure.clientWidth || 620, 900));
  const step = (width - 4) / X.length;
  const root = svg("svg", { viewBox: `0 0 ${width} ${spec.height}`, width, height: spec.height, role: "img", tabindex: "0",
    "aria-label": `${spec.says}: ${X.length} layers, ${spec.y} from ${number(Y[0])} to ${number(Y[Y.length - 1])}. Arrow keys tell each.` });
  const boxes = X.map((x, i) => root.appendChild(svg("rect", { class: "layer", x: 2 + i * step, y: 6, width: Math.max(2, step - 3), height: spec.height - 12, rx: 3, fill: level(Y[i]) })));
  const told = document.createElement("div");
  told.className = "lab-layer";
  let at = 0;

  function show(i) {
    at = i;
    boxes.forEach((box, k) => box.classList.toggle("here", k === i));
    const words = [`${spec.x} ${X[i]}`, `${spec.y} ${number(Y[i])}`];
    for (const key of spec.more) if (key !== "histogram") words.push(key === "name" ? spec.columns.name[i] : `${key} ${number(spec.columns[key][i])}`);
    const text = document.createElement("p");
    text.textContent = words.join(" · ");
    told.replaceChildren(text, bins(spec.columns.histogram[i], spec.columns["std of the weights"][i]));
  }
  const go = (i, tell) => {
    show(Math.min(X.length - 1, Math.max(0, i)));
    if (tell) document.dispatchEvent(new CustomEvent("lab-hover", { detail: { axis: spec.x, x: X[at], from: figure } }));
  };
  root.addEventListener("pointermove", (event) => {
    const place = root.getBoundingClientRect();
    go(Math.floor(((event.clientX - place.left) / place.width) * X.length), true);
  });
  root.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    go(at + move, true);
  });
  figure.replaceChildren(heading({ ...spec, y: "colour: root mean square of the signal, blue below 1, orange above" }, 0), root, told);
  figure.hovered = ({ axis, x, from }) => from !== figure && axis === spec.x && X.includes(x) && go(X.indexOf(x), false);
  go(Math.min(at, X.length - 1), false);
}

/* Blue where the level is small, grey at 1, orange where it is large; three powers of ten to either end. */
function level(value) {
  if (!(value > 0)) return "#0b3c5d";
  const share = Math.max(-1, Math.min(1, Math.log10(value) / 3));
  const [from, to] = [[150, 150, 150], share < 0 ? [0, 90, 160] : [213, 94, 0]];
  return `rgb(${from.map((c, i) => Math.round(c + (to[i] - c) * Math.abs(share)))})`;
}

/* A histogram of weights from -3 to 3 standard deviations, with the mean and ±σ marked. */
function bins(counts, std) {
  const [w, h, most] = [9, 60, Math.max(1, ...counts)];
  const root = svg("svg", { viewBox: `0 0 ${w * counts.length} ${h + 18}`, width: w * counts.length, height: h + 18, role: "img", "aria-label": `Histogram of the weights, standard deviation ${number(std)}` });
  counts.forEach((count, i) => root.append(svg("rect", { class: "bar", x: i * w, y: h - (h * count) / most, width: w - 1, height: (h * count) / most })));
  for (const [sigma, text] of [[-1, `−σ = ${number(-std)}`], [0, "0"], [1, `σ = ${number(std)}`]]) {
    const x = (w * counts.length * (sigma + 3)) / 6;
    root.append(svg("line", { class: "cross", x1: x, x2: x, y1: 0, y2: h }), svg("text", { class: "tick", x: x + 22 * sigma, y: h + 14, "text-anchor": "middle" }, text));
  }
  return root;
}
