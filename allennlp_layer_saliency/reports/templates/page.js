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
    if (window.DecompressionStream) {
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      new Response(stream).json().then(start);
    } else {
      byId("count").textContent = "This browser is too old to unpack the texts; it needs DecompressionStream.";
    }
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

    function gap(view, i) {
      return view.gaps[i] === 1 ? " " : view.gaps[i] || "";
    }

    function joined(view) {
      if (!view.tokens) return "";
      return view.tokens
        .map((token, i) => (view.special[i] ? "" : gap(view, i) + data.pieces[token]))
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

    function isWrong(text) {
      return text.gold !== undefined && text.predicted !== undefined && text.gold !== text.predicted;
    }

    function matching() {
      const words = byId("search").value.toLowerCase();
      const [gold, predicted] = [byId("gold").value, byId("predicted").value];
      const [low, high] = [byId("lowest").value / 100, byId("highest").value / 100];
      const found = data.texts.filter((text) =>
        text.search.includes(words) &&
        (!gold || text.gold === gold) &&
        (!predicted || text.predicted === predicted) &&
        (!byId("wrong").checked || isWrong(text)) &&
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
      showLayer();
      byId("texts").replaceChildren(
        ...found.slice(page * PER_PAGE, (page + 1) * PER_PAGE).map(card));
    }

    // What is shown stays as it is, but for the colours and what belongs to them.
    function showLayer() {
      if (several) {
        byId("layer-shown").textContent = layers[slider.value];
        slider.setAttribute("aria-valuetext", "layer " + layers[slider.value]);
      }
      for (const view of document.querySelectorAll(".view")) if (view.showLayer) view.showLayer();
    }

    function parts(heading, texts) {
      heading.replaceChildren(...texts.flatMap((text) => [element("span", "", text), " "]));
    }

    function card(text) {
      const made = element("article");
      const said = [text.id === undefined ? "text " + text.n : "" + text.id];
      if (text.gold !== undefined) said.push("true: " + text.gold);
      if (text.predicted !== undefined)
        said.push("predicted: " + text.predicted + (text.p === undefined ? "" : " " + Math.round(100 * text.p) + " %"));
      const heading = element("h2");
      parts(heading, said);
      made.append(heading);
      if (isWrong(text)) made.classList.add("wrong");
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
      made.classList.toggle("for", share > 0);
      made.classList.toggle("against", share < 0);
      made.style.setProperty("--share", Math.abs(share).toFixed(3));
    }

    function amount(layer, steps) {
      const value = (steps / STEPS) * layer.m;
      return (layer.signed && value > 0 ? "+" : "") + Number(value.toPrecision(2));
    }

    // One stop of the tab key for all of them; arrows go from one to the next, in rows if there are several.
    function roving(container, rows) {
      const all = rows.flat();
      all.forEach((made, i) => { made.tabIndex = i ? -1 : 0; });
      container.addEventListener("keydown", (event) => {
        const at = all.indexOf(document.activeElement);
        const width = rows[0].length;
        const to = {
          ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1,
          ArrowDown: rows.length > 1 ? at + width : undefined,
          ArrowUp: rows.length > 1 ? at - width : undefined,
        }[event.key];
        if (at < 0 || to === undefined || !all[to]) return;
        event.preventDefault();
        all[at].tabIndex = -1;
        all[to].tabIndex = 0;
        all[to].focus();
      });
    }

    function drawView(view) {
      const made = element("section", "view");
      const source = data.sources.length > 1 ? [data.sources[view.source]] : [];
      if (view.error !== undefined) {
        made.append(element("h3", "", source.join("")), element("p", "error", view.error));
        return made;
      }
      const heading = element("h3");
      const words = element("p", "words");
      const detail = element("p", "detail");
      const vocabulary = element("p", "vocabulary");
      detail.setAttribute("aria-live", "polite");
      const spans = view.tokens.map((token, i) => {
        const word = element("span", view.special[i] ? "word special" : "word", data.pieces[token]);
        for (const event of ["mouseenter", "focus"])
          word.addEventListener(event, () => explain(layerOf(view), i));
        return word;
      });
      spans.forEach((word, i) => {
        if (i) words.append(gap(view, i));
        words.append(word);
      });
      roving(words, [spans]);
      made.append(heading, words, detail, vocabulary);
      const map = view.layers.length > 1 ? heatMap() : null;
      if (map) made.append(map);
      made.showLayer = showLayer;
      showLayer();
      return made;

      function showLayer() {
        const layer = layerOf(view);
        const said = [...source];
        if (view.target) said.push(view.target);
        if (layer.l !== null) said.push("layer " + layer.l);
        if (layer.lost) said.push("lost " + Number(layer.lost.toPrecision(2)));
        parts(heading, said);
        spans.forEach((word, i) => {
          colour(word, layer.s[i] / STEPS);
          word.setAttribute("aria-label", data.pieces[view.tokens[i]] + ", " + amount(layer, layer.s[i]));
        });
        const sizes = layer.s.map(Math.abs);
        explain(layer, sizes.indexOf(Math.max(...sizes)));
        spans.forEach((word) => word.classList.remove("giver"));
        vocabulary.hidden = !(layer.v && layer.v.length);
        if (!vocabulary.hidden) drawVocabulary(layer);
        for (const row of made.querySelectorAll(".map tbody tr"))
          row.classList.toggle("chosen", row.dataset.layer === "" + layer.l);
      }

      function drawVocabulary(layer) {
        const largest = Math.max(...layer.v.map((value, i) => (i % 2 ? Math.abs(value) : 0)));
        vocabulary.replaceChildren("most salient words of the vocabulary: ");
        for (let i = 0; i < layer.v.length; i += 2) {
          const score = layer.v[i + 1];
          const word = element("span", "", data.pieces[layer.v[i]] + " " + (score > 0 ? "+" : "") + Number(score.toPrecision(2)));
          colour(word, largest ? score / largest : 0);
          vocabulary.append(word, " ");
        }
      }

      function explain(layer, i) {
        spans.forEach((word) => word.classList.remove("giver"));
        const token = element("b", "", data.pieces[view.tokens[i]]);
        const lines = [token, " " + amount(layer, layer.s[i])];
        if (layer !== layerOf(view)) lines.push(" at layer " + layer.l);
        if (layer.d && layer.d[i].length) {
          const decoded = [];
          for (let k = 0; k < layer.d[i].length; k += 2)
            decoded.push(data.pieces[layer.d[i][k]] + " " + layer.d[i][k + 1] + " %");
          lines.push("; decodes to: " + decoded.join(", "));
        }
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

      function heatMap() {
        const details = element("details");
        details.append(element("summary", "", "all layers"));
        details.addEventListener("toggle", () => {
          if (!details.open || details.children.length > 1) return;
          const scrolled = element("div", "scrolled");
          const table = element("table", "map");
          const head = table.createTHead().insertRow();
          head.append(element("th", "", "layer"));
          for (const token of view.tokens) {
            const name = element("th", "", data.pieces[token]);
            name.scope = "col";
            head.append(name);
          }
          const body = table.createTBody();
          const rows = view.layers.slice().reverse().map((layer) => {
            const row = body.insertRow();
            row.dataset.layer = layer.l;
            const name = element("th", "", "" + layer.l);
            name.scope = "row";
            row.append(name);
            return view.tokens.map((token, i) => {
              const decoded = layer.d && layer.d[i].length ? data.pieces[layer.d[i][0]] : "";
              const cell = element("td", "", decoded);
              colour(cell, layer.s[i] / STEPS);
              cell.setAttribute("aria-label", data.pieces[token] + ", layer " + layer.l + ", " + amount(layer, layer.s[i]) +
                (decoded ? ", decodes to " + decoded : ""));
              for (const event of ["mouseenter", "focus"]) cell.addEventListener(event, () => explain(layer, i));
              row.append(cell);
              return cell;
            });
          });
          roving(body, rows);
          scrolled.append(table);
          details.append(scrolled);
          showLayer();
        });
        return details;
      }
    }

    for (const id of ["search", "gold", "predicted", "wrong", "lowest", "highest", "order"])
      byId(id).addEventListener("input", () => { page = 0; draw(); });
    slider.addEventListener("input", showLayer);
    const narrow = window.matchMedia("(max-width: 40rem)");
    const fold = () => { byId("filters").open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
    byId("previous").addEventListener("click", () => { page -= 1; draw(); });
    byId("next").addEventListener("click", () => { page += 1; draw(); });
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    draw();
    // When it could be used, in ms; benchmarks/report_page.py reads it.
    document.documentElement.dataset.ready = performance.now();
  }
})();
