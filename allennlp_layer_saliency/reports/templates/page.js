"use strict";
// All that came from a text or a model is set as text, never as markup.
(function () {
  const STEPS = {{ steps }};
  const PER_PAGE = 25;
  const byId = (id) => document.getElementById(id);

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // Tables: a click on a column's title sorts by it.
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const titles = [...table.tHead.rows[0].cells];
    titles.forEach((title, column) => {
      title.querySelector("button").addEventListener("click", () => {
        const descending = title.getAttribute("aria-sort") !== "descending";
        titles.forEach((other) => other.removeAttribute("aria-sort"));
        title.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [a, b].map((row) => row.cells[column].textContent);
          const [u, v] = [parseFloat(x), parseFloat(y)];
          const order = isNaN(u) || isNaN(v) ? (isNaN(u) - isNaN(v)) || x.localeCompare(y) : u - v;
          return descending && !(isNaN(u) !== isNaN(v)) ? -order : order;
        });
        body.append(...rows);
      });
    });
  }

  if (byId("data")) {
    const packed = Uint8Array.from(atob(byId("data").textContent.trim()), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    new Response(stream).json().then(start);
  }

  function start(data) {
    const shown = new Set(data.sources.map((_, i) => i));
    let page = 0;
    let layers = [];
    for (const text of data.texts) {
      text.search = text.views.map((view) => joined(view)).join(" ").toLowerCase();
      for (const view of text.views)
        for (const layer of view.layers || []) if (layer.l !== null) layers.push(layer.l);
    }
    layers = [...new Set(layers)].sort((a, b) => a - b);
    const several = data.texts.some((text) => text.views.some((view) => (view.layers || []).length > 1));

    function joined(view) {
      if (!view.tokens) return "";
      return view.tokens
        .map((token, i) => (view.special[i] ? "" : (view.gaps[i] ? " " : "") + data.pieces[token]))
        .join("");
    }

    function options(select, name) {
      const values = [...new Set(data.texts.map((text) => text[name]).filter((v) => v !== undefined))];
      for (const value of values.sort()) select.append(new Option(value, value));
      select.parentElement.hidden = values.length === 0;
    }
    options(byId("gold"), "gold");
    options(byId("predicted"), "predicted");
    byId("wrong").parentElement.hidden = byId("gold").parentElement.hidden;
    const slider = byId("layer");
    if (several) {
      byId("layer-control").hidden = false;
      slider.max = layers.length - 1;
      slider.value = Math.max(0, layers.length - 2);
    }
    if (data.sources.length > 1) {
      byId("sources").hidden = false;
      data.sources.forEach((name, i) => {
        const box = element("input");
        box.type = "checkbox";
        box.checked = true;
        box.addEventListener("change", () => {
          if (box.checked) shown.add(i); else shown.delete(i);
          draw();
        });
        const label = element("label");
        label.append(box, " ", name);
        byId("sources").append(label);
      });
    }

    function matching() {
      const words = byId("search").value.toLowerCase();
      const [gold, predicted] = [byId("gold").value, byId("predicted").value];
      const [low, high] = [byId("lowest").value / 100, byId("highest").value / 100];
      const found = data.texts.filter((text) =>
        text.search.includes(words) &&
        (!gold || text.gold === gold) &&
        (!predicted || text.predicted === predicted) &&
        (!byId("wrong").checked || (text.gold !== undefined && text.gold !== text.predicted)) &&
        (text.p === undefined || (text.p >= low && text.p <= high)));
      const order = byId("order").value;
      if (order !== "given") {
        const sign = order === "unsure" ? 1 : -1;
        found.sort((a, b) => sign * ((a.p === undefined ? 2 : a.p) - (b.p === undefined ? 2 : b.p)));
      }
      return found;
    }

    function draw() {
      const found = matching();
      const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
      page = Math.min(page, pages - 1);
      byId("count").textContent = found.length + " of " + data.texts.length + " texts";
      byId("page").textContent = "page " + (page + 1) + " of " + pages;
      byId("previous").disabled = page === 0;
      byId("next").disabled = page === pages - 1;
      byId("layer-shown").textContent = several ? layers[slider.value] : "";
      byId("texts").replaceChildren(
        ...found.slice(page * PER_PAGE, (page + 1) * PER_PAGE).map(card));
    }

    function card(text) {
      const made = element("article");
      const parts = [text.id === undefined ? "" + text.n : "" + text.id];
      if (text.gold !== undefined) parts.push("true: " + text.gold);
      if (text.predicted !== undefined)
        parts.push("predicted: " + text.predicted + (text.p === undefined ? "" : " " + Math.round(100 * text.p) + " %"));
      made.append(element("h2", "", parts.join("   ")));
      if (text.gold !== undefined && text.gold !== text.predicted) made.classList.add("wrong");
      const views = element("div", "views");
      for (const view of text.views) if (shown.has(view.source)) views.append(drawView(view));
      made.append(views);
      return made;
    }

    function layerOf(view) {
      if (view.layers.length === 1) return view.layers[0];
      const wanted = layers[slider.value];
      return view.layers.find((layer) => layer.l === wanted) || view.layers[view.layers.length - 1];
    }

    function colour(made, share) {
      const size = Math.abs(share);
      if (size > 0) made.classList.add(share > 0 ? "for" : "against");
      if (size > 0.6) made.classList.add("strong");
      made.style.setProperty("--share", size.toFixed(3));
    }

    function amount(layer, steps) {
      const value = (steps / STEPS) * layer.m;
      return (layer.signed && value > 0 ? "+" : "") + Number(value.toPrecision(2));
    }

    function drawView(view) {
      const made = element("section", "view");
      const heading = [];
      if (data.sources.length > 1) heading.push(data.sources[view.source]);
      if (view.error !== undefined) {
        made.append(element("h3", "", heading.join("")), element("p", "error", view.error));
        return made;
      }
      const layer = layerOf(view);
      if (view.target) heading.push(view.target);
      if (layer.l !== null) heading.push("layer " + layer.l);
      if (layer.lost) heading.push("lost " + layer.lost);
      made.append(element("h3", "", heading.join("   ")));
      const words = element("p", "words");
      const detail = element("p", "detail");
      detail.setAttribute("aria-live", "polite");
      const spans = view.tokens.map((token, i) => {
        const word = element("span", view.special[i] ? "word special" : "word", data.pieces[token]);
        colour(word, layer.s[i] / STEPS);
        word.tabIndex = i === 0 ? 0 : -1;
        word.setAttribute("aria-label", data.pieces[token] + ", " + amount(layer, layer.s[i]));
        const show = () => explain(view, layer, i, detail, spans);
        word.addEventListener("mouseenter", show);
        word.addEventListener("focus", show);
        return word;
      });
      spans.forEach((word, i) => {
        if (view.gaps[i] && i) words.append(" ");
        words.append(word);
      });
      // One stop of the tab key for a text; arrows go from word to word.
      words.addEventListener("keydown", (event) => {
        const at = spans.indexOf(document.activeElement);
        const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: spans.length - 1 }[event.key];
        if (at < 0 || to === undefined || !spans[to]) return;
        event.preventDefault();
        spans[at].tabIndex = -1;
        spans[to].tabIndex = 0;
        spans[to].focus();
      });
      made.append(words, detail);
      if (layer.v && layer.v.length)
        made.append(element("p", "note vocabulary", "most salient words of the vocabulary: " + listed(layer.v, (score) => (score > 0 ? "+" : "") + score)));
      if (view.layers.length > 1) made.append(heatMap(view));
      return made;
    }

    function listed(pairs, shownAs) {
      const parts = [];
      for (let i = 0; i < pairs.length; i += 2) parts.push(data.pieces[pairs[i]] + " " + shownAs(pairs[i + 1]));
      return parts.join(", ");
    }

    function explain(view, layer, i, detail, spans) {
      spans.forEach((word) => word.classList.remove("giver"));
      const lines = [element("b", "", data.pieces[view.tokens[i]]), " " + amount(layer, layer.s[i])];
      if (layer.d && layer.d[i].length)
        lines.push("; decodes to: " + listed(layer.d[i], (percent) => percent + " %"));
      if (layer.f && layer.f[i].length) {
        const givers = [];
        for (let k = 0; k < layer.f[i].length; k += 2) {
          const giver = layer.f[i][k];
          spans[giver].classList.add("giver");
          givers.push(data.pieces[view.tokens[giver]] + " (" + (giver + 1) + ") " + amount(layer, layer.f[i][k + 1]));
        }
        lines.push("; given by: " + givers.join(", "));
      }
      detail.replaceChildren(...lines);
    }

    function heatMap(view) {
      const details = element("details");
      details.append(element("summary", "", "all layers"));
      details.addEventListener("toggle", () => {
        if (!details.open || details.children.length > 1) return;
        const scrolled = element("div", "scrolled");
        scrolled.tabIndex = 0;
        const table = element("table", "map");
        const head = table.createTHead().insertRow();
        head.append(element("th", "", "layer"));
        for (const token of view.tokens) head.append(element("th", "", data.pieces[token]));
        const body = table.createTBody();
        for (const layer of view.layers.slice().reverse()) {
          const row = body.insertRow();
          const name = element("th", "", "" + layer.l);
          name.scope = "row";
          row.append(name);
          view.tokens.forEach((token, i) => {
            const decoded = layer.d && layer.d[i].length ? data.pieces[layer.d[i][0]] : "";
            const cell = element("td", "", decoded);
            colour(cell, layer.s[i] / STEPS);
            cell.title = data.pieces[token] + ", layer " + layer.l + ": " + amount(layer, layer.s[i]);
            row.append(cell);
          });
        }
        scrolled.append(table);
        details.append(scrolled);
      });
      return details;
    }

    for (const id of ["search", "gold", "predicted", "wrong", "lowest", "highest", "order"])
      byId(id).addEventListener("input", () => { page = 0; draw(); });
    slider.addEventListener("input", draw);
    byId("previous").addEventListener("click", () => { page -= 1; draw(); });
    byId("next").addEventListener("click", () => { page += 1; draw(); });
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    draw();
    // When it could be used, in ms; benchmarks/report_page.py reads it.
    document.documentElement.dataset.ready = performance.now();
  }
})();
