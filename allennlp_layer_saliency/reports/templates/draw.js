"use strict";
// All that came from a text or a model is set as text, never as markup.
const Saliency = (function () {
  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function parts(heading, texts) {
    heading.replaceChildren(...texts.flatMap((text) => [element("span", "", text), " "]));
  }

  function colour(made, share) {
    made.classList.toggle("for", share > 0);
    made.classList.toggle("against", share < 0);
    made.style.setProperty("--share", Math.abs(share).toFixed(3));
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

  // Draws what `compact` of reports/explanations.py makes of explanations. `wanted` gives the layer that is shown,
  // `pieces` whether word pieces are, and `onWord` is told of each word that is clicked, or chosen by Enter.
  function drawing(data, { wanted = () => 1, pieces = () => false, onWord = null } = {}) {
    const found = data.texts.flatMap((text) => text.views.flatMap((view) => (view.layers || []).map((layer) => layer.l)));
    const layers = [...new Set(found)].filter((layer) => layer !== null).sort((a, b) => a - b);
    const several = data.texts.some((text) => text.views.some((view) => (view.layers || []).length > 1));

    function gap(view, i) {
      return view.gaps[i] === 1 ? " " : view.gaps[i] || "";
    }

    // Tokens that are shown as one: those of a word, or each by itself. Scripts that write no spaces stay in pieces.
    function grouped(view, apart) {
      const letter = (text, at) => {
        const character = [...text].at(at) || "";
        return /[\p{L}\p{M}\p{N}]/u.test(character) &&
          !/[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Khmr}\p{scx=Laoo}\p{scx=Mymr}]/u.test(character);
      };
      const groups = [];
      view.tokens.forEach((token, i) => {
        const last = groups[groups.length - 1];
        const joins = !apart && last && !view.special[i] && !view.special[i - 1] && !gap(view, i) &&
          letter(data.pieces[view.tokens[i - 1]], -1) && letter(data.pieces[token], 0);
        if (joins) last.push(i); else groups.push([i]);
      });
      return groups;
    }

    function sum(layer, group) {
      return group.reduce((total, i) => total + layer.s[i], 0);
    }

    // In the score's own unit.
    function score(layer, group) {
      return (sum(layer, group) / data.steps) * layer.m;
    }

    function joined(view) {
      if (!view.tokens) return "";
      return view.tokens
        .map((token, i) => (view.special[i] ? "" : gap(view, i) + data.pieces[token]))
        .join("");
    }

    function layerOf(view) {
      if (view.layers.length === 1) return view.layers[0];
      return view.layers.find((layer) => layer.l === wanted()) || view.layers[view.layers.length - 1];
    }

    function amount(layer, steps) {
      const value = (steps / data.steps) * layer.m;
      return (layer.signed && value > 0 ? "+" : "") + Number(value.toPrecision(2));
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
      const groups = grouped(view, pieces());
      const names = groups.map((group) => group.map((i) => data.pieces[view.tokens[i]]).join(""));
      const explained = new Set(view.x || []);
      const spans = groups.map((group, g) => {
        const word = element("span", "word", names[g]);
        word.classList.toggle("special", !!view.special[group[0]]);
        word.classList.toggle("explained", group.some((i) => explained.has(i)));
        for (const event of ["mouseenter", "focus"])
          word.addEventListener(event, () => explain(layerOf(view), g));
        if (onWord && !view.special[group[0]]) {
          const chosen = () => onWord({ view, group, name: names[g], amount: () => score(layerOf(view), group), word });
          word.setAttribute("role", "button");
          word.addEventListener("click", chosen);
          word.addEventListener("keydown", (event) => { if (event.key === "Enter") chosen(); });
        }
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

    return { layers, several, joined, grouped, drawView };
  }

  return { element, parts, colour, roving, drawing };
})();
