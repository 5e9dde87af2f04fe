(function () {
  const { element, drawing } = Saliency;
  const byId = (id) => document.getElementById(id);
  const known = JSON.parse(byId("known").textContent);
  const PAUSE = 250;  // ms without a key before a text is explained
  const KEPT = 50;  // tries that are listed, and saved
  let latest = 0;  // of the requests for explanations
  let waiting = null;
  let answer = null;
  let asked = null;
  let chosen = null;
  let timer = 0;
  const tries = [];

  for (const name of Object.keys(known.interpreters)) byId("interpreter").append(new Option(name, name));
  byId("interpreter").value = known.first;

  async function ask(path, content, signal) {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(content),
      signal,
    });
    if (path === "report" && response.ok) return response.blob();
    const found = await response.json();
    if (!response.ok) throw new Error(found.error);
    return found;
  }

  const texts = () => Object.fromEntries(known.fields.map((name) => [name, byId("field-" + name).value]));
  const percent = (share) => (100 * share).toFixed(1) + " %";
  const signed = (value) => (value > 0 ? "+" : "") + Number(value.toPrecision(3));

  function settings() {
    const found = { interpreter: byId("interpreter").value };
    const ours = known.interpreters[found.interpreter];
    for (const [id, name] of [["layer-asked", "layer"], ["target", "target_class"], ["contrast", "contrast_class"]]) {
      byId(id).disabled = !ours;
      if (ours && byId(id).value) found[name] = byId(id).value;
    }
    return found;
  }

  function tell(problem) {
    byId("problem").textContent = problem;
  }

  async function explain() {
    clearTimeout(timer);
    if (waiting) waiting.abort();
    const wanted = { texts: texts(), ...settings() };
    if (!Object.values(wanted.texts).every((text) => text.trim())) {
      tell("");
      byId("answer").hidden = true;
      return;
    }
    waiting = new AbortController();
    const number = ++latest;
    byId("answer").setAttribute("aria-busy", "true");
    try {
      const found = await ask("explain", wanted, waiting.signal);
      if (number !== latest) return;
      asked = wanted;
      answer = found;
      tell("");
      show();
      keep("explained: " + found.explained, score(found), found.probabilities[found.explained], wanted);
    } catch (error) {
      if (error.name === "AbortError" || number !== latest) return;
      byId("answer").hidden = true;
      tell(error instanceof TypeError ? "the server does not answer; is it still there?" : error.message);
    } finally {
      if (number === latest) byId("answer").removeAttribute("aria-busy");
    }
  }

  // Of the explained class, less that of the one it is explained against.
  function score(prediction) {
    const against = asked.contrast_class;
    return prediction.logits[answer.explained] - (against ? prediction.logits[against] : 0);
  }

  function show() {
    byId("answer").hidden = false;
    showProbabilities(answer);
    const slider = byId("layer");
    const drawn = drawing(answer.data, { wanted: () => drawn.layers[slider.value], onWord: choose });
    byId("layer-control").hidden = !drawn.several;
    slider.max = Math.max(0, drawn.layers.length - 1);
    slider.value = Math.max(0, drawn.layers.indexOf(1));
    slider.oninput = () => {
      byId("layer-shown").textContent = drawn.layers[slider.value];
      for (const view of byId("drawn").children) if (view.showLayer) view.showLayer();
    };
    if (drawn.several) byId("layer-shown").textContent = drawn.layers[slider.value];
    byId("drawn").replaceChildren(...answer.data.texts[0].views.map(drawn.drawView));
    chosen = null;
    byId("word").hidden = true;
    document.documentElement.dataset.shown = performance.now();
  }

  function showProbabilities(found) {
    const rows = known.labels.map((label) => {
      const row = element("tr");
      const name = element("th", "", label);
      name.scope = "row";
      const bar = element("meter");
      bar.value = found.probabilities[label];
      bar.setAttribute("aria-label", label);
      const cell = element("td");
      cell.append(bar);
      row.append(name, element("td", "", percent(found.probabilities[label])), cell);
      return row;
    });
    byId("probabilities").tBodies[0].replaceChildren(...rows);
  }

  function choose(word) {
    chosen = word;
    for (const other of byId("drawn").querySelectorAll(".chosen")) other.classList.remove("chosen");
    word.word.classList.add("chosen");
    byId("word").hidden = false;
    byId("word").querySelector("legend").textContent = word.name + " " + signed(word.amount());
    byId("moved").textContent = "";
    byId("keep").hidden = true;
    byId("mask").focus();
  }

  // The characters of the chosen word, and the texts with others in their place.
  function place() {
    const spans = chosen.group.map((i) => answer.spans[i]).filter((span) => span);
    const [text] = spans[0];
    return [text, Math.min(...spans.map((s) => s[1])), Math.max(...spans.map((s) => s[2]))];
  }

  function without(instead) {
    const [text, start, end] = place();
    const name = known.fields[text];
    // Places are counted in characters, as Python does.
    const characters = [...asked.texts[name]];
    const before = characters.slice(0, start).join("");
    let after = characters.slice(end).join("");
    if (!instead && (!before || /\s$/.test(before))) after = after.replace(/^\s/, "");
    return { ...asked.texts, [name]: before + instead + after };
  }

  async function edit(what, content) {
    const word = chosen;
    byId("moved").textContent = "…";
    try {
      const found = await ask("predict", content);
      if (word !== chosen) return;
      const [before, after] = [score(answer), score(found)];
      const [p, q] = [answer.probabilities, found.probabilities].map((of) => of[answer.explained]);
      const target = answer.explained + (asked.contrast_class ? " against " + asked.contrast_class : "");
      byId("moved").textContent = what + ": " + answer.explained + " " + percent(p) + " → " + percent(q) +
        (found.label === answer.label ? "" : ", now predicted: " + found.label) +
        ". The score of " + target + " moves by " + signed(after - before) + "; the word's score promised " +
        signed(-word.amount()) + ".";
      byId("keep").hidden = content.masked !== undefined;
      byId("keep").onclick = () => {
        for (const name of known.fields) byId("field-" + name).value = content.texts[name];
        byId("field-" + known.fields[0]).focus();
        explain();
      };
      keep(what, after, q, { texts: content.texts });
    } catch (error) {
      if (word === chosen) byId("moved").textContent = error.message;
    }
  }

  function keep(what, value, probability, content) {
    tries.unshift({ what, value, probability, content, explained: answer.explained });
    tries.length = Math.min(tries.length, KEPT);
    byId("kept").hidden = false;
    byId("tries").tBodies[0].replaceChildren(...tries.map((each) => {
      const row = element("tr");
      const cells = [Object.values(each.content.texts).join(" | "), each.what, each.explained,
        percent(each.probability), "" + Number(each.value.toPrecision(3))];
      row.append(...cells.map((cell) => element("td", "", cell)));
      return row;
    }));
  }

  async function save() {
    const explained = tries.filter((each) => each.content.interpreter).reverse();
    try {
      const page = await ask("report", { tries: explained.map((each) => each.content) });
      const link = element("a");
      link.href = URL.createObjectURL(page);
      link.download = "explanations.html";
      link.click();
      URL.revokeObjectURL(link.href);
      tell("");
    } catch (error) {
      tell(error.message);
    }
  }

  byId("ask").addEventListener("submit", (event) => { event.preventDefault(); explain(); });
  for (const name of known.fields)
    byId("field-" + name).addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(explain, PAUSE);
    });
  for (const select of byId("ask").querySelectorAll("select")) select.addEventListener("change", explain);
  byId("ask").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) explain();
  });
  byId("mask").addEventListener("click", () => edit("“" + chosen.name + "” masked", { texts: asked.texts, masked: [place()] }));
  byId("delete").addEventListener("click", () => edit("“" + chosen.name + "” deleted", { texts: without("") }));
  byId("replace").addEventListener("click", () => {
    const other = byId("other").value;
    edit("“" + chosen.name + "” replaced by “" + other + "”", { texts: without(other) });
  });
  byId("other").addEventListener("keydown", (event) => { if (event.key === "Enter") byId("replace").click(); });
  byId("save").addEventListener("click", save);
  settings();
  explain();  // what a browser has kept of a text
})();
