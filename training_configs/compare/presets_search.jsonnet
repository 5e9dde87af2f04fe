// How many points of which rule at which layer, for the presets, on training texts. ARCHIVE, DATA and READER name model,
// file and reader, TEXTS says how many texts.
local row(layer, steps, rule) = {
  [steps + " " + rule + " at " + layer]: {
    type: "decoded-layer-saliency",
    layer: layer,
    aggregation: { type: "integrated-gradients", steps: steps, rule: rule },
    decoded_top_k: 0,
  },
};

{
  archive_file: std.extVar("ARCHIVE"),
  data: {
    path: std.extVar("DATA"),
    reader: std.extVar("READER"),
    sample: std.parseInt(std.extVar("TEXTS")),
  },
  metrics: ["comprehensiveness", "sufficiency", "seconds"],
  scores: ["signed"],
  reference: "20 gauss-legendre at 0",
  interpreters: row(0, 20, "gauss-legendre")
                + row(0, 1, "midpoint") + row(1, 1, "midpoint") + row(0, 3, "midpoint")
                + row(0, 2, "latin-hypercube") + row(0, 3, "latin-hypercube") + row(0, 4, "latin-hypercube")
                + row(0, 6, "latin-hypercube") + row(0, 10, "latin-hypercube") + row(0, 20, "latin-hypercube")
                + row(1, 2, "latin-hypercube") + row(1, 4, "latin-hypercube") + row(1, 10, "latin-hypercube"),
}
