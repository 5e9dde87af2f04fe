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

    // Tokens that are shown as one: those of a word, or each by itself. Scripts that write no spaces stay in pieces.
    function grouped(view, pieces) {
      const letter = (text, at) => {
        const character = [...text].at(at) || "";
        return /[\p{L}\p{M}\p{N}]/u.test(character) &&
          !/[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Khmr}\p{scx=Laoo}\p{scx=Mymr}]/u.test(character);
      };
      const groups = [];
      view.tokens.forEach((token, i) => {
        const last = groups[groups.length - 1];
        const joins = !pieces && last && !view.special[i] && !view.special[i - 1] && !gap(view, i) &&
          letter(data.pieces[view.tokens[i - 1]], -1) && letter(data.pieces[token], 0);
        if (joins) last.push(i); else groups.push([i]);
      });
      return groups;
    }

    function sum(layer, group) {
      return group.reduce((total, i) => total + layer.s[i], 0);
    }

    function joined(view) {
      if (!view.tokens) return "";
      return view.tokens
        .map((token, i) => (view.special[i] ? "" : gap(view, i) + data.pieces[token]))
        .join("");
    }

    // A filter is there where there is something to filter.
    function options(select, name) {
      const values = [...new Set(data.texts.map((text) => text[name]).filter((v) => v !== undefined))];
      for (const value of values.sort()) select.append(new Option(value, value));
      select.parentElement.hidden = values.length < 2;
    }
    options(byId("gold"), "gold");
    options(byId("predicted"), "predicted");
    byId("wrong").parentElement.hidden = !data.texts.some((text) => text.gold !== undefined);
    const unsure = data.texts.length > 1 && data.texts.some((text) => text.p !== undefined);
    for (const id of ["lowest", "order"]) byId(id).parentElement.hidden = !unsure;
    byId("search").parentElement.hidden = data.texts.length < 2;
    byId("pieces").parentElement.hidden = !data.texts.some((text) =>
      text.views.some((view) => view.tokens && grouped(view, false).length < view.tokens.length));
    const slider = byId("layer");
    if (several) {
      byId("layer-control").hidden = false;
      slider.max = layers.length - 1;
      // The layer that the default explains.
      slider.value = Math.max(0, layers.indexOf(1));
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
      // A number that is cleared filters nothing.
      const [low, high] = [byId("lowest").value / 100, (byId("highest").value || 100) / 100];
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
      const groups = grouped(view, byId("pieces").checked);
      const names = groups.map((group) => group.map((i) => data.pieces[view.tokens[i]]).join(""));
      const explained = new Set(view.x || []);
      const spans = groups.map((group, g) => {
        const word = element("span", "word", names[g]);
        word.classList.toggle("special", !!view.special[group[0]]);
        word.classList.toggle("explained", group.some((i) => explained.has(i)));
        for (const event of ["mouseenter", "focus"])
          word.addEventListener(event, () => explain(layerOf(view), g));
        return word;
      });
      spans.forEach((word, g) => {
        if (g) words.append(gap(view, groups[g][0]));
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
        const sums = groups.map((group) => sum(layer, group));
        const sizes = sums.map(Math.abs);
        const largest = Math.max(...sizes) || 1;
        spans.forEach((word, g) => {
          colour(word, sums[g] / largest);
          word.setAttribute("aria-label", names[g] + ", " + amount(layer, sums[g]));
        });
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

      // Of a word of several pieces the first that is decoded speaks.
      function decodedOf(layer, group) {
        return layer.d ? layer.d[group.find((i) => layer.d[i].length) ?? group[0]] : [];
      }

      function explain(layer, g) {
        const group = groups[g];
        spans.forEach((word) => word.classList.remove("giver"));
        const lines = [element("b", "", names[g]), " " + amount(layer, sum(layer, group))];
        if (layer !== layerOf(view)) lines.push(" at layer " + layer.l);
        const listed = decodedOf(layer, group);
        if (listed.length) {
          const decoded = [];
          for (let k = 0; k < listed.length; k += 2) decoded.push(data.pieces[listed[k]] + " " + listed[k + 1] + " %");
          lines.push("; decodes to: " + decoded.join(", "));
        }
        const amounts = new Map();
        for (const i of layer.f ? group : []) {
          for (let k = 0; k < layer.f[i].length; k += 2) {
            const giver = groups.findIndex((other) => other.includes(layer.f[i][k]));
            amounts.set(giver, (amounts.get(giver) || 0) + layer.f[i][k + 1]);
          }
        }
        if (amounts.size) {
          const givers = [...amounts].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).map(([giver, steps]) => {
            spans[giver].classList.add("giver");
            return names[giver] + " (" + (giver + 1) + ") " + amount(layer, steps);
          });
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
          for (const word of names) {
            const name = element("th", "", word);
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
            const sums = groups.map((group) => sum(layer, group));
            const largest = Math.max(...sums.map(Math.abs)) || 1;
            return groups.map((group, g) => {
              const listed = decodedOf(layer, group);
              const decoded = listed.length ? data.pieces[listed[0]] : "";
              const cell = element("td", "", decoded);
              colour(cell, sums[g] / largest);
              cell.setAttribute("aria-label", names[g] + ", layer " + layer.l + ", " + amount(layer, sums[g]) +
                (decoded ? ", decodes to " + decoded : ""));
              for (const event of ["mouseenter", "focus"]) cell.addEventListener(event, () => explain(layer, g));
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
    byId("pieces").addEventListener("input", draw);
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
