"use strict";
(function () {
  const { element, parts, drawing } = Saliency;
  const PER_PAGE = 25;
  const byId = (id) => document.getElementById(id);

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
    const slider = byId("layer");
    const { layers, several, joined, grouped, drawView } = drawing(data, {
      wanted: () => layers[slider.value],
      pieces: () => byId("pieces").checked,
    });
    for (const text of data.texts)
      text.search = text.views.map((view) => joined(view)).join(" ").toLowerCase();

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

    for (const id of ["search", "gold", "predicted", "wrong", "lowest", "highest", "order"])
      byId(id).addEventListener("input", () => { page = 0; draw(); });
    byId("pieces").addEventListener("input", draw);
    for (const word of document.querySelectorAll("button.find"))
      word.addEventListener("click", () => {
        byId("search").value = word.textContent;
        page = 0;
        draw();
        byId("filters").open = true;
        byId("search").focus();
        byId("count").scrollIntoView({ block: "center" });
      });
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
